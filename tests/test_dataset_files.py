"""Dumps: files in the configuration folder that the simulator can serve."""

from pathlib import Path

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from simulators.datasets import Dataset, Table

from .common import coordinator_of, set_up
from .writing_helpers import Writable, act, device_of, refused


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """A configuration folder of its own for each test."""
    return hass_tmp_config_dir


@pytest.fixture
async def entry(hass: HomeAssistant, unit: Writable) -> MockConfigEntry:
    """Its entry; writing is switched off."""
    return await set_up(hass, unit)


async def dump(hass: HomeAssistant, entry: MockConfigEntry) -> Path:
    """Dump the registers and return where to."""
    response = await act(hass, "dump_registers", device_of(hass, entry))
    return Path(str(response["path"]))


async def test_dump_is_a_dataset_that_the_simulator_loads(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await hass.config.async_set_time_zone("UTC")
    freezer.move_to("2026-11-20 08:09:10+00:00")
    response = await act(hass, "dump_registers", device_of(hass, entry))
    path = Path(str(response["path"]))
    assert path == Path(hass.config.path("local_solar", "growatt_20261120_080910.json"))
    dataset = Dataset.load(path)
    assert dataset.get(Table.HOLDING, 3048) == unit.holding[3048]
    assert dataset.get(Table.INPUT, 3171) == unit.input[3171]
    assert response["holding"] == len(dataset.words[Table.HOLDING]) > 100
    assert response["input"] == len(dataset.words[Table.INPUT]) > 100
    assert response["missing"] == {}


async def test_dump_holds_no_serial_number(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry
) -> None:
    path = await dump(hass, entry)
    words = Dataset.load(path).words[Table.HOLDING]
    inverter = coordinator_of(entry).inverter
    for row in inverter.profile:
        if row.key.endswith("serial_number") and row.space == "holding":
            mine = [words.get(at) for at in range(row.address, row.end)]
            real = [unit.holding.get(at, 0) for at in range(row.address, row.end)]
            assert mine != real or not any(real), row.key
    assert str(entry.unique_id) not in path.read_text()


async def test_dump_says_what_it_is_of(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    text = (await dump(hass, entry)).read_text()
    assert '"_source": "Growatt MIN 6000TL-XH, serial numbers masked, 20' in text


async def test_dump_of_a_silent_device_is_what_was_last_seen(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry
) -> None:
    unit.fall_silent()
    path = await dump(hass, entry)
    assert Dataset.load(path).words[Table.INPUT]


async def test_file_in_the_place_of_the_folder_is_told(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    Path(hass.config.path("local_solar")).write_text("in the way")
    err = await refused(dump(hass, entry))
    assert not isinstance(err, ServiceValidationError)
    assert err.translation_key == "dump_not_written"
    assert "File exists" in str(err)


async def test_folder_that_may_not_be_written_to_is_told(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    Path(hass.config.path("local_solar")).symlink_to("/proc/self")
    err = await refused(dump(hass, entry))
    assert not isinstance(err, ServiceValidationError)
    assert err.translation_key == "dump_not_written"
