"""Every Growatt family in Home Assistant, from the form to the unloading, on a living inverter."""

from collections.abc import Mapping
import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest
from syrupy.assertion import SnapshotAssertion

from custom_components.local_solar.growatt.models import Certainty
from homeassistant.components.event import ATTR_EVENT_TYPE
from homeassistant.components.sensor import ATTR_STATE_CLASS
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from simulators.datasets import Table

from .common import ROOT, coordinator_of
from .growatt_helpers import LATE_MORNING, NAMES, Home, home_with
from .writing_helpers import act, device_of, issues

pytestmark = pytest.mark.usefixtures("socket_enabled", "no_pauses")

FACTS: Final = ROOT.parent / "shared" / "facts" / "growatt_registers.csv"

MOST_REQUESTS: Final = 6
"""So many an identification may take."""

TO_EVENING: Final = 12 * 3600
"""Seconds from the morning to when the house lives on the battery."""


# -- who it is ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an entry must keep of an inverter."""

    family: str
    model: str
    strings: int = 2
    phases: int = 1
    battery: bool = False
    vpp: bool = False
    certainty: Certainty = Certainty.CODED


IDENTITIES: Final[Mapping[str, Identity]] = {
    "base_5000": Identity(
        family="tl_x_base", model="inverter (5000 VA)", certainty=Certainty.GUESSED
    ),
    "max_60000tl3": Identity(
        family="max_tl3", model="MAX 60000 TL3 LV", strings=6, phases=3
    ),
    "min_5000tl_x": Identity(family="min_tl_x", model="MIN 5000TL-X"),
    "min_6000tl_xh": Identity(family="min_tl_xh", model="MIN 6000TL-XH", battery=True),
    "min_7600tl_xh_us": Identity(
        family="min_tl_xh_us",
        model="MIN 7600TL-XH-US (Split Phase)",
        strings=3,
        battery=True,
    ),
    "mod_10000tl3_xh": Identity(
        family="mod_tl3_xh",
        model="MOD 10000 TL3-XH",
        phases=3,
        battery=True,
        vpp=True,
    ),
    "mod_15000tl3_x": Identity(family="mod_tl3_x", model="MOD 15000 TL3-X", phases=3),
    "mtls_4200": Identity(family="v3_pv", model="MIC 2500-5500MTL-S (4200 VA)"),
    "spa_3000": Identity(
        family="spa", model="SPA 3000TL BL (3000 VA)", strings=0, battery=True
    ),
    "spf_5000es": Identity(family="spf", model="SPF 5000 ES", strings=1, battery=True),
    "sph_10000tl3": Identity(
        family="sph_tl3",
        model="SPH 4-10KTL3 BH-UP (10000 VA)",
        phases=3,
        battery=True,
    ),
    "sph_5000": Identity(family="sph", model="SPH 5000", battery=True, vpp=True),
    "tl3s_12000": Identity(family="v3_pv", model="12000 TL3-S (12000 VA)", phases=3),
    "wit_15000": Identity(
        family="wit", model="WIT 15K-HU", phases=3, battery=True, vpp=True
    ),
}


def requests_of_the_form(home: Home) -> int:
    """Return how many requests the form took: setting up asks the same once more."""
    asked = [
        (each.function, each.address, each.count) for each in home.simulator.requests
    ]
    return asked.index(asked[0], 1)


def test_every_dataset_has_an_identity() -> None:
    assert tuple(sorted(IDENTITIES)) == NAMES


@pytest.mark.parametrize("dataset", NAMES)
async def test_family_works_from_the_form_to_the_unloading(
    hass: HomeAssistant, snapshot: SnapshotAssertion, dataset: str
) -> None:
    expected = IDENTITIES[dataset]
    async with home_with(hass, dataset) as home:
        found = home.identification
        assert found["profile"] == found["family"] == expected.family
        assert {
            key: found[key]
            for key in ("model", "strings", "phases", "battery", "vpp", "certainty")
        } == {
            "model": expected.model,
            "strings": expected.strings,
            "phases": expected.phases,
            "battery": expected.battery,
            "vpp": expected.vpp,
            "certainty": expected.certainty,
        }
        assert requests_of_the_form(home) <= MOST_REQUESTS
        assert not issues(hass)
        assert_devices(home, expected)
        assert table(home) == snapshot
        assert home.missing() == {}
        assert home.state("connected").state == STATE_ON
        assert_plausible(home)
        if expected.battery and expected.family != "wit":
            power = home.number("battery_power")
            assert power is not None
            assert power > 0
            charged = home.number("battery_charge_power")
            assert charged in (None, power)

        assert await hass.config_entries.async_unload(home.entry.entry_id)
        await hass.async_block_till_done()
        assert home.entry.state is ConfigEntryState.NOT_LOADED
        await home.simulator.async_wait_until_alone()
        assert {state.state for state in hass.states.async_all()} == {STATE_UNAVAILABLE}


@pytest.mark.parametrize(
    "dataset", [name for name, each in IDENTITIES.items() if each.vpp]
)
async def test_end_of_a_command_is_known_after_the_first_refresh(
    hass: HomeAssistant, dataset: str
) -> None:
    async with home_with(hass, dataset) as home:
        assert home.missing() == {}


async def test_unknown_model_names_its_maker_once(hass: HomeAssistant) -> None:
    async with home_with(hass, "base_5000") as home:
        assert home.entry.title.count("Growatt") == 1


def assert_devices(home: Home, expected: Identity) -> None:
    """Check that the devices have names, and the battery its inverter."""
    inverter = device_of(home.hass, home.entry)
    assert expected.model in str(inverter.name)
    assert inverter.model == expected.model
    assert inverter.sw_version
    devices = dr.async_entries_for_config_entry(
        dr.async_get(home.hass), home.entry.entry_id
    )
    assert len(devices) == 1 + expected.battery
    if expected.battery:
        battery = device_of(home.hass, home.entry, battery=True)
        assert str(battery.name).endswith("battery")
        assert battery.via_device_id == inverter.id


def assert_plausible(home: Home) -> None:
    """Check that powers add up: what the strings and the battery give is the output."""
    pv = home.number("pv_power") or 0
    battery = home.number("battery_power")
    output = home.number("ac_power")
    if output is None:
        # An off-grid inverter lets the grid through to its output.
        output = home.number("ac_output_power")
        pv += home.number("ac_input_power") or 0
    assert output is not None
    # A WIT does not say what its battery gives.
    if battery is not None or not has_battery(home):
        assert pv - (battery or 0) == pytest.approx(output, rel=0.1)
    bought, sold = home.number("grid_import_power"), home.number("grid_export_power")
    if bought is not None and sold is not None:
        assert home.number("grid_power") == pytest.approx(bought - sold, abs=0.05)


@pytest.mark.parametrize(
    "dataset",
    [
        name
        for name, each in IDENTITIES.items()
        # Which sign of a WIT's battery is charging is not known.
        if each.battery and each.family != "wit"
    ],
)
async def test_battery_power_is_negative_while_the_house_lives_on_it(
    hass: HomeAssistant, dataset: str
) -> None:
    async with home_with(hass, dataset) as home:
        home.simulator.clock.advance(TO_EVENING)
        await home.poll()
        assert_plausible(home)
        power = home.number("battery_power")
        assert power is not None
        assert power < 0


@pytest.mark.parametrize("dataset", NAMES)
async def test_all_that_is_offered_can_be_shown(
    hass: HomeAssistant, all_entities_enabled: None, dataset: str
) -> None:
    async with home_with(hass, dataset) as home:
        await home.poll()
        assert not coordinator_of(home.entry).failed
        assert list(home.missing()) == []


# -- entities -------------------------------------------------------------------------


def table(home: Home) -> str:
    """Return the entities: id, device, whether it is enabled, unit, state class."""
    battery = (
        device_of(home.hass, home.entry, battery=True) if has_battery(home) else None
    )
    rows = [
        (
            entity.entity_id,
            "battery" if battery and entity.device_id == battery.id else "inverter",
            "off" if entity.disabled_by else "on",
            entity.unit_of_measurement or "-",
            (entity.capabilities or {}).get(ATTR_STATE_CLASS) or "-",
        )
        for entity in home.entities
    ]
    return "\n".join(" ".join(row) for row in rows)


def has_battery(home: Home) -> bool:
    """Return whether there is a battery behind the inverter."""
    return bool(home.identification["battery"])


# -- values, as another program reads them --------------------------------------------


@dataclass(frozen=True, slots=True)
class Peek:
    """Where the documents have a value: input register, words, signed or not, scale."""

    key: str
    address: int
    words: int
    scale: float
    signed: bool = False


def _base(*, signed: bool = False) -> tuple[Peek, ...]:
    return (
        Peek("pv_power", 1, 2, 0.1),
        Peek("pv1_power", 5, 2, 0.1),
        Peek("ac_power", 35, 2, 0.1, signed),
        Peek("grid_l1_voltage", 38, 1, 0.1),
        Peek("energy_today", 53, 2, 0.1),
        Peek("energy_total", 55, 2, 0.1),
        Peek("inverter_temperature", 93, 1, 0.1, signed=True),
    )


_STORAGE: Final = (
    Peek("battery_charge_power", 1011, 2, 0.1),
    Peek("battery_voltage", 1013, 1, 0.1),
    Peek("battery_soc", 1014, 1, 1),
    Peek("load_power", 1037, 2, 0.1),
)

_SOLD: Final = Peek("grid_export_power", 1029, 2, 0.1, signed=True)

_AT_3000: Final = (
    Peek("pv_power", 3001, 2, 0.1),
    Peek("pv1_power", 3005, 2, 0.1),
    Peek("ac_power", 3023, 2, 0.1),
    Peek("grid_l1_voltage", 3026, 1, 0.1),
    Peek("energy_today", 3049, 2, 0.1),
    Peek("energy_total", 3051, 2, 0.1),
    Peek("inverter_temperature", 3093, 1, 0.1, signed=True),
)

_HYBRID: Final = (
    *(replace(peek, signed=peek.signed or peek.key == "ac_power") for peek in _AT_3000),
    Peek("grid_export_power", 3043, 2, 0.1),
    Peek("load_power", 3045, 2, 0.1),
    Peek("battery_soc", 3171, 1, 1),
    Peek("battery_charge_power", 3180, 2, 0.1),
)

PEEKS: Final[Mapping[str, tuple[Peek, ...]]] = {
    "v3_pv": (
        Peek("pv_power", 1, 2, 0.1),
        Peek("pv1_power", 5, 2, 0.1),
        Peek("ac_power", 11, 2, 0.1),
        Peek("grid_l1_voltage", 14, 1, 0.1),
        Peek("energy_today", 26, 2, 0.1),
        Peek("energy_total", 28, 2, 0.1),
        Peek("inverter_temperature", 32, 1, 0.1, signed=True),
    ),
    "tl_x_base": _base(),
    "min_tl_x": _AT_3000,
    "min_tl_xh": _HYBRID,
    "min_tl_xh_us": _HYBRID,
    "mod_tl3_x": _base(),
    "mod_tl3_xh": _HYBRID,
    "sph": (*_base(signed=True), *_STORAGE, _SOLD),
    "sph_tl3": (*_base(signed=True), *_STORAGE, _SOLD),
    "spa": (
        Peek("ac_power", 2035, 2, 0.1, signed=True),
        Peek("grid_l1_voltage", 2038, 1, 0.1),
        Peek("energy_today", 2053, 2, 0.1),
        Peek("energy_total", 2055, 2, 0.1),
        Peek("inverter_temperature", 2093, 1, 0.1, signed=True),
        *_STORAGE,
    ),
    "spf": (
        Peek("pv1_power", 3, 2, 0.1),
        Peek("battery_voltage", 17, 1, 0.01),
        Peek("battery_soc", 18, 1, 1),
        Peek("inverter_temperature", 25, 1, 0.1, signed=True),
        # The register is positive while the battery discharges.
        Peek("battery_power", 77, 2, -0.1, signed=True),
    ),
    "max_tl3": _base(),
    "wit": (
        *_base(signed=True),
        Peek("load_power", 8079, 2, 0.1, signed=True),
        Peek("grid_export_power", 8083, 2, 0.1, signed=True),
        Peek("battery_soc", 8093, 1, 1),
    ),
}


@pytest.mark.parametrize("dataset", NAMES)
async def test_values_are_what_another_program_reads(
    hass: HomeAssistant, dataset: str
) -> None:
    async with (
        home_with(hass, dataset, at=LATE_MORNING) as home,
        home.peer() as peer,
    ):
        device = device_of(hass, home.entry)
        for peek in PEEKS[IDENTITIES[dataset].family]:
            words = await peer.input(peek.address, peek.words)
            raw = int.from_bytes(
                b"".join(word.to_bytes(2) for word in words), signed=peek.signed
            )
            assert raw, f"{peek} shows nothing"
            value = pytest.approx(raw * peek.scale, abs=1e-6)
            read = await act(hass, "read_register", device, register=peek.key)
            assert read["value"] == value, peek
            assert home.number(peek.key) in (None, value), peek


@pytest.mark.skipif(
    not FACTS.exists(), reason="the table of facts is not part of the repository"
)
def test_places_of_values_are_those_of_the_facts() -> None:
    places = documented(FACTS)
    for family, peeks in PEEKS.items():
        # The split-phase model has the map of TL-XH, and a schedule of its own.
        like = "min_tl_xh" if family == "min_tl_xh_us" else family
        for peek in peeks:
            kind = ("s" if peek.signed else "u") + str(16 * peek.words)
            place = (str(peek.address), str(peek.words), kind, abs(peek.scale))
            assert place in places[like], (family, peek)


def documented(path: Path) -> Mapping[str, set[tuple[str, str, str, float]]]:
    """Return address, words, type and scale of all input registers of each family."""
    places: dict[str, set[tuple[str, str, str, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["space"] == "input" and row["scale"]:
                places.setdefault(row["profile"], set()).add(
                    (row["address"], row["count"], row["type"], float(row["scale"]))
                )
    return places


# -- alarms ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Words in the input registers of an inverter, and what they say."""

    words: Mapping[int, int]
    says: str
    code: int
    shown: Mapping[str, str]
    """States of other entities."""


def _at(address: int, warning_at: int) -> tuple[Trouble, Trouble]:
    """Return a fault and a warning of Protocol II."""
    return (
        Trouble(
            words={address: 302},
            says="Grid missing",
            code=302,
            shown={"fault": "no_grid"},
        ),
        Trouble(
            words={warning_at: 401},
            says="Meter not normal",
            code=401,
            shown={"warning": "meter"},
        ),
    )


_OLD: Final = (
    Trouble(words={40: 25}, says="Grid missing", code=25, shown={"fault": "no_grid"}),
    Trouble(
        words={64: 1 << 6},
        says="Surge arrester out of order",
        code=106,
        shown={"warning": "surge_arrester"},
    ),
)

TROUBLES: Final[Mapping[str, tuple[Trouble, ...]]] = {
    "mtls_4200": _OLD,
    "tl3s_12000": _OLD,
    "base_5000": _at(105, 112),
    "max_60000tl3": _at(105, 112),
    "mod_15000tl3_x": _at(105, 112),
    "wit_15000": _at(105, 112),
    "sph_5000": _at(105, 112),
    "sph_10000tl3": _at(105, 112),
    "min_5000tl_x": _at(3105, 3106),
    "min_6000tl_xh": _at(3105, 3106),
    "min_7600tl_xh_us": _at(3105, 3106),
    "mod_10000tl3_xh": _at(3105, 3106),
    "spa_3000": (
        Trouble(
            words={2000: 3},
            says="Fault without a code",
            code=0,
            shown={"status": "fault"},
        ),
    ),
    "spf_5000es": (
        Trouble(
            words={0: 3, 42: 7},
            says="Output overloaded",
            code=7,
            shown={"status": "fault"},
        ),
        Trouble(
            words={41: 1 << 2, 43: 4},
            says="Battery voltage too low",
            code=4,
            shown={"warning": "battery_voltage_low"},
        ),
    ),
}


@pytest.mark.parametrize("dataset", NAMES)
async def test_alarms_are_told_in_words(hass: HomeAssistant, dataset: str) -> None:
    async with home_with(hass, dataset) as home:
        await home.poll()
        assert home.state("problem").state == STATE_OFF
        for trouble, kind in zip(TROUBLES[dataset], ("fault", "warning"), strict=False):
            before = {
                address: home.simulator.word(1, "input", address)
                for address in trouble.words
            }
            home.put(Table.INPUT, trouble.words)
            await home.poll()
            event = home.state("alarms").attributes
            assert event[ATTR_EVENT_TYPE] == kind
            assert (event["code"], event["text"]) == (trouble.code, trouble.says)
            is_problem = STATE_ON if kind == "fault" else STATE_OFF
            assert home.state("problem").state == is_problem
            for key, shown in trouble.shown.items():
                assert home.state(key).state == shown

            home.put(Table.INPUT, before)
            await home.poll()
            assert home.state("alarms").attributes[ATTR_EVENT_TYPE] == "cleared"
            assert home.state("problem").state == STATE_OFF


# -- night ----------------------------------------------------------------------------


TO_NIGHT: Final = 15 * 3600
TO_NEXT_DAY: Final = 10 * 3600


@pytest.mark.parametrize("dataset", ["mtls_4200", "tl3s_12000", "max_60000tl3"])
async def test_inverter_without_a_battery_sleeps_at_night(
    hass: HomeAssistant, dataset: str
) -> None:
    async with home_with(hass, dataset, sleeps=True) as home:
        counted = home.number("energy_total")
        home.simulator.clock.advance(TO_NIGHT)
        await home.poll()
        assert home.state("connected").state == STATE_OFF
        assert home.state("ac_power").state == STATE_UNAVAILABLE
        assert home.state("status").state == STATE_UNAVAILABLE
        assert home.number("energy_total") == counted
        assert not issues(hass)

        # So it is after a restart in the night, too: who it is is known.
        await home.reload()
        assert home.entry.state is ConfigEntryState.LOADED
        assert home.identification["family"] == IDENTITIES[dataset].family
        assert home.state("connected").state == STATE_OFF
        assert home.state("ac_power").state == STATE_UNAVAILABLE

        home.simulator.clock.advance(TO_NEXT_DAY)
        await home.poll()
        assert home.state("connected").state == STATE_ON
        assert home.missing() == {}
        assert (home.number("ac_power") or 0) > 0
        assert (home.number("energy_total") or 0) >= (counted or 0)
