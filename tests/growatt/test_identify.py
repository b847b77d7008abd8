"""Identification: the right model, without touching what off-grid models cannot bear."""

from contextlib import suppress
import csv
from dataclasses import fields, replace
import json
from typing import Final

from hypothesis import example, given, settings, strategies as st
from modbus_connection import (
    GatewayTargetError,
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusError,
    ModbusProtocolError,
    ModbusTimeoutError,
)
import pytest

from custom_components.local_solar.growatt.identify import (
    Identification,
    IdentificationError,
    NoSerialNumberError,
    identify,
    identity_place,
    read_serial_number,
)
from custom_components.local_solar.growatt.models import (
    DEVICE_TYPE_CODES,
    FIRMWARE_PREFIXES,
    NARROW,
    OFF_GRID_CODES,
    SERIAL_PREFIXES,
    V3_CODES,
    Certainty,
    Family,
)
from custom_components.local_solar.growatt.probe import Evidence
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from tests.modbus.helpers import HOLDING, INPUT, Request, ScriptedUnit

from .helpers import (
    BATTERY_SERIAL,
    FACTS,
    LONG_SERIAL,
    SERIAL,
    make_unit,
    put_text,
    recorded,
)

UNKNOWN_CODE: Final = 9999
UNKNOWN_SERIAL: Final = "QQQ0CE1234"
UNKNOWN_FIRMWARE: Final = "qq1.0"

FORBIDDEN: Final = 30000
"""From here on, a read resets an off-grid inverter."""

MOST_REQUESTS: Final = 6

SPF_CODES: Final = [
    code for code, model in DEVICE_TYPE_CODES.items() if model.family is Family.SPF
]


async def family_of(unit: ScriptedUnit) -> Family:
    """Return the family that a unit is taken for."""
    return (await identify(unit)).family


def unknown_unit(**kwargs: str | None) -> ScriptedUnit:
    """Return a unit that no table knows."""
    return make_unit(
        UNKNOWN_CODE,
        **{"serial": UNKNOWN_SERIAL, "firmware": UNKNOWN_FIRMWARE, **kwargs},  # type: ignore[arg-type]
    )


# -- the tables -------------------------------------------------------------------------------


async def test_every_device_type_code_leads_to_its_family() -> None:
    for code, model in DEVICE_TYPE_CODES.items():
        unit = make_unit(code, serial=UNKNOWN_SERIAL, firmware=UNKNOWN_FIRMWARE)
        assert await family_of(unit) is model.family, code


async def test_every_serial_prefix_leads_to_its_family_without_a_code() -> None:
    for prefix, model in SERIAL_PREFIXES.items():
        unit = make_unit(0, serial=f"{prefix}1234567", firmware=UNKNOWN_FIRMWARE)
        assert await family_of(unit) is model.family, prefix


async def test_every_firmware_prefix_leads_to_its_family_without_the_others() -> None:
    for prefix, model in FIRMWARE_PREFIXES.items():
        unit = make_unit(0, serial=UNKNOWN_SERIAL, firmware=f"{prefix}.0")
        assert await family_of(unit) is model.family, prefix


async def test_a_type_code_of_the_old_protocol_tells_trackers_and_phases() -> None:
    for code, strings, phases in ((101, 1, 1), (205, 2, 1), (710, 1, 3), (803, 2, 3)):
        assert code in V3_CODES
        unit = make_unit(code, serial=UNKNOWN_SERIAL, firmware=UNKNOWN_FIRMWARE)
        unit.holding[44] = 0
        identified = await identify(unit)
        assert identified.family is Family.V3_PV
        assert (identified.strings, identified.phases) == (strings, phases)


def test_every_family_has_the_profile_of_its_name() -> None:
    assert set(PROFILES) == set(Family)


FAMILY_OF_FACT: Final = {
    ("serial_prefix", "SMN"): Family.MIN_TL_XH_US,
    ("serial_prefix", "JGQ"): Family.MIN_TL_XH_US,
    ("serial_prefix", "VFJ"): Family.MIN_TL_XH_US,
}
"""The facts have no family for the US models: their map is an overlay there."""

PHASES_OF_FACT: Final = {("serial_prefix", "XHL"): 3, ("serial_prefix", "MFK"): 3}
"""TL3 models that the facts call single-phase, doubting it."""


def test_the_tables_say_what_the_facts_say() -> None:
    path = FACTS / "growatt_identification.csv"
    if not path.exists():
        pytest.skip(f"no facts: {path} is missing")
    tables = {
        "dtc": {str(code): model for code, model in DEVICE_TYPE_CODES.items()},
        "serial_prefix": dict(SERIAL_PREFIXES),
        "firmware_prefix": dict(FIRMWARE_PREFIXES),
    }
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["kind"], row["value"]) for row in rows} == {
        (kind, value) for kind, table in tables.items() for value in table
    }
    for row in rows:
        name = row["kind"], row["value"]
        model = tables[row["kind"]][row["value"]]
        assert model.family == FAMILY_OF_FACT.get(name, row["profile"]), name
        phases = int(row["phases"]) if row["phases"] else None
        assert model.phases == PHASES_OF_FACT.get(name, phases), name
        assert model.strings == (int(row["mppt"]) if row["mppt"] else None), name
        if row["kind"] == "dtc":
            assert model.confirmed is row["notes"].startswith("confirmed"), name


# -- a recorded inverter ------------------------------------------------------------------------


async def test_the_recorded_inverter_is_a_min_tl_xh() -> None:
    unit = recorded()
    # A protocol version of 3.05 does not mean the registers of version 3.
    assert unit.holding[88] == 305
    identified = await identify(unit)
    assert identified.family is Family.MIN_TL_XH
    assert identified.profile == "min_tl_xh"
    assert identified.model == "MIN 6000TL-XH"
    assert identified.firmware == "AL1.0 / ZAba-0029"
    assert identified.rated_power == 6000
    assert (identified.strings, identified.phases) == (2, 1)
    assert identified.battery
    assert identified.battery_code == "ZEBA"
    assert identified.battery_firmware == "ZEBA-0002"
    assert identified.modules == 0
    assert not identified.backup_box
    assert identified.serial_number.startswith("XXX")
    assert len(unit.requests) <= MOST_REQUESTS


# -- what is found out --------------------------------------------------------------------------


async def test_the_long_serial_number_is_preferred() -> None:
    """New units keep the short one empty or stale."""
    assert (await identify(make_unit())).serial_number == LONG_SERIAL
    unit = make_unit(5001, long_serial="RDH0CE12345678AB", serial_3000=None)
    assert (await identify(unit)).serial_number == "RDH0CE12345678AB"


async def test_the_short_serial_number_is_taken_where_there_is_no_long_one() -> None:
    assert (await identify(make_unit(serial_3000=None))).serial_number == SERIAL
    assert (await identify(make_unit(5001, serial_3000=None))).serial_number == SERIAL


async def test_a_refused_long_serial_number_gives_way_to_the_short_one() -> None:
    unit = make_unit()
    unit.fail_read(3001, IllegalDataAddressError())
    assert (await identify(unit)).serial_number == SERIAL


@pytest.mark.parametrize("error", [ModbusTimeoutError, GatewayTargetError])
async def test_a_lost_answer_does_not_make_another_inverter_of_it(
    error: type[ModbusError],
) -> None:
    unit = make_unit()
    unit.fail_read(3001, error())
    with pytest.raises(error):
        await identify(unit)


async def test_the_serial_number_is_read_again_where_it_was_found() -> None:
    unit = make_unit(battery=True)
    identified = await identify(unit)
    unit.read_events.clear()
    assert await read_serial_number(unit, identified) == identified.serial_number
    assert unit.requests == [(HOLDING, 3001, 15)]


@pytest.mark.parametrize("family", list(Family))
async def test_every_familys_serial_number_is_read_again(family: Family) -> None:
    unit = make_unit(long_serial=LONG_SERIAL)
    identified = Identification(
        serial_number=LONG_SERIAL, family=family, profile="tl_x_base", model="Any"
    )
    expected = SERIAL if family is Family.V3_PV else LONG_SERIAL
    assert await read_serial_number(unit, identified) == expected


async def test_a_battery_is_found_by_its_name_plate() -> None:
    unit = make_unit(battery=True)
    unit.input[3118] = 0
    identified = await identify(unit)
    assert identified.battery
    assert identified.battery_serial == BATTERY_SERIAL
    assert identified.battery_code == "ZEBA"
    assert identified.battery_firmware == "ZEBA-0002"


async def test_a_battery_without_a_name_plate_is_found_by_its_converter() -> None:
    unit = make_unit()
    unit.input[3118] = 1
    identified = await identify(unit)
    assert identified.battery
    assert identified.battery_serial is None
    assert identified.battery_code is None
    assert identified.battery_firmware is None


async def test_no_battery_is_found_where_there_is_none() -> None:
    unit = make_unit()
    unit.holding.update({184: 1, 185: 4})
    identified = await identify(unit)
    assert not identified.battery
    assert identified.modules == 0
    assert identified.battery_serial is None


async def test_battery_modules_and_backup_box_are_counted() -> None:
    unit = make_unit(battery=True)
    unit.holding[185] = 4
    unit.input[3323] = 1
    identified = await identify(unit)
    assert identified.modules == 4
    assert identified.backup_box


async def test_refused_extras_are_absent_and_the_rest_is_identified() -> None:
    unit = make_unit()
    for address in (180, 3087):
        unit.fail_read(address, IllegalDataAddressError())
    for address in (3118, 3320):
        unit.fail_read(address, IllegalDataAddressError(), register_type="input")
    identified = await identify(unit)
    assert identified.serial_number == LONG_SERIAL
    assert not identified.battery
    assert not identified.backup_box
    refused = [item for item in identified.evidence if item.meaning == "not answered"]
    assert {item.source for item in refused} >= {"input 3118-3118", "input 3320-3323"}


async def test_lost_answers_about_extras_do_not_fail_the_identification() -> None:
    unit = make_unit()
    unit.fail_read(3118, ModbusTimeoutError(), register_type="input")
    unit.fail_read(3320, ModbusTimeoutError(), register_type="input")
    assert (await identify(unit)).serial_number == LONG_SERIAL


@pytest.mark.parametrize(
    ("word", "strings", "phases"),
    [
        (0x0201, 2, 1),
        (0x0303, 3, 3),
        (0x0000, 2, 1),
        (0xFFFF, 2, 1),
        (0x0A09, 2, 1),
        (0x0401, 4, 1),
    ],
)
async def test_inputs_and_phases_are_counted_if_the_count_can_be_true(
    word: int, strings: int, phases: int
) -> None:
    unit = make_unit(5100, serial=UNKNOWN_SERIAL)
    unit.holding[44] = word
    identified = await identify(unit)
    assert (identified.strings, identified.phases) == (strings, phases)


async def test_the_prefix_tells_inputs_and_phases_that_the_unit_does_not() -> None:
    unit = make_unit(0, serial="WVN0CE1234")
    unit.holding[44] = 0
    assert (await identify(unit)).strings == 3
    unit = make_unit(0, serial="RDH0CE1234")
    unit.holding[44] = 0
    assert (await identify(unit)).phases == 3


@pytest.mark.parametrize(
    ("words", "power"),
    [((0, 60000), 6000), ((1, 0), 6553.6), ((0, 0), None), ((0xFFFF, 0xFFFF), None)],
)
async def test_rated_power_is_given_if_it_can_be_true(
    words: tuple[int, int], power: float | None
) -> None:
    unit = make_unit()
    unit.holding[6], unit.holding[7] = words
    assert (await identify(unit)).rated_power == power


@pytest.mark.parametrize(
    ("code", "serial", "word", "name"),
    [
        (5100, UNKNOWN_SERIAL, 0x0201, "MIN 6000TL-XH"),
        (5200, UNKNOWN_SERIAL, 0x0201, "MIN 6000TL-X"),
        (5200, UNKNOWN_SERIAL, 0x0101, "MIC 6000TL-X"),
        (5100, "SKL0CE1234", 0x0201, SERIAL_PREFIXES["SKL"].name),
        (5001, UNKNOWN_SERIAL, 0x0203, "MID 17-50KTL3-X family (6000 VA)"),
    ],
)
async def test_a_model_is_named_by_its_size(
    code: int, serial: str, word: int, name: str
) -> None:
    unit = make_unit(code, serial=serial)
    unit.holding[44] = word
    assert (await identify(unit)).model == name


async def test_firmware_without_its_parts_is_what_there_is() -> None:
    unit = make_unit()
    unit.holding.update({12: 0, 13: 0})
    assert (await identify(unit)).firmware == "AL1.0"
    unit.holding.update({9: 0, 10: 0, 11: 0})
    assert (await identify(unit)).firmware == ""


async def test_a_prefix_of_the_same_code_tells_the_variant() -> None:
    assert await family_of(make_unit(5100, serial="JGQ0CE1234")) is Family.MIN_TL_XH_US
    # The code is right about the family, and the prefix about the size.
    assert await family_of(make_unit(5100, serial="YRP0CE1234")) is Family.MIN_TL_XH


async def test_evidence_says_what_each_answer_was_taken_for() -> None:
    evidence = (await identify(make_unit(battery=True))).evidence
    assert Evidence("type code (holding 43)", "5100", "min_tl_xh") in evidence
    assert Evidence("serial number (holding 23-27)", SERIAL, "min_tl_xh") in evidence
    assert Evidence("firmware (holding 9-11)", "AL1.0", "min_tl_xh") in evidence
    assert any("battery" in item.source for item in evidence)
    assert not any(BATTERY_SERIAL in item.answer for item in evidence)


# -- unknown models -----------------------------------------------------------------------------


async def test_an_unknown_model_is_taken_for_the_closest_family() -> None:
    unit = unknown_unit()
    identified = await identify(unit)
    assert identified.family is Family.MIN_TL_X
    assert identified.model == "MIN 6000TL-X"


async def test_an_unknown_model_with_a_charged_battery_is_a_hybrid() -> None:
    unit = unknown_unit()
    unit.input[3171] = 50
    identified = await identify(unit)
    assert identified.family is Family.MIN_TL_XH
    assert identified.battery
    assert (INPUT, 3118, 1) not in unit.requests


@pytest.mark.parametrize("word", [0, 101, 65276, 0xFFFF])
async def test_no_state_of_charge_is_no_battery(word: int) -> None:
    unit = unknown_unit()
    unit.input[3171] = word
    assert (await identify(unit)).family is Family.MIN_TL_X


@pytest.mark.parametrize("refused", [True, False])
async def test_an_unknown_model_without_the_3000_block_uses_the_base_block(
    refused: bool,
) -> None:
    unit = unknown_unit(serial_3000="X" if refused else LONG_SERIAL)
    if refused:
        unit.fail_read(3001, IllegalDataAddressError())
    else:
        unit.holding.update(dict.fromkeys(range(3001, 3016), 0))
    identified = await identify(unit)
    assert identified.family is Family.TL_X_BASE
    assert identified.profile == "tl_x_base"
    assert identified.serial_number == UNKNOWN_SERIAL


async def test_an_unknown_model_with_three_phases_is_one_of_those() -> None:
    unit = unknown_unit()
    unit.holding[44] = 0x0203
    unit.input[3171] = 50
    assert await family_of(unit) is Family.MOD_TL3_XH
    unit = unknown_unit(serial_3000=None)
    unit.holding[44] = 0x0203
    assert await family_of(unit) is Family.MOD_TL3_X


@pytest.mark.parametrize(("phases", "family"), [(1, Family.SPH), (3, Family.SPH_TL3)])
async def test_an_unknown_model_with_a_storage_battery_is_a_storage_inverter(
    phases: int, family: Family
) -> None:
    unit = unknown_unit(serial_3000=None)
    unit.holding[44] = 0x0200 | phases
    unit.input.update({1013: 520, 1014: 60})
    identified = await identify(unit)
    assert identified.family is family
    assert identified.battery
    assert len(unit.requests) <= MOST_REQUESTS


async def test_an_unknown_model_that_names_its_maker_at_59_is_of_the_old_protocol() -> (
    None
):
    unit = unknown_unit(serial_3000=None)
    put_text(unit, 59, 8, "Growatt")
    identified = await identify(unit)
    assert identified.family is Family.V3_PV
    assert identified.certainty is Certainty.GUESSED


async def test_a_mic_with_old_firmware_is_not_read_with_the_map_of_new_ones() -> None:
    unit = make_unit(5200, serial=UNKNOWN_SERIAL, serial_3000=None)
    put_text(unit, 59, 8, "Growatt")
    assert await family_of(unit) is Family.V3_PV
    unit = make_unit(5200, serial=UNKNOWN_SERIAL, serial_3000=None)
    assert await family_of(unit) is Family.TL_X_BASE


# -- families without a battery's name plate ------------------------------------------------------

STATE_OF_BATTERY: Final = {
    3502: (1013, 1014),
    3601: (1013, 1014),
    3701: (1013, 1014),
    3400: (17, 18),
    5601: (8095, 8093),
}
"""Type code -> input registers of the battery's voltage and state of charge."""


@pytest.mark.parametrize("code", STATE_OF_BATTERY)
async def test_a_battery_is_found_by_its_voltage_and_charge(code: int) -> None:
    voltage, charge = STATE_OF_BATTERY[code]
    unit = make_unit(code, serial=UNKNOWN_SERIAL)
    assert not (await identify(unit)).battery
    unit.input.update({voltage: 5200, charge: 101})
    assert not (await identify(unit)).battery
    unit.input[charge] = 60
    identified = await identify(unit)
    assert identified.battery
    assert len(unit.requests) <= 3 * MOST_REQUESTS


async def test_a_storage_battery_tells_its_serial_number_and_firmware() -> None:
    unit = make_unit(3502, serial=UNKNOWN_SERIAL)
    unit.input.update({1013: 520, 1014: 60})
    put_text(unit, 1125, 8, BATTERY_SERIAL)
    put_text(unit, 1247, 2, "ZEBA")
    unit.holding[1249] = 7
    identified = await identify(unit)
    assert identified.battery_serial == BATTERY_SERIAL
    assert identified.battery_firmware == "ZEBA-0007"


async def test_an_off_grid_model_has_its_rated_power_elsewhere() -> None:
    unit = make_unit(3400)
    unit.holding.update({78: 0, 79: 50000})
    assert (await identify(unit)).rated_power == 5000


@pytest.mark.parametrize(
    ("word", "count"), [(0, 0), (8, 8), (16, 16), (9, 0), (0xFFFF, 0)]
)
async def test_monitored_strings_are_counted_if_the_count_can_be_true(
    word: int, count: int
) -> None:
    unit = make_unit(5000, serial=UNKNOWN_SERIAL)
    unit.holding[183] = word
    assert (await identify(unit)).monitored_strings == count


# -- the VPP protocol -----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [3502, 5100, 5400, 5601])
async def test_the_vpp_protocol_is_found_by_its_version(code: int) -> None:
    unit = make_unit(code)
    assert not (await identify(unit)).vpp
    unit.holding[30099] = 202
    identified = await identify(unit)
    assert identified.vpp
    assert Evidence("VPP version (holding 30099)", "202", "VPP") in identified.evidence


async def test_a_model_that_no_type_code_names_is_never_asked_for_the_vpp_protocol() -> (
    None
):
    for unit in (unknown_unit(), unknown_unit(serial="NLC0CE1234")):
        unit.holding[30099] = 202
        assert not (await identify(unit)).vpp
        assert all(address < FORBIDDEN for _, address, _ in unit.requests)


# -- what was known before ------------------------------------------------------------------------


async def test_a_lost_answer_does_not_make_another_family_of_it() -> None:
    """An old MIC's settings mean something else than those of newer ones."""
    for address in (3001, 59):
        unit = make_unit(5200, serial=UNKNOWN_SERIAL, serial_3000=None)
        put_text(unit, 59, 8, "Growatt")
        unit.fail_read(address, ModbusTimeoutError())
        with pytest.raises(ModbusTimeoutError):
            await identify(unit)


async def test_a_lost_answer_does_not_hide_a_battery() -> None:
    unit = make_unit(3400)
    unit.fail_read(17, ModbusTimeoutError(), register_type="input")
    with pytest.raises(ModbusTimeoutError):
        await identify(unit)


async def test_an_empty_battery_is_one() -> None:
    unit = make_unit(3400)
    unit.input.update({17: 4800, 18: 0})
    assert (await identify(unit)).battery


async def test_the_prefix_of_the_firmware_alone_is_for_looking_only() -> None:
    unit = unknown_unit(firmware="AH1.0")
    identified = await identify(unit)
    assert identified.family is Family.SPH
    assert not identified.knows_settings
    assert (await identify(unit, profile="v3_pv")).knows_settings


async def test_the_owner_cannot_choose_away_the_firmware_of_an_off_grid_model() -> None:
    unit = unknown_unit(firmware="067.02")
    identified = await identify(unit, profile="sph")
    assert identified.family is Family.SPF
    assert not identified.knows_settings
    assert (await identify(unit, profile="spf")).knows_settings
    _assert_narrow(unit.requests)


async def test_a_model_for_the_us_is_told_by_its_long_serial_number() -> None:
    """New units keep the short one empty."""
    unit = make_unit(5100, serial_3000="JGQ0CE12345678AB")
    unit.holding.update(dict.fromkeys(range(23, 28), 0))
    assert await family_of(unit) is Family.MIN_TL_XH_US


STARTING: Final = {43: 0, 44: 0, **dict.fromkeys(range(9, 15), 0)}
"""Holding registers that are empty while an inverter starts."""


@pytest.mark.parametrize("choice", [None, "sph"])
async def test_an_inverter_that_is_starting_stays_what_it_was_known_to_be(
    choice: str | None,
) -> None:
    unit = make_unit(3400, serial=UNKNOWN_SERIAL)
    known = await identify(unit, profile=choice)
    unit.holding.update(STARTING)
    found = await identify(unit, profile=choice)
    assert found.family is not Family.SPF
    assert found.after(known, choice) == known


async def test_an_inverter_looked_at_with_another_map_is_not_changed_with_it() -> None:
    unit = make_unit(5001, serial=UNKNOWN_SERIAL)
    known = await identify(unit)
    unit.holding.update(STARTING)
    later = (await identify(unit, profile="sph")).after(known, "sph")
    assert later.family is Family.MOD_TL3_X
    assert later.profile == "sph"
    assert not later.knows_settings


async def test_what_is_found_with_more_certainty_counts() -> None:
    unit = unknown_unit()
    known = await identify(unit)
    unit.holding[43] = 3502
    found = await identify(unit)
    assert found.after(known, None) == found


def test_equipment_of_another_map_is_not_kept() -> None:
    hybrid = Identification(
        serial_number=SERIAL,
        family=Family.MOD_TL3_X,
        profile="min_tl_xh",
        model="Any",
        battery=True,
        modules=2,
    )
    own = hybrid.read_with(None)
    found = replace(own, battery=False, modules=0)
    assert found.with_equipment_of(hybrid) == found
    assert found.with_equipment_of(own) == own


def test_an_off_grid_model_is_never_read_with_another_map() -> None:
    spf = Identification(
        serial_number=SERIAL, family=Family.SPF, profile="spf", model="Any"
    )
    assert spf.read_with("sph") is spf


def test_an_inverter_guessed_by_an_earlier_version_stays_guessed() -> None:
    stored = Identification(
        serial_number=SERIAL, family=Family.SPH, profile="sph", model="Any"
    ).to_json()
    del stored["certainty"]
    assert Identification.from_json(stored).certainty is Certainty.NAMED
    stored["guessed"] = True
    assert Identification.from_json(stored).certainty is Certainty.GUESSED


# -- where it must show who it is -----------------------------------------------------------------


async def test_an_inverter_shows_who_it_is_where_it_was_found() -> None:
    long = await identify(make_unit(3502, long_serial=LONG_SERIAL))
    assert identity_place(long) == (209, 15)
    assert identity_place(await identify(make_unit(3502))) == (23, 5)
    assert identity_place(await identify(make_unit(210))) == (23, 5)


async def test_a_hybrid_shows_who_it_is_at_3001_or_is_not_changed() -> None:
    assert identity_place(await identify(make_unit(serial_3000=None))) == (3001, 15)


# -- the owner's choice ---------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("code", [5100, 5200, 5001, 3701, 210, 3502])
async def test_the_owners_choice_of_a_map_overrides_what_was_found(
    code: int, profile: str
) -> None:
    identified = await identify(make_unit(code), profile=profile)
    assert identified.profile == profile
    assert identified.family is await _found(code)
    assert Evidence("owner", profile, "chosen by the owner") in identified.evidence


async def _found(code: int) -> Family:
    return await family_of(make_unit(code))


@pytest.mark.parametrize("profile", PROFILES)
async def test_the_owner_names_the_family_of_what_nothing_else_names(
    profile: str,
) -> None:
    unit = unknown_unit()
    identified = await identify(unit, profile=profile)
    assert identified.family == identified.profile == profile
    assert identified.certainty is Certainty.CHOSEN
    assert identified.knows_settings
    assert all(address < FORBIDDEN for _, address, _ in unit.requests)


async def test_another_map_than_the_inverters_own_is_for_looking_only() -> None:
    identified = await identify(make_unit(5100), profile="sph")
    assert not identified.knows_settings
    assert not (await identify(unknown_unit())).knows_settings
    assert (await identify(make_unit(5100))).knows_settings


@pytest.mark.parametrize("code", SPF_CODES)
async def test_the_owner_cannot_have_an_off_grid_model_read_with_another_map(
    code: int,
) -> None:
    unit = make_unit(code)
    identified = await identify(unit, profile="min_tl_xh")
    assert identified.profile == "spf"
    _assert_narrow(unit.requests)


# -- what cannot be used --------------------------------------------------------------------------


async def test_zeros_are_no_inverter() -> None:
    with pytest.raises(NoSerialNumberError, match=r"type code \(holding 43\): 0"):
        await identify(ScriptedUnit())


async def test_ones_are_no_inverter() -> None:
    unit = ScriptedUnit()
    unit.intercept = lambda request, words: [0xFFFF] * len(words)
    with pytest.raises(ModbusError):
        await identify(unit)


# -- off-grid models ------------------------------------------------------------------------------


@pytest.mark.parametrize("code", SPF_CODES)
async def test_an_off_grid_model_is_recognised_by_its_name_plate_alone(
    code: int,
) -> None:
    unit = make_unit(code)
    assert await family_of(unit) is Family.SPF
    _assert_narrow(unit.requests)
    assert len(unit.requests) <= MOST_REQUESTS


@pytest.mark.parametrize("code", SPF_CODES)
async def test_an_off_grid_model_is_recognised_by_input_44(code: int) -> None:
    unit = unknown_unit()
    unit.input[44] = code
    assert await family_of(unit) is Family.SPF
    assert unit.requests[:2] == [(HOLDING, 6, 39), (INPUT, 44, 1)]
    _assert_narrow(unit.requests)
    assert len(unit.requests) <= MOST_REQUESTS


@pytest.mark.parametrize("prefix", ["NFR", "YRE", "TTJ", "BNJ", "KAM", "NUK"])
async def test_an_off_grid_model_is_recognised_by_its_serial_number(
    prefix: str,
) -> None:
    unit = unknown_unit(serial=f"{prefix}0CE1234")
    assert await family_of(unit) is Family.SPF
    assert unit.requests[:2] == [(HOLDING, 6, 39), (INPUT, 44, 1)]
    _assert_narrow(unit.requests)
    assert len(unit.requests) <= MOST_REQUESTS


@pytest.mark.parametrize("prefix", ["067", "113", "500", "040"])
async def test_an_off_grid_model_is_recognised_by_its_firmware(prefix: str) -> None:
    unit = unknown_unit(firmware=f"{prefix}.02")
    assert await family_of(unit) is Family.SPF
    assert unit.requests[:2] == [(HOLDING, 6, 39), (INPUT, 44, 1)]
    _assert_narrow(unit.requests)
    assert len(unit.requests) <= MOST_REQUESTS


words_16 = st.one_of(
    st.integers(0, 0xFFFF), st.sampled_from((0, 0xFFFF, 0x3030, 0x4142))
)
ascii_words = st.integers(0x30, 0x5A).flatmap(
    lambda high: st.integers(0x30, 0x5A).map(lambda low: high << 8 | low)
)
addresses_asked = st.sampled_from(
    (
        *range(6, 45),
        *range(59, 80),
        *range(180, 224),
        *(1013, 1014, 8093, 8095, 30099),
        *range(3001, 3016),
        *range(3087, 3106),
        *(3118, 3171, 3323, 3200, FORBIDDEN),
    )
)
contents = st.dictionaries(addresses_asked, words_16 | ascii_words, max_size=60)
codes = st.sampled_from((*DEVICE_TYPE_CODES, 0, UNKNOWN_CODE, 101, 3499))
serials = st.sampled_from((*SERIAL_PREFIXES, "QQQ", "")).map(
    lambda it: f"{it}1234567"[:9]
)
firmwares = st.sampled_from((*FIRMWARE_PREFIXES, "qq", "Z9")).map(
    lambda it: f"{it}.0"[:6]
)
errors = st.sampled_from(
    (
        IllegalDataAddressError(),
        ModbusTimeoutError(),
        ModbusProtocolError("bad"),
        ModbusConnectionError("down"),
    )
)


@st.composite
def units(draw: st.DrawFn) -> ScriptedUnit:
    """Return a unit with a name plate of parts that need not fit, and random words."""
    unit = ScriptedUnit()
    if draw(st.booleans()):
        unit = make_unit(
            draw(codes),
            serial=draw(serials),
            firmware=draw(firmwares),
            long_serial=draw(st.none() | serials),
            serial_3000=draw(st.none() | serials),
            battery=draw(st.booleans()),
        )
    unit.holding.update(draw(contents))
    unit.input.update(draw(contents))
    if draw(st.booleans()):
        unit.input[44] = draw(codes)
    return unit


owners_choice = st.none() | st.sampled_from(tuple(PROFILES))


def charged_stranger() -> ScriptedUnit:
    """Return the unit that takes the most requests."""
    unit = unknown_unit()
    unit.input[3171] = 50
    return unit


def old_mic() -> ScriptedUnit:
    """Return the unit that takes the most when it is read as a hybrid."""
    return make_unit(0, serial="WVN0CE1234", serial_3000=None)


def charged_v3() -> ScriptedUnit:
    """Return what the type code says is of the old protocol, but has a battery."""
    unit = make_unit(101, serial=UNKNOWN_SERIAL, battery=True)
    unit.input.update({1013: 520, 1014: 60})
    return unit


@settings(max_examples=200)
@example(charged_stranger(), None)
@example(old_mic(), "min_tl_xh")
@example(charged_v3(), "min_tl_xh")
@example(charged_v3(), "sph")
@given(units(), owners_choice)
async def test_whatever_is_answered_few_requests_are_made_and_none_is_harmful(
    unit: ScriptedUnit, profile: str | None
) -> None:
    identified = None
    with suppress(IdentificationError, ModbusProtocolError):
        identified = await identify(unit, profile=profile)
    _assert_harmless(unit)
    if identified is None or all(
        item.meaning != "not answered" for item in identified.evidence
    ):
        assert len(unit.requests) <= MOST_REQUESTS + (profile is not None)
    if identified is not None and profile is None:
        assert identified.family == identified.profile


@settings(max_examples=200)
@given(units(), owners_choice, st.lists(st.none() | errors, max_size=12))
async def test_whatever_gets_lost_no_harmful_request_is_made(
    unit: ScriptedUnit, profile: str | None, losses: list[Exception | None]
) -> None:
    unit.losses = list(losses)
    try:
        identified = await identify(unit, profile=profile)
    except IdentificationError, ModbusError:
        pass
    else:
        assert identified.serial_number
    _assert_harmless(unit)


def _assert_harmless(unit: ScriptedUnit) -> None:
    """Check that nothing was asked that the unit, as its name plate has it, cannot bear."""
    code = unit.holding.get(43, 0)
    assert isinstance(code, int)
    model = DEVICE_TYPE_CODES.get(code)
    is_narrow = (
        code in V3_CODES
        or code in OFF_GRID_CODES
        or (model is not None and model.family in NARROW)
    )
    for _, address, count in unit.requests:
        if address >= FORBIDDEN:
            assert model is not None
            assert not is_narrow
            assert count == 1
        assert count <= 125
        # Within a group of 125 words.
        assert address // 125 == (address + count - 1) // 125
    if is_narrow:
        _assert_narrow(unit.requests)


def _assert_narrow(requests: list[Request]) -> None:
    """Check that all requests suit the older protocols."""
    for _, address, count in requests:
        assert address + count <= FORBIDDEN
        assert address // 45 == (address + count - 1) // 45


# -- bridges and links ----------------------------------------------------------------------------


@pytest.mark.parametrize("most", [5, 8, 15, 19, 30])
async def test_a_bridge_that_refuses_long_answers_is_asked_in_pieces(
    most: int,
) -> None:
    unit = make_unit(battery=True)

    def short_only(request: Request, words: list[int]) -> list[int]:
        if request[2] > max(most, 6):
            raise IllegalDataAddressError
        return words

    unit.intercept = short_only
    identified = await identify(unit)
    assert identified.family is Family.MIN_TL_XH
    assert identified.serial_number == (LONG_SERIAL if most >= 15 else SERIAL)
    assert identified.firmware == "AL1.0 / ZAba-0029"
    assert identified.rated_power == 6000
    assert identified.battery


async def test_a_bridge_that_cuts_answers_is_asked_in_pieces() -> None:
    unit = make_unit(battery=True)
    unit.intercept = lambda request, words: words[:20]
    identified = await identify(unit)
    assert identified.serial_number == LONG_SERIAL
    assert identified.battery_serial == BATTERY_SERIAL
    # Garbled once may be an accident; twice is the bridge.
    assert unit.requests[2:6] == [
        (HOLDING, 43, 2),
        (HOLDING, 23, 5),
        (HOLDING, 9, 6),
        (HOLDING, 6, 2),
    ]
    # It is not asked for a long answer again.
    assert all(count <= 20 for _, _, count in unit.requests[2:])


async def test_a_bridge_that_loses_only_very_long_answers_is_asked_for_the_plates() -> (
    None
):
    unit = make_unit(battery=True)

    def lossy(request: Request, words: list[int]) -> list[int]:
        if request[2] > 50:
            raise ModbusTimeoutError
        return words

    unit.intercept = lossy
    identified = await identify(unit)
    assert identified.serial_number == LONG_SERIAL
    assert identified.battery_serial == BATTERY_SERIAL


@pytest.mark.parametrize(
    "error",
    [ModbusTimeoutError(), GatewayTargetError(), ModbusConnectionError("down")],
)
async def test_silence_and_a_link_that_is_down_are_passed_on(
    error: ModbusError,
) -> None:
    unit = make_unit()
    unit.fail_requests(error)
    with pytest.raises(type(error)):
        await identify(unit)
    asked = [(HOLDING, 6, 39), (HOLDING, 43, 2)]
    assert (
        unit.requests == asked[: 1 if isinstance(error, ModbusConnectionError) else 2]
    )


async def test_silence_while_asking_in_pieces_is_passed_on() -> None:
    unit = make_unit()
    unit.losses = [IllegalDataAddressError(), None, ModbusTimeoutError()]
    with pytest.raises(ModbusTimeoutError):
        await identify(unit)


@pytest.mark.parametrize("place", range(1, 5))
async def test_a_link_that_goes_down_ends_the_identification(place: int) -> None:
    unit = make_unit(battery=True)
    unit.losses = [*[None] * place, ModbusConnectionError("down")]
    with pytest.raises(ModbusConnectionError):
        await identify(unit)
    assert len(unit.requests) == place + 1


# -- storing --------------------------------------------------------------------------------------

printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))
identifications = st.builds(
    Identification,
    serial_number=printable,
    family=st.sampled_from(Family),
    profile=st.sampled_from(tuple(PROFILES)),
    model=printable,
    firmware=printable,
    strings=st.integers(1, 4),
    phases=st.integers(1, 3),
    rated_power=st.none() | st.integers(100, 10**6).map(lambda deci: deci / 10),
    battery=st.booleans(),
    battery_serial=st.none() | printable,
    battery_code=st.none() | printable,
    battery_firmware=st.none() | printable,
    modules=st.integers(0, 64),
    meter=st.booleans(),
    backup_box=st.booleans(),
    monitored_strings=st.sampled_from((0, 8, 16)),
    vpp=st.booleans(),
    serial_place=st.none() | st.sampled_from((23, 209, 3001)),
    certainty=st.sampled_from(Certainty),
    evidence=st.lists(st.builds(Evidence, printable, printable, printable)).map(tuple),
)


@given(identifications)
def test_an_identification_survives_being_stored_as_json(
    identified: Identification,
) -> None:
    stored = json.loads(json.dumps(identified.to_json()))
    loaded = Identification.from_json(stored)
    assert loaded == identified
    assert loaded.evidence == identified.evidence
    assert loaded.to_json() == identified.to_json()
    assert isinstance(loaded.family, Family)
    assert set(stored) == {field.name for field in fields(Identification)}


def test_what_other_versions_stored_is_ignored_or_left_at_its_default() -> None:
    stored = {
        "serial_number": SERIAL,
        "family": "min_tl_xh",
        "profile": "min_tl_xh",
        "model": "MIN 6000TL-XH",
        "colour": "white",
    }
    loaded = Identification.from_json(stored)
    assert loaded.serial_number == SERIAL
    assert loaded.family is Family.MIN_TL_XH
    assert loaded.strings == 2
    assert loaded.meter
    assert loaded.evidence == ()


def test_evidence_makes_no_difference() -> None:
    """Answers such as a clock must not look like another inverter."""
    one = Identification(serial_number="1", family=Family.SPH, profile="x", model="y")
    other = Identification(
        serial_number="1",
        family=Family.SPH,
        profile="x",
        model="y",
        evidence=(Evidence("a", "b", "c"),),
    )
    assert one == other


def test_a_text_that_fits_is_put_where_it_belongs() -> None:
    unit = ScriptedUnit()
    put_text(unit, 23, 5, "AB")
    assert unit.holding == {23: 0x4142, 24: 0, 25: 0, 26: 0, 27: 0}
