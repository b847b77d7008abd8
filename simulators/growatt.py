"""A Growatt inverter on Modbus, or several on one bus.

What it does as the real ones do, from Growatt's documents and a recording of a MIN
6000TL-XH: reads and writes must stay inside a register group, a group that the model
does not have is refused, addresses that mean nothing read 0, unit 0 is answered for
the device type code alone, and an off-grid SPF resets when an address from 30000 on is
touched. Writes are held against the clock, the time slots and the limits of settings.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
import logging
from pathlib import Path
import time
from typing import TYPE_CHECKING, Final, override

from .cli import (
    Commands,
    UnitOptions,
    add_bus_options,
    add_clock_options,
    bus_options,
    serve,
    start_listeners,
    unit_datasets,
)
from .clock import SimulatedClock
from .datasets import Dataset, Source, Table, as_dataset
from .errors import SimulatorError
from .faults import Fault
from .growatt_rules import (
    SLOT_ENDS,
    VPP_ADDRESSES,
    XH,
    check_clock,
    check_vpp,
    forgotten_slots,
    schedules_of,
    settle_clock,
    speaks_vpp,
)
from .modbus import ModbusSimulator, UnknownUnit
from .requests import (
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    NoAnswerError,
    RefusedError,
    Request,
)
from .wire import SerialLine

if TYPE_CHECKING:
    from custom_components.local_solar.modbus.register import Register

    from .mutation import Mutation

_LOGGER = logging.getLogger(__name__)

DEFAULT_DATASET: Final = "min_6000tl_xh"

DEVICE_TYPE_CODE: Final = 43
"""Holding register that tells the model. The only one that unit 0 answers for."""

GROUP_WORDS: Final = 125
"""Width of the register groups of Protocol II (V1.13 to V1.39)."""

NARROW_GROUP_WORDS: Final = 45
"""Width of the groups of the protocols V3 and OffGrid (SPF)."""

_VPP_SECTIONS: Final = (
    *((30000, 30099), (30100, 30149), (30150, 30249), (30250, 30299)),
    *((30300, 30410), (30411, 30471), (30472, 30499)),
    *((31000, 31009), (31010, 31099), (31100, 31199), (31200, 31299)),
    *((31300, 31399), (31400, 31499), (31500, 31599)),
)
"""Groups of the VPP protocol (V2.03), which are not all of one width."""

_OFF_GRID_CODES: Final = (*range(3400, 3500), 64541)
_V3_CODES: Final = (210, 2049)

_OUTPUT_POWER: Final = 36
"""Input register of the base block that an unknown model is taken to have if it has it."""

_MEMORY: Final = 2
"""Holding register: whether the power commands outlast a power cycle."""

_POWER_COMMANDS: Final = (3, 4)
"""Limits of active and reactive power."""

_NO_LIMIT: Final = 255
_CAN_BE_WITHOUT_LIMIT: Final = (3, 3036)
"""Holding registers that take ``_NO_LIMIT``, beyond the maximum of the setting."""

RESET_SECONDS: Final = 60.0
"""How long an SPF that was made to reset stays silent."""


class GrowattUnit:
    """The registers of one inverter and the rules for reading and writing them."""

    def __init__(self, dataset: Dataset, name: str = "inverter") -> None:
        """Serve a dataset, which changes with writes; ``name`` is for the log."""
        self.dataset = dataset
        self._told_silent = False
        self.sleeps = False
        """Whether it does not answer while it has neither sun nor battery."""
        self.reset_seconds = RESET_SECONDS
        self.resets = 0
        """How often it was made to reset."""
        self.checks_limits = True
        """Whether it refuses values outside the limits and options of a setting."""
        self.slot_ends_need_both_words = False
        """Whether it refuses function 6 for end words of time slots, as MOD TL3-XH do."""
        self.forgets_slots_without_grid_charge = False
        """Whether an enabled battery-first slot keeps its old words while 3049 is 0."""
        self.mutation: Mutation | None = None
        self._name = name
        self._silent_until = 0.0
        self._power_commands = {
            address: dataset.get(Table.HOLDING, address) for address in _POWER_COMMANDS
        }
        code = dataset.get(Table.HOLDING, DEVICE_TYPE_CODE)
        self.off_grid = code in _OFF_GRID_CODES or (
            dataset.get(Table.INPUT, 44) in _OFF_GRID_CODES
        )
        self._schedules = schedules_of(
            dataset.words[Table.HOLDING], off_grid=self.off_grid
        )
        narrow = self.off_grid or code in _V3_CODES
        self.group_words = NARROW_GROUP_WORDS if narrow else GROUP_WORDS
        self._groups = {
            (table, self.group_of(address))
            for table, words in dataset.words.items()
            for address in words
        }

    @property
    def silent(self) -> bool:
        """Whether it answers nothing: told so, resetting, or asleep."""
        return (
            self._told_silent or time.monotonic() < self._silent_until or self._asleep()
        )

    @silent.setter
    def silent(self, silent: bool) -> None:
        self._told_silent = silent

    def power_cycle(self, seconds: float = 0.0) -> None:
        """Take its power away for so many seconds, in which it is silent.

        The limits of registers 3 and 4 go back to those of the dataset, unless
        register 2 is 1. ``silent`` stays as it was told.
        """
        self._silent_until = max(self._silent_until, time.monotonic() + seconds)
        # These registers mean something else to an SPF.
        if not self.off_grid and self.dataset.get(Table.HOLDING, _MEMORY) != 1:
            for address, word in self._power_commands.items():
                self.store(address, [word])

    def _asleep(self) -> bool:
        if not self.sleeps or self.mutation is None:
            return False
        self.mutation.update()
        return self.mutation.plant.asleep

    def group_of(self, address: int) -> tuple[int, int]:
        """Return the first and last address of the group that an address is in."""
        if VPP_ADDRESSES[0] <= address <= VPP_ADDRESSES[1] and not self.off_grid:
            for section in _VPP_SECTIONS:
                if section[0] <= address <= section[1]:
                    return section
        first = address - address % self.group_words
        return first, first + self.group_words - 1

    def has(self, table: Table, address: int) -> bool:
        """Tell whether the dataset has any word of the group an address is in."""
        return (table, self.group_of(address)) in self._groups

    def live(self, clock: SimulatedClock) -> None:
        """Let sun, house and battery drive the registers from now on.

        Raises ``SimulatorError`` if there is no register map for the model.
        """
        # Brings Home Assistant along, which takes a second: only for those who need it.
        from .mutation import Mutation  # noqa: PLC0415

        self.mutation = Mutation(self.dataset.words, self._rows(), clock)

    def _rows(self) -> list[Register]:
        """Return the rows of the register maps that the unit has.

        Raises ``SimulatorError`` if there is no register map for the model.
        """
        return [
            row
            for row in _rows_of(self.dataset)
            if self.has(Table(row.space.value), row.address)
        ]

    @cached_property
    def _settings(self) -> list[Register]:
        """Rows of holding registers that are settings and have a number for a value.

        There are none if there is no register map for the model.
        """
        # See ``live``: only those who write need it.
        from custom_components.local_solar.modbus.codecs import Integer  # noqa: PLC0415

        with suppress(SimulatorError):
            return [
                row
                for row in self._rows()
                if row.point.setting is not None
                and row.space.value == Table.HOLDING
                and isinstance(row.codec, Integer)
            ]
        return []

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """Return words. Raises ``RefusedError`` or ``NoAnswerError``."""
        self._check(table, address, count)
        self.update()
        words = self.dataset.words[table]
        return [words.get(place, 0) for place in range(address, address + count)]

    def write(
        self, address: int, words: Sequence[int], *, single: bool = False
    ) -> None:
        """Set holding registers, by function 6 if ``single``.

        Raises ``RefusedError`` or ``NoAnswerError``.
        """
        self.check_write(address, words, single=single)
        self.store(address, words)

    def check_write(self, address: int, words: Sequence[int], *, single: bool) -> None:
        """Take in a write, by function 6 if ``single``, without carrying it out.

        Raises ``RefusedError`` or ``NoAnswerError``.
        """
        written = range(address, address + len(words))
        if not self.off_grid:
            holding = self.dataset.words[Table.HOLDING]
            check_vpp(holding, dict(zip(written, words, strict=True)))
        self._check(Table.HOLDING, address, len(words))
        after = self._after(written, words)
        check_clock(after, written)
        if (
            (single and self.slot_ends_need_both_words)
            and XH in self._schedules
            and address in SLOT_ENDS
        ):
            raise RefusedError(ILLEGAL_ADDRESS)
        for schedule in self._schedules:
            schedule.check(after, written, single=single)
        if self.checks_limits:
            self._check_limits(after, written)

    def _check_limits(self, after: Mapping[int, int], written: range) -> None:
        """Refuse numbers that settings do not allow. Raises ``RefusedError``.

        Of several rows in one place, which differ in meaning, one must allow it.
        """
        allowed: dict[int, bool] = {}
        for row in self._settings:
            if row.address < written.stop and row.end > written.start:
                known = allowed.get(row.address, False)
                allowed[row.address] = known or _allows(row, after)
        if not all(allowed.values()):
            raise RefusedError(ILLEGAL_VALUE)

    def store(self, address: int, words: Sequence[int]) -> bool:
        """Set holding registers, unchecked, and return whether any was set."""
        written = range(address, address + len(words))
        after = self._after(written, words)
        forgotten: set[int] = set()
        if XH in self._schedules and self.forgets_slots_without_grid_charge:
            forgotten = forgotten_slots(after, written)
        holding = self.dataset.words[Table.HOLDING]
        holding.update(
            (place, word) for place, word in after.items() if place not in forgotten
        )
        if self.mutation is not None:
            self.mutation.written(address, len(words))
        return not forgotten.issuperset(written)

    def _after(self, written: range, words: Sequence[int]) -> dict[int, int]:
        """Return the holding registers as they would read after a write."""
        self.update()
        after = self.dataset.words[Table.HOLDING] | dict(
            zip(written, words, strict=True)
        )
        settle_clock(after, written)
        return after

    def update(self) -> None:
        """Bring what lives up to now."""
        if self.mutation is not None:
            self.mutation.update()

    def _check(self, table: Table, address: int, count: int) -> None:
        last = address + count - 1
        if self.off_grid and address <= VPP_ADDRESSES[1] and last >= VPP_ADDRESSES[0]:
            self.resets += 1
            self._silent_until = time.monotonic() + self.reset_seconds
            _LOGGER.warning(
                "%s: touching %s %s-%s resets an SPF and cuts its output: silent for %g s",
                self._name,
                table,
                address,
                last,
                self.reset_seconds,
            )
            raise NoAnswerError
        if last > self.group_of(address)[1] or not self.has(table, address):
            raise RefusedError(ILLEGAL_ADDRESS)


class GrowattSimulator(ModbusSimulator):
    """Growatt inverters on one bus. See ``ModbusSimulator`` for listeners and requests."""

    def __init__(
        self,
        datasets: Mapping[int, Source] | None = None,
        *,
        mutate: bool = False,
        clock: SimulatedClock | None = None,
        sleeps: bool = False,
        faults: Iterable[Fault | str] = (),
        wire: SerialLine | None = None,
        unknown_unit: UnknownUnit = UnknownUnit.SILENT,
        capture: Path | None = None,
        record: bool = True,
        seed: int | None = None,
    ) -> None:
        """Put inverters on a bus.

        Args:
            datasets: unit id -> dataset, decoded document, file or shipped name; by
                default unit 1 is a MIN 6000TL-XH. The unit works on a copy.
            mutate: whether sun, house and battery drive the registers.
            clock: the time by which they do; the computer's if not given.
            sleeps: whether units without a battery are silent while there is no sun
                (with ``mutate``).
            faults: what goes wrong; see ``faults.py``.
            wire: the line whose pace answers keep to.
            unknown_unit: what becomes of requests to other units.
            capture: file that gets a JSON line per request.
            record: whether to keep ``requests``.
            seed: makes random faults the same in every run.

        Raises:
            SimulatorError: if a dataset, a fault or the capture is no good.

        """
        self.clock = clock or SimulatedClock()
        self._mutate = mutate
        self._sleeps = sleeps
        self.units: Final = {
            unit: self._make_unit(unit, source)
            for unit, source in (datasets or {1: DEFAULT_DATASET}).items()
        }
        super().__init__(
            self.units,
            faults=faults,
            wire=wire,
            unknown_unit=unknown_unit,
            capture=capture,
            record=record,
            seed=seed,
        )

    def _make_unit(self, unit_id: int, source: Source) -> GrowattUnit:
        unit = GrowattUnit(as_dataset(source, unit_id), f"unit {unit_id}")
        if self._mutate:
            unit.sleeps = self._sleeps
            unit.live(self.clock)
        return unit

    def replace_unit(self, unit_id: int, source: Source) -> GrowattUnit:
        """Put another inverter in the place of a unit and return it.

        Connections stay. Raises ``SimulatorError`` if the dataset is no good; then
        the unit stays, too.
        """
        unit = self._make_unit(unit_id, source)
        self.units[unit_id] = self.devices[unit_id] = unit
        return unit

    @override
    def answers_broadcast(self, request: Request) -> int | None:
        """Let the first unit answer for its device type code, as the recorded one does."""
        if (request.op, request.address, request.count) != (
            "read_holding",
            DEVICE_TYPE_CODE,
            1,
        ):
            return None
        return min(self.units)

    def set_word(self, unit: int, table: Table | str, address: int, word: int) -> None:
        """Set a register of a unit. What lives may overwrite it (``mutate``)."""
        self.units[unit].dataset.words[Table(table)][address] = word & 0xFFFF

    def word(self, unit: int, table: Table | str, address: int) -> int:
        """Return a register of a unit as it is now, without a request."""
        device = self.units[unit]
        device.update()
        return device.dataset.get(Table(table), address)


def _allows(row: Register, holding: Mapping[int, int]) -> bool:
    """Tell whether a setting may have the number that its registers hold."""
    words = [holding.get(address, 0) for address in range(row.address, row.end)]
    raw = row.codec.decode(words)
    if row.options is not None:
        return raw in row.options
    if raw == _NO_LIMIT and row.address in _CAN_BE_WITHOUT_LIMIT:
        return True
    value, setting = row.decode(words), row.point.setting
    if setting is None or not isinstance(value, int | float):
        return True
    # A device takes less than the integration dares to set.
    minimum = setting.found[0] if setting.found else setting.minimum
    return (minimum is None or value >= minimum) and (
        setting.maximum is None or value <= setting.maximum
    )


def _rows_of(dataset: Dataset) -> Iterator[Register]:
    """Yield the rows of the register maps that fit a dataset.

    Raises ``SimulatorError`` if its model has none.
    """
    from custom_components.local_solar.growatt.models import (  # noqa: PLC0415
        DEVICE_TYPE_CODES,
        SERIAL_PREFIXES,
        Family,
    )
    from custom_components.local_solar.growatt.profiles.catalogue import (  # noqa: PLC0415
        PROFILES,
        profile_of,
    )

    code = dataset.get(Table.HOLDING, DEVICE_TYPE_CODE)
    model = DEVICE_TYPE_CODES.get(code)
    prefix = b"".join(
        dataset.get(Table.HOLDING, address).to_bytes(2) for address in (23, 24)
    ).decode("ascii", errors="replace")[:3]
    if model is not None and model.family is Family.MIN_TL_XH:
        variant = SERIAL_PREFIXES.get(prefix)
        if variant is not None and variant.family is Family.MIN_TL_XH_US:
            model = variant
    if model is not None:
        family = model.family
    elif _OUTPUT_POWER in dataset.words[Table.INPUT]:
        family = Family.TL_X_BASE
    else:
        raise SimulatorError(
            f"{dataset.name}: no register map for device type code {code}:"
            " it cannot be mutated"
        )
    yield from profile_of(family, vpp=speaks_vpp(dataset.words[Table.HOLDING]))
    if family is Family.MIN_TL_X:
        # These show the same values in the base block as well.
        yield from PROFILES["tl_x_base"]


# --- command line ---

_QUIRKS: Final[Mapping[str, tuple[str, bool]]] = {
    "slot-ends": ("slot_ends_need_both_words", True),
    "forgets-slots": ("forgets_slots_without_grid_charge", True),
    "no-limits": ("checks_limits", False),
}
"""Name on the command line -> attribute of ``GrowattUnit`` and what it is set to."""


def register(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "growatt",
        help="Growatt inverters on Modbus TCP, RTU over TCP or a pseudo-terminal",
        description=(
            "One or more Growatt inverters on a Modbus bus. Without --unit and"
            f" --dataset, unit 1 is the shipped dataset {DEFAULT_DATASET}."
        ),
    )
    UnitOptions.add(parser)
    parser.add_argument(
        "--quirk",
        dest="quirks",
        action="append",
        default=[],
        choices=list(_QUIRKS),
        help="how the firmware treats writes: slot ends need both words, battery-first"
        " slots are forgotten while 3049 is 0, limits are not checked; may be repeated",
    )
    add_bus_options(parser)
    add_clock_options(parser)
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> None:
    """Serve until stopped. Raises ``SimulatorError`` on bad input."""
    simulator = GrowattSimulator(
        unit_datasets(options, DEFAULT_DATASET),
        mutate=options.mutate,
        clock=SimulatedClock(options.start, options.speed),
        sleeps=options.sleep,
        record=False,
        **bus_options(options),
    )
    for unit in simulator.units.values():
        for quirk in options.quirks:
            setattr(unit, *_QUIRKS[quirk])
    async with simulator:
        await start_listeners(simulator, options)
        await serve(options.duration)
