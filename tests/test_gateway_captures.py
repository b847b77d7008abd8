"""Recording what a gateway's clients say."""

import json
from pathlib import Path
import re
import stat
from typing import Any

import probatio
import pytest

from custom_components.local_solar.const import DOMAIN
from homeassistant.core import HomeAssistant

from .gateway_helpers import (
    HOST,
    client_of,
    coordinator_of,
    device_of,
    set_up,
    state_of,
)
from .writing_helpers import act, refused

pytestmark = pytest.mark.usefixtures("socket_enabled", "all_entities_enabled", "link")


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Keep what is made in the configuration folder apart from other tests."""
    return hass_tmp_config_dir


def lines_of(path: object) -> list[dict[str, Any]]:
    """Return the lines of a capture."""
    return [json.loads(line) for line in Path(str(path)).read_text().splitlines()]


async def test_what_clients_say_is_recorded_until_that_is_stopped(
    hass: HomeAssistant,
) -> None:
    entry = await set_up(hass)
    device = device_of(hass, entry)
    folder = Path(hass.config.path(DOMAIN, "captures"))
    async with client_of(entry) as client:
        await client.read_holding_registers(44)
        started = await act(hass, "start_capture", device)
        path = Path(str(started["path"]))
        assert path.parent == folder
        assert re.fullmatch(r"gateway_\d{8}_\d{6}\.jsonl", path.name)
        assert state_of(hass, entry, "capturing").state == "on"
        answer = await client.read_holding_registers(43)
        await client.write_register(3, 50)
        stopped = await act(hass, "stop_capture", device)
        assert state_of(hass, entry, "capturing").state == "off"
        await client.read_holding_registers(45)
    assert stopped == {**started, "lines": 4, "dropped": 0, "error": None}
    lines = await hass.async_add_executor_job(lines_of, path)
    assert [(line["role"], line["func"], line["addr"]) for line in lines] == [
        ("REQ", 3, 43),
        ("RSP", 3, 43),
        ("REQ", 6, 3),
        ("RSP", 6, 3),
    ]
    assert lines[1]["regs"] == answer.registers == [5100]
    assert lines[3]["exception"] == 1
    assert {line["client"].rpartition(":")[0] for line in lines} == {HOST}
    # Others on this computer have no business with serial numbers.
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_there_is_one_capture_at_a_time(hass: HomeAssistant) -> None:
    device = device_of(hass, await set_up(hass))
    err = await refused(act(hass, "stop_capture", device))
    assert err.translation_key == "no_capture"
    started = await act(hass, "start_capture", device)
    err = await refused(act(hass, "start_capture", device))
    assert err.translation_key == "capture_running"
    assert str(started["path"]) in str(err)
    await act(hass, "stop_capture", device)
    err = await refused(act(hass, "stop_capture", device))
    assert err.translation_key == "no_capture"


async def test_capture_ends_with_the_entry(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    device = device_of(hass, entry)
    async with client_of(entry) as client:
        path = (await act(hass, "start_capture", device))["path"]
        await client.read_holding_registers(43)
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()
    assert len(await hass.async_add_executor_job(lines_of, path)) == 2
    assert state_of(hass, entry, "capturing").state == "off"
    err = await refused(act(hass, "stop_capture", device))
    assert err.translation_key == "no_capture"


async def test_file_that_cannot_be_made_is_told(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    device = device_of(hass, entry)
    in_the_way = Path(hass.config.path(DOMAIN))
    await hass.async_add_executor_job(in_the_way.write_text, "in the way")
    err = await refused(act(hass, "start_capture", device))
    assert err.translation_key == "capture_not_written"
    assert "local_solar/captures/gateway_" in str(err)
    assert coordinator_of(entry).gateway.recorder is None
    # It can be tried again.
    await hass.async_add_executor_job(in_the_way.unlink)
    assert await act(hass, "start_capture", device)


@pytest.mark.parametrize("size", [0, 1001, 1.5, "much", True])
async def test_size_must_make_sense(hass: HomeAssistant, size: object) -> None:
    device = device_of(hass, await set_up(hass))
    with pytest.raises(probatio.Invalid, match="max_size"):
        await act(hass, "start_capture", device, max_size=size)


async def test_capture_keeps_to_its_size(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    device = device_of(hass, entry)
    path = Path(str((await act(hass, "start_capture", device, max_size=1))["path"]))
    async with client_of(entry) as client:
        for _ in range(600):
            await client.read_input_registers(3000, count=125)
    stopped = await act(hass, "stop_capture", device)
    assert stopped["error"] is None

    def size() -> int:
        return sum(file.stat().st_size for file in path.parent.iterdir())

    assert 400_000 < await hass.async_add_executor_job(size) <= 1_000_000
