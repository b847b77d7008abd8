"""What leaves the house of an owner: diagnostics, dumps, readings, the list of devices."""

from collections.abc import AsyncIterator, Iterator
import json
from pathlib import Path
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.local_solar.const import DOMAIN
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
from simulators.mate3.systems import VARIANTS

from .common import pass_time
from .outback_helpers import (
    RECORDED,
    Reached,
    coordinator_of,
    impatient,
    make_entry,
    needs_captures,
    reached,
    set_up,
)
from .writing_helpers import act, refused

MAC: Final = "0090ea000001"
FIRST: Final = f"{MAC}_charge_controller_3"
MONITOR: Final = f"{MAC}_battery_monitor_5"

GATEWAY: Final = 64110
COMMON: Final = 1
CONTROLLER: Final = 64111

SECRETS: Final = {
    # offset in the gateway's block: words, text
    14: (8, "letmein123456789"),
    34: (20, "smtp.owners-domain.example"),
    54: (16, "owner@owners-domain.example"),
    71: (8, "MailPass12345678"),
    79: (20, "owner.of.roof"),
    101: (25, "Report of Rose Cottage"),
    126: (20, "first@family.example"),
    146: (20, "second@family.example"),
    167: (30, "Rose Cottage"),
    197: (15, "third@family.example"),
    212: (20, "fourth@family.example"),
    232: (8, "FtpPass123456789"),
    240: (8, "TelnetPw12345678"),
    251: (20, "time.owners-domain.example"),
    368: (20, "portal.owners-domain.example"),
}
"""What an owner may have entered on the display, and what nobody else may learn."""

ADDRESSES: Final = {23: (192, 168, 77, 31), 25: (192, 168, 77, 1), 31: (9, 9, 9, 9)}


@pytest.fixture(autouse=True)
def without_pauses(socket_enabled: None) -> Iterator[None]:
    """Leave out the pauses that real gateways need."""
    with impatient():
        yield


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """A configuration folder of its own for each test."""
    return hass_tmp_config_dir


@pytest.fixture
async def there(socket_enabled: None) -> AsyncIterator[Reached]:
    """A gateway that knows a lot of its owner."""
    async with reached() as there:
        for offset, (words, text) in SECRETS.items():
            put(there, GATEWAY, offset, words, text)
        for offset, octets in ADDRESSES.items():
            for at in range(2):
                word = octets[2 * at] << 8 | octets[2 * at + 1]
                there.simulator.mate3.set_word(GATEWAY, offset + at, word)
        yield there


@pytest.fixture
async def entry(hass: HomeAssistant, there: Reached) -> AsyncIterator[MockConfigEntry]:
    """Its entry."""
    entry = await set_up(hass, there)
    yield entry
    if entry.state is ConfigEntryState.LOADED:
        await hass.config_entries.async_unload(entry.entry_id)


def put(there: Reached, did: int, offset: int, words: int, text: str) -> None:
    """Put a text into a block."""
    octets = text.encode().ljust(2 * words, b"\0")
    for at in range(words):
        word = int.from_bytes(octets[2 * at : 2 * at + 2])
        there.simulator.mate3.set_word(did, offset + at, word)


def device_of(hass: HomeAssistant, entry: MockConfigEntry, name: str) -> dr.DeviceEntry:
    """Return the registered device of an id."""
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, name), entry.entry_id
    )
    assert device is not None
    return device


def as_text(words: dict[str, int]) -> str:
    """Return what words spell, two characters each."""
    octets = b"".join(
        word.to_bytes(2) for _, word in sorted(words.items(), key=lambda at: int(at[0]))
    )
    return octets.decode("latin-1")


def assert_names_nothing(text: str, words: dict[str, int], there: Reached) -> None:
    """Look for all that must not be told, in plain text and in registers."""
    spelled = as_text(words)
    secrets = [
        MAC,
        "0090EA-000001",
        "MA0000F0000001",
        *(secret for _, secret in SECRETS.values()),
        "192.168.77.31",
    ]
    found = [
        secret
        for secret in secrets
        if secret.lower() in text.lower() or secret in spelled
    ]
    assert not found
    for octets in ADDRESSES.values():
        assert bytes(octets).decode("latin-1") not in spelled
    assert there.host not in text


async def download(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, entry: MockConfigEntry
) -> dict[str, Any]:
    """Download the diagnostics of an entry, as the owner does."""
    assert await async_setup_component(hass, "diagnostics", {})
    data = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert isinstance(data, dict)
    return data


# -- diagnostics --------------------------------------------------------------------------


async def test_download_tells_what_there_is_and_names_nothing(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    there: Reached,
    entry: MockConfigEntry,
) -> None:
    data = await download(hass, hass_client, entry)
    assert data["model"] == "MATE3s"
    assert data["firmware"] == "1.4.2"
    assert data["devices"] == [
        {"family": family, "port": port, "model": model, "firmware": firmware}
        for family, port, model, firmware in (
            ("inverter", 1, "GS8048A", "1.6.11"),
            ("charge_controller", 3, "FM80-150VDC", "3.3.0"),
            ("charge_controller", 4, "FM80-150VDC", "3.3.0"),
            ("battery_monitor", 5, "FLEXnet DC", "1.1.71"),
        )
    ]
    chain = there.simulator.mate3.chain
    assert [block["did"] for block in data["blocks"]] == [
        block.did for block in chain.blocks
    ]
    assert data["blocks"][0]["address"] == 40002
    assert data["entry"]["data"]["kind"] == "outback"
    assert data["entry"]["data"]["link"]["host"] == "**REDACTED**"
    registers = data["registers"]["holding"]
    assert len(registers) == chain.end - 40000
    assert data["values"]["gateway"]["pv_power"] == "3000"
    assert not data["missing"]
    assert not data["failed"]
    assert data["awake"]
    assert_names_nothing(json.dumps(data), registers, there)


async def test_download_with_a_block_that_fails_names_nothing_either(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    there: Reached,
    freezer: FrozenDateTimeFactory,
) -> None:
    entry = await set_up(hass, there)
    start = there.simulator.mate3.address_of(CONTROLLER, port=3)
    there.simulator.faults = [f"exception=4,address={start}-{start + 27}"]
    await pass_time(hass, freezer, 11)
    data = await download(hass, hass_client, entry)
    await hass.config_entries.async_unload(entry.entry_id)
    assert data["failed"]
    assert data["missing"]
    assert_names_nothing(json.dumps(data), data["registers"]["holding"], there)


async def test_download_of_a_silent_gateway_holds_what_was_last_seen(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    there: Reached,
    freezer: FrozenDateTimeFactory,
) -> None:
    entry = await set_up(hass, there)
    there.simulator.reboot(1e9)
    await pass_time(hass, freezer, 11)
    data = await download(hass, hass_client, entry)
    assert not data["awake"]
    assert data["asleep_because"]
    assert data["registers"]["holding"]
    assert_names_nothing(json.dumps(data), data["registers"]["holding"], there)
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("why", ["wrong_gateway", "refused", "not_sunspec"])
async def test_entry_that_is_not_set_up_says_why_and_names_nothing(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    there: Reached,
    why: str,
) -> None:
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    match why:
        case "wrong_gateway":
            put(there, GATEWAY, 7, 7, "0090EA-00ABCD")
        case "refused":
            there.simulator.reboot(1e9)
        case _:
            there.simulator.faults = ["exception=2"]
    await hass.config_entries.async_setup(entry.entry_id)
    data = await download(hass, hass_client, entry)
    assert data["state"] == "setup_retry"
    assert data["reason"]
    assert_names_nothing(json.dumps(data), {}, there)
    assert "00abcd" not in json.dumps(data).lower()


@pytest.mark.parametrize("variant", VARIANTS)
async def test_download_can_be_served_again(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    tmp_path: Path,
    variant: str,
) -> None:
    async with reached(variant=variant) as there:
        entry = await set_up(hass, there)
        data = await download(hass, hass_client, entry)
        await hass.config_entries.async_unload(entry.entry_id)
        await hass.config_entries.async_remove(entry.entry_id)
    file = tmp_path / "download.json"
    file.write_text(json.dumps({"data": data}))
    async with reached(file) as served:
        again = await set_up(hass, served)
        assert again.state is ConfigEntryState.LOADED
        assert again.unique_id == "0090ea000000"
        values = (await download(hass, hass_client, again))["values"]
        for device in values.values():
            device.pop("clock", None)
        for device in data["values"].values():
            device.pop("clock", None)
        assert values == data["values"]
        await hass.config_entries.async_unload(again.entry_id)


# -- dumps --------------------------------------------------------------------------------


async def dump(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, Any]:
    """Dump the registers and return what is told of it."""
    return dict(await act(hass, "dump_registers", device_of(hass, entry, MAC)))


async def test_dump_has_the_form_that_other_programs_know(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    response = await dump(hass, entry)
    path = Path(str(response["path"]))
    assert path.name.startswith("outback_")
    assert path.parent == Path(hass.config.path("local_solar"))
    words = json.loads(path.read_text())
    assert words["40000"] == 0x5375
    assert words["40001"] == 0x6E53
    mate3 = there.simulator.mate3
    assert {int(address) for address in words} == {*range(40000, mate3.chain.end)}
    assert response["holding"] == len(words)
    assert response["missing"] == {}
    assert all(isinstance(word, int) and 0 <= word <= 0xFFFF for word in words.values())
    at = mate3.address_of(CONTROLLER, 14, port=3)
    assert words[str(at)] == mate3.word(CONTROLLER, 14, port=3)
    assert_names_nothing(path.read_text(), words, there)


async def test_dump_holds_no_serial_number_of_a_device(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    """Owners enter it themselves: it may be anything, such as the name of the house."""
    response = await dump(hass, entry)
    words = json.loads(Path(str(response["path"])).read_text())
    assert "SIM00001" not in as_text(words)


async def test_only_what_is_private_differs_in_a_dump(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    mate3 = there.simulator.mate3
    mate3.clock.speed = 0.0
    response = await dump(hass, entry)
    words = json.loads(Path(str(response["path"])).read_text())
    gateway, common = mate3.address_of(GATEWAY), mate3.address_of(COMMON)
    clock = range(gateway + 392, gateway + 398)
    private = {*range(gateway + 6, gateway + 270), *range(gateway + 367, gateway + 387)}
    private |= {*range(common + 50, common + 66)}
    changed = {
        address
        for address, word in enumerate(mate3.chain.as_words(), 40000)
        if words[str(address)] != word
    } - {*clock}
    assert changed
    for did, offset, ports in (
        (64116, 67, (1,)),
        (64112, 73, (3, 4)),
        (64119, 37, (5,)),
    ):
        for port in ports:
            at = mate3.address_of(did, offset, port=port)
            private |= {*range(at, at + 9)}
    assert changed <= private


async def test_dump_can_be_served_and_dumped_again(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    path = Path(str((await dump(hass, entry))["path"]))
    async with reached(path) as served:
        again = await set_up(hass, served)
        assert again.state is ConfigEntryState.LOADED
        first = {device.identity.kind for device in coordinator_of(entry).devices}
        second = {device.identity.kind for device in coordinator_of(again).devices}
        assert first == second
        assert len(coordinator_of(again).devices) == 5
        await hass.config_entries.async_unload(again.entry_id)


async def test_dump_tells_what_is_missing(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    there.simulator.faults = ["exception=4,address=40500,times=1"]
    response = await dump(hass, entry)
    (missing,) = response["missing"]
    first, _, last = missing.partition("-")
    assert int(first) <= 40500 <= int(last)
    words = json.loads(Path(str(response["path"])).read_text())
    assert "40500" not in words


@needs_captures
async def test_recorded_gateway_is_shown(hass: HomeAssistant) -> None:
    async with reached(RECORDED) as there:
        entry = await set_up(hass, there)
        assert entry.state is ConfigEntryState.LOADED
        assert len(coordinator_of(entry).devices) == 6
        states = {state.state for state in hass.states.async_all()}
        assert len(states) > 20
        await hass.config_entries.async_unload(entry.entry_id)


# -- reading ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pv_power", "watts"])
async def test_register_is_read_by_key_or_by_the_makers_name(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry, name: str
) -> None:
    mate3 = there.simulator.mate3
    mate3.set_word(CONTROLLER, 14, 1234, port=3)
    response = await act(
        hass, "read_register", device_of(hass, entry, FIRST), register=name
    )
    assert response == {
        "space": "holding",
        "address": mate3.address_of(CONTROLLER, 14, port=3),
        "raw": [1234],
        "register": "pv_power",
        "value": 1234,
        "unit": "W",
    }


async def test_register_without_an_entity_is_read(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    response = await act(
        hass,
        "read_register",
        device_of(hass, entry, FIRST),
        register="temp_comp_lower_limit_volts",
    )
    assert response["value"] == 53.0
    setting = response["setting"]
    assert isinstance(setting, dict)
    assert setting["minimum"] == pytest.approx(36.0)


async def test_register_of_another_device_is_none_of_this_one(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    device = device_of(hass, entry, MONITOR)
    err = await refused(act(hass, "read_register", device, register="watts"))
    assert err.translation_key == "unknown_register"


async def test_registers_are_read_by_address_within_the_map(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    device = device_of(hass, entry, MAC)
    end = there.simulator.mate3.chain.end
    for address, count in ((40000, 2), (end - 1, 1), (40000, 125), (end - 125, 125)):
        response = await act(
            hass,
            "read_register",
            device,
            space="holding",
            address=address,
            count=count,
        )
        raw = response["raw"]
        assert isinstance(raw, list)
        words = there.simulator.mate3.chain.as_words()
        if address == 40000 and count == 2:
            assert raw == words[:2]
        assert len(raw) == count
    # At most 100 at a time.
    assert max(request.count or 0 for request in there.simulator.requests) <= 100


@pytest.mark.parametrize(
    ("space", "address", "count"),
    [
        ("holding", 39999, 1),
        ("holding", 0, 1),
        ("holding", 65535, 125),
        ("input", 40000, 1),
    ],
)
async def test_registers_outside_the_map_are_not_asked_for(
    hass: HomeAssistant,
    there: Reached,
    entry: MockConfigEntry,
    space: str,
    address: int,
    count: int,
) -> None:
    there.simulator.requests.clear()
    err = await refused(
        act(
            hass,
            "read_register",
            device_of(hass, entry, MAC),
            space=space,
            address=address,
            count=count,
        )
    )
    assert err.translation_key == "outside_map"
    assert not there.simulator.requests


async def test_refusal_of_a_register_outside_the_map_is_true(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    device = device_of(hass, entry, MAC)
    err = await refused(
        act(hass, "read_register", device, space="holding", address=1, count=1)
    )
    assert "off-grid inverters" not in str(err)


async def test_register_that_is_refused_is_told(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    there.simulator.faults = ["exception=4"]
    device = device_of(hass, entry, FIRST)
    for what in (
        {"register": "pv_power"},
        {"space": "holding", "address": 40000},
    ):
        err = await refused(act(hass, "read_register", device, **what))
        assert err.translation_key == "read_failed"


async def test_register_of_a_block_that_has_moved_is_not_told(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    there.simulator.mate3.chain.move_port(CONTROLLER, 3, 7)
    device = device_of(hass, entry, FIRST)
    err = await refused(act(hass, "read_register", device, register="pv_power"))
    assert err.translation_key == "read_failed"


async def test_register_of_a_block_without_data_has_no_value(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    there.simulator.mate3.lose_data(3, 600)
    device = device_of(hass, entry, FIRST)
    response = await act(hass, "read_register", device, register="pv_power")
    assert response["value"] is None


# -- the list of devices --------------------------------------------------------------------


@pytest.mark.parametrize("asked", [MAC, FIRST])
async def test_devices_are_listed_whichever_of_them_is_named(
    hass: HomeAssistant, entry: MockConfigEntry, asked: str
) -> None:
    first = device_of(hass, entry, FIRST)
    dr.async_get(hass).async_update_device(first.id, name_by_user="East roof")
    response = await act(hass, "list_devices", device_of(hass, entry, asked))
    devices = response["devices"]
    assert isinstance(devices, list)
    assert len(devices) == 5
    gateway, *others = devices
    assert isinstance(gateway, dict)
    assert gateway["device_id"] == device_of(hass, entry, MAC).id
    assert gateway["kind"] == "gateway"
    assert gateway["model"] == "MATE3s"
    assert gateway["port"] is None
    assert [other["port"] for other in others if isinstance(other, dict)] == [
        1,
        3,
        4,
        5,
    ]
    assert {
        "device_id": first.id,
        "name": "East roof",
        "kind": "charge_controller",
        "manufacturer": "OutBack",
        "model": "FM80-150VDC",
        "port": 3,
        "firmware": "3.3.0",
        "serial_number": None,
    } in others
