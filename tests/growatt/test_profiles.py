"""Register maps: consistent in themselves, true to the facts and to a recording."""

from collections import Counter
from collections.abc import Iterator
import csv
import dataclasses
from datetime import datetime, time
from itertools import cycle, islice
import json
from pathlib import Path
import re
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.growatt.profiles.profile import UNITS, Part, Profile
from custom_components.local_solar.growatt.time_slots import CountReaches, SlotCodec
from custom_components.local_solar.modbus.codecs import (
    CLOCK,
    HIGH_BYTE,
    HOUR_MINUTE,
    LOW_BYTE,
    MINUTE_HOUR,
    MINUTES,
    S16,
    S32,
    U16,
    U32,
    Bits,
    Codec,
    Hex,
    Integer,
    MinutesOfDay,
    SharedWord,
    Text,
    TimeOfDay,
    Words,
)
from custom_components.local_solar.modbus.decoder import Decoder
from custom_components.local_solar.modbus.errors import ValueNotRepresentableError
from custom_components.local_solar.modbus.image import RegisterImage, Space
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import (
    Quantity,
    TimeSlot,
    TimeSlotChange,
    Value,
    Visibility,
)

SHARED: Final = Path(__file__).parents[3] / "shared"
FACTS: Final = SHARED / "facts" / "growatt_registers.csv"
GROUPS: Final = SHARED / "facts" / "growatt_groups.json"
RECORDING: Final = (
    SHARED / "captures" / "growatt" / "derived_min_6000tl_xh_live_2025-09-21.json"
)

ON_BATTERY: Final = frozenset({Part.BATTERY, Part.CONVERTER, Part.MODULE})
SLUG: Final = re.compile(r"[a-z0-9_]+")

each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


def rows_with(
    profile: Profile, *, strings: int = 2, modules: int = 0, without: frozenset[Part]
) -> Iterator[Register]:
    """Go through the rows of an inverter that has everything but ``without``."""
    counts = {Part.STRING: strings, Part.MODULE: modules}
    for section in profile.sections:
        if section.part in without:
            continue
        for row in section.rows:
            if (row.point.index or 0) <= counts.get(section.part, 99):
                yield row


def visible(rows: Iterator[Register]) -> Counter[Visibility]:
    return Counter(row.point.visibility for row in rows)


def entities(profile: Profile) -> list[tuple[Part, Register]]:
    """Return the rows that become entities."""
    return [
        (section.part, row)
        for section in profile.sections
        for row in section.rows
        if row.point.visibility is not Visibility.RAW
    ]


# -- consistent -----------------------------------------------------------------------


@each_profile
def test_no_two_rows_share_a_key(profile: Profile) -> None:
    keys = Counter(row.key for row in profile)
    assert [key for key, count in keys.items() if count > 1] == []


@each_profile
def test_every_row_lies_inside_one_group(profile: Profile) -> None:
    for row in profile:
        inside = [
            (first, last)
            for first, last in profile.groups[row.space]
            if first <= row.address and row.end - 1 <= last
        ]
        assert len(inside) == 1, row.key
        assert row.words <= profile.max_words


@each_profile
def test_groups_are_as_wide_as_a_read_may_be_and_apart(profile: Profile) -> None:
    width = profile.max_words
    assert width == (45 if profile.key in {"spf", "v3_pv"} else 125)
    for groups in profile.groups.values():
        starts = [first for first, _ in groups]
        assert starts == sorted(set(starts))
        assert all(
            first % width == 0 and last == first + width - 1 for first, last in groups
        )


@each_profile
def test_a_setting_is_a_holding_register_that_may_be_written(profile: Profile) -> None:
    for row in profile:
        if row.point.setting is not None:
            assert row.space is Space.HOLDING, row.key
            assert not row.never_write, row.key
        if row.never_write:
            assert row.space is Space.HOLDING, row.key


@each_profile
def test_numeric_settings_have_limits_that_can_be_written(profile: Profile) -> None:
    for row in profile:
        setting = row.point.setting
        if setting is None or not isinstance(row.codec, Integer):
            continue
        if row.options is not None:
            assert setting.minimum is setting.maximum is setting.step is None, row.key
            continue
        assert setting.minimum is not None, row.key
        assert setting.maximum is not None, row.key
        assert setting.step is not None, row.key
        for limit in (setting.minimum, setting.maximum):
            assert row.decode(list(row.encode(limit))) == limit, row.key


def _parts_share_words(codec: SlotCodec) -> bool:
    """Return whether a word holds several parts, of one slot or of a whole schedule."""
    return codec.at_once or len({field.word for field in codec.fields}) < len(
        codec.fields
    )


@each_profile
def test_a_row_that_shares_its_word_cannot_be_written_alone(profile: Profile) -> None:
    shared = [
        row
        for row in profile
        if row.point.setting is not None
        and isinstance(row.codec, Bits | SharedWord | CountReaches)
    ]
    for row in shared:
        value: Value = next(iter(row.options.values())) if row.options else 1
        if row.point.quantity is Quantity.TIME_OF_DAY:
            value = time(12, 30)
        with pytest.raises(ValueNotRepresentableError):
            row.encode(value)
        assert row.part_of is not None, row.key
    assert bool(shared) == any(
        isinstance(row.codec, SlotCodec) and _parts_share_words(row.codec)
        for row in profile
        if row.point.setting is not None
    )


@each_profile
def test_a_part_lies_in_the_words_of_the_whole_it_is_written_with(
    profile: Profile,
) -> None:
    rows = {row.key: row for row in profile}
    fields = {field.name for field in dataclasses.fields(TimeSlotChange)}
    parts: dict[str, set[str]] = {}
    for row in profile:
        if row.part_of is None:
            continue
        key, part = row.part_of
        whole = rows[key]
        assert isinstance(whole.codec, SlotCodec), row.key
        assert whole.space is row.space, row.key
        assert whole.address <= row.address < row.end <= whole.end, row.key
        setting = row.point.setting
        if part == "power" and setting is not None:
            assert setting.minimum == -100, row.key
            assert setting.maximum == 100, row.key
            setting = dataclasses.replace(
                setting, minimum=None, maximum=None, step=None
            )
        assert whole.point.setting == setting, row.key
        parts.setdefault(key, set()).add(part)
        assert part in fields, row.key
    assert parts == {
        row.key: {*row.codec.parts}
        for row in profile
        if isinstance(row.codec, SlotCodec)
    }


@each_profile
def test_settings_that_share_words_are_parts_of_one_whole_or_its_only_meaning(
    profile: Profile,
) -> None:
    """Whoever writes one setting must not change another one unseen.

    The slots of a schedule that is written as a whole are read and checked together.
    """
    rows = {row.key: row for row in profile}
    owner: dict[tuple[Space, int], str] = {}
    for section in profile.sections:
        if section.part is Part.SYSTEM_MODE:
            continue  # there instead of the other meaning of the work mode
        for row in section.rows:
            if row.point.setting is None:
                continue
            whole = row.part_of[0] if row.part_of else row.key
            codec = rows[whole].codec
            if isinstance(codec, SlotCodec) and codec.at_once:
                whole = codec.schedule
            for address in range(row.address, row.end):
                assert owner.setdefault((row.space, address), whole) == whole, row.key


def test_the_map_for_the_us_takes_only_its_own_time_slots_for_settings() -> None:
    profile = PROFILES["min_tl_xh_us"]
    settings = {
        row.key
        for row in profile
        if row.point.setting is not None and row.key not in profile.read_only
    }
    slots = {key.split("_")[1] for key in settings if "tou" in key}
    assert slots == {f"tou{n}" for n in range(1, 37)}
    assert not any(
        key.startswith("tou") or "months" in key or "special_day" in key
        for key in settings
    )
    assert profile.read_only == {
        row.key for row in PROFILES["min_tl_xh"] if row.key.startswith("tou")
    }


def test_only_settings_that_many_owners_change_are_enabled_with_writing() -> None:
    everyday = {
        row.key
        for row in PROFILES["min_tl_xh"]
        if row.point.setting is not None and row.point.setting.everyday
    }
    assert {key for key in everyday if not key.startswith("tou")} == {
        "on_off",
        "active_power_limit",
        "export_limit_mode",
        "export_limit_rate",
        "discharge_power_rate",
        "discharge_stop_soc",
        "charge_power_rate",
        "charge_stop_soc",
        "ac_charge_enable",
        "on_grid_discharge_stop_soc",
        "priority_mode",
    }
    assert {key[3] for key in everyday if key.startswith("tou")} == {"1", "2", "3"}


def test_the_same_key_means_the_same_in_every_profile() -> None:
    seen: dict[str, Register] = {}
    for profile in PROFILES.values():
        for row in profile:
            first = seen.setdefault(row.key, row)
            if row.key == "on_off":  # two options without a battery, four with one
                continue
            assert row.point.quantity is first.point.quantity, row.key
            assert row.point.unit == first.point.unit, row.key
            assert row.point.name == first.point.name, row.key


# -- robust ---------------------------------------------------------------------------

words = st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40)


@each_profile
@given(words=words)
def test_whatever_the_registers_hold_is_decoded(
    profile: Profile, words: list[int]
) -> None:
    image = RegisterImage()
    for space, groups in profile.groups.items():
        for first, last in groups:
            count = last - first + 1
            image.store(space, first, list(islice(cycle(words), count)), 0.0)
    values = Decoder(profile).decode(image)
    for row in profile:
        known = image.get(row.space, row.address, row.words)
        assert known is not None, row.key
        value = row.decode(known)
        assert values[row.key] == value, row.key
        if row.options is not None:
            assert value is None or value in row.options.values(), row.key


@pytest.mark.parametrize("key", ["mod_tl3_x", "mod_tl3_xh", "max_tl3", "wit"])
def test_rows_of_phases_2_and_3_are_read_with_three_phases_only(key: str) -> None:
    parts = {
        row.key: section.part
        for section in PROFILES[key].sections
        for row in section.rows
        if re.search(r"_l[23]_", row.key)
    }
    assert {"grid_l2_voltage", "grid_l3_power", "grid_l3_l1_voltage"} <= set(parts)
    assert set(parts.values()) == {Part.THREE_PHASE}


# -- what platforms need --------------------------------------------------------------


@each_profile
def test_entities_have_what_their_platform_needs(profile: Profile) -> None:
    for _, row in entities(profile):
        point = row.point
        assert not isinstance(row.codec, Words | Hex), row.key
        match point.quantity:
            case Quantity.STATE | Quantity.FAULT:
                assert point.options, row.key
                assert all(SLUG.fullmatch(option) for option in point.options), row.key
            case Quantity.FLAG | Quantity.PROBLEM | Quantity.CONNECTIVITY:
                assert row.options is not None, row.key
                assert set(row.options.values()) == {True, False}, row.key
            case Quantity.CURRENT:
                assert point.unit in {"A", "mA"}, row.key
            case Quantity.POWER:
                assert point.unit in {"W", "kW"}, row.key
            case quantity:
                assert point.unit == UNITS.get(quantity), row.key
        if point.quantity is Quantity.FAULT:
            assert row.options is not None
            assert row.options[0] == "none"


@each_profile
def test_numbered_rows_show_their_number_in_key_and_name(profile: Profile) -> None:
    names: dict[str, str] = {}
    for row in profile:
        point = row.point
        assert ("{n}" in point.name) == (point.index is not None), row.key
        if point.index is not None:
            assert f"{point.index}" in point.key
            assert "_n" in point.translation_key
        assert names.setdefault(point.translation_key, point.name) == point.name


@each_profile
def test_names_of_a_devices_entities_differ_and_are_in_sentence_case(
    profile: Profile,
) -> None:
    names = Counter(
        (part in ON_BATTERY, row.point.name, row.point.index)
        for part, row in entities(profile)
    )
    assert [name for name, count in names.items() if count > 1] == []
    for on_battery, name, _ in names:
        assert name[0].isupper(), name
        assert not on_battery or not name.startswith("Battery "), name


# -- how much is shown ----------------------------------------------------------------

NO_BACKUP_BOX: Final = frozenset({Part.BACKUP_BOX, Part.EXTERNAL_PV, Part.CONVERTER})
NOTHING_ADDED: Final = frozenset(Part) - {Part.INVERTER, Part.STRING}


@pytest.mark.parametrize(
    ("key", "least"),
    [
        *[(key, 28) for key in ("min_tl_xh", "mod_tl3_xh", "sph", "sph_tl3", "wit")],
        ("spa", 24),
    ],
)
def test_about_30_entities_of_a_hybrid_are_enabled(key: str, least: int) -> None:
    shown = visible(rows_with(PROFILES[key], without=NO_BACKUP_BOX))
    assert least <= shown[Visibility.SHOWN] <= 34


@each_profile
def test_at_most_100_entities_of_a_device_are_offered(profile: Profile) -> None:
    # The work mode has one of its two meanings.
    without = frozenset({Part.CONVERTER, Part.SYSTEM_MODE})
    for others in (ON_BATTERY, frozenset(Part) - ON_BATTERY):
        complete = visible(
            rows_with(profile, strings=16, modules=6, without=without | others)
        )
        # The US map has two kinds of time slots.
        most = 115 if profile.key == "min_tl_xh_us" else 100
        assert complete[Visibility.OFFERED] <= most
    assert visible(rows_with(profile, without=without))[Visibility.SHOWN] <= 34


def test_a_battery_module_adds_few_entities() -> None:
    modules = [
        row
        for section in PROFILES["min_tl_xh"].sections
        if section.part is Part.MODULE
        for row in section.rows
        if row.point.index == 1 and row.point.visibility is not Visibility.RAW
    ]
    assert len(modules) <= 4


@pytest.mark.parametrize("key", ["tl_x_base", "min_tl_x", "mod_tl3_x", "max_tl3"])
def test_a_pv_inverter_shows_fewer(key: str) -> None:
    shown = visible(rows_with(PROFILES[key], without=NOTHING_ADDED))
    assert 10 <= shown[Visibility.SHOWN] <= 24


PV_ENERGY: Final = {"pv_power", "pv_energy_total", "energy_today", "energy_total"}
PV_TODAY: Final = {"pv_energy_today"}
GRID_ENERGY: Final = {
    "grid_import_power",
    "grid_export_power",
    "grid_import_energy_today",
    "grid_import_energy_total",
    "grid_export_energy_today",
    "grid_export_energy_total",
    "load_power",
    "load_energy_total",
}
BATTERY_ENERGY: Final = {
    "battery_soc",
    "battery_charge_power",
    "battery_discharge_power",
    "battery_charge_energy_total",
    "battery_discharge_energy_total",
}


@pytest.mark.parametrize(
    ("key", "needed"),
    [
        ("tl_x_base", PV_ENERGY),
        ("min_tl_x", PV_ENERGY | PV_TODAY | GRID_ENERGY),
        ("min_tl_xh", PV_ENERGY | PV_TODAY | GRID_ENERGY | BATTERY_ENERGY),
        ("min_tl_xh_us", PV_ENERGY | PV_TODAY | GRID_ENERGY | BATTERY_ENERGY),
        ("sph", PV_ENERGY | GRID_ENERGY | BATTERY_ENERGY),
        ("sph_tl3", PV_ENERGY | GRID_ENERGY | BATTERY_ENERGY),
        ("spa", GRID_ENERGY | BATTERY_ENERGY),
        ("mod_tl3_x", PV_ENERGY),
        ("mod_tl3_xh", PV_ENERGY | PV_TODAY | GRID_ENERGY | BATTERY_ENERGY),
        ("max_tl3", PV_ENERGY),
        # The sign of the battery's power is not known.
        (
            "wit",
            PV_ENERGY
            | GRID_ENERGY
            | {key for key in BATTERY_ENERGY if not key.endswith("_power")},
        ),
    ],
)
def test_what_the_energy_dashboard_needs_is_shown(key: str, needed: set[str]) -> None:
    shown = {
        row.key for row in PROFILES[key] if row.point.visibility is Visibility.SHOWN
    }
    assert needed <= shown


# -- true to the recording ------------------------------------------------------------


@pytest.fixture
def recorded() -> dict[str, Value | None]:
    """Return what the recording of a MIN 6000TL-XH says."""
    if not RECORDING.exists():
        pytest.skip("the recording is not here")
    image = RegisterImage()
    dataset = json.loads(RECORDING.read_text(encoding="utf-8"))
    image.load({space.value: dataset[space.value] for space in Space}, 0.0)
    return Decoder(PROFILES["min_tl_xh"]).decode(image)


def test_a_recorded_hybrid_is_decoded(recorded: dict[str, Value | None]) -> None:
    expected: dict[str, Value | None] = {
        "status": "normal",
        "pv_power": 0.0,
        "system_power": 531.0,
        "ac_power": 498.8,
        "grid_frequency": 50.01,
        "grid_l1_voltage": 228.4,
        "grid_l1_current": 2.2,
        "grid_l1_power": 499.3,
        "power_factor": 1.0,
        "inverter_temperature": 28.2,
        "fault": "none",
        "fault_code": 0,
        "warning": "none",
        "battery_state": "discharging",
        "battery_converter_state": "normal",
        "battery_derating_mode": "discharge_user_limit",
        "battery_voltage": 209.97,
        "battery_current": 2.5,
        "battery_soc": 49,
        "battery_discharge_power": 536.0,
        "battery_charge_power": 0.0,
        "battery_charge_allowed": True,
        "battery_discharge_allowed": True,
        "bms_status": "discharging",
        "bms_current": -2.5,
        "bms_charge_voltage_limit": 227.2,
        "bms_discharge_voltage_limit": 188.8,
        "bms_discharge_current_limit": 25.0,
        "bms_cell_voltage_max": 3.27,
        "battery_soh": 100,
        "clock": datetime(2025, 9, 21, 22, 35, 2),
        "device_type_code": 5100,
        "tracker_count": 2,
        "phase_count": 1,
        "firmware_version": "AL1.0",
        "control_firmware_version": "ZAba",
        "modbus_version": 3.05,
        "rated_apparent_power": 6000.0,
        "active_power_limit": 100,
        "on_off": "inverter_on",
        "battery_monitor_code": "ZEBA",
        "charge_stop_soc": 90,
        "discharge_stop_soc": 30,
        "ac_charge_enable": False,
        "eps_enable": True,
    }
    assert {key: recorded[key] for key in expected} == expected


def test_recorded_time_slots_are_decoded(recorded: dict[str, Value | None]) -> None:
    slots = [
        tuple(
            recorded[f"tou{n}_{part}"] for part in ("start", "end", "mode", "enabled")
        )
        for n in (1, 2)
    ]
    assert slots == [
        (time(0, 0), time(23, 59), "load_first", True),
        (time(23, 1), time(23, 59), "battery_first", False),
    ]
    assert recorded["tou2"] == TimeSlot(
        start=time(23, 1), end=time(23, 59), mode="battery_first", enabled=False
    )


def test_lifetime_counters_of_the_recording_are_not_smaller_than_todays(
    recorded: dict[str, Value | None],
) -> None:
    checked = 0
    for key, total in recorded.items():
        if not key.endswith("energy_total"):
            continue
        today = recorded.get(key.replace("_total", "_today"))
        if isinstance(total, float) and isinstance(today, float):
            assert total >= today, key
            checked += 1
    assert checked > 10


# -- true to the facts ----------------------------------------------------------------

NUMBERS: Final = {
    "u16": U16,
    "s16": S16,
    "u32": U32,
    "s32": S32,
    "u16pf": U16,
    "bits16": U16,
    "bits32": U32,
}

NO_SETTINGS: Final = {
    "clock": "the time goes on while a change waits: a command sets it",
    "work_mode_xh": "a setting under one of two other names, once its meaning is known",
    "us_tou_months": "what may be set there is not known",
    "us_special_day": "what may be set there is not known",
    "reactive_power_limit": "belongs to the grid code",
    "pv_start_voltage": "may be set to values at which no PV starts",
    "eps_voltage": "must suit the appliances on it",
    "eps_frequency": "must suit the appliances on it",
    "peak_shaving_reserve_soc": "its limits are not known for sure",
    "grid_charge_power_max": "its limits are not known for sure",
    "standby_output": "a setting under another name, but for standby",
    "pv_input_mode": "must fit how the strings are wired",
    "output_voltage_type": "must suit the appliances on it",
    "output_frequency_type": "must suit the appliances on it",
    "battery_type": "must be what the battery is",
    "bulk_charge_voltage": "a wrong value damages the battery",
    "float_charge_voltage": "a wrong value damages the battery",
    "battery_feed_stop_voltage": "a wrong value damages the battery",
    "battery_feed_resume_voltage": "a wrong value damages the battery",
    "battery_to_grid_level": "the sources disagree on its unit",
    "grid_to_battery_level": "the sources disagree on its unit",
}
"""What the facts call writable and is no setting, by the beginning of its name."""

MEANINGS: Final = frozenset({"priority_mode", "system_mode", "ac_output"})
"""Settings that the facts give one name together."""

OTHER_NAMES_OFF_GRID: Final = {
    # What OutBack's and other Growatt tables call otherwise, or mean something else by
    ("spf", "output_power"): "ac_output_power",
    ("spf", "output_apparent_power"): "ac_output_apparent_power",
    ("spf", "output_voltage"): "ac_output_voltage",
    ("spf", "output_frequency"): "ac_output_frequency",
    ("spf", "output_current"): "ac_output_current",
    ("spf", "output_energy_today"): "ac_output_energy_today",
    ("spf", "output_energy_total"): "ac_output_energy_total",
    ("spf", "grid_voltage"): "ac_input_voltage",
    ("spf", "grid_frequency"): "ac_input_frequency",
    ("spf", "export_energy_today"): "grid_export_energy_today",
    ("spf", "export_energy_total"): "grid_export_energy_total",
    ("spf", "battery_bus_voltage"): "battery_voltage_at_bus",
    ("spf", "bms_status"): "bms_status_word",
    ("spf", "bms_temperature"): "bms_battery_temperature",
    # The maker gives these windows no number, and three others of one kind 1 to 3
    ("spf", "grid_output_start"): "grid_output1_start",
    ("spf", "grid_output_end"): "grid_output1_end",
    ("spf", "grid_charge_start"): "grid_charge4_start",
    ("spf", "grid_charge_end"): "grid_charge4_end",
    ("v3_pv", "warning_code"): "warning_bits",
}
"""The same keys as OutBack's tables and those of other families have."""

STORAGE: Final = ("sph", "sph_tl3", "spa")

OWN_KEYS: Final = {
    **{(profile, "bms_temperature"): "bms_battery_temperature" for profile in STORAGE},
    **{(profile, "bms_status"): "bms_status_word" for profile in STORAGE},
    **{
        (profile, "battery_temperature"): "battery_pack_temperature"
        for profile in STORAGE
    },
    ("wit", "battery_power"): "battery_power_raw",
    **OTHER_NAMES_OFF_GRID,
}
"""Profile and name of a fact -> key of its row. The name means something else in another
profile, or would promise more than is known: of a WIT's battery, which sign means charging."""

LOW_WORD_ALONE: Final = {(profile, "ac_charge_energy_today") for profile in STORAGE}
"""32 bits whose words lie in two groups: the high one, which can only be 0, is not read."""

SPLIT: Final = {
    ("spf", "grid_code_parameters"): 4,
    ("v3_pv", "energy_by_hour"): 2,
    ("spf", "battery_serial_number"): 1,
}
"""Facts with more words than a group, or on both sides of its end -> rows inside groups."""


def left_out(fact: dict[str, str]) -> str:
    """Return why a fact has no row in the tables that are compared here, if it has none."""
    if (fact["profile"], fact["name"]) in SPLIT:
        return "in several rows"
    return ""


def all_facts() -> list[dict[str, str]]:
    """Return the collected facts about the profiles, none where they are missing."""
    if not FACTS.exists():
        return []
    with FACTS.open(encoding="utf-8") as file:
        return [
            _as_read(row) for row in csv.DictReader(file) if row["profile"] in PROFILES
        ]


def _as_read(fact: dict[str, str]) -> dict[str, str]:
    """Return a fact as the profile takes it."""
    place = fact["profile"], fact["name"]
    if place in LOW_WORD_ALONE:
        low = str(int(fact["address"]) + 1)
        fact = {**fact, "address": low, "count": "1", "type": "u16"}
    return {**fact, "name": key_of(*place)}


def key_of(profile: str, name: str) -> str:
    """Return the key of the row of a fact."""
    if re.fullmatch(r"(battery|grid|load)_first\d_enable", name):
        return f"{name}d"
    return OWN_KEYS.get((profile, name), name)


def facts() -> list[dict[str, str]]:
    """Return the facts that have a row each."""
    return [fact for fact in all_facts() if not left_out(fact)]


def rows_of(fact: dict[str, str]) -> list[Register]:
    """Return the rows at the address of a fact, each of which the facts know, too."""
    return [
        row
        for row in PROFILES[fact["profile"]]
        if row.space == fact["space"] and row.address == int(fact["address"])
        if not isinstance(row.codec, SlotCodec) and row.key not in MEANINGS
    ]


def codecs_of(fact: dict[str, str]) -> set[Codec]:
    """Return the codecs that the rows of a fact must have among them."""
    kind, count = fact["type"], int(fact["count"])
    if kind == "u32" and fact["name"] == "module_code":
        return {Hex(2)}  # eight digits that are no number
    if re.fullmatch(r"module\d_soh", fact["name"]) or (
        fact["name"] == "battery_soh" and "bit 7" in fact["notes"]
    ):
        return {Bits(0, 7), Bits(7)}
    if fact["notes"] == "low byte":
        return {LOW_BYTE}
    if fact["name"].startswith("us_tou_months"):
        return {Bits(0, 4), Bits(4, 4), Bits(8)}
    if fact["name"] == "bms_status" and fact["profile"] in STORAGE:
        return {U16, Bits(0, 2), *(Bits(bit) for bit in (3, 4, 5, 6, 7, 12))}
    match kind:
        case "ascii":
            return {Text(count)}
        case "block":
            return {Words(count)}
        case "bits16" if count > 1:
            return {Words(count)}
        case "u16x4":
            return {Hex(4)}
        case "datetime6":
            return {CLOCK}
        case "u16hilo":
            return {HIGH_BYTE, LOW_BYTE}
        case "time_hm":
            return {HOUR_MINUTE}
        case "time_mh":
            return {MINUTE_HOUR}
        case "minutes":
            return {MinutesOfDay(midnight=True) if "end" in fact["name"] else MINUTES}
        case "tou_start_xh":
            return {SharedWord(TimeOfDay(8, 5, 0, 8)), Bits(13, 2), Bits(15)}
        case "tou_end_xh":
            return {TimeOfDay(8, 5, 0, 8)}
        case "tou_start_us":
            return {SharedWord(TimeOfDay(7, 5, 0, 7)), Bits(12, 3), Bits(15)}
        case "tou_end_us" if "special_day" in fact["name"]:
            return {TimeOfDay(7, 5, 0, 7)}
        case "tou_end_us":
            return {SharedWord(TimeOfDay(7, 5, 0, 7)), Bits(12, 2)}
        case "date_us":
            return {Bits(0, 8), Bits(8, 7), Bits(15)}
    return {NUMBERS[kind]}


needs_facts = pytest.mark.skipif(
    not FACTS.exists(), reason="the collected facts are not here"
)


SIGNED_FOR_HYBRIDS: Final = {
    (profile, name)
    for profile in ("tl_x_base", "mod_tl3_x", "max_tl3")
    for name in (
        "ac_power",
        *(f"grid_l{n}_{what}" for n in (1, 2, 3) for what in ("current", "power")),
    )
}
"""Unsigned for inverters without a battery; they share the rows with storage inverters, and
hybrids may be read with them, too: these charge from the grid."""

TURNED_ROUND = {("spf", "battery_power")}
"""Positive while discharging in the register, while charging everywhere here."""


@needs_facts
def test_every_fact_is_in_its_profile() -> None:
    for fact in facts():
        rows = rows_of(fact)
        codecs = codecs_of(fact)
        if (fact["profile"], fact["name"]) in SIGNED_FOR_HYBRIDS:
            codecs = {S32 if fact["count"] == "2" else S16}
        label = f"{fact['profile']} {fact['space']} {fact['address']} {fact['name']}"
        assert codecs <= {row.codec for row in rows}, label
        assert all(row.words == int(fact["count"]) for row in rows), label
        main = [row for row in rows if row.codec in codecs]
        if len(codecs) == 1:
            assert fact["name"] in {row.key for row in main}, label
        for row in main:
            if row.point.quantity in (Quantity.FLAG, Quantity.PROBLEM):
                continue
            turned = -1 if (fact["profile"], row.key) in TURNED_ROUND else 1
            assert row.scale == turned * float(fact["scale"]), label
            assert row.offset == (-10000 if fact["type"] == "u16pf" else 0), label
            unit = "" if fact["unit"] == "V or %" else fact["unit"]
            assert (row.point.unit or "") == unit, label


@needs_facts
def test_a_fact_that_no_group_holds_is_split() -> None:
    split = {
        (fact["profile"], fact["name"]): fact
        for fact in all_facts()
        if (fact["profile"], fact["name"]) in SPLIT
    }
    assert split.keys() == SPLIT.keys()
    for key, fact in split.items():
        first, count = int(fact["address"]), int(fact["count"])
        rows = [
            row
            for row in PROFILES[fact["profile"]]
            if row.space == fact["space"] and first <= row.address < first + count
        ]
        assert len(rows) == SPLIT[key], key
        assert all(row.end <= first + count for row in rows), key
        assert all(row.point.setting is None for row in rows), key
        if "keep read-only" in fact["notes"]:
            assert all(row.never_write for row in rows), key
            assert sum(row.words for row in rows) == count, key


@needs_facts
def test_documented_groups_are_kept() -> None:
    groups_of = json.loads(GROUPS.read_text(encoding="utf-8"))
    documented = groups_of["protocol_2"]
    protocols = {"spf": groups_of["spf"], "v3_pv": groups_of["v3"]}
    for key, profile in PROFILES.items():
        assert profile.max_words == protocols.get(key, documented)["max_words"]
    for low, high in groups_of["spf"]["forbidden"]:
        ((first, last),) = PROFILES["spf"].forbidden
        assert first <= low <= high <= last
    for space in Space:
        for key, groups in documented[space.value].items():
            if key in PROFILES:
                kept = set(PROFILES[key].groups[space])
                assert {tuple(group) for group in groups} <= kept, (key, space)


MORE_OPTIONS: Final = {
    **{(profile, "status"): {5, 6, 7, 8, 9} for profile in STORAGE},
    **{(profile, "system_work_mode"): {9} for profile in STORAGE},
    ("wit", "status"): {5},
}
"""Numbers that only the notes of the facts name."""


@needs_facts
def test_options_have_the_numbers_of_the_facts() -> None:
    for fact in facts():
        if not fact["enum"]:
            continue
        documented = json.loads(fact["enum"])
        nested = [value for value in documented.values() if isinstance(value, dict)]
        more = MORE_OPTIONS.get((fact["profile"], fact["name"]), set())
        for numbers in nested or [documented]:
            known = {int(number) for number in numbers}
            assert any(
                row.options is not None
                and (
                    set(row.options) == known | more
                    or (
                        row.point.quantity is Quantity.FAULT
                        and known < set(row.options)
                    )
                )
                for row in rows_of(fact)
            ), fact["name"]


@needs_facts
def test_writing_follows_the_facts() -> None:
    for fact in facts():
        rows = [row for row in rows_of(fact) if row.codec in codecs_of(fact)]
        label = f"{fact['profile']} {fact['address']} {fact['name']}"
        writable = fact["access"] == "rw" and not fact["name"].startswith(
            tuple(NO_SETTINGS)
        )
        assert all((row.point.setting is not None) == writable for row in rows), label
        if re.search("never write|keep read-only", fact["notes"], re.IGNORECASE):
            assert all(row.never_write for row in rows), label
        if writable and fact["step"] and not fact["enum"]:
            setting = rows[0].point.setting
            assert setting is not None
            limits = setting.minimum, setting.maximum
            documented = float(fact["min"]), float(fact["max"])
            # Narrower limits are more careful; what may be found is still told.
            assert documented in (limits, setting.found), label
            assert documented[0] <= (setting.minimum or 0), label
            assert (setting.maximum or 0) <= documented[1], label
            assert setting.step == float(fact["step"]), label


PACKS: Final = range(1133, 1205, 8)
"""Serial numbers of the battery packs 2 to 10: in the notes of pack 1 only."""


@needs_facts
def test_no_row_lies_at_an_address_without_a_fact() -> None:
    known = {
        (fact["profile"], fact["space"], int(fact["address"]) + place)
        for fact in all_facts()
        for place in range(
            int(fact["count"]) if (fact["profile"], fact["name"]) in SPLIT else 1
        )
    }
    known |= {(profile, "holding", pack) for profile in STORAGE for pack in PACKS}
    for profile in PROFILES.values():
        for row in profile:
            place = (profile.key, row.space.value, row.address)
            overlaid = ("min_tl_xh", row.space.value, row.address)
            assert place in known or (
                profile.key == "min_tl_xh_us" and overlaid in known
            ), row.key


def test_only_commands_that_power_off_forgets_spare_the_flash() -> None:
    for profile in PROFILES.values():
        forgotten = {
            row.address
            for row in profile
            if row.point.setting is not None and not row.point.setting.persistent
        }
        assert forgotten == (set() if profile.key == "spf" else {3})


def test_a_profile_cannot_reach_what_must_not_be_touched() -> None:
    with pytest.raises(ValueError, match="group 29990-30010 overlaps 30000-31999"):
        Profile(
            key="spf",
            name="SPF",
            sections=(),
            groups={Space.HOLDING: ((29990, 30010),)},
            forbidden=((30000, 31999),),
        )
