"""What can be added, and that the whole way works: from the menu to entities."""

from custom_components.local_solar.const import DOMAIN
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType

from .common import HOST, Link, entry_of, make_entry, state_of
from .flows.common import choose, go_on, more, start

WAYS = ["growatt_tcp", "growatt_rtu_tcp", "growatt_serial"]
"""To reach an inverter of Growatt."""

OTHERS = ["datalogger", "hoymiles", "outback", "gateway"]


async def test_menu_offers_all_that_can_be_added(hass: HomeAssistant) -> None:
    result = await start(hass)
    assert result["type"] is FlowResultType.MENU
    assert result["menu_options"] == [*WAYS, *OTHERS]


async def test_menu_offers_the_same_bus_when_there_is_one(
    hass: HomeAssistant, link: Link
) -> None:
    await make_entry(hass, link.units[1])
    result = await start(hass)
    assert result["menu_options"] == [
        *WAYS,
        "growatt_same_link",
        *OTHERS,
    ]


async def test_menu_for_a_move_offers_no_other_inverters_bus(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await make_entry(hass, link.units[1])
    result = await entry.start_reconfigure_flow(hass)
    assert result["type"] is FlowResultType.MENU
    assert result["menu_options"] == WAYS


async def test_adding_an_inverter_sets_it_up(hass: HomeAssistant, link: Link) -> None:
    result = await choose(hass, await start(hass), "growatt_tcp")
    result = await go_on(hass, result, {"host": HOST, "port": 502, **more()})
    await hass.async_block_till_done()

    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "Growatt MIN 6000TL-XH"
    entry = entry_of(hass)
    assert entry.domain == DOMAIN
    assert entry.state is ConfigEntryState.LOADED
    assert entry.unique_id == link.units[1].serial_number
    assert entry.data["kind"] == "growatt"
    assert entry.data["link"] == {"host": HOST, "port": 502}
    assert entry.data["unit_id"] == 1
    assert entry.data["identification"]["profile"] == "min_tl_xh"
    assert not entry.options
    assert state_of(hass, entry, "ac_power").state == "1796.0"
