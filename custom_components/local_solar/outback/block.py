"""What the blocks of a gateway's register map are described with.

A map is a chain of blocks, each with a number (DID), a length and rows. Where a block lies
and how long it is differs from system to system and with the firmware, so rows are placed
within their block, and become registers only where a gateway says that its block is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum, auto
from functools import cached_property
from typing import Final

from ..modbus.register import Register
from ..points import Setting

HEADER_WORDS: Final = 2
"""Number and length, which the length does not count."""


class Family(StrEnum):
    """What a block is about."""

    GATEWAY = auto()
    """The MATE3 itself, and what it does for all."""
    INVERTER = auto()
    CHARGE_CONTROLLER = auto()
    BATTERY_MONITOR = auto()


class Half(StrEnum):
    """Which half of what a device tells a block is."""

    LIVE = auto()
    """What it measures."""
    CONFIG = auto()
    """What its owner set."""


class Nominal(StrEnum):
    """What the limits of a setting are multiples of."""

    NOTHING = auto()
    """They are what they are."""
    BATTERY = auto()
    """The system's nominal voltage."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """A row of a block's table.

    ``offset`` counts registers from that of the block's number, which is 1, as the maker's
    documents do. ``name`` is the maker's name of it. ``register`` is the row at its place in
    a block that begins at 0. ``scale_factor`` names the row of the same block that holds the
    power of ten to multiply with.
    """

    name: str
    register: Register
    scale_factor: str = ""
    write_only: bool = False
    sends_to: int | None = None
    """Offset that a command is written to: what it brings about is read at another."""
    nominal: Nominal = Nominal.NOTHING
    at_most: str = ""
    """Name of the row of the same block whose value this one must not exceed."""
    at_least: str = ""
    """Name of the row of the same block whose value this one must not fall below."""

    @property
    def offset(self) -> int:
        """Place in the block, counted from 1."""
        return self.register.address + 1

    @property
    def words(self) -> int:
        """Registers that it takes."""
        return self.register.words

    @property
    def end(self) -> int:
        """First offset after the row, counted from 1."""
        return self.offset + self.words

    @property
    def key(self) -> str:
        """Key of the point."""
        return self.register.key

    @property
    def setting(self) -> Setting | None:
        """What may be written."""
        return self.register.point.setting

    @property
    def writable(self) -> bool:
        """Whether the gateway takes writes here, may they be wise or not."""
        return (
            self.setting is not None
            or self.write_only
            or bool(self.register.never_write)
        )

    def at(self, address: int, exponent: int = 0) -> Register:
        """Return the register, in a block at ``address``, scaled by a power of ten."""
        return replace(
            self.register,
            address=address + self.register.address,
            scale=float(f"1e{exponent}"),
        )

    def within(self, nominal_voltage: float | None) -> Row:
        """Return the row with limits that suit the system's nominal voltage (V)."""
        setting = self.setting
        if self.nominal is not Nominal.BATTERY or setting is None:
            return self
        assert setting.minimum is not None
        assert setting.maximum is not None
        low, high = (
            (nominal_voltage, nominal_voltage) if nominal_voltage else LEAST_AND_MOST
        )
        setting = replace(
            setting,
            minimum=round(low * setting.minimum, 1),
            maximum=round(high * setting.maximum, 1),
        )
        point = replace(self.register.point, setting=setting)
        return replace(self, register=replace(self.register, point=point))


LEAST_AND_MOST: Final = (12.0, 60.0)
"""Nominal voltages of the smallest and the largest system."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A kind of block. ``length`` is what the maker's newest document gives."""

    did: int
    name: str
    family: Family
    half: Half
    length: int
    rows: tuple[Row, ...]

    @cached_property
    def has_port(self) -> bool:
        """Whether there is one for each device, which says what port it is on."""
        return self.has(PORT)

    def has(self, name: str) -> bool:
        """Return whether there is a row that the maker calls ``name``."""
        return name in self._by_name

    @cached_property
    def _by_name(self) -> Mapping[str, Row]:
        return {row.name: row for row in self.rows}

    def row(self, name: str) -> Row:
        """Return the row that the maker calls ``name``. Raises ``KeyError``."""
        return self._by_name[name]

    def rows_within(self, length: int) -> tuple[Row, ...]:
        """Return the rows that lie in a block that says it has ``length`` registers.

        What lies beyond belongs to the next block, and so does the scale of a row there.
        """
        end = length + HEADER_WORDS + 1
        return tuple(
            row
            for row in self.rows
            if row.end <= end
            and (not row.scale_factor or self.row(row.scale_factor).end <= end)
        )


PORT: Final = "port_number"
