"""Writing settings: who is asked, what is read, which values pass, which messages are sent."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from time import monotonic
from typing import Final, override

from hypothesis import example, given, settings as hypothesis_settings, strategies as st
from modbus_connection import (
    AcknowledgeError,
    IllegalDataAddressError,
    IllegalDataValueError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusDesyncError,
    ModbusError,
    ModbusTimeoutError,
    ServerDeviceFailureError,
)
import pytest

from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.inverter import Inverter
from custom_components.local_solar.growatt.known_inverter import SYNC_CLOCK
from custom_components.local_solar.growatt.models import Certainty, Family
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.growatt.profiles.profile import Part
from custom_components.local_solar.growatt.settings import (
    CLOCK_TOLERANCE,
    InverterSettings,
)
from custom_components.local_solar.growatt.slot_rules import BATTERY_FIRST
from custom_components.local_solar.growatt.time_slots import SlotCodec
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import (
    AC_CHARGE,
    IN_FLASH,
    SLOT_WITHOUT_GRID_CHARGE,
    Alarm,
    Quantity,
    TimeSlot,
    TimeSlotChange,
    Value,
    Wanted,
)
from custom_components.local_solar.write_errors import (
    DeviceError,
    InvalidValueError,
    NeverWriteError,
    NotASettingError,
    NotIdentifiedError,
    NotReadableError,
    RefusedError,
    UnknownSettingError,
    WrongDeviceError,
)
from custom_components.local_solar.write_gate import Change, Reading
from tests.common import TL_XH, load_dataset
from tests.modbus.helpers import HOLDING, Request, ScriptedUnit
from tests.simulated import NOON, Rig, make_rig

from .helpers import put_text

SERIAL: Final = "SNL0CE1234"
OTHER_SERIAL: Final = "SNL0CE9999"
PLACE_3000: Final = (HOLDING, 3001, 15)
PLACE_SHORT: Final = (HOLDING, 23, 5)

LOST: Final = ModbusTimeoutError("no answer")
HOLDINGS_OF_SLOTS: Final = (HOLDING, 3038, 22)
"""All slots and the switch of grid charging between them."""

ON: Final = 1 << 15
BATTERY_FIRST_MODE: Final = 1 << 13

type Write = tuple[int, int, list[int]]
"""Function, first address and words."""


class WritableUnit(ScriptedUnit):
    """A unit that notes what it is told, and whose answers to that can be chosen."""

    def __init__(self) -> None:
        """Take everything."""
        super().__init__()
        self.writes: list[Write] = []
        self.errors: list[ModbusError | None] = []
        """Errors for the next writes, which are not carried out; ``None`` takes one."""
        self.refused_functions: dict[int, ModbusError] = {}
        self.breaks_after = 0
        """After how many writes the link breaks."""

    def _take(self, function: int, address: int, words: list[int]) -> None:
        self.writes.append((function, address, words))
        if len(self.writes) == self.breaks_after:
            self._conn.simulate_connection_lost()
        if (error := self.refused_functions.get(function)) is not None:
            raise error
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error

    @override
    async def write_register(self, address: int, value: int) -> None:
        self._take(6, address, [value])
        await super().write_register(address, value)

    @override
    async def write_registers(self, address: int, values: list[int]) -> None:
        self._take(16, address, list(values))
        await super().write_registers(address, values)

    def taken_requests(self) -> list[Request]:
        """Return the reads since the last call."""
        requests = self.requests
        self.read_events.clear()
        return requests


INVERTER: Final = Identification(
    serial_number=SERIAL,
    family=Family.MIN_TL_XH,
    profile="min_tl_xh",
    model="MIN 6000TL-XH",
    battery=True,
    battery_serial="0ARK123456789012",
    battery_code="ZEBA",
    modules=6,
    backup_box=True,
    strings=4,
)


@dataclass
class Bench:
    """The driver of an inverter in memory."""

    identified: Identification = INVERTER
    max_words: int | None = None
    work_mode: Part | None = None
    now: datetime = NOON
    unit: WritableUnit = field(default_factory=WritableUnit)
    inverter: Inverter = field(init=False)
    settings: InverterSettings = field(init=False)

    def __post_init__(self) -> None:
        """Load the registers of a MIN 6000TL-XH without any slot."""
        self.unit.load_raw(load_dataset(TL_XH))
        self.unit.holding.update(dict.fromkeys([*range(3038, 3046)], 0))
        for address, words in ((23, 5), (209, 15), (3001, 15)):
            put_text(
                self.unit, address, words, self.identified.serial_number[: 2 * words]
            )
        self.inverter = Inverter(
            self.unit,
            self.identified,
            spacing=0.0,
            max_words=self.max_words,
            work_mode=self.work_mode,
        )
        self.settings = InverterSettings(self.unit, self.inverter, lambda: self.now)

    def row(self, key: str) -> Register:
        """Return a row."""
        row = self.inverter.register(key)
        assert row is not None
        return row

    async def change(self, key: str, wanted: Wanted) -> Change:
        """Return the change that gives what is wanted."""
        return self.settings.change(key, wanted, await self.settings.async_read(key))

    async def refusal(self, key: str, wanted: Wanted) -> InvalidValueError:
        """Return why a value is not allowed."""
        with pytest.raises(InvalidValueError) as caught:
            await self.change(key, wanted)
        return caught.value

    async def write(self, key: str, wanted: Wanted) -> None:
        """Write a value, whatever was held."""
        await self.settings.async_write(await self.change(key, wanted))

    async def fails[Error: Exception](
        self, kind: type[Error], key: str, wanted: Wanted
    ) -> Error:
        """Write a value in vain, and return the error."""
        change = await self.change(key, wanted)
        with pytest.raises(kind) as caught:
            await self.settings.async_write(change)
        assert type(caught.value) is kind
        return caught.value

    def put_slot(self, number: int, start: int, end: int, mode: int = 0) -> None:
        """Switch slot ``number`` on, between two whole hours."""
        address = 3038 + 2 * (number - 1) if number < 5 else 3050 + 2 * (number - 5)
        self.unit.holding[address] = ON | mode << 13 | start << 8
        self.unit.holding[address + 1] = end << 8


def blank(unit: WritableUnit, address: int, words: int) -> None:
    """Leave a text empty."""
    unit.holding.update(dict.fromkeys(range(address, address + words), 0))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def slot(start: int, end: int, mode: str = "load_first") -> TimeSlot:
    """Return an enabled slot between two whole hours."""
    return TimeSlot(start=time(start), end=time(end), mode=mode, enabled=True)


# -- what may be written --------------------------------------------------------------


def test_unknown_key_is_no_setting(bench: Bench) -> None:
    with pytest.raises(UnknownSettingError):
        bench.settings.setting("nonsense")


@pytest.mark.parametrize("key", ["grid_frequency", "battery_type", "clock"])
def test_value_that_no_table_calls_a_setting_is_none(bench: Bench, key: str) -> None:
    with pytest.raises(NotASettingError):
        bench.settings.setting(key)


@pytest.mark.parametrize("profile", PROFILES)
def test_what_must_never_be_written_says_why(profile: str) -> None:
    bench = Bench(identified=replace(INVERTER, profile=profile))
    forbidden = [row for row in bench.inverter.rows if row.never_write]
    assert forbidden
    for row in forbidden:
        with pytest.raises(NeverWriteError) as caught:
            bench.settings.setting(row.key)
        assert str(caught.value) == row.never_write


async def test_what_is_no_setting_can_be_neither_read_for_a_change_nor_changed(
    bench: Bench,
) -> None:
    reading = await bench.settings.async_read("charge_stop_soc")
    for key, kind in (
        ("factory_reset", NeverWriteError),
        ("clock", NotASettingError),
        ("nonsense", UnknownSettingError),
    ):
        with pytest.raises(kind):
            await bench.settings.async_read(key)
        with pytest.raises(kind):
            bench.settings.change(key, 1, reading)
        with pytest.raises(kind):
            await bench.settings.async_write(Change(key=key, value=1, raw=(1,)))
    assert bench.unit.writes == []


def test_settings_that_share_words_share_their_wear(bench: Bench) -> None:
    keys = ("tou1", "tou1_start", "tou1_end", "tou1_mode", "tou1_enabled")
    settings = [bench.settings.setting(key) for key in keys]
    assert {setting.wears for setting in settings} == {f"{SERIAL}/3038"}
    assert {setting.address for setting in settings} == {3038}
    assert bench.settings.setting("tou2").wears != settings[0].wears


def test_setting_tells_what_its_row_says(bench: Bench) -> None:
    setting = bench.settings.setting("on_off")
    assert setting.address == 0
    assert not setting.reads_back
    assert setting.note == bench.row("on_off").note
    assert bench.settings.setting("charge_stop_soc").reads_back
    clock = bench.settings.setting(SYNC_CLOCK.key)
    assert (clock.point, clock.address) == (SYNC_CLOCK, 45)


def test_rows_of_a_part_are_those_of_the_whole(bench: Bench) -> None:
    assert bench.settings.rows("tou1_end") == [bench.row("tou1")]
    assert bench.settings.rows("charge_stop_soc") == [bench.row("charge_stop_soc")]
    assert bench.settings.rows(SYNC_CLOCK.key) == [bench.row("clock")]


# -- identity -------------------------------------------------------------------------


async def test_serial_number_is_asked_for_where_the_family_keeps_it(
    bench: Bench,
) -> None:
    await bench.settings.async_check_identity()
    assert bench.unit.requests == [PLACE_3000]


@pytest.mark.parametrize(
    ("family", "found", "place"),
    [
        (Family.MAX_TL3, 209, (HOLDING, 209, 15)),
        (Family.SPF, 23, PLACE_SHORT),
        (Family.V3_PV, 23, PLACE_SHORT),
        # What was stored before the place was.
        (Family.MAX_TL3, None, (HOLDING, 209, 15)),
    ],
)
async def test_other_families_show_who_they_are_where_they_were_found(
    family: Family, found: int | None, place: Request
) -> None:
    identified = replace(
        INVERTER, serial_number=SERIAL, family=family, serial_place=found
    )
    bench = Bench(identified=identified)
    await bench.settings.async_check_identity()
    assert bench.unit.requests == [place]


async def test_another_serial_number_is_another_device(bench: Bench) -> None:
    put_text(bench.unit, 3001, 15, OTHER_SERIAL)
    with pytest.raises(WrongDeviceError) as caught:
        await bench.settings.async_check_identity()
    assert caught.value.details["expected"] == SERIAL
    assert caught.value.details["found"] == OTHER_SERIAL
    assert bench.unit.requests == [PLACE_3000]


@pytest.mark.parametrize("serial", [SERIAL[:-1], SERIAL + "0", SERIAL.lower()])
async def test_serial_number_must_be_the_same_to_the_last_character(
    bench: Bench, serial: str
) -> None:
    put_text(bench.unit, 3001, 15, serial)
    with pytest.raises(WrongDeviceError):
        await bench.settings.async_check_identity()


async def test_empty_serial_number_is_no_other_device(bench: Bench) -> None:
    """Firmware of another kind has it in another place: its registers differ, too."""
    blank(bench.unit, 3001, 15)
    with pytest.raises(NotIdentifiedError):
        await bench.settings.async_check_identity()
    assert bench.unit.requests == [PLACE_3000]


async def test_serial_number_that_is_refused_is_no_other_device(bench: Bench) -> None:
    bench.unit.fail_read(3001, IllegalDataAddressError())
    with pytest.raises(NotIdentifiedError):
        await bench.settings.async_check_identity()
    assert bench.unit.requests == [PLACE_3000]


@pytest.mark.parametrize(
    "loss", [LOST, ModbusConnectionError("gone"), ModbusDesyncError("stale")]
)
async def test_lost_answer_about_the_serial_number_is_asked_for_once_more(
    bench: Bench, loss: ModbusError
) -> None:
    bench.unit.losses = [loss]
    await bench.settings.async_check_identity()
    assert bench.unit.taken_requests() == [PLACE_3000] * 2
    bench.unit.losses = [loss] * 2
    with pytest.raises(DeviceError):
        await bench.settings.async_check_identity()
    assert bench.unit.taken_requests() == [PLACE_3000] * 2


async def test_serial_number_of_nothing_but_ones_is_garbage(bench: Bench) -> None:
    bench.unit.holding.update(dict.fromkeys(range(3001, 3016), 0xFFFF))
    with pytest.raises(DeviceError):
        await bench.settings.async_check_identity()


# -- reading --------------------------------------------------------------------------


async def test_setting_is_read_with_one_request(bench: Bench) -> None:
    bench.unit.holding[3048] = 77
    reading = await bench.settings.async_read("charge_stop_soc")
    assert bench.unit.requests == [(HOLDING, 3048, 1)]
    assert reading == Reading(value=77, raw=(77,), persistent=True)


async def test_what_is_reported_while_a_setting_is_read_is_not_taken_for_the_answer(
    bench: Bench,
) -> None:
    bench.unit.holding[3048] = 50
    before = await bench.unit.read_holding_registers(3000, 125)
    bench.unit.holding[3048] = 77

    def reported(request: Request, words: list[int]) -> list[int]:
        # A logger announces what it read of the inverter before.
        poll = bench.inverter.take_in(HOLDING, [(3000, before)], monotonic())
        assert poll.snapshot
        return words

    bench.unit.intercept = reported
    reading = await bench.settings.async_read("charge_stop_soc")
    assert reading == Reading(value=77, raw=(77,), persistent=True)


@pytest.mark.parametrize("key", ["tou1", "tou9", "tou4_start", "tou5_mode"])
async def test_slot_is_read_with_all_the_others_in_one_request(
    bench: Bench, key: str
) -> None:
    await bench.settings.async_read(key)
    assert bench.unit.requests == [HOLDINGS_OF_SLOTS]


@pytest.mark.parametrize("max_words", [2, 8, 21])
async def test_slot_is_read_with_all_the_others_in_several_requests_if_it_must(
    max_words: int,
) -> None:
    bench = Bench(max_words=max_words)
    bench.put_slot(1, 1, 2)
    bench.put_slot(9, 3, 4)
    reading = await bench.settings.async_read("tou1")
    requests = bench.unit.requests
    assert len(requests) > 1
    read = {
        at
        for _, address, count in requests
        for at in range(address, address + count)
        if count <= max_words
    }
    assert read >= {*range(3038, 3046), 3049, *range(3050, 3060)}
    with pytest.raises(InvalidValueError) as caught:
        bench.settings.change("tou1", slot(3, 4), reading)
    assert caught.value.details["other"] == "tou9"


@pytest.mark.parametrize("key", ["tou3_start", "tou3"])
async def test_what_is_compared_is_the_whole_slot(bench: Bench, key: str) -> None:
    bench.put_slot(3, 5, 6)
    reading = await bench.settings.async_read(key)
    assert reading.raw == (ON | 5 << 8, 6 << 8)
    assert reading.value == (slot(5, 6) if key == "tou3" else time(5))


@pytest.mark.parametrize(("flag", "persistent"), [(0, False), (1, True), (7, True)])
async def test_power_command_is_kept_in_flash_while_the_owner_wants_that(
    bench: Bench, flag: int, persistent: bool
) -> None:
    bench.unit.holding[2] = flag
    reading = await bench.settings.async_read("active_power_limit")
    assert reading.persistent is persistent
    assert bench.unit.requests == [(HOLDING, 2, 2)]
    change = bench.settings.change("active_power_limit", 50, reading)
    assert change.warnings == ((IN_FLASH,) if persistent else ())


@pytest.mark.parametrize("key", ["on_off", "power_command_memory", "tou1_mode"])
async def test_other_settings_are_always_kept_in_flash(bench: Bench, key: str) -> None:
    assert (await bench.settings.async_read(key)).persistent


async def test_clock_wears_nothing_out_and_its_going_on_is_no_change(
    bench: Bench,
) -> None:
    first = await bench.settings.async_read(SYNC_CLOCK.key)
    bench.unit.holding[50] = 17
    second = await bench.settings.async_read(SYNC_CLOCK.key)
    assert first.value != second.value
    assert first.raw == second.raw
    assert not first.persistent


async def test_read_that_fails_is_an_error_of_the_device(bench: Bench) -> None:
    bench.unit.losses = [LOST, LOST]
    with pytest.raises(DeviceError) as caught:
        await bench.settings.async_read("charge_stop_soc")
    assert type(caught.value) is DeviceError
    bench.unit.losses = [LOST]
    await bench.settings.async_read("charge_stop_soc")


async def test_old_value_does_not_pass_for_a_new_one(bench: Bench) -> None:
    await bench.settings.async_read("charge_stop_soc")
    bench.unit.fail_read(3048, IllegalDataAddressError())
    for _ in range(5):  # also once the reader has given it up
        with pytest.raises(NotReadableError):
            await bench.settings.async_read("charge_stop_soc")


async def test_slots_that_the_firmware_lacks_do_not_keep_the_others_from_changing(
    bench: Bench,
) -> None:
    for address in range(3050, 3060):
        bench.unit.fail_read(address, IllegalDataAddressError())
    await bench.write("tou1", slot(1, 2))
    assert bench.unit.writes == [(16, 3038, [ON | 1 << 8, 2 << 8])]
    with pytest.raises(NotReadableError):
        await bench.settings.async_read("tou5")


# -- values ---------------------------------------------------------------------------


def everything(profile: str) -> list[Bench]:
    """Return drivers that between them have every setting of a profile."""
    identified = replace(INVERTER, profile=profile, family=Family(profile))
    return [
        Bench(identified=identified, work_mode=mode)
        for mode in (Part.PRIORITY_MODE, Part.SYSTEM_MODE)
    ]


ALL_SETTINGS: Final = {
    (profile, row.key): (bench, row)
    for profile in PROFILES
    for bench in everything(profile)
    for row in bench.inverter.rows
    if row.point.setting is not None
}
"""Profile and key -> its driver and row."""

ODD_VALUES: Final[tuple[Wanted, ...]] = (
    *(True, False, "", "on", "load_first", "nonsense", time(12, 30), NOON),
    *(float("nan"), float("inf"), -float("inf"), -1, 0.05, 1e300, 65535, 65536),
    *(10**400, time(12, 30, 15), time(12, tzinfo=UTC), frozenset[Alarm]()),
    *(slot(1, 2), slot(1, 2, "nonsense"), TimeSlotChange(), TimeSlotChange(mode="x")),
    TimeSlotChange(start=time(12, tzinfo=UTC)),
    replace(slot(1, 2), start=time(1, tzinfo=UTC)),
)

VALUES: Final[st.SearchStrategy[Wanted]] = st.one_of(
    st.sampled_from(ODD_VALUES),
    st.integers(),
    st.integers(-300, 1100),
    st.floats(),
    st.integers(-2000, 2000).map(lambda number: number / 10),
    st.times(),
    st.text(max_size=12),
)


def is_allowed(row: Register, value: object, *, tolerance: float = 0) -> bool:
    """Return whether the table allows a value, told without the code that refuses.

    Values between two steps are allowed by so many steps.
    """
    setting = row.point.setting
    assert setting is not None
    if row.options is not None:
        return any(
            type(option) is type(value) and option == value
            for option in row.options.values()
        )
    if row.point.quantity is Quantity.TIME_OF_DAY:
        return (
            isinstance(value, time)
            and value.tzinfo is None
            and value == value.replace(second=0, microsecond=0)
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not (setting.minimum or 0) <= value <= (setting.maximum or 0):
        return False
    steps = Fraction(value) / Fraction(str(setting.step))
    return abs(steps - round(steps)) <= tolerance


_STORAGE_OFF: Final = {
    address: [1 << 8, 2 << 8, 0] * count
    for address, count in ((1017, 6), (1080, 3), (1100, 3), (1110, 3))
}
_XH_OFF: Final = {3038: [1 << 8, 2 << 8] * 11, 3129: [1 << 7, 2 << 7] * 36}

SWITCHED_OFF: Final[dict[str, dict[int, list[int]]]] = {
    **dict.fromkeys(("min_tl_xh", "min_tl_xh_us", "mod_tl3_xh"), _XH_OFF),
    **dict.fromkeys(("sph", "sph_tl3", "spa"), _STORAGE_OFF),
    # These have no switch.
    "spf": {3: [1, 2] * 2, 73: [26], 125: [1, 2] * 6, 142: [1, 2] * 3},
}
"""Holding registers of time slots that are off, by profile and first address."""


def reading_of(bench: Bench, row: Register) -> Reading:
    """Return what is held while all slots are switched off, without asking."""
    whole = bench.row(row.part_of[0]) if row.part_of else row
    for address, words in SWITCHED_OFF.get(bench.inverter.profile.key, {}).items():
        bench.inverter.image.store(HOLDING, address, words, 0.0)
    assert row.point.setting is not None
    options = [*(row.options or {}).values()]
    return Reading(
        value=options[0] if options else row.point.setting.minimum,
        raw=(0,) * whole.words,
        persistent=False,
        around=bench.settings._around(whole, bench.settings._read_with(row, whole)),  # noqa: SLF001
    )


def options_of(row: Register) -> Iterable[Value]:
    """Return values of the table itself, and those right beside its limits."""
    setting = row.point.setting
    assert setting is not None
    yield from (row.options or {}).values()
    for limit in (setting.minimum, setting.maximum):
        if limit is not None:
            step = setting.step or 1
            yield from (limit - step, limit - step / 2, limit, limit + step)


@given(st.data())
@hypothesis_settings(max_examples=2000)
def test_only_values_of_the_table_become_changes_and_can_be_read_back(
    data: st.DataObject,
) -> None:
    bench, row = ALL_SETTINGS[data.draw(st.sampled_from([*ALL_SETTINGS]))]
    value = data.draw(st.one_of(VALUES, st.sampled_from([*options_of(row), 0])))
    check_value(bench, row, value)


@pytest.mark.parametrize(("profile", "key"), ALL_SETTINGS)
def test_limits_and_options_of_each_setting_hold(profile: str, key: str) -> None:
    bench, row = ALL_SETTINGS[profile, key]
    for value in (*options_of(row), *ODD_VALUES):
        check_value(bench, row, value)


def check_value(bench: Bench, row: Register, value: Wanted) -> None:
    """Check that a value becomes a change exactly if the table allows it."""
    try:
        change = bench.settings.change(row.key, value, reading_of(bench, row))
    except InvalidValueError:
        assert isinstance(row.codec, SlotCodec) or not is_allowed(row, value)
        return
    whole = bench.row(row.part_of[0]) if row.part_of else row
    assert len(change.raw) == whole.words
    assert all(0 <= word <= 0xFFFF for word in change.raw)
    first = row.address - whole.address
    read_back = row.decode([*change.raw[first : first + row.words]])
    if isinstance(row.codec, SlotCodec):
        assert read_back == change.value
        assert isinstance(read_back, TimeSlot)
        assert not read_back.enabled or read_back.start < read_back.end
        return
    assert is_allowed(row, value, tolerance=1e-5)
    assert change.value == value
    if isinstance(value, float):
        assert read_back == pytest.approx(value, abs=1e-4)
    else:
        assert read_back == value


@pytest.mark.parametrize(
    ("key", "raw", "known"),
    [
        *[("charge_stop_soc", 100, True), ("charge_stop_soc", 101, False)],
        *[("export_limit_mode", 3, True), ("export_limit_mode", 99, False)],
        # What may be found is more than what may be set.
        *[("active_power_limit", 255, True), ("active_power_limit", 256, False)],
    ],
)
async def test_register_that_holds_what_the_table_does_not_know_is_not_changed(
    bench: Bench, key: str, raw: int, known: bool
) -> None:
    """This firmware seems to use it for something else."""
    bench.unit.holding[bench.row(key).address] = raw
    wanted: Wanted = "disabled" if key == "export_limit_mode" else 50
    if known:
        await bench.change(key, wanted)
        return
    error = await bench.refusal(key, wanted)
    assert error.key == "present_value_unknown"
    assert error.details["raw"] == str(raw)


@pytest.mark.parametrize("profile", ["sph", "sph_tl3", "spa"])
@pytest.mark.parametrize(
    ("key", "raw", "known"),
    [
        # 608 is a mode on other models: 0 to 2, or 255.
        *[("load_first_min_soc", raw, False) for raw in (0, 1, 2, 255)],
        *[("load_first_min_soc", 10, True), ("load_first_min_soc", 100, True)],
        *[("discharge_power_rate", 255, True), ("discharge_power_rate", 256, False)],
        *[("discharge_stop_soc", 0, True), ("discharge_stop_soc", 101, False)],
    ],
)
async def test_storage_that_holds_what_the_table_does_not_know_is_not_changed(
    profile: str, key: str, raw: int, known: bool
) -> None:
    bench = Bench(replace(INVERTER, profile=profile, family=Family(profile)))
    bench.unit.holding[bench.row(key).address] = raw
    if known:
        await bench.change(key, 50)
    else:
        assert (await bench.refusal(key, 50)).key == "present_value_unknown"


@pytest.mark.parametrize("profile", ["sph", "sph_tl3", "spa"])
@pytest.mark.parametrize(
    "key", ["load_first_min_soc", "discharge_stop_soc", "charge_stop_soc"]
)
async def test_no_battery_of_a_storage_inverter_is_emptied(
    profile: str, key: str
) -> None:
    bench = Bench(replace(INVERTER, profile=profile, family=Family(profile)))
    bench.unit.holding[bench.row(key).address] = 50
    assert (await bench.refusal(key, 9)).key == "value_out_of_range"
    await bench.change(key, 10)


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("charge_stop_soc", 101, "value_out_of_range"),
        ("charge_stop_soc", 50.5, "value_not_representable"),
        ("charge_stop_soc", "much", "value_not_representable"),
        ("charge_stop_soc", TimeSlotChange(enabled=True), "value_not_representable"),
        ("export_limit_mode", "nonsense", "value_not_an_option"),
        ("tou1_mode", "anti_reflux", "value_not_representable"),
        ("tou1_start", 12, "value_not_representable"),
        ("tou1", "12:00", "value_not_representable"),
        (SYNC_CLOCK.key, False, "value_not_representable"),
    ],
)
async def test_refusal_says_what_kind_of_mistake_it_is(
    bench: Bench, key: str, value: Wanted, kind: str
) -> None:
    error = await bench.refusal(key, value)
    assert error.key == kind
    assert error.details["reason"]
    assert error.details["value"]


# -- slots ----------------------------------------------------------------------------


async def test_change_of_a_part_keeps_the_rest_of_the_slot(bench: Bench) -> None:
    bench.put_slot(2, 5, 6)
    await bench.write("tou2_end", time(7))
    await bench.write("tou2_start", time(4))
    await bench.write("tou2_mode", "grid_first")
    await bench.write("tou2_enabled", False)
    words = [bench.unit.holding[3040], bench.unit.holding[3041]]
    assert words == [2 << 13 | 4 << 8, 7 << 8]
    assert len(bench.unit.writes) == 4


async def test_change_of_some_parts_keeps_the_others(bench: Bench) -> None:
    bench.put_slot(2, 5, 6)
    change = await bench.change("tou2", TimeSlotChange(start=time(4), end=time(8)))
    assert change.value == slot(4, 8)
    assert change.raw == (ON | 4 << 8, 8 << 8)


async def test_part_of_a_slot_that_is_none_cannot_be_changed_alone(
    bench: Bench,
) -> None:
    bench.unit.holding[3040] = 0x1800  # 24:00
    for key, value in (("tou2_end", time(7)), ("tou2", TimeSlotChange(enabled=True))):
        assert (await bench.refusal(key, value)).key == "slot_not_valid"
    await bench.write("tou2", slot(1, 2))
    assert bench.unit.writes == [(16, 3040, [ON | 1 << 8, 2 << 8])]


@pytest.mark.parametrize("other", [1, 3, 4, 5, 9])
@pytest.mark.parametrize(
    ("start", "end", "refused"),
    [
        *[(9, 11, True), (10, 12, True), (11, 13, True), (8, 14, True)],
        *[(11, 12, True), (8, 10, False), (12, 14, False)],
    ],
)
async def test_slot_must_not_overlap_with_another_but_may_touch_it(
    bench: Bench, other: int, start: int, end: int, refused: bool
) -> None:
    bench.put_slot(other, 10, 12)
    if refused:
        error = await bench.refusal("tou2", slot(start, end))
        assert error.key == "slot_overlaps"
        assert error.details["other"] == f"tou{other}"
        assert error.details["other_value"] == "10:00–12:00, load first, on"
    else:
        assert (await bench.change("tou2", slot(start, end))).doubts == ()


async def test_slot_may_overlap_with_what_is_switched_off_and_with_its_old_self(
    bench: Bench,
) -> None:
    bench.put_slot(1, 10, 12)
    bench.put_slot(2, 13, 15)
    await bench.change("tou2", slot(14, 16))
    await bench.change("tou2", replace(slot(11, 14), enabled=False))
    bench.unit.holding[3038] = 10 << 8  # slot 1 off
    await bench.change("tou2", slot(11, 14))


@pytest.mark.parametrize("key", ["tou2", "tou2_end", "tou2_start", "tou2_enabled"])
async def test_slot_that_is_switched_on_must_not_go_past_midnight(
    bench: Bench, key: str
) -> None:
    bench.put_slot(2, 10, 12)
    wanted: dict[str, Wanted] = {
        "tou2": slot(22, 6),
        "tou2_end": time(9),
        "tou2_start": time(12),
        "tou2_enabled": True,
    }
    if key == "tou2_enabled":
        bench.unit.holding[3040] = 22 << 8
    assert (await bench.refusal(key, wanted[key])).key == "slot_crosses_midnight"
    if key == "tou2":
        await bench.change(key, replace(slot(22, 6), enabled=False))


async def test_slot_may_last_until_the_last_minute_of_the_day(bench: Bench) -> None:
    await bench.write("tou2", replace(slot(0, 1), end=time(23, 59)))
    assert bench.unit.writes == [(16, 3040, [ON, 23 << 8 | 59])]


@pytest.mark.parametrize(
    ("mode", "grid_charge", "doubtful"),
    [
        (BATTERY_FIRST, 0, True),
        (BATTERY_FIRST, 1, False),
        *[("load_first", 0, False), ("grid_first", 0, False)],
    ],
)
async def test_battery_first_without_charging_from_the_grid_is_doubtful(
    bench: Bench, mode: str, grid_charge: int, doubtful: bool
) -> None:
    bench.unit.holding[3049] = grid_charge
    assert bench.row(AC_CHARGE).address == 3049
    doubts = (SLOT_WITHOUT_GRID_CHARGE,) if doubtful else ()
    assert (await bench.change("tou2", slot(1, 2, mode))).doubts == doubts
    off = replace(slot(1, 2, mode), enabled=False)
    assert (await bench.change("tou2", off)).doubts == ()
    bench.put_slot(2, 1, 2)
    assert (await bench.change("tou2_mode", mode)).doubts == doubts


async def test_slot_is_not_switched_on_beside_one_that_cannot_be_told(
    bench: Bench,
) -> None:
    bench.unit.holding[3042] = ON | 0x1800  # slot 3 from 24:00 on
    error = await bench.refusal("tou2", slot(1, 2))
    assert error.key == "other_slot_not_valid"
    assert error.details["other"] == "tou3"
    await bench.change("tou2", replace(slot(1, 2), enabled=False))
    bench.unit.holding[3042] = 0x1800
    await bench.change("tou2", slot(1, 2))


@pytest.mark.parametrize(
    ("key", "wanted", "whole", "change"),
    [
        ("tou2_end", time(7), "tou2", TimeSlotChange(end=time(7))),
        ("tou2_enabled", False, "tou2", TimeSlotChange(enabled=False)),
        ("tou2", slot(1, 2), "tou2", slot(1, 2)),
        ("charge_stop_soc", 80, "charge_stop_soc", 80),
        (SYNC_CLOCK.key, True, SYNC_CLOCK.key, True),
    ],
)
def test_part_of_a_slot_is_a_change_of_the_whole(
    bench: Bench, key: str, wanted: Wanted, whole: str, change: Wanted
) -> None:
    assert bench.settings.as_whole(key, wanted) == (whole, change)


async def test_reserved_bits_of_a_slot_do_not_count(bench: Bench) -> None:
    change = await bench.change("tou2", slot(1, 2))
    bench.put_slot(2, 1, 2)
    bench.unit.holding[3041] = 2 << 8 | 0xE000
    assert bench.settings.holds(change, await bench.settings.async_read("tou2"))
    bench.unit.holding[3041] = 2 << 8 | 1
    assert not bench.settings.holds(change, await bench.settings.async_read("tou2"))


@given(
    others=st.lists(
        st.tuples(st.integers(0, 23), st.integers(0, 23), st.booleans()),
        min_size=8,
        max_size=8,
    ),
    wanted=st.tuples(st.integers(0, 23), st.integers(0, 23), st.booleans()),
)
@example(others=[(22, 6, True)] + [(0, 0, False)] * 7, wanted=(23, 24 - 1, True))
@hypothesis_settings(max_examples=100)
async def test_no_change_makes_slots_overlap_that_did_not(
    others: list[tuple[int, int, bool]], wanted: tuple[int, int, bool]
) -> None:
    bench = Bench()
    numbers = [1, 3, 4, 5, 6, 7, 8, 9]
    for number, (start, end, enabled) in zip(numbers, others, strict=True):
        bench.put_slot(number, start, end)
        if not enabled:
            address = bench.row(f"tou{number}").address
            bench.unit.holding[address] = start << 8
    start, end, enabled = wanted
    try:
        change = await bench.change("tou2", replace(slot(start, end), enabled=enabled))
    except InvalidValueError:
        assert enabled
        return
    assert change.raw == (enabled * ON | start << 8, end << 8)
    if not enabled:
        return
    hours = {*range(start, end)}
    assert hours
    for other_start, other_end, other_enabled in others:
        if other_enabled and other_start < other_end:
            assert not hours & {*range(other_start, other_end)}


# -- sending --------------------------------------------------------------------------


async def test_one_value_goes_with_function_6(bench: Bench) -> None:
    await bench.write("charge_stop_soc", 80)
    assert bench.unit.writes == [(6, 3048, [80])]


async def test_value_goes_in_the_steps_of_its_register(bench: Bench) -> None:
    await bench.write("export_limit_rate", 29.9)
    assert bench.unit.writes == [(6, 123, [299])]


async def test_words_that_belong_together_go_with_function_16(bench: Bench) -> None:
    await bench.write("tou5", slot(1, 2))
    assert bench.unit.writes == [(16, 3050, [ON | 1 << 8, 2 << 8])]


NOT_SERVED: Final = (IllegalFunctionError(), IllegalDataAddressError())


@pytest.mark.parametrize("refusal", NOT_SERVED)
async def test_other_function_is_tried_once_and_remembered(
    bench: Bench, refusal: ModbusError
) -> None:
    bench.unit.refused_functions[6] = refusal
    await bench.write("charge_stop_soc", 80)
    await bench.write("charge_stop_soc", 70)
    await bench.write("discharge_stop_soc", 20)
    assert bench.unit.writes == [
        *[(6, 3048, [80]), (16, 3048, [80])],
        (16, 3048, [70]),
        # Every register for itself.
        *[(6, 3037, [20]), (16, 3037, [20])],
    ]


@pytest.mark.parametrize("refusal", NOT_SERVED)
async def test_slot_goes_word_by_word_if_it_must_and_the_switch_comes_last(
    bench: Bench, refusal: ModbusError
) -> None:
    bench.unit.refused_functions[16] = refusal
    await bench.write("tou1", slot(1, 2))
    await bench.write("tou1", slot(3, 4))
    assert bench.unit.writes == [
        (16, 3038, [ON | 1 << 8, 2 << 8]),
        *[(6, 3039, [2 << 8]), (6, 3038, [ON | 1 << 8])],
        *[(6, 3039, [4 << 8]), (6, 3038, [ON | 3 << 8])],
    ]


@pytest.mark.parametrize("refusal", NOT_SERVED)
async def test_setting_that_is_served_with_neither_function_is_refused(
    bench: Bench, refusal: ModbusError
) -> None:
    bench.unit.refused_functions = {6: refusal, 16: refusal}
    await bench.fails(RefusedError, "charge_stop_soc", 80)
    assert bench.unit.writes == [(6, 3048, [80]), (16, 3048, [80])]


@pytest.mark.parametrize("refusal", NOT_SERVED)
async def test_other_function_is_not_tried_where_the_usual_one_once_worked(
    bench: Bench, refusal: ModbusError
) -> None:
    await bench.write("charge_stop_soc", 80)
    bench.unit.refused_functions[6] = refusal
    await bench.fails(RefusedError, "charge_stop_soc", 70)
    assert bench.unit.writes == [(6, 3048, [80]), (6, 3048, [70])]


@pytest.mark.parametrize(
    "first", [LOST, ModbusConnectionError("gone"), IllegalDataValueError()]
)
async def test_failure_of_the_first_write_does_not_keep_the_other_function_from_being_tried(
    bench: Bench, first: ModbusError
) -> None:
    bench.unit.errors = [first]
    with pytest.raises((DeviceError, RefusedError)):
        await bench.write("charge_stop_soc", 80)
    bench.unit.refused_functions[6] = IllegalFunctionError()
    await bench.write("charge_stop_soc", 80)
    assert bench.unit.writes[1:] == [(6, 3048, [80]), (16, 3048, [80])]


async def test_value_that_the_inverter_refuses_is_refused_at_once(bench: Bench) -> None:
    bench.unit.errors = [IllegalDataValueError()]
    await bench.fails(RefusedError, "charge_stop_soc", 80)
    assert bench.unit.writes == [(6, 3048, [80])]


@pytest.mark.parametrize(
    "error",
    [
        *(LOST, ModbusConnectionError("gone"), ModbusDesyncError("stale")),
        ServerDeviceFailureError(),
    ],
)
@pytest.mark.parametrize("key", ["charge_stop_soc", "tou1"])
async def test_write_that_gets_lost_is_not_sent_again(
    bench: Bench, error: ModbusError, key: str
) -> None:
    bench.unit.errors = [error]
    await bench.fails(DeviceError, key, 80 if key == "charge_stop_soc" else slot(1, 2))
    assert len(bench.unit.writes) == 1


@pytest.mark.parametrize("second", [LOST, IllegalDataValueError()])
async def test_what_becomes_of_the_other_function_counts(
    bench: Bench, second: ModbusError
) -> None:
    bench.unit.errors = [IllegalFunctionError(), second]
    kind = DeviceError if second is LOST else RefusedError
    await bench.fails(kind, "charge_stop_soc", 80)
    assert len(bench.unit.writes) == 2


@pytest.mark.parametrize("key", ["charge_stop_soc", "tou1"])
async def test_acknowledged_write_counts_as_sent(bench: Bench, key: str) -> None:
    """Exception 5: it was understood, and takes its time."""
    bench.unit.errors = [AcknowledgeError()]
    await bench.write(key, 80 if key == "charge_stop_soc" else slot(1, 2))
    assert len(bench.unit.writes) == 1


async def test_acknowledged_word_does_not_stop_the_others(bench: Bench) -> None:
    bench.unit.refused_functions[16] = IllegalFunctionError()
    bench.unit.errors = [AcknowledgeError()]
    await bench.write("tou1", slot(1, 2))
    assert [write[:2] for write in bench.unit.writes] == [
        *[(16, 3038), (6, 3039), (6, 3038)]
    ]


@pytest.mark.parametrize(
    "error", [LOST, IllegalDataValueError(), *NOT_SERVED, ServerDeviceFailureError()]
)
async def test_slot_of_which_only_a_word_was_written_is_no_refusal(
    bench: Bench, error: ModbusError
) -> None:
    bench.unit.refused_functions[16] = IllegalFunctionError()
    bench.unit.errors = [None, error]
    await bench.fails(DeviceError, "tou1", slot(1, 2))
    assert [write[:2] for write in bench.unit.writes] == [
        *[(16, 3038), (6, 3039), (6, 3038)]
    ]


@pytest.mark.parametrize(
    ("key", "wanted", "refused", "after"),
    [
        ("charge_stop_soc", 80, 6, 1),
        *[("tou1", slot(1, 2), 16, after) for after in (1, 2)],
        *[(SYNC_CLOCK.key, True, 16, after) for after in (1, 2, 6)],
    ],
)
async def test_nothing_more_is_sent_once_the_link_broke_between_two_messages(
    bench: Bench, key: str, wanted: Wanted, refused: int, after: int
) -> None:
    """Behind the new one there may be another inverter."""
    bench.unit.refused_functions[refused] = IllegalFunctionError()
    change = await bench.change(key, wanted)
    bench.unit.breaks_after = after
    with pytest.raises(DeviceError):
        await bench.settings.async_write(change)
    assert len(bench.unit.writes) == after


# -- clock ----------------------------------------------------------------------------


async def test_clock_is_set_to_the_time_it_is_when_it_is_written(bench: Bench) -> None:
    change = await bench.change(SYNC_CLOCK.key, True)
    assert change.raw == ()
    assert change.value == NOON
    bench.now = datetime(2031, 2, 5, 14, 30, 15, 999_999)
    await bench.settings.async_write(change)
    # With two digits of the year, as loggers do.
    assert bench.unit.writes == [(16, 45, [31, 2, 5, 14, 30, 15])]
    assert bench.settings.holds(change, await bench.settings.async_read(SYNC_CLOCK.key))


@pytest.mark.parametrize("sign", [-1, 1])
async def test_clock_may_be_off_by_what_messages_take(bench: Bench, sign: int) -> None:
    change = await bench.change(SYNC_CLOCK.key, True)
    await bench.settings.async_write(change)
    reading = await bench.settings.async_read(SYNC_CLOCK.key)
    bench.now = NOON + sign * CLOCK_TOLERANCE
    assert bench.settings.holds(change, reading)
    bench.now += sign * timedelta(seconds=1)
    assert not bench.settings.holds(change, reading)


@pytest.mark.parametrize(
    ("words", "unchanged"),
    [
        ((26, 6, 21, 12, 0, 30), True),
        ((26, 6, 21, 12, 0, 34), True),
        ((26, 6, 21, 12, 0, 40), False),
        ((26, 6, 21, 11, 0, 30), False),
        ((26, 13, 21, 12, 0, 30), False),
    ],
)
async def test_clock_that_only_goes_on_is_unchanged(
    bench: Bench, words: tuple[int, ...], unchanged: bool
) -> None:
    bench.unit.holding.update(enumerate((2026, 6, 21, 12, 0, 30), 45))
    before = await bench.settings.async_read(SYNC_CLOCK.key)
    bench.unit.holding.update(enumerate(words, 45))
    after = await bench.settings.async_read(SYNC_CLOCK.key)
    assert bench.settings.is_unchanged(before, after) is unchanged


async def test_setting_is_unchanged_while_its_words_are(bench: Bench) -> None:
    before = await bench.settings.async_read("charge_stop_soc")
    assert bench.settings.is_unchanged(
        before, await bench.settings.async_read("charge_stop_soc")
    )
    bench.unit.holding[3048] = 17
    assert not bench.settings.is_unchanged(
        before, await bench.settings.async_read("charge_stop_soc")
    )


async def test_clock_that_shows_no_date_is_wrong(bench: Bench) -> None:
    change = await bench.change(SYNC_CLOCK.key, True)
    bench.unit.holding[46] = 13
    assert not bench.settings.holds(
        change, await bench.settings.async_read(SYNC_CLOCK.key)
    )


async def test_clock_goes_word_by_word_from_the_year_on_if_it_must(
    bench: Bench,
) -> None:
    bench.unit.refused_functions[16] = IllegalFunctionError()
    await bench.write(SYNC_CLOCK.key, True)
    words = [26, 6, 21, 12, 0, 30]
    assert bench.unit.writes[1:] == [
        (6, address, [word]) for address, word in enumerate(words, 45)
    ]


@pytest.mark.parametrize(
    "identified",
    [
        replace(INVERTER, certainty=Certainty.GUESSED),
        replace(INVERTER, family=Family.MOD_TL3_XH),
    ],
)
def test_clock_of_a_model_that_is_not_known_for_sure_is_not_set(
    identified: Identification,
) -> None:
    with pytest.raises(NotASettingError):
        Bench(identified=identified).settings.setting(SYNC_CLOCK.key)


# -- in frames ------------------------------------------------------------------------


@pytest.fixture
async def rig(socket_enabled: None) -> AsyncIterator[Rig]:
    async with make_rig() as rig:
        yield rig


async def write(rig: Rig, key: str, wanted: Wanted) -> None:
    """Write a value to a simulated inverter."""
    reading = await rig.settings.async_read(key)
    await rig.settings.async_write(rig.settings.change(key, wanted, reading))


async def test_simulator_is_told_with_few_messages(rig: Rig) -> None:
    await rig.settings.async_check_identity()
    await write(rig, "tou1", slot(1, 2))
    await rig.settings.async_check_identity()
    await write(rig, "charge_stop_soc", 80)
    assert rig.simulator.shape() == "3 3 16 3 3 6"
    assert rig.simulator.holding(3038, 2) == (ON | 1 << 8, 2 << 8)
    assert rig.simulator.holding(3048) == (80,)


@pytest.mark.parametrize("code", [1, 2])
@pytest.mark.parametrize(
    ("refused", "key", "wanted", "first", "then"),
    [
        ("write_single", "charge_stop_soc", 80, "3 6 16", "3 16"),
        ("write_multiple", "tou1", slot(1, 2), "3 16 6 6", "3 6 6"),
        ("write_multiple", SYNC_CLOCK.key, True, "3 16" + 6 * " 6", "3" + 6 * " 6"),
    ],
)
async def test_simulator_that_refuses_one_function_is_told_with_the_other(
    rig: Rig, code: int, refused: str, key: str, wanted: Wanted, first: str, then: str
) -> None:
    rig.simulator.faults = [f"exception={code},op={refused}"]
    await write(rig, key, wanted)
    assert rig.simulator.shape() == first
    rig.simulator.requests.clear()
    await write(rig, key, wanted)
    assert rig.simulator.shape() == then
    change = rig.settings.change(key, wanted, await rig.settings.async_read(key))
    assert rig.settings.holds(change, await rig.settings.async_read(key))


async def test_slot_goes_at_once_where_its_end_cannot_be_written_alone(
    rig: Rig,
) -> None:
    rig.simulator.units[1].slot_ends_need_both_words = True
    await write(rig, "tou1_end", time(5))
    assert [(told.function, told.address) for told in rig.simulator.told] == [
        (16, 3038)
    ]


async def test_function_that_is_refused_for_the_end_of_a_slot_leaves_it_as_it_is(
    rig: Rig,
) -> None:
    unit = rig.simulator.units[1]
    unit.slot_ends_need_both_words = True
    rig.simulator.faults = ["exception=1,op=write_multiple"]
    before = rig.simulator.holding(3038, 2)
    with pytest.raises(RefusedError):
        await write(rig, "tou1", slot(1, 2))
    assert rig.simulator.shape() == "3 16 6"
    assert rig.simulator.holding(3038, 2) == before


async def test_simulator_shows_a_year_of_four_digits(rig: Rig) -> None:
    await write(rig, SYNC_CLOCK.key, True)
    (told,) = rig.simulator.told
    assert told.words == [26, 6, 21, 12, 0, 30]
    assert rig.simulator.holding(45, 6) == (2026, 6, 21, 12, 0, 30)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("exception=3,op=write", RefusedError),
        *[("drop,op=write", DeviceError), ("disconnect,op=write", DeviceError)],
        ("exception=4,op=write", DeviceError),
    ],
)
async def test_what_a_failed_write_means(
    rig: Rig, fault: str, kind: type[Exception]
) -> None:
    rig.simulator.faults = [fault]
    with pytest.raises(kind):
        await write(rig, "charge_stop_soc", 80)
    assert len(rig.simulator.told) == 1


@pytest.mark.parametrize("key", ["charge_stop_soc", "tou1"])
async def test_inverter_that_is_too_busy_is_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """The link repeats what is answered with exception 6."""
    monkeypatch.setattr(
        "custom_components.local_solar.modbus.writing.SEND_PATIENCE", 0.01
    )
    rig.simulator.faults = ["exception=6,op=write"]
    with pytest.raises(DeviceError):
        await write(rig, key, 80 if key == "charge_stop_soc" else slot(1, 2))
    assert len(rig.simulator.told) == 1


async def test_links_that_break_are_counted(rig: Rig) -> None:
    await rig.settings.async_check_identity()
    assert rig.settings.breaks == 0
    rig.simulator.faults = ["disconnect,times=1"]
    await rig.settings.async_check_identity()  # over another one
    assert rig.settings.breaks == 1
    rig.settings.stop_watching()
    rig.simulator.faults = ["disconnect,times=1"]
    await rig.settings.async_check_identity()
    assert rig.settings.breaks == 1


async def test_simulator_that_acknowledges_is_told_once(rig: Rig) -> None:
    rig.simulator.faults = ["exception=5,op=write"]
    await write(rig, "charge_stop_soc", 80)
    assert len(rig.simulator.told) == 1
