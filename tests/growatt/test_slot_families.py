"""Writing the time slots of each family: what is read, refused, sent, and in which order."""

import csv
from dataclasses import dataclass, field, replace
from datetime import time
from typing import Final

from modbus_connection import IllegalDataAddressError, IllegalFunctionError, ModbusError
import pytest

from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.inverter import Inverter
from custom_components.local_solar.growatt.models import Family
from custom_components.local_solar.growatt.profiles.off_grid_slots import OFF_GRID_SLOTS
from custom_components.local_solar.growatt.profiles.slot_rows import EVERYDAY_SLOTS
from custom_components.local_solar.growatt.profiles.storage_slots import STORAGE_SLOTS
from custom_components.local_solar.growatt.profiles.vpp_slots import VPP_SLOTS
from custom_components.local_solar.growatt.settings import InverterSettings
from custom_components.local_solar.growatt.time_slots import SlotCodec
from custom_components.local_solar.points import (
    SLOT_WITHOUT_GRID_CHARGE,
    TimeSlot,
    TimeSlotChange,
    Visibility,
    Wanted,
)
from custom_components.local_solar.write_errors import (
    DeviceError,
    InvalidValueError,
    RefusedError,
)
from custom_components.local_solar.write_gate import Change
from tests.modbus.helpers import HOLDING
from tests.simulated import NOON

from .helpers import FACTS, SERIAL
from .test_settings import WritableUnit, Write


@dataclass
class Bench:
    """The driver of an inverter in memory."""

    family: Family
    vpp: bool = False
    unit: WritableUnit = field(default_factory=WritableUnit)
    inverter: Inverter = field(init=False)
    settings: InverterSettings = field(init=False)

    def __post_init__(self) -> None:
        """Put zeros into all registers of the map."""
        identified = Identification(
            serial_number=SERIAL,
            family=self.family,
            profile=self.family,
            model=self.family,
            battery=True,
            vpp=self.vpp,
        )
        self.inverter = Inverter(self.unit, identified, spacing=0.0)
        self.settings = InverterSettings(self.unit, self.inverter, lambda: NOON)
        for row in self.inverter.rows:
            for address in range(row.address, row.end):
                self.unit.holding.setdefault(address, 0)

    def put(self, address: int, *words: int) -> None:
        """Let registers hold words."""
        self.unit.holding.update(enumerate(words, address))

    async def change(self, key: str, wanted: Wanted) -> Change:
        """Return the change that gives what is wanted."""
        return self.settings.change(key, wanted, await self.settings.async_read(key))

    async def refusal(self, key: str, wanted: Wanted) -> InvalidValueError:
        """Return why a value is not allowed."""
        with pytest.raises(InvalidValueError) as caught:
            await self.change(key, wanted)
        return caught.value

    async def write(self, key: str, wanted: Wanted) -> list[Write]:
        """Write a value, and return what was sent."""
        change = await self.change(key, wanted)
        await self.settings.async_write(change)
        reading = await self.settings.async_read(change.key)
        assert self.settings.holds(change, reading)
        return self.unit.writes


@pytest.fixture
def storage() -> Bench:
    return Bench(Family.SPH)


@pytest.fixture
def off_grid() -> Bench:
    return Bench(Family.SPF)


@pytest.fixture
def vpp() -> Bench:
    return Bench(Family.SPH, vpp=True)


@pytest.fixture
def us() -> Bench:
    return Bench(Family.MIN_TL_XH_US)


def change_to(start: int, end: int, **parts: object) -> TimeSlotChange:
    """Return a change to two whole hours."""
    return replace(TimeSlotChange(start=time(start), end=time(end)), **parts)  # type: ignore[arg-type]


NOT_SERVED: Final = (IllegalFunctionError(), IllegalDataAddressError())


# -- SPH, SPA -------------------------------------------------------------------------


async def test_storage_slot_goes_with_one_message(storage: Bench) -> None:
    storage.put(1092, 1)
    wanted = change_to(1, 5, enabled=True)
    assert await storage.write("battery_first4", wanted) == [
        (16, 1017, [1 << 8, 5 << 8, 1])
    ]


@pytest.mark.parametrize("refusal", NOT_SERVED)
async def test_storage_slot_goes_word_by_word_if_it_must(
    storage: Bench, refusal: ModbusError
) -> None:
    storage.unit.refused_functions[16] = refusal
    await storage.write("grid_first1", change_to(1, 5, enabled=True))
    await storage.write("grid_first1_enabled", False)
    assert storage.unit.writes[1:] == [
        *[(6, 1080, [1 << 8]), (6, 1081, [5 << 8]), (6, 1082, [1])],
        *[(6, 1082, [0]), (6, 1080, [1 << 8]), (6, 1081, [5 << 8])],
    ]


async def test_storage_slot_is_read_with_all_others_and_charging_from_the_grid(
    storage: Bench,
) -> None:
    await storage.settings.async_read("battery_first5_end")
    read = {
        at
        for _, address, count in storage.unit.requests
        for at in range(address, address + count)
    }
    assert read >= {*range(1017, 1035), *range(1080, 1089), 1092, *range(1100, 1109)}
    assert read >= {*range(1110, 1119)}


@pytest.mark.parametrize("address", [1017, 1026, 1083, 1106, 1116])
async def test_storage_slot_overlaps_with_none_of_any_mode(
    storage: Bench, address: int
) -> None:
    storage.put(address, 2 << 8, 4 << 8, 1)
    wanted = change_to(1, 3, enabled=True)
    error = await storage.refusal("grid_first1", wanted)
    assert error.key == "slot_overlaps"
    assert storage.inverter.register(error.details["other"]).address == address  # type: ignore[union-attr]
    await storage.change("grid_first1", replace(wanted, end=time(2)))
    storage.put(address + 2, 0)
    await storage.change("grid_first1", wanted)


async def test_storage_slot_must_not_cross_midnight(storage: Bench) -> None:
    error = await storage.refusal("grid_first1", change_to(22, 6, enabled=True))
    assert error.key == "slot_crosses_midnight"


@pytest.mark.parametrize(("charges", "doubts"), [(0, 1), (1, 0)])
async def test_battery_first_of_storage_needs_charging_from_the_grid(
    storage: Bench, charges: int, doubts: int
) -> None:
    storage.put(1092, charges)
    wanted = change_to(1, 2, enabled=True)
    change = await storage.change("battery_first1", wanted)
    assert change.doubts == (SLOT_WITHOUT_GRID_CHARGE,) * doubts
    assert (await storage.change("grid_first1", wanted)).doubts == ()


async def test_mode_of_a_storage_slot_is_that_of_its_block(storage: Bench) -> None:
    wanted = change_to(1, 2, enabled=True, mode="grid_first")
    await storage.change("grid_first1", wanted)
    assert (await storage.refusal("load_first1", wanted)).details["reason"] == (
        "is always load_first"
    )


@pytest.mark.parametrize("part", [{"power": 50}, {"days": "week"}])
async def test_part_that_a_storage_slot_lacks_is_refused(
    storage: Bench, part: dict[str, object]
) -> None:
    error = await storage.refusal("grid_first1", change_to(1, 2, **part))
    assert error.key == "slot_has_no_part"
    assert error.details["part"] in part
    assert error.details["parts"] == "start, end, enabled"


async def test_storage_slot_with_an_odd_switch_is_set_as_a_whole(
    storage: Bench,
) -> None:
    storage.put(1080, 1 << 8, 2 << 8, 7)
    error = await storage.refusal("grid_first1", TimeSlotChange(end=time(3)))
    assert error.key == "slot_not_valid"
    assert error.details["parts"] == "start, end, enabled"
    other = await storage.refusal("grid_first2", change_to(3, 4, enabled=True))
    assert other.key == "other_slot_not_valid"
    await storage.change("grid_first1", change_to(1, 3, enabled=False))


# -- SPF, SPE -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "address"),
    [
        *[("grid_output1", 3), ("grid_charge4", 5), ("grid_charge3", 135)],
        *[("battery_feed1", 125), ("second_output3", 146)],
    ],
)
async def test_window_goes_with_one_message_the_hour_in_the_low_byte(
    off_grid: Bench, key: str, address: int
) -> None:
    off_grid.put(73, 22)
    wanted = TimeSlotChange(start=time(6, 30), end=time(22, 15))
    assert await off_grid.write(key, wanted) == [(16, address, [0x1E06, 0x0F16])]


@pytest.mark.parametrize(("start", "end"), [(23, 6), (0, 0), (12, 12)])
async def test_window_may_be_what_the_menu_offers(
    off_grid: Bench, start: int, end: int
) -> None:
    change = await off_grid.change("grid_output1", change_to(start, end))
    assert change.raw == (start, end)


@pytest.mark.parametrize(
    ("version", "key"),
    [
        *[(0, "slot_minutes_unknown"), (305, "slot_minutes_unknown")],
        *[(1, "slot_hours_only"), (21, "slot_hours_only"), (22, None), (26, None)],
    ],
)
async def test_minutes_need_firmware_that_counts_them(
    off_grid: Bench, version: int, key: str | None
) -> None:
    off_grid.put(73, version)
    for minutes in (
        TimeSlotChange(start=time(6, 30)),
        TimeSlotChange(end=time(6, 1)),
    ):
        wanted = change_to(5, 7).then(minutes)
        if key is None:
            await off_grid.change("grid_output1", wanted)
        else:
            assert (await off_grid.refusal("grid_output1", wanted)).key == key
    await off_grid.change("grid_output1", change_to(5, 7))


async def test_version_that_is_refused_is_not_known(off_grid: Bench) -> None:
    off_grid.unit.fail_read(73, IllegalDataAddressError())
    error = await off_grid.refusal("grid_output1_start", time(6, 30))
    assert error.key == "slot_minutes_unknown"
    await off_grid.change("grid_output1_start", time(6))


async def test_window_is_read_with_the_version_alone(off_grid: Bench) -> None:
    await off_grid.settings.async_read("battery_feed2")
    assert off_grid.unit.requests == [(HOLDING, 73, 1), (HOLDING, 127, 2)]


@pytest.mark.parametrize(
    "part", [{"enabled": True}, {"enabled": False}, {"power": 1}, {"days": "week"}]
)
async def test_part_that_a_window_lacks_is_refused(
    off_grid: Bench, part: dict[str, object]
) -> None:
    error = await off_grid.refusal("grid_charge1", change_to(1, 2, **part))
    assert error.key == "slot_has_no_part"


@pytest.mark.parametrize("refusal", NOT_SERVED)
async def test_window_goes_word_by_word_if_it_must(
    off_grid: Bench, refusal: ModbusError
) -> None:
    off_grid.unit.refused_functions[16] = refusal
    writes = await off_grid.write("grid_charge4", change_to(1, 5))
    assert writes[1:] == [(6, 5, [1]), (6, 6, [5])]


# -- VPP ------------------------------------------------------------------------------

SCHEDULE: Final = (2, 60, 120, 50, 120, 1440, 0x10000 - 30, *54 * [0])


async def test_vpp_schedule_goes_as_a_whole(vpp: Bench) -> None:
    vpp.put(30411, *SCHEDULE)
    after = [2, 60, 120, 80, *SCHEDULE[4:]]
    assert await vpp.write("vpp_tou1_power", 80) == [(16, 30411, after)]


async def test_next_vpp_slot_is_switched_on_with_the_others(vpp: Bench) -> None:
    vpp.put(30411, *SCHEDULE[:4])
    vpp.put(30411, 1)
    await vpp.write("vpp_tou2", change_to(3, 4, power=-100, enabled=True))
    assert vpp.unit.writes[0][2][:8] == [2, 60, 120, 50, 180, 240, 0x10000 - 100, 0]
    assert (await vpp.settings.async_read("vpp_tou2_enabled")).value is True
    assert (await vpp.settings.async_read("vpp_tou3_enabled")).value is False


@pytest.mark.parametrize(
    ("key", "wanted", "reason"),
    [
        ("vpp_tou4", change_to(3, 4, enabled=True), "before slot 3"),
        ("vpp_tou1_enabled", False, "before slot 2"),
    ],
)
async def test_vpp_slots_are_switched_in_their_order(
    vpp: Bench, key: str, wanted: Wanted, reason: str
) -> None:
    vpp.put(30411, *SCHEDULE)
    assert reason in (await vpp.refusal(key, wanted)).details["reason"]


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        (change_to(1, 3), "slot_overlaps"),
        (change_to(0, 1), None),
        (change_to(3, 1), "slot_crosses_midnight"),
        (TimeSlotChange(power=101), "value_out_of_range"),
        (TimeSlotChange(days="week"), "slot_has_no_part"),
        (TimeSlotChange(mode="load_first"), "value_not_representable"),
        (TimeSlotChange(mode="vpp", power=0), None),
    ],
)
async def test_vpp_slot_keeps_its_rules(
    vpp: Bench, wanted: TimeSlotChange, key: str | None
) -> None:
    vpp.put(30411, *SCHEDULE)
    if key is None:
        await vpp.change("vpp_tou1", wanted)
    else:
        assert (await vpp.refusal("vpp_tou1", wanted)).key == key


@pytest.mark.parametrize("refusal", NOT_SERVED)
async def test_vpp_schedule_never_goes_word_by_word(
    vpp: Bench, refusal: ModbusError
) -> None:
    vpp.unit.refused_functions[16] = refusal
    change = await vpp.change("vpp_tou1", change_to(1, 2, power=5, enabled=True))
    for _ in range(2):
        with pytest.raises(RefusedError):
            await vpp.settings.async_write(change)
    assert [write[:2] for write in vpp.unit.writes] == [(16, 30411)] * 2


async def test_vpp_schedule_that_changed_elsewhere_counts_as_changed(
    vpp: Bench,
) -> None:
    vpp.put(30411, *SCHEDULE)
    before = await vpp.settings.async_read("vpp_tou1")
    vpp.put(30416, 1439)
    after = await vpp.settings.async_read("vpp_tou1")
    assert before.value == after.value
    assert not vpp.settings.is_unchanged(before, after)


def test_vpp_slots_wear_the_same_memory(vpp: Bench) -> None:
    keys = ("vpp_tou1", "vpp_tou20", "vpp_tou3_power")
    assert len({vpp.settings.setting(key).wears for key in keys}) == 1


# -- TL-XH US -------------------------------------------------------------------------


def us_words(start: int, end: int, days: int) -> tuple[int, int]:
    """Return the words of a slot that is on, load first."""
    return 1 << 15 | start << 7, days << 12 | end << 7


async def test_us_slot_goes_with_one_message_and_keeps_what_nobody_knows(
    us: Bench,
) -> None:
    us.put(3147, 0, 3 << 14)
    wanted = change_to(1, 5, mode="anti_reflux", days="weekend", enabled=True)
    assert await us.write("us_tou10", wanted) == [
        (16, 3147, [1 << 15 | 3 << 12 | 1 << 7, 3 << 14 | 1 << 12 | 5 << 7])
    ]


@pytest.mark.parametrize(
    ("days", "place", "key"),
    [
        *[(0, 3131, "slot_overlaps"), (2, 3131, "slot_overlaps"), (1, 3131, None)],
        (0, 3147, None),  # another season
    ],
)
async def test_us_slots_of_a_season_must_not_overlap_on_days_they_share(
    us: Bench, days: int, place: int, key: str | None
) -> None:
    us.put(place, *us_words(1, 3, days))
    wanted = change_to(2, 4, days="weekday", enabled=True)
    if key is None:
        await us.change("us_tou1", wanted)
    else:
        assert (await us.refusal("us_tou1", wanted)).key == key


async def test_us_slot_is_switched_off_before_its_times_change(us: Bench) -> None:
    us.put(3129, *us_words(1, 3, 2))
    us.unit.refused_functions[16] = IllegalFunctionError()
    await us.write("us_tou1", change_to(2, 4, enabled=False))
    assert [write[1] for write in us.unit.writes[1:]] == [3129, 3130]


async def test_half_a_slot_is_no_refusal(us: Bench) -> None:
    us.unit.refused_functions[16] = IllegalFunctionError()
    us.unit.errors = [None, IllegalDataAddressError()]
    change = await us.change("us_tou1", change_to(2, 4, enabled=False))
    with pytest.raises(DeviceError) as caught:
        await us.settings.async_write(change)
    assert "3130" in str(caught.value)


# -- rows -----------------------------------------------------------------------------

TABLES: Final = {"sph": STORAGE_SLOTS, "spf": OFF_GRID_SLOTS, "vpp": VPP_SLOTS}

each_table = pytest.mark.parametrize("table", TABLES)


@each_table
def test_parts_are_told_apart_and_lie_in_their_slot(table: str) -> None:
    rows = {row.key: row for row in TABLES[table]}
    assert len(rows) == len(TABLES[table])
    for row in rows.values():
        if row.part_of is None:
            continue
        whole = rows[row.part_of[0]]
        assert isinstance(whole.codec, SlotCodec)
        assert whole.address <= row.address < row.end <= whole.end
        assert row.point.index == whole.point.index
        assert row.key == f"{whole.key}_{row.part_of[1]}"
        value = whole.codec.decode([0] * whole.words)
        assert isinstance(value, TimeSlot)
        assert row.decode([0]) == value.parts[row.part_of[1]]


@each_table
def test_only_the_first_slots_are_shown_when_writing_is_switched_on(table: str) -> None:
    for row in TABLES[table]:
        setting = row.point.setting
        if row.part_of is None or setting is None:
            continue
        number = row.point.index or 0
        if setting.everyday:
            assert row.point.visibility is not Visibility.RAW
            assert number <= EVERYDAY_SLOTS or row.key.startswith("grid_charge4")


OTHER_NAMES: Final = {
    "grid_output": "grid_output1",
    "grid_charge": "grid_charge4",
}
"""Names of the facts without a number -> keys of slots."""


@pytest.mark.skipif(not FACTS.exists(), reason="the collected facts are not here")
@each_table
def test_every_documented_part_of_a_slot_has_a_row(table: str) -> None:
    rows = {row.key: row for row in TABLES[table]}
    found = set()
    with (FACTS / "growatt_registers.csv").open(encoding="utf-8") as file:
        facts = [
            fact
            for fact in csv.DictReader(file)
            if (
                fact["profile"] == table
                and fact["type"] in ("time_hm", "time_mh", "minutes")
            )
            or (
                (fact["profile"], fact["name"][-7:]) == (table, "_enable")
                and "first" in fact["name"]
            )
        ]
    for fact in facts:
        slot, _, part = fact["name"].rpartition("_")
        key = f"{OTHER_NAMES.get(slot, slot)}_{part.replace('enable', 'enabled')}"
        assert rows[key].address == int(fact["address"]), key
        found.add(key)
    wholes = {row.key for row in rows.values() if isinstance(row.codec, SlotCodec)}
    assert found
    assert found == {
        row.key
        for row in rows.values()
        if row.part_of is not None
        and row.part_of[0] in wholes
        and (row.part_of[1] in ("start", "end") or table == "sph")
    }
