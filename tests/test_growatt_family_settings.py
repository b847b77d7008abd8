"""Settings and time slots of every Growatt family, through Home Assistant and read back by pymodbus.

Words are those of the documents, written out: nothing here is encoded by the integration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Final

import pytest

from custom_components.local_solar.growatt.models import Certainty
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import device_registry as dr
from simulators.datasets import Table

from .common import coordinator_of
from .growatt_helpers import NAMES, WRITING_ON, Home, home_with, set_slot
from .writing_helpers import act, ask, control_of, device_of, issues, refused, shown

pytestmark = pytest.mark.usefixtures(
    "socket_enabled", "no_pauses", "settled", "unrationed"
)

CONTROLS: Final = ("number", "select", "switch", "time", "button")


# -- settings -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A setting, its control and holding register, a new value and the word that is it."""

    key: str
    control: str
    address: int
    value: float | bool | str
    word: int
    limits: tuple[float, float] | None = None
    back: int | None = None
    """The word after the old value was set again, if that is not the old one."""

    @property
    def state(self) -> str:
        """What the control shows then."""
        if isinstance(self.value, bool):
            return "on" if self.value else "off"
        return str(self.value)


def _percent(key: str, address: int, low: float = 0) -> Change:
    return Change(key, "number", address, 55, 55, (low, 100))


def _switch(key: str, address: int) -> Change:
    return Change(key, "switch", address, True, 1)


_ON: Final = Change("on_off", "switch", 0, False, 0)
_HYBRID_ON: Final = Change("on_off", "select", 0, "inverter_off", 0)
_COMMON: Final = (
    _percent("active_power_limit", 3),
    Change("export_limit_mode", "select", 122, "ct", 3),
    Change("export_limit_rate", "number", 123, 12.5, 125, (0, 100)),
)
_PV: Final = (_ON, *_COMMON)
_OLD: Final = (
    # The high byte is the automatic start, which writing switches on.
    Change("on_off", "switch", 0, False, 0x0100, back=0x0101),
    _percent("active_power_limit", 3),
)
_HYBRID: Final = (
    _HYBRID_ON,
    *_COMMON,
    _percent("discharge_power_rate", 3036, 1),
    _percent("discharge_stop_soc", 3037, 10),
    _percent("charge_power_rate", 3047, 1),
    _percent("charge_stop_soc", 3048, 10),
    _switch("ac_charge_enable", 3049),
    _percent("on_grid_discharge_stop_soc", 3067, 10),
)
_STORAGE: Final = (
    _HYBRID_ON,
    *_COMMON,
    _percent("load_first_min_soc", 608, 10),
    _percent("discharge_power_rate", 1070),
    _percent("discharge_stop_soc", 1071, 10),
    _percent("charge_power_rate", 1090),
    _percent("charge_stop_soc", 1091, 10),
    _switch("ac_charge_enable", 1092),
)

_VPP_CONTROL: Final = _switch("vpp_control_authority", 30100)

CHANGES: Final[Mapping[str, tuple[Change, ...]]] = {
    "base_5000": (),
    "max_60000tl3": _PV,
    "min_5000tl_x": _PV,
    "mod_15000tl3_x": _PV,
    "mtls_4200": _OLD,
    "tl3s_12000": _OLD,
    "min_6000tl_xh": _HYBRID,
    "min_7600tl_xh_us": _HYBRID,
    "mod_10000tl3_xh": (*_HYBRID, _VPP_CONTROL),
    "sph_5000": (*_STORAGE, _VPP_CONTROL),
    "sph_10000tl3": _STORAGE,
    "spa_3000": _STORAGE,
    "spf_5000es": (
        Change("output_priority", "select", 1, "grid_first", 2),
        Change("charge_priority", "select", 2, "pv_only", 2),
        Change("max_charge_current", "number", 34, 50, 50, (10, 100)),
        Change("ac_charge_current", "number", 38, 30, 30, (0, 80)),
    ),
    "wit_15000": (_HYBRID_ON, *_COMMON, _VPP_CONTROL),
}
"""All everyday settings but time slots, by dataset."""


def everyday(home: Home) -> set[str]:
    """Return the keys of all everyday settings but those of time slots."""
    inverter = coordinator_of(home.entry).inverter
    return {
        row.key
        for row in inverter.rows
        if (setting := row.point.setting) is not None
        and setting.everyday
        and row.point.index is None
    }


@pytest.mark.parametrize("dataset", [name for name in NAMES if CHANGES[name]])
async def test_every_everyday_setting_is_changed_within_its_limits_and_back(
    hass: HomeAssistant, dataset: str
) -> None:
    async with home_with(hass, dataset) as home, home.peer() as peer:
        await home.let_write()
        assert everyday(home) == {change.key for change in CHANGES[dataset]}
        device = device_of(hass, home.entry)
        for change in CHANGES[dataset]:
            (old,) = await peer.holding(change.address)
            assert old != change.word, change
            read = await act(hass, "read_register", device, register=change.key)
            assert control_of(hass, home.entry, change.key).startswith(change.control)

            token = await ask(hass, home.entry, change.key, change.value)
            assert await peer.holding(change.address) == [old], change
            result = await act(hass, "confirm_write", device, token=token)
            assert result["outcome"] == "written", change
            assert await peer.holding(change.address) == [change.word], change
            assert shown(hass, home.entry, change.key) == change.state

            result = await act(
                hass,
                "set_register",
                device,
                register=change.key,
                value=read["value"],
                expected=change.value,
                confirm=True,
            )
            assert result["outcome"] == "written", change
            back = old if change.back is None else change.back
            assert await peer.holding(change.address) == [back], change
            await assert_limits_are_told(home, device, change)
        assert not issues(hass)


async def assert_limits_are_told(
    home: Home, device: dr.DeviceEntry, change: Change
) -> None:
    """Check that values beyond the limits are refused with the limits, and not sent."""
    if change.limits is None:
        return
    low, high = change.limits
    written = len(home.writes)
    for value in (low - 1, high + 1):
        err = await refused(
            act(
                home.hass,
                "set_register",
                device,
                register=change.key,
                value=value,
                confirm=True,
            )
        )
        assert isinstance(err, ServiceValidationError)
        assert err.translation_key == "value_out_of_range"
        assert f"{low:g}" in str(err)
        assert f"{high:g}" in str(err)
    assert len(home.writes) == written


# -- who may not be changed -----------------------------------------------------------


def controls(home: Home) -> list[str]:
    """Return the entities that change something."""
    return [
        state.entity_id
        for state in home.hass.states.async_all(CONTROLS)
        if state.state != STATE_UNAVAILABLE
    ]


async def options_offered(home: Home) -> set[str]:
    """Return the names of all options that the form has."""
    flow = home.hass.config_entries.options
    result = await flow.async_init(home.entry.entry_id)
    flow.async_abort(result["flow_id"])
    assert result["data_schema"] is not None
    return set(map(str, result["data_schema"].schema))


async def set_power(hass: HomeAssistant, device: dr.DeviceEntry, power: int) -> object:
    """Set the limit of the active power, and return what became of it."""
    result = await act(
        hass,
        "set_register",
        device,
        register="active_power_limit",
        value=power,
        confirm=True,
    )
    return result["outcome"]


async def test_guessed_family_offers_no_settings(hass: HomeAssistant) -> None:
    async with home_with(hass, "base_5000") as home:
        assert home.identification["certainty"] == Certainty.GUESSED
        assert "write_access" not in await options_offered(home)
        # Nor if the option is on all the same, as of an inverter that was another.
        hass.config_entries.async_update_entry(home.entry, options=WRITING_ON)
        await home.reload()
        assert everyday(home) == set()
        assert controls(home) == []
        err = await refused(set_power(hass, device_of(hass, home.entry), 55))
        assert err.translation_key == "not_a_setting"
        assert not home.writes


async def test_owner_who_names_an_unknown_model_may_change_it(
    hass: HomeAssistant,
) -> None:
    async with home_with(hass, "base_5000") as home, home.peer() as peer:
        await home.set_options(profile="tl_x_base")
        assert home.identification["certainty"] == Certainty.CHOSEN
        assert "write_access" in await options_offered(home)
        await home.set_options(profile="tl_x_base", **WRITING_ON)
        assert everyday(home) == {change.key for change in _PV}
        assert await set_power(hass, device_of(hass, home.entry), 55) == "written"
        assert await peer.holding(3) == [55]


@pytest.mark.parametrize(
    ("dataset", "profile"),
    [
        ("min_5000tl_x", "tl_x_base"),
        ("sph_5000", "sph_tl3"),
        ("min_7600tl_xh_us", "min_tl_xh"),
    ],
)
async def test_known_model_with_another_map_may_only_be_looked_at(
    hass: HomeAssistant, dataset: str, profile: str
) -> None:
    async with home_with(hass, dataset) as home:
        await home.let_write()
        assert controls(home)
        await home.set_options(profile=profile, **WRITING_ON)
        assert home.identification["profile"] == profile
        assert home.identification["certainty"] == Certainty.CODED
        assert everyday(home) == set()
        assert controls(home) == []
        err = await refused(set_power(hass, device_of(hass, home.entry), 55))
        assert err.translation_key == "not_a_setting"
        assert not home.writes


async def test_controls_are_there_as_soon_as_writing_is_switched_on(
    hass: HomeAssistant,
) -> None:
    async with home_with(hass, "spf_5000es") as home:
        await home.set_options(**WRITING_ON)
        assert home.missing() == {}


# -- time slots -----------------------------------------------------------------------

NIGHT: Final = {"start": time(3, 30), "end": time(5, 45), "enabled": True}
"""When the battery charges."""


@pytest.mark.parametrize("dataset", ["min_6000tl_xh", "mod_10000tl3_xh"])
async def test_slots_of_xh(hass: HomeAssistant, dataset: str) -> None:
    """Hour and minute in a byte each, mode from bit 13 on, bit 15 switches it on."""
    async with home_with(hass, dataset) as home, home.peer() as peer:
        await home.let_write()
        home.put(Table.HOLDING, {3038: 0x8000, 3039: 0x173B})
        err = await refused(
            set_slot(home, 2, mode="battery_first", **NIGHT, grid_charge=True)
        )
        assert err.translation_key == "slot_overlaps"
        assert "00:00–23:59" in str(err)
        assert not home.writes

        await set_slot(home, 1, enabled=False)
        assert await peer.holding(3038, 2) == [0x0000, 0x173B]
        await set_slot(home, 2, mode="battery_first", **NIGHT, grid_charge=True)
        assert await peer.holding(3040, 2) == [0xA31E, 0x052D]
        assert await peer.holding(3049) == [1]
        # It may begin when the other ends, in the second block of slots, too.
        err = await refused(
            set_slot(
                home,
                9,
                mode="grid_first",
                start=time(5, 44),
                end=time(20, 59),
                enabled=True,
            )
        )
        assert err.translation_key == "slot_overlaps"
        await set_slot(
            home,
            9,
            mode="grid_first",
            start=time(5, 45),
            end=time(20, 59),
            enabled=True,
        )
        assert await peer.holding(3058, 2) == [0xC52D, 0x143B]


async def test_slots_of_xh_us(hass: HomeAssistant) -> None:
    """Seven bits for the minute, the mode from bit 12 on, the days in the second word."""
    async with home_with(hass, "min_7600tl_xh_us") as home, home.peer() as peer:
        await home.let_write()
        err = await refused(
            set_slot(
                home, 2, mode="battery_first", days="weekend", **NIGHT, grid_charge=True
            )
        )
        assert err.translation_key == "slot_overlaps"
        await set_slot(home, 1, enabled=False)
        assert await peer.holding(3129, 2) == [0x0000, 0x2BBB]
        await set_slot(
            home, 2, mode="battery_first", days="weekend", **NIGHT, grid_charge=True
        )
        assert await peer.holding(3131, 2) == [0x919E, 0x12AD]
        assert await peer.holding(3049) == [1]
        # The same time on other days, and in another season, is free.
        await set_slot(home, 3, mode="grid_first", days="weekday", **NIGHT)
        assert await peer.holding(3133, 2) == [0xA19E, 0x02AD]
        await set_slot(home, 36, mode="anti_reflux", days="week", **NIGHT)
        assert await peer.holding(3199, 2) == [0xB19E, 0x22AD]
        # The slots of other TL-XH are not known to count here.
        written = len(home.writes)
        err = await refused(
            act(
                hass,
                "set_register",
                device_of(hass, home.entry),
                register="tou2",
                value={"enabled": True},
                confirm=True,
            )
        )
        assert err.translation_key == "not_a_setting"
        assert len(home.writes) == written


@pytest.mark.parametrize("dataset", ["sph_5000", "sph_10000tl3", "spa_3000"])
async def test_slots_of_storage_inverters(hass: HomeAssistant, dataset: str) -> None:
    """A word each for start, end and switch; a block of slots for each mode."""
    async with home_with(hass, dataset) as home, home.peer() as peer:
        await home.let_write()
        await set_slot(home, 1, mode="battery_first", **NIGHT, grid_charge=True)
        assert await peer.holding(1100, 3) == [0x031E, 0x052D, 1]
        assert await peer.holding(1092) == [1]
        for mode, slot, address in (
            ("battery_first", 4, 1017),
            ("grid_first", 1, 1080),
            ("grid_first", 6, 1032),
            ("load_first", 3, 1116),
        ):
            before = await peer.holding(address, 3)
            err = await refused(
                set_slot(
                    home,
                    slot,
                    mode=mode,
                    start=time(5, 44),
                    end=time(6, 45),
                    enabled=True,
                )
            )
            assert err.translation_key == "slot_overlaps"
            assert await peer.holding(address, 3) == before
            await set_slot(
                home, slot, mode=mode, start=time(5, 45), end=time(6, 45), enabled=True
            )
            assert await peer.holding(address, 3) == [0x052D, 0x062D, 1]
            await set_slot(home, slot, mode=mode, enabled=False)
            assert await peer.holding(address, 3) == [0x052D, 0x062D, 0]


OFF_GRID_WINDOWS: Final = (
    ("grid_output", 1, 3),
    ("grid_charge", 4, 5),
    ("battery_feed", 1, 125),
    ("battery_feed", 3, 129),
    ("grid_charge", 1, 131),
    ("grid_charge", 3, 135),
    ("second_output", 1, 142),
    ("second_output", 3, 146),
)

EVENING: Final = {"start": time(22, 15), "end": time(6, 45)}


async def test_windows_of_off_grid_inverters(hass: HomeAssistant) -> None:
    """The hour in the low byte, the minute in the high one; they may last over midnight."""
    async with home_with(hass, "spf_5000es") as home, home.peer() as peer:
        await home.let_write()
        for mode, slot, address in OFF_GRID_WINDOWS:
            await set_slot(home, slot, mode=mode, **EVENING)
            assert await peer.holding(address, 2) == [0x0F16, 0x2D06]
    assert home.unit.resets == 0


@pytest.mark.parametrize(
    ("version", "key"), [(21, "slot_hours_only"), (0, "slot_minutes_unknown")]
)
async def test_old_off_grid_firmware_gets_no_minutes(
    hass: HomeAssistant, version: int, key: str
) -> None:
    async with home_with(hass, "spf_5000es") as home, home.peer() as peer:
        await home.let_write()
        home.put(Table.HOLDING, {73: version})
        for mode, slot, address in OFF_GRID_WINDOWS:
            err = await refused(set_slot(home, slot, mode=mode, **EVENING))
            assert isinstance(err, ServiceValidationError)
            assert err.translation_key == key
            await set_slot(home, slot, mode=mode, start=time(22), end=time(6))
            assert await peer.holding(address, 2) == [22, 6]


CONTROL: Final = 30100


@pytest.mark.parametrize("dataset", ["sph_5000", "mod_10000tl3_xh", "wit_15000"])
async def test_slots_of_vpp(hass: HomeAssistant, dataset: str) -> None:
    """How many there are, then minutes of the day and a signed power for each."""
    async with home_with(hass, dataset) as home, home.peer() as peer:
        await home.let_write()
        home.put(Table.HOLDING, {CONTROL: 1})
        await set_slot(home, 1, mode="vpp", power=-20, **NIGHT)
        assert await peer.holding(30411, 7) == [1, 210, 345, 0xFFEC, 0, 0, 0]
        for minute, is_free in ((44, False), (45, True)):
            asked = {
                "mode": "vpp",
                "power": 100,
                "start": time(5, minute),
                "end": time(23, 59),
                "enabled": True,
            }
            if is_free:
                await set_slot(home, 2, **asked)
            else:
                err = await refused(set_slot(home, 2, **asked))
                assert err.translation_key == "slot_overlaps"
        assert await peer.holding(30411, 7) == [2, 210, 345, 0xFFEC, 345, 1439, 100]
        assert all(each.function == 16 for each in home.writes)
        # Those that are on are counted: the first one cannot go alone.
        err = await refused(set_slot(home, 1, mode="vpp", enabled=False))
        assert isinstance(err, ServiceValidationError)
        await set_slot(home, 2, mode="vpp", enabled=False)
        assert await peer.holding(30411) == [1]


async def test_slots_of_vpp_need_control(hass: HomeAssistant) -> None:
    async with home_with(hass, "sph_5000") as home, home.peer() as peer:
        await home.let_write()
        err = await refused(set_slot(home, 1, mode="vpp", power=-20, **NIGHT))
        assert err.translation_key == "write_refused"
        assert await peer.holding(30411, 4) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "dataset",
    ["base_5000", "max_60000tl3", "min_5000tl_x", "mod_15000tl3_x", "mtls_4200"],
)
async def test_inverter_without_a_battery_has_no_slots(
    hass: HomeAssistant, dataset: str
) -> None:
    async with home_with(hass, dataset) as home:
        hass.config_entries.async_update_entry(home.entry, options=WRITING_ON)
        await home.reload()
        err = await refused(set_slot(home, 1, **NIGHT))
        assert err.translation_key == "no_time_slots"
        assert not home.writes
