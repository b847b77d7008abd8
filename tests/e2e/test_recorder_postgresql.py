"""What a MATE3's sensors leave in a PostgreSQL database, by way of Home Assistant's recorder.

The registers are read by another library than the integration's, and found by walking
the chain of blocks here once more.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pymodbus.client import AsyncModbusTcpClient
import pytest

from demo.check import Reading
from demo.families import DOMAIN, FAMILIES
from demo.home_assistant import free_port
from demo.house import House, running_house
from demo.simulators import Address, Simulator
from demo.waiting import until
from demo.writing import find_control

from .conftest import ENVIRONMENT, PYTHON, TIME_ZONE, allow_sockets
from .postgresql import Postgresql, find_programs, running_postgresql

PROGRAMS = find_programs()

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        PROGRAMS is None,
        reason="there is no PostgreSQL server: no initdb on the PATH or in"
        " /usr/lib/postgresql",
    ),
]

STILL: Final = Simulator(
    name="still MATE3s",
    arguments=("mate3", "--still", "--many-clients", "--tcp", "127.0.0.1:0"),
    listeners=frozenset({"tcp"}),
)
"""Its values stay as they are, and it lets a second client in."""

GATEWAY: Final = "OutBack MATE3s"
RADIAN: Final = "OutBack GS8048A port 1"
FIRST: Final = "OutBack FM80-150VDC port 3"
SECOND: Final = "OutBack FM80-150VDC port 4"
MONITOR: Final = "OutBack FLEXnet DC port 5"

SETTING: Final = "bulk_current"
CHANGED_TO: Final = 70.5

OLDER: Final = """
    UPDATE states SET
        last_updated_ts = last_updated_ts - 600,
        last_changed_ts = last_changed_ts - 600,
        last_reported_ts = last_reported_ts - 600;
    UPDATE statistics_runs SET start = start - interval '20 minutes'
"""
"""States are ten minutes old then, and of these there are no statistics."""

SHOWN_WITHIN: Final = 20.0
RECORDED_WITHIN: Final = 20.0
COMPILED_WITHIN: Final = 40.0
"""Home Assistant must have started with everything."""


@dataclass(frozen=True, slots=True)
class Source:
    """A register, by OutBack's document: its block and port, and its scale's offset."""

    did: int
    port: int
    offset: int
    scale: int = 0


MEASURED: Final[Mapping[tuple[str, str], tuple[Source, ...]]] = {
    (GATEWAY, "pv_power"): (Source(64111, 3, 14, 6), Source(64111, 4, 14, 6)),
    (GATEWAY, "load_power"): (Source(64115, 1, 59, 43),),
    (RADIAN, "ac_input_frequency"): (Source(64115, 1, 37, 7),),
    (RADIAN, "ac_power"): (Source(64115, 1, 55, 43),),
    (RADIAN, "battery_temperature"): (Source(64115, 1, 35),),
    (FIRST, "dc_voltage"): (Source(64111, 3, 9, 4),),
    (FIRST, "charge_current"): (Source(64111, 3, 11, 5),),
    (FIRST, "pv_power"): (Source(64111, 3, 14, 6),),
    (SECOND, "pv_power"): (Source(64111, 4, 14, 6),),
    (MONITOR, "battery_soc"): (Source(64118, 5, 28),),
    (MONITOR, "battery_voltage"): (Source(64118, 5, 12, 4),),
    (MONITOR, "shunt_b_current"): (Source(64118, 5, 10, 5),),
    (MONITOR, "battery_power"): (Source(64118, 5, 26, 8),),
}
"""Device and key -> registers that it is the sum of."""

COUNTED: Final[Mapping[tuple[str, str], tuple[Source, ...]]] = {
    (GATEWAY, "pv_energy_today"): (Source(64111, 3, 19, 8), Source(64111, 4, 19, 8)),
    (GATEWAY, "pv_energy_total"): (Source(64111, 3, 21), Source(64111, 4, 21)),
    (FIRST, "pv_energy_today"): (Source(64111, 3, 19, 8),),
    (SECOND, "pv_energy_total"): (Source(64111, 4, 21),),
    (MONITOR, "battery_charge_energy_today"): (Source(64118, 5, 32, 7),),
    (MONITOR, "battery_discharge_energy_today"): (Source(64118, 5, 34, 7),),
}
"""The same of counters."""


class Registers:
    """The words of all blocks that have a port."""

    def __init__(self, blocks: Mapping[tuple[int, int], list[int]]) -> None:
        """Take them by DID and port."""
        self._blocks = blocks

    def value(self, sources: tuple[Source, ...]) -> float:
        """Return the sum of registers, scaled."""
        return sum(map(self._value, sources))

    def _value(self, source: Source) -> float:
        block = self._blocks[source.did, source.port]
        scale = _signed(block[source.scale - 1]) if source.scale else 0
        value: float = _signed(block[source.offset - 1]) * 10.0**scale
        return value


def _signed(word: int) -> int:
    """Return a number, which is below 32768 wherever it has no sign."""
    return (word ^ 0x8000) - 0x8000


async def _read_registers(address: Address) -> Registers:
    """Walk the chain of blocks."""
    blocks = {}
    async with AsyncModbusTcpClient(address.host, port=address.port) as client:

        async def words(start: int, count: int) -> list[int]:
            answer = await client.read_holding_registers(start, count=count)
            assert not answer.isError()
            return [*answer.registers]

        assert await words(40000, 2) == [0x5375, 0x6E53]
        start = 40002
        while (header := await words(start, 2))[0] != 0xFFFF:
            did, length = header
            if 64111 <= did <= 64119:
                block = await words(start, 2 + length)
                blocks[did, block[2]] = block
            start += 2 + length
    return Registers(blocks)


@pytest.fixture(scope="module")
def database() -> Iterator[Postgresql]:
    """A server that outlives Home Assistant."""
    assert PROGRAMS is not None
    with running_postgresql(PROGRAMS) as server:
        yield server


@pytest.fixture(scope="module")
def house(
    runner: asyncio.Runner,
    tmp_path_factory: pytest.TempPathFactory,
    database: Postgresql,
) -> Iterator[House]:
    """A Home Assistant that records into the database, and a MATE3s that it shows."""
    if not PYTHON.exists():
        pytest.skip(f"{ENVIRONMENT} is missing; scripts/setup hass makes it")
    running = running_house(
        tmp_path_factory.mktemp("house"),
        free_port(),
        PYTHON,
        [STILL],
        time_zone=TIME_ZONE,
        database=database.url,
    )
    house = runner.run(running.__aenter__())
    try:
        (mate3,) = FAMILIES["outback"]
        runner.run(house.add(replace(mate3, simulator=STILL)))
        yield house
    finally:
        allow_sockets()
        runner.run(running.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def registers(runner: asyncio.Runner, house: House) -> Registers:
    """What the gateway holds."""
    allow_sockets()
    return runner.run(_read_registers(house.simulators[STILL].addresses["tcp"]))


@pytest.fixture(scope="module")
def readings(runner: asyncio.Runner, house: House) -> list[Reading]:
    """What Home Assistant shows, once it shows all: controls are read one poll later."""

    async def all_shown() -> list[Reading] | None:
        shown = await house.readings()
        return None if any(one.value == "unavailable" for one in shown) else shown

    return runner.run(until(all_shown, SHOWN_WITHIN, "something is unavailable"))


@pytest.fixture(scope="module")
def ids(readings: list[Reading]) -> Mapping[tuple[str, str], str]:
    """Device and key -> entity id."""
    return {
        (reading.device, reading.key): reading.entity_id
        for reading in readings
        if reading.entity_id.startswith("sensor.")
    }


def _recorded(database: Postgresql) -> dict[str, str]:
    """Return the last state of each entity in the database."""
    rows = database.query(
        "SELECT DISTINCT ON (metadata_id) states_meta.entity_id, state"
        " FROM states JOIN states_meta USING (metadata_id)"
        " WHERE state IS NOT NULL"
        " ORDER BY metadata_id, last_updated_ts DESC, state_id DESC"
    )
    return {row[0]: row[1] for row in rows}


async def _all_recorded(database: Postgresql, expected: Mapping[str, str]) -> None:
    """Wait until states are in the database."""

    async def are_there() -> bool | None:
        recorded = _recorded(database)
        return True if expected.items() <= recorded.items() else None

    try:
        await until(are_there, RECORDED_WITHIN, "not recorded")
    finally:
        recorded = _recorded(database)
        missing = {
            entity_id: (state, recorded.get(entity_id))
            for entity_id, state in expected.items()
            if recorded.get(entity_id) != state
        }
        assert missing == {}


def test_all_entities_are_recorded_as_they_are_shown(
    runner: asyncio.Runner, database: Postgresql, readings: list[Reading]
) -> None:
    assert {reading.device for reading in readings} == {
        *(GATEWAY, RADIAN, FIRST, SECOND, MONITOR)
    }
    shown = {reading.entity_id: reading.value for reading in readings}
    runner.run(_all_recorded(database, shown))


@pytest.mark.parametrize(("device", "key"), [*MEASURED, *COUNTED])
def test_recorded_states_are_what_the_registers_hold(
    device: str,
    key: str,
    runner: asyncio.Runner,
    database: Postgresql,
    readings: list[Reading],
    ids: Mapping[tuple[str, str], str],
    registers: Registers,
) -> None:
    shown = {reading.entity_id: reading.value for reading in readings}
    entity_id = ids[device, key]
    runner.run(_all_recorded(database, {entity_id: shown[entity_id]}))
    expected = registers.value({**MEASURED, **COUNTED}[device, key])
    assert float(_recorded(database)[entity_id]) == pytest.approx(expected, abs=1e-9)


def test_a_changed_setting_is_recorded(
    runner: asyncio.Runner, house: House, database: Postgresql
) -> None:
    (entry,) = runner.run(house.client.entries(DOMAIN))
    control = runner.run(find_control(house.client, entry.id, SETTING))
    assert control is not None
    answer = runner.run(
        house.client.ask(
            f"{DOMAIN}.set_register",
            device_id=control.device_id,
            register=SETTING,
            value=CHANGED_TO,
            confirm=True,
        )
    )
    assert answer["outcome"] == "written"
    runner.run(_all_recorded(database, {control.entity_id: str(CHANGED_TO)}))
    history = database.query(
        "SELECT states_meta.entity_id, state"
        " FROM states JOIN states_meta USING (metadata_id) ORDER BY last_updated_ts"
    )
    held = [float(state) for name, state in history if name == control.entity_id]
    assert held[-2:] == [control.value, CHANGED_TO]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """A row of statistics. There is a ``mean`` or a ``sum``."""

    unit: str
    mean: float | None
    state: float | None
    sum: float | None


def _statistics(database: Postgresql) -> dict[str, Statistic]:
    """Return the last row of statistics of each sensor."""
    rows = database.query(
        "SELECT DISTINCT ON (metadata_id)"
        " statistic_id, unit_of_measurement, mean, state, sum"
        " FROM statistics_short_term JOIN statistics_meta"
        " ON statistics_meta.id = metadata_id ORDER BY metadata_id, start_ts DESC"
    )
    return {
        name: Statistic(
            unit=unit, mean=_number(mean), state=_number(state), sum=_number(total)
        )
        for name, unit, mean, state, total in rows
    }


def _number(text: str) -> float | None:
    return float(text) if text else None


@pytest.fixture(scope="module")
def statistics(
    runner: asyncio.Runner,
    house: House,
    database: Postgresql,
    readings: list[Reading],
    ids: Mapping[tuple[str, str], str],
) -> dict[str, Statistic]:
    """What the recorder makes of the states once five minutes are over.

    That is not waited for: while Home Assistant is stopped, what it has recorded is made
    older. When it starts it makes up for the statistics that it has missed.
    """
    allow_sockets()
    runner.run(
        _all_recorded(
            database,
            {
                reading.entity_id: reading.value
                for reading in readings
                if reading.entity_id.startswith("sensor.")
            },
        )
    )
    runner.run(house.client.disconnect())
    runner.run(house.home_assistant.stop())
    database.query(OLDER)
    runner.run(house.home_assistant.start())
    runner.run(house.home_assistant.ready())
    wanted = {ids[place] for place in (*MEASURED, *COUNTED)}

    async def compiled() -> dict[str, Statistic] | None:
        found = _statistics(database)
        return found if found.keys() >= wanted else None

    return runner.run(until(compiled, COMPILED_WITHIN, "no statistics of all sensors"))


@pytest.mark.parametrize(("device", "key"), MEASURED)
def test_what_is_measured_has_statistics_of_its_mean(
    device: str,
    key: str,
    statistics: Mapping[str, Statistic],
    ids: Mapping[tuple[str, str], str],
    registers: Registers,
) -> None:
    row = statistics[ids[device, key]]
    assert row.mean == pytest.approx(registers.value(MEASURED[device, key]))
    assert row.sum is None


@pytest.mark.parametrize(("device", "key"), COUNTED)
def test_what_is_counted_has_statistics_of_its_sum(
    device: str,
    key: str,
    statistics: Mapping[str, Statistic],
    ids: Mapping[tuple[str, str], str],
    registers: Registers,
) -> None:
    row = statistics[ids[device, key]]
    assert row.state == pytest.approx(registers.value(COUNTED[device, key]))
    assert row.sum == 0
    assert row.unit == "kWh"
    assert row.mean is None


def test_the_recorder_has_nothing_to_complain_of(
    house: House, statistics: Mapping[str, Statistic]
) -> None:
    assert house.home_assistant.complaints == []
    logs = sorted(house.home_assistant.folder.glob("output-*.log"))
    assert len(logs) == 2
    said = "".join(log.read_text(encoding="utf-8") for log in logs)
    for name in ("components.recorder", "sqlalchemy", "psycopg2"):
        assert name not in said
    assert not (house.home_assistant.folder / "home-assistant_v2.db").exists()
