"""Options of a gateway: who may do what, how the bus is treated, and what is refused."""

from typing import Any, Final

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.gateway.policy import (
    Policy,
    Span,
    is_in,
    parse_network,
)
from custom_components.local_solar.modbus.image import Space
from homeassistant.config_entries import ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers.translation import async_get_translations

from .gateway_helpers import make_gateway

pytestmark = pytest.mark.usefixtures("socket_enabled", "bare_gateways")

DEFAULTS: Final = {
    "peers": [],
    "ranges": [],
    "max_age": 1.0,
    "request_timeout": 1.2,
    "least_gap": 0,
    "write_access": "disabled",
    "writers": [],
}
WITH_STICK: Final = DEFAULTS | {"dongle_writes": False}
WRITABLE: Final = DEFAULTS | {"write_access": "confirm", "writers": ["192.168.1.7"]}

STICK: Final = "/dev/ttyUSB1"


@pytest.fixture
def entry(hass: HomeAssistant) -> MockConfigEntry:
    """A gateway that is not set up: only its forms are looked at."""
    return make_gateway(hass)


@pytest.fixture
def entry_with_stick(hass: HomeAssistant) -> MockConfigEntry:
    """One that the maker's stick is wired to."""
    return make_gateway(hass, dongle_device=STICK)


async def choose(
    hass: HomeAssistant, entry: MockConfigEntry, *answers: dict[str, Any]
) -> ConfigFlowResult:
    """Open the form, fill it in, and those that follow it."""
    result = await hass.config_entries.options.async_init(entry.entry_id)
    assert result["step_id"] == "gateway"
    for answer in answers:
        result = await go_on(hass, result, answer)
    return result


async def go_on(
    hass: HomeAssistant, result: ConfigFlowResult, answer: dict[str, Any]
) -> ConfigFlowResult:
    """Answer the form that is shown and return what comes next."""
    result = await hass.config_entries.options.async_configure(
        result["flow_id"], answer
    )
    await hass.async_block_till_done()
    return result


def held(result: ConfigFlowResult) -> dict[str, Any]:
    """Return what the fields of a form hold at first."""
    assert result["data_schema"] is not None
    return {
        field.schema: (field.description or {}).get("suggested_value", field.default())
        for field in result["data_schema"].schema
    }


async def error_text(hass: HomeAssistant, result: ConfigFlowResult, field: str) -> str:
    """Return what is said to be wrong with a field, and with no other."""
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "gateway"
    assert result["errors"] is not None
    assert set(result["errors"]) == {field}
    texts = await async_get_translations(hass, "en", "options", [DOMAIN])
    text = texts[f"component.{DOMAIN}.options.error.{result['errors'][field]}"]
    return text.format(**(result["description_placeholders"] or {}))


# -- what is asked --------------------------------------------------------------------


async def test_at_first_all_may_read_and_nobody_may_write(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    result = await choose(hass, entry)
    assert held(result) == DEFAULTS
    result = await go_on(hass, result, DEFAULTS)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == DEFAULTS


async def test_stick_is_asked_about_only_where_there_is_one(
    hass: HomeAssistant, entry: MockConfigEntry, entry_with_stick: MockConfigEntry
) -> None:
    assert held(await choose(hass, entry_with_stick)) == WITH_STICK
    with pytest.raises(InvalidData):
        await choose(hass, entry, WITH_STICK)


async def test_form_holds_what_was_chosen(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    chosen = DEFAULTS | {
        "peers": ["192.168.1.0/24", "127.0.0.1"],
        "ranges": ["input 0-124", "30-40"],
        "max_age": 0,
        "request_timeout": 0.5,
        "least_gap": 2000,
    }
    await choose(hass, entry, chosen)
    assert entry.options == chosen
    assert held(await choose(hass, entry)) == chosen


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_age": -0.1},
        {"max_age": 10.1},
        {"request_timeout": 0.4},
        {"request_timeout": 10.1},
        {"least_gap": -1},
        {"least_gap": 2001},
        {"write_access": "on"},
        {"peers": "192.168.1.7"},
    ],
    ids=str,
)
async def test_values_that_make_no_sense_are_refused(
    hass: HomeAssistant, entry: MockConfigEntry, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidData):
        await choose(hass, entry, DEFAULTS | wrong)
    assert not entry.options


async def test_what_is_typed_is_stored_in_one_spelling(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    typed = DEFAULTS | {
        "peers": [" 192.168.1.7/24", "", "192.168.1.0/24 ", "FE80::1", "10.0.0.1/32"],
        "ranges": ["Input 3000 - 3249 ", " 30", "  ", "holding  5-5"],
        "writers": ["192.168.1.7 ", " "],
        "least_gap": 100.0,
    }
    await choose(hass, entry, typed)
    assert entry.options == DEFAULTS | {
        "peers": ["192.168.1.0/24", "fe80::1", "10.0.0.1"],
        "ranges": ["input 3000-3249", "30", "holding 5"],
        "writers": ["192.168.1.7"],
        "least_gap": 100,
    }
    assert isinstance(entry.options["least_gap"], int)


async def test_what_is_stored_makes_a_policy(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    chosen = DEFAULTS | {"peers": ["192.168.1.7/24"], "ranges": ["input 0-9", "30"]}
    await choose(hass, entry, chosen)
    options = entry.options
    policy = Policy(
        peers=tuple(map(parse_network, options["peers"])),
        ranges=tuple(map(Span.parse, options["ranges"])),
    )
    assert policy.admits("192.168.1.200")
    assert not policy.admits("192.168.2.1")
    assert policy.ranges == (
        Span(space=Space.INPUT, first=0, last=9),
        Span(first=30, last=30),
    )


# -- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "lines", "says"),
    [
        (
            "peers",
            ["127.0.0.1", "evcc"],
            "That is no IP address and no network: 'evcc'",
        ),
        ("peers", ["192.168.1.300"], "'192.168.1.300'"),
        ("peers", ["192.168.1.0/33"], "'192.168.1.0/33'"),
        ("writers", ["192.168.1.7:502"], "'192.168.1.7:502'"),
        ("ranges", ["0-10", "all"], "That names no registers: 'all' is not like"),
        ("ranges", ["40-30"], "the lower one first"),
        ("ranges", ["input 70000"], "registers go from 0 to 65535"),
        ("ranges", ["coil 1"], "'coil 1'"),
    ],
    ids=str,
)
async def test_line_that_cannot_be_read_is_named_at_its_field_and_can_be_put_right(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    field: str,
    lines: list[str],
    says: str,
) -> None:
    result = await choose(hass, entry, DEFAULTS | {field: lines, "least_gap": 70})
    assert says in await error_text(hass, result, field)
    # What was filled in is still there.
    assert held(result) == DEFAULTS | {field: lines, "least_gap": 70}
    assert not entry.options
    result = await go_on(hass, result, DEFAULTS)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    "wide", ["0.0.0.0/0", "192.168.1.7/0", "128.0.0.0/1", "::/0", "2000::/3"]
)
@pytest.mark.parametrize("access", ["disabled", "confirm"])
async def test_all_the_world_may_not_write(
    hass: HomeAssistant, entry: MockConfigEntry, wide: str, access: str
) -> None:
    form = WRITABLE | {"write_access": access, "writers": ["192.168.1.7", wide]}
    result = await choose(hass, entry, form)
    text = await error_text(hass, result, "writers")
    assert f"{parse_network(wide)} is far too wide" in text
    assert not entry.options
    result = await go_on(hass, result, WRITABLE)
    assert result["step_id"] == "gateway_acknowledge"


@pytest.mark.parametrize("network", ["10.0.0.0/8", "fd00::/8", "fe80::/10"])
async def test_networks_at_home_may_write_and_all_may_connect(
    hass: HomeAssistant, entry: MockConfigEntry, network: str
) -> None:
    form = DEFAULTS | {"writers": [network], "peers": ["0.0.0.0/0"]}
    result = await choose(hass, entry, form)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert is_in("8.8.8.8", map(parse_network, entry.options["peers"]))


async def test_writing_that_is_on_is_for_somebody(
    hass: HomeAssistant, entry_with_stick: MockConfigEntry
) -> None:
    form = WITH_STICK | {"write_access": "confirm"}
    result = await choose(hass, entry_with_stick, form)
    assert "nobody may do it" in await error_text(hass, result, "writers")
    assert not entry_with_stick.options
    for change in ({"dongle_writes": True}, {"writers": ["192.168.1.7"]}):
        result = await choose(hass, entry_with_stick, form, form | change)
        assert result["step_id"] == "gateway_acknowledge"
    # An empty line is nobody.
    result = await choose(hass, entry_with_stick, form | {"writers": [" "]})
    assert result["errors"] == {"writers": "nobody_may_write"}


# -- writing --------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [{}, {"acknowledged": False}], ids=str)
async def test_writing_is_switched_on_only_once_it_is_acknowledged(
    hass: HomeAssistant, entry: MockConfigEntry, answer: dict[str, Any]
) -> None:
    typed = WRITABLE | {"writers": [" 192.168.1.7 "]}
    result = await choose(hass, entry, typed)
    assert result["step_id"] == "gateway_acknowledge"
    assert result["description_placeholders"] == {"device": entry.title}
    assert not result["errors"]
    result = await go_on(hass, result, answer)
    assert result["step_id"] == "gateway_acknowledge"
    assert result["errors"] == {"acknowledged": "not_acknowledged"}
    assert not entry.options
    result = await go_on(hass, result, {"acknowledged": True})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == WRITABLE


async def test_another_writer_is_named_without_asking_again(
    hass: HomeAssistant,
) -> None:
    entry = make_gateway(hass, options=WRITABLE)
    chosen = WRITABLE | {"writers": ["192.168.1.7", "192.168.1.8"]}
    result = await choose(hass, entry, chosen)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == chosen


async def test_writers_are_remembered_while_writing_is_off(hass: HomeAssistant) -> None:
    entry = make_gateway(hass, options=WRITABLE)
    chosen = WRITABLE | {"write_access": "disabled"}
    result = await choose(hass, entry, chosen)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == chosen
    # Switching it on again asks again.
    result = await choose(hass, entry, WRITABLE)
    assert result["step_id"] == "gateway_acknowledge"
