"""What a gateway does with a word that is written, as its documents say.

The rows of the integration's tables tell which registers take writes and within which
limits. They are imported with the first write: a simulator that is only read does without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from functools import cache
from typing import TYPE_CHECKING, Final

from .chain import GATEWAY, SYSTEM_CONTROL, Block, Chain
from .registers import number

if TYPE_CHECKING:
    from custom_components.local_solar.outback.block import Row


class WriteError(IntFlag):
    """Bits of 64110/402 that tell of the last write."""

    NONE = 0
    HIGH = 0x0001
    LOW = 0x0002
    INVALID = 0x0004


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the words for one row.

    ``taken``: they have their effect. ``stored``: they can be read back. ``error`` is
    ``None`` where the gateway says nothing, because it is no setting.
    """

    taken: bool = False
    stored: bool = False
    error: WriteError | None = None


type Limits = tuple[int, int]
"""The least and the greatest word that a device takes."""

_IGNORED: Final = Verdict()

_COMMANDS: Final[Mapping[tuple[int, int], Limits]] = {
    (SYSTEM_CONTROL, 6): (1, 4),
    (SYSTEM_CONTROL, 7): (1, 2),
    (SYSTEM_CONTROL, 8): (1, 3),
    (SYSTEM_CONTROL, 9): (1, 2),
    (SYSTEM_CONTROL, 10): (1, 3),
}
"""DID and offset of commands -> the words that are one."""

_READ_ONLY: Final = frozenset(("minimum_ac_input_voltage", "maximum_ac_input_voltage"))
"""Rows that the integration takes care not to write, though they take no writes: of these
the documents say both that they are read-only and that a write clears them."""

_SECRETS: Final = frozenset(
    ("write_password", "smtp_email_password", "ftp_password", "telnet_password")
)
"""Rows that take writes and read as before."""


def row_at(did: int, offset: int) -> Row | None:
    """Return the row that takes the writes of a register, ``None`` if none does."""
    return _rows(did).get(offset)


@cache
def _rows(did: int) -> dict[int, Row]:
    """Return the rows of a block that can be written, by each offset that they take."""
    from custom_components.local_solar.outback.blocks import BLOCKS  # noqa: PLC0415

    block = BLOCKS.get(did)
    return {
        offset: row
        for row in (block.rows if block else ())
        if row.writable
        # A row of what a command brings about; the command is a row of its own.
        and row.sends_to is None
        and row.name not in _READ_ONLY
        for offset in range(row.offset, row.end)
    }


def judge(
    chain: Chain, block: Block, row: Row, words: Sequence[int], limits: Limits | None
) -> Verdict:
    """Tell what becomes of the words of a whole row.

    ``limits`` are the device's own, narrower than those of the documents.
    """
    if not block.has(row.end - 1):
        return _IGNORED
    now = [block[offset] for offset in range(row.offset, row.end)]
    hidden = row.write_only or row.name in _SECRETS
    if not hidden and _is_nothing(row, now):
        # The equipment has no such setting.
        return _IGNORED
    if limits is None:
        limits = _COMMANDS.get((block.did, row.offset))
    error = _error(chain, block, row, words, limits)
    if error is not WriteError.NONE:
        return Verdict(error=error)
    return Verdict(taken=True, stored=not hidden, error=error)


def nothing(did: int, offset: int) -> int:
    """Return the word of a register that stands for "not available"."""
    row = row_at(did, offset)
    sentinels = row.register.sentinels if row is not None else frozenset()
    return 0x8000 if -0x8000 in sentinels else 0xFFFF


def _is_nothing(row: Row, words: Sequence[int]) -> bool:
    return row.register.codec.decode(words) in row.register.sentinels


def _error(
    chain: Chain, block: Block, row: Row, words: Sequence[int], limits: Limits | None
) -> WriteError:
    if limits is not None and len(words) == 1:
        found = _outside(words[0], *limits)
        if found is not WriteError.NONE:
            return found
    raw = row.register.codec.decode(words)
    if raw is None and row.words == 2:
        return WriteError.HIGH  # the hour or the minute
    if raw is None or raw in row.register.sentinels:
        return WriteError.INVALID
    options = row.register.options
    if not isinstance(raw, int):
        return WriteError.NONE
    if options is not None:
        if raw in options:
            return WriteError.NONE
        return _outside(raw, min(options), max(options)) or WriteError.INVALID
    gateway = chain.find(GATEWAY)
    volts = number(gateway, "system_voltage") if gateway is not None else None
    setting = row.within(volts).setting
    if setting is None:
        return WriteError.NONE
    value = raw * _unit(block, row)
    return _outside(value, setting.minimum, setting.maximum)


def _outside(value: float, minimum: float | None, maximum: float | None) -> WriteError:
    # Half a step of the finest scale factor, for floating point.
    if maximum is not None and value > maximum + 0.005:
        return WriteError.HIGH
    if minimum is not None and value < minimum - 0.005:
        return WriteError.LOW
    return WriteError.NONE


def _unit(block: Block, row: Row) -> float:
    """Return what 1 in a row stands for."""
    if not row.scale_factor:
        return 1.0
    for other in _all_rows(block.did):
        if other.name == row.scale_factor:
            word = block[other.offset]
            exponent = word - 0x10000 if word & 0x8000 else word
            return float(f"1e{exponent}") if exponent != -0x8000 else 1.0
    return 1.0


@cache
def _all_rows(did: int) -> tuple[Row, ...]:
    from custom_components.local_solar.outback.blocks import BLOCKS  # noqa: PLC0415

    return BLOCKS[did].rows
