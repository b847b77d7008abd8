"""What the VPP protocol lays over a family's map: consistent, and true to the facts."""

import csv
from dataclasses import replace
import json
import re
from typing import Final

import pytest

from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.inverter import Inverter
from custom_components.local_solar.growatt.masking import mask_serial_numbers
from custom_components.local_solar.growatt.profiles.catalogue import (
    PROFILES,
    every_row,
    profile_of,
    with_vpp,
)
from custom_components.local_solar.growatt.profiles.profile import Part
from custom_components.local_solar.growatt.profiles.slot_rows import EVERYDAY_SLOTS
from custom_components.local_solar.growatt.profiles.vpp import GROUPS, OVERLAY
from custom_components.local_solar.growatt.profiles.vpp_slots import VPP_SLOTS
from custom_components.local_solar.growatt.remote_power import COMMAND
from custom_components.local_solar.growatt.time_slots import (
    VPP_SLOT_COUNT,
    CountReaches,
    SlotCodec,
)
from custom_components.local_solar.modbus.codecs import Text
from custom_components.local_solar.modbus.image import RegisterImage, Space
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import Quantity, Visibility
from tests.modbus.helpers import ScriptedUnit
from tests.simulated import IDENTIFIED

from . import test_profiles as any_map
from .helpers import FACTS as FACTS_FOLDER

FACTS: Final = FACTS_FOLDER / "growatt_registers.csv"
DOCUMENTED_GROUPS: Final = FACTS_FOLDER / "growatt_groups.json"

ROWS: Final = tuple(row for section in OVERLAY for row in section.rows)

WITHOUT: Final = frozenset({"spf", "v3_pv"})
"""Maps of the older protocols: what an off-grid inverter does there is to reset."""

each_profile = pytest.mark.parametrize(
    "key", [key for key in PROFILES if key not in WITHOUT]
)

NO_SETTINGS: Final = {
    "vpp_remote_": "by the commands to the battery only",
    "vpp_clock": "the time goes on while a change waits: a command sets it",
    "vpp_eps_frequency": "must suit the appliances on it",
    "vpp_export_limit_rate": "its unit is in doubt",
    "vpp_export_fail_rate": "its unit is in doubt",
    "vpp_ac_charge_power_max": "its limits are not known",
    "vpp_demand_": "its limits are not known",
    "vpp_tou_reset": "part of writing the slots",
    "vpp_tou_count": "changes with the slots, which are written with it",
}
"""What the facts call writable and is no setting, by the beginning of its name."""

RENAMED: Final = {"vpp_status": "vpp_operating_status"}
"""Facts whose name is that of another row: holding 187 of "Protocol II"."""

NOT_STORED: Final = {30101, 30154, 30407, 30408, 30409}


@each_profile
def test_a_map_with_the_overlay_is_consistent(key: str) -> None:
    profile = profile_of(key, vpp=True)
    for check in (
        any_map.test_no_two_rows_share_a_key,
        any_map.test_every_row_lies_inside_one_group,
        any_map.test_a_setting_is_a_holding_register_that_may_be_written,
        any_map.test_numeric_settings_have_limits_that_can_be_written,
        any_map.test_a_row_that_shares_its_word_cannot_be_written_alone,
        any_map.test_a_part_lies_in_the_words_of_the_whole_it_is_written_with,
        any_map.test_settings_that_share_words_are_parts_of_one_whole_or_its_only_meaning,
        any_map.test_entities_have_what_their_platform_needs,
        any_map.test_numbered_rows_show_their_number_in_key_and_name,
        any_map.test_names_of_a_devices_entities_differ_and_are_in_sentence_case,
    ):
        check(profile)


@each_profile
def test_the_overlay_is_laid_over_the_family_s_own_map(key: str) -> None:
    own, both = profile_of(key, vpp=False), profile_of(key, vpp=True)
    assert own is PROFILES[key]
    assert profile_of(key, vpp=True) is both
    assert [*both] == [*own, *ROWS]
    assert (both.key, both.read_only) == (own.key, own.read_only)
    for space, groups in both.groups.items():
        assert groups == tuple(sorted({*own.groups[space], *GROUPS[space]}))


def test_every_map_and_the_overlay_are_gone_through_once() -> None:
    rows = list(every_row())
    assert {*ROWS} < {*rows}
    assert {row for profile in PROFILES.values() for row in profile} < {*rows}


@pytest.mark.parametrize("forbidden", [(30000, 31999), (30000, 65535)])
def test_a_map_that_forbids_these_addresses_takes_no_overlay(
    forbidden: tuple[int, int],
) -> None:
    spf = replace(PROFILES["tl_x_base"], key="spf", forbidden=(forbidden,))
    with pytest.raises(ValueError, match="spf"):
        with_vpp(spf)


@pytest.mark.parametrize("key", sorted(WITHOUT))
def test_maps_of_the_older_protocols_take_no_overlay(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        profile_of(key, vpp=True)


def test_an_overlay_for_an_unknown_map_is_refused() -> None:
    with pytest.raises(KeyError):
        profile_of("nonsense", vpp=True)


def test_most_of_it_is_for_dumps_only() -> None:
    visible = {
        row.key: row.point.visibility
        for row in ROWS
        if row.point.visibility is not Visibility.RAW
        and not row.key.startswith("vpp_tou")
    }
    slots = {
        row.key: row.point.visibility
        for row in VPP_SLOTS
        if row.point.visibility is not Visibility.RAW
    }
    assert slots == {
        f"vpp_tou{n}_{part}": Visibility.OFFERED
        for n in range(1, EVERYDAY_SLOTS + 1)
        for part in ("enabled", "start", "end", "power")
    }
    assert visible == {
        "vpp_control_authority": Visibility.SHOWN,
        "vpp_active_power_limit_dynamic": Visibility.OFFERED,
        "vpp_ac_charge": Visibility.OFFERED,
        "vpp_power_setpoint": Visibility.OFFERED,
    }


def test_what_belongs_to_a_command_is_no_setting() -> None:
    """It would go on past its time, with nobody to end it."""
    remote = [row for row in ROWS if row.address in {30407, 30408, 30409}]
    assert len(remote) == 4
    for row in remote:
        assert row.point.setting is None
        assert row.note


def test_only_what_the_document_names_is_not_stored() -> None:
    volatile = {
        row.address
        for row in ROWS
        if row.point.setting is not None and not row.point.setting.persistent
    }
    assert volatile == NOT_STORED - {30407, 30408, 30409}


def test_serial_number_of_the_overlay_is_masked() -> None:
    profile = profile_of("min_tl_xh", vpp=True)
    image = RegisterImage()
    image.store(Space.HOLDING, 30001, Text(15).encode("SNL0CE12345678AB"), 0.0)
    mask_serial_numbers(image, profile)
    words = image.get(Space.HOLDING, 30001, 15)
    assert words is not None
    assert Text(15).decode(words) == "SNL0XX00000000XX"


# -- true to the facts ----------------------------------------------------------------

needs_facts = pytest.mark.skipif(
    not FACTS.exists(), reason="the collected facts are not here"
)


def facts() -> list[dict[str, str]]:
    """Return the collected facts about the protocol."""
    with FACTS.open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["profile"] == "vpp"]


def key_of(fact: dict[str, str]) -> str:
    """Return the key of the row of a fact."""
    return RENAMED.get(fact["name"], fact["name"])


def row_of(fact: dict[str, str]) -> Register:
    """Return the row of a fact."""
    (row,) = (row for row in ROWS if row.key == key_of(fact))
    return row


@needs_facts
def test_every_fact_has_its_row() -> None:
    for fact in facts():
        row = row_of(fact)
        label = f"{fact['space']} {fact['address']} {fact['name']}"
        assert (row.space, row.address) == (fact["space"], int(fact["address"])), label
        assert {row.codec} == any_map.codecs_of(fact), label
        assert row.words == int(fact["count"]), label
        assert row.scale == float(fact["scale"]), label
        assert row.offset == (-10000 if fact["type"] == "u16pf" else 0), label
        if row.point.quantity not in (Quantity.FLAG, Quantity.TIME_OF_DAY):
            assert (row.point.unit or "") == fact["unit"], label


@needs_facts
def test_no_row_is_without_a_fact() -> None:
    known = {key_of(fact) for fact in facts()}
    # Time slots as a whole, and whether they are counted, follow from their parts.
    derived = {
        row.key for row in VPP_SLOTS if isinstance(row.codec, SlotCodec | CountReaches)
    }
    assert {row.key for row in ROWS if row.codec is not COMMAND} == known | derived
    assert len(known) == 217
    assert len(derived) == 2 * VPP_SLOT_COUNT


@needs_facts
def test_options_have_the_numbers_of_the_facts() -> None:
    for fact in facts():
        if fact["enum"]:
            options = row_of(fact).options
            assert options is not None
            assert {*options} == {int(number) for number in json.loads(fact["enum"])}


@needs_facts
def test_writing_follows_the_facts() -> None:
    for fact in facts():
        row, setting = row_of(fact), row_of(fact).point.setting
        writable = fact["access"] == "rw" and not row.key.startswith(tuple(NO_SETTINGS))
        assert (setting is not None) == writable, row.key
        if re.search("keep read-only", fact["notes"]):
            assert row.never_write, row.key
        if setting is not None and row.point.quantity is Quantity.TIME_OF_DAY:
            assert (fact["min"], fact["max"], fact["step"]) == ("0", "1440", "1")
        elif setting is not None and row.options is None:
            assert setting.minimum == float(fact["min"]), row.key
            assert setting.maximum == float(fact["max"]), row.key
            assert setting.step == float(fact["step"]), row.key
        if setting is not None:
            assert setting.persistent == (row.address not in NOT_STORED), row.key


@needs_facts
def test_sections_of_the_document_are_kept() -> None:
    documented = json.loads(DOCUMENTED_GROUPS.read_text("utf-8"))["vpp"]
    for space in Space:
        assert GROUPS[space] == tuple(map(tuple, documented[space.value]))


def test_clusters_beyond_the_first_are_the_same_a_hundred_further_on() -> None:
    clusters = {
        n: [
            row
            for section in OVERLAY
            if section.part is Part.VPP_CLUSTER
            for row in section.rows
            if row.point.index == n
        ]
        for n in (2, 3, 4)
    }
    for n, rows in clusters.items():
        assert [row.address for row in rows] == [
            row.address + 100 * (n - 2) for row in clusters[2]
        ]
        assert len(rows) == 13


# -- of an inverter -------------------------------------------------------------------


def keys_of(identified: Identification) -> dict[str, set[str]]:
    """Return the VPP keys of an inverter, by the kind of its devices."""
    inverter = Inverter(ScriptedUnit(), identified, spacing=0.0)
    return {
        device.identity.kind: {
            point.key for point in device.points if point.key.startswith("vpp_")
        }
        for device in inverter.devices
    }


def test_rows_belong_to_the_devices_that_they_are_about() -> None:
    keys = keys_of(replace(IDENTIFIED, vpp=True))
    assert {"vpp_meter_power", "vpp_control_authority"} <= keys["inverter"]
    assert {"vpp_battery_power", "vpp_remote_power"} <= keys["battery"]
    assert "vpp_pv2_voltage" in keys["inverter"]
    assert "vpp_pv3_voltage" not in keys["inverter"]
    assert "vpp_grid_current_l2" not in keys["inverter"]
    assert not any("battery2" in key for key in keys["battery"])


def test_an_inverter_without_the_protocol_has_none_of_its_rows() -> None:
    keys = keys_of(IDENTIFIED)
    assert keys["inverter"] == {"vpp_status"}  # holding 187
    assert not keys["battery"]
