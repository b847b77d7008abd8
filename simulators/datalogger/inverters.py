"""What is behind a datalogger: inverters, and the blocks of registers that a stick reads.

Which blocks a stick reads is decided in its firmware by the device type code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from simulators.clock import SimulatedClock
from simulators.datasets import Source, Table, as_dataset
from simulators.errors import SimulatorError
from simulators.growatt import DEFAULT_DATASET, DEVICE_TYPE_CODE, GrowattUnit
from simulators.growatt_rules import speaks_vpp
from simulators.requests import ILLEGAL_VALUE, MAX_WORDS, NoAnswerError, RefusedError

from .bodies import Group

INVERTER_SILENT: Final = 0x0B
"""Status of a write to an inverter that does not answer."""

NO_INVERTER: Final = 0x0A
"""Status of a write to a unit behind which there is none."""

VPP_BLOCKS: Final = ((31000, 31124), (31125, 31249))
"""Input registers of the report 36; the first was recorded, the second is as long."""

EXTRA_BLOCKS: Final = ((5080, 5119), (5120, 5159), (5160, 5199))
"""Input registers of the report 38."""

_SERIALS: Final = ((23, 5), (3001, 15), (209, 15))
"""Holding registers of the serial number, and how many there are."""

_CLOCK: Final = 45

type Blocks = tuple[tuple[int, int], ...]
"""First and last addresses."""


class _Layout(NamedTuple):
    """What a stick reads of some type codes: first addresses of blocks of one width."""

    first: int
    last: int
    holding: tuple[int, ...]
    inputs: tuple[int, ...]
    width: int = 125


_OFF_GRID: Final = ((0, 45), (0, 45, 90), 45)
_STORAGE: Final = ((0, 1000), (0, 1000, 1125))

_LAYOUTS: Final = (
    _Layout(3400, 3499, *_OFF_GRID),
    _Layout(64541, 64541, *_OFF_GRID),
    _Layout(0, 3399, (0, 45), (0, 45), 45),
    _Layout(3725, 3725, *_STORAGE),
    _Layout(3700, 3799, (0, 1000), (1000, 1125, 2000)),
    _Layout(3500, 3699, *_STORAGE),
    _Layout(21303, 21303, *_STORAGE),
    _Layout(5100, 5499, (0, 3000), (3000, 3125)),
    # What a stick reads of codes that nobody recorded is not known.
    _Layout(0, 0xFFFF, (0, 125), (0, 125)),
)
"""Layouts by type code: the first that fits counts."""


def blocks_of(code: int) -> tuple[Blocks, Blocks]:
    """Return the blocks of holding and of input registers that a stick reads of a code."""
    layout = next(each for each in _LAYOUTS if each.first <= code <= each.last)
    holding, inputs = (
        tuple((start, start + layout.width - 1) for start in starts)
        for starts in (layout.holding, layout.inputs)
    )
    return holding, inputs


@dataclass(frozen=True, slots=True)
class Write:
    """What a server wrote, or tried to: ``status`` 0 is done."""

    address: int
    words: tuple[int, ...]
    single: bool
    status: int


class SimulatedInverter:
    """An inverter behind a datalogger."""

    def __init__(
        self,
        unit: int = 1,
        dataset: Source = DEFAULT_DATASET,
        serial: str | None = None,
        *,
        holding_blocks: Blocks | None = None,
        input_blocks: Blocks | None = None,
    ) -> None:
        """Put an inverter at a unit id.

        Without ``serial`` it has that of its registers; with it, the registers get that one.
        ``holding_blocks`` and ``input_blocks`` take the place of those of its type code.
        Raises ``SimulatorError`` if the dataset is no good or there is no serial number.
        """
        if not 1 <= unit <= 0xFF:
            raise SimulatorError(f"unit {unit} is not from 1 to 255")
        self.unit_id = unit
        self.unit = GrowattUnit(as_dataset(dataset, unit), f"unit {unit}")
        self.serial = serial or self._serial()
        if not self.serial:
            raise SimulatorError(
                f"{self.unit.dataset.name}: no serial number in its registers: give one"
            )
        check_serial(self.serial)
        if serial is not None:
            self._set_serial(serial)
        holding, inputs = blocks_of(self.code)
        self.holding_blocks = holding if holding_blocks is None else holding_blocks
        self.input_blocks = inputs if input_blocks is None else input_blocks
        self.writes: list[Write] = []
        """What the server wrote. The clock that the stick passes on is not among it."""

    @property
    def code(self) -> int:
        """Device type code."""
        return self.unit.dataset.get(Table.HOLDING, DEVICE_TYPE_CODE)

    @property
    def speaks_vpp(self) -> bool:
        """Whether it has the VPP protocol."""
        words = self.unit.dataset.words[Table.HOLDING]
        return not self.unit.off_grid and speaks_vpp(words)

    def live(self, clock: SimulatedClock, *, sleeps: bool = False) -> None:
        """Let sun, house and battery drive the registers. Raises ``SimulatorError``."""
        self.unit.sleeps = sleeps
        self.unit.live(clock)

    # -- what the stick does with it ---------------------------------------------------

    def announcement(self) -> tuple[Group, ...]:
        """Return the holding registers that the stick announces it with."""
        return self.groups(Table.HOLDING, self.holding_blocks)

    def values(self) -> tuple[Group, ...]:
        """Return the input registers of now."""
        return self.groups(Table.INPUT, self.input_blocks)

    def groups(self, table: Table, blocks: Blocks) -> tuple[Group, ...]:
        """Return blocks of registers; those that it lacks are 0."""
        self.unit.update()
        words = self.unit.dataset.words[table]
        return tuple(
            Group(first, tuple(words.get(at, 0) for at in range(first, last + 1)))
            for first, last in blocks
        )

    def read(self, first: int, last: int) -> tuple[int, ...]:
        """Return holding registers, none if that is refused."""
        if self.unit.silent or not 0 <= last - first < MAX_WORDS:
            return ()
        try:
            return tuple(self.unit.read(Table.HOLDING, first, last - first + 1))
        except RefusedError, NoAnswerError:
            return ()

    def write(self, address: int, words: Sequence[int], *, single: bool) -> int:
        """Set holding registers and return the status, 0 if that is done."""
        status = self._write(address, words, single=single)
        self.writes.append(Write(address, tuple(words), single, status))
        return status

    def _write(self, address: int, words: Sequence[int], *, single: bool) -> int:
        if self.unit.silent:
            return INVERTER_SILENT
        if not 1 <= len(words) <= MAX_WORDS or address + len(words) > 0x10000:
            return ILLEGAL_VALUE
        try:
            self.unit.write(address, words, single=single)
        except RefusedError as err:
            return err.code
        except NoAnswerError:
            return INVERTER_SILENT
        return 0

    def set_clock(self, numbers: Sequence[int]) -> None:
        """Pass year (two digits), month, day, hour, minute and second on, one by one."""
        for place, number in enumerate(numbers):
            self._write(_CLOCK + place, (number,), single=True)

    # -- its serial number -------------------------------------------------------------

    def _serial(self) -> str:
        words = self.unit.dataset.words[Table.HOLDING]
        for first, count in _SERIALS:
            octets = b"".join(
                words.get(at, 0).to_bytes(2) for at in range(first, first + count)
            )
            if serial := octets.rstrip(b"\0 ").decode("ascii", errors="replace"):
                return serial
        return ""

    def _set_serial(self, serial: str) -> None:
        words = self.unit.dataset.words[Table.HOLDING]
        fitting = [place for place in _SERIALS if len(serial) <= 2 * place[1]]
        for first, count in _SERIALS:
            if words.get(first):
                # New models leave the short place empty.
                text = serial if (first, count) in fitting else ""
                words.update(_words_at(first, text, count))
        if not self._serial():
            first, count = fitting[0]
            words.update(_words_at(first, serial, count))


def _words_at(first: int, text: str, count: int) -> Mapping[int, int]:
    octets = text.encode("ascii").ljust(2 * count, b"\0")
    return {
        first + place: int.from_bytes(octets[2 * place : 2 * place + 2])
        for place in range(count)
    }


def check_serial(serial: str) -> None:
    """Refuse what is no serial number. Raises ``SimulatorError``."""
    if not (serial.isascii() and serial.isalnum() and len(serial) <= 30):
        raise SimulatorError(
            f"{serial!r} is not a serial number: up to 30 letters and digits"
        )
