"""The recorded morning: what is read of it, and how it goes through our gateway."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
import json
from pathlib import Path

from modbus_connection.tmodbus import connect_serial
import pytest

from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.serial_port import DonglePort
from custom_components.local_solar.gateway.server import Server
from simulators.datasets import Table
from simulators.dongle.lines import StreamLine, TerminalLine
from simulators.dongle.steps import BOOT, CONTROL, CYCLE, REPEAT
from tests.simulators.clients import read_pdu, rtu

from .ports import until
from .recorded import Replay, Result
from .recording import RECORDING, Asked, Recorded, RecordedBus, RecordedInverter

pytestmark = pytest.mark.usefixtures("socket_enabled")

CLIENT = "TCP:192.0.2.1"


def _line(second: float, role: str, octets: bytes, client: str) -> Mapping[str, object]:
    """Return a line of a wire log."""
    key = "to_client" if role == "RSP" else "from_client"
    return {
        "role": role,
        "ts": f"2025-09-21T19:58:{second:06.3f}",
        key: client,
        "crc_ok": True,
        "hex": octets.hex(),
    }


def _read(
    second: float, client: str, function: int, address: int, words: Sequence[int] | None
) -> list[Mapping[str, object]]:
    """Return the lines of a read, of two words if there is no answer."""
    count = 2 if words is None else len(words)
    request = rtu(1, read_pdu(function, address, count))
    lines = [_line(second, "REQ", request, client)]
    if words is None:
        warning = {"role": "WARN", "event": "downstream_timeout", "from_client": client}
        return [*lines, {**warning, "ts": f"2025-09-21T19:58:{second + 1.5:06.3f}"}]
    data = b"".join(word.to_bytes(2) for word in words)
    answer = rtu(1, bytes((function, len(data))) + data)
    return [*lines, _line(second + 0.1, "RSP", answer, client)]


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """Return a made-up recording: repeats, glued requests, noise, a silence."""
    path = tmp_path / "recording.jsonl"
    glued = 2 * rtu(1, read_pdu(3, 180, 20))
    lines = [
        *_read(0, "SHINE", 3, 100, [7, 8]),
        *_read(1, f"{CLIENT}:50001", 4, 3000, [5, 6]),
        *_read(2, "SHINE", 4, 3001, [9, 10]),
        *_read(3, "SHINE", 4, 3001, [9, 11]),
        *_read(4, f"{CLIENT}:50002", 4, 3004, None),
        *_read(6, f"{CLIENT}:50002", 4, 3004, [1, 2]),
        {**_line(8, "DROP", glued, "SHINE"), "reason": "bad_crc"},
        {**_line(9, "DROP", b"boot" + glued, "SHINE"), "reason": "bad_crc"},
        *_read(20, "SHINE", 3, 100, [7, 8]),
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Recorded.load(path)


def _what(asked: Sequence[Asked]) -> list[tuple[float, str]]:
    return [
        (each.at, str(each.step) if each.step else each.noise[:4].decode())
        for each in asked
    ]


def test_what_each_client_asked_is_read(recorded: Recorded) -> None:
    assert _what(recorded.dongle) == [
        (0.0, "function 3 100-101"),
        (2.0, "function 4 3001-3002"),
        (8.0, "function 3 180-199"),
        (9.0, "boot"),
        (20.0, "function 3 100-101"),
        (22.0, str(CONTROL)),
    ]
    assert {name: _what(asked) for name, asked in recorded.clients.items()} == {
        CLIENT: [
            (1.0, "function 4 3000-3001"),
            (4.0, "function 4 3004-3005"),
            (6.0, "function 4 3004-3005"),
        ]
    }
    assert recorded.requests == 8
    assert recorded.seconds == 22


def test_what_the_inverter_held_and_did_not_answer_is_read(recorded: Recorded) -> None:
    assert recorded.words[Table.HOLDING] == {100: 7, 101: 8}
    assert recorded.words[Table.INPUT] == {
        3000: 5,
        3001: 9,
        3002: 11,
        3004: 1,
        3005: 2,
    }
    assert [(each.at, each.address) for each in recorded.silences] == [(4.0, 3004)]


async def _straight(
    recorded: Recorded, inverter: RecordedInverter, speed: float
) -> Result:
    """Play a recording straight to its inverter."""
    async with RecordedBus(inverter, wire=None, thinking=None) as bus:
        line = await StreamLine.connect("127.0.0.1", await bus.start_rtu_tcp())
        replay = Replay(recorded=recorded, inverter=inverter)
        result = await replay.run(
            line, ("127.0.0.1", await bus.start_tcp()), speed=speed
        )
        line.close()
        return result


async def test_all_is_answered_by_the_inverter_itself(recorded: Recorded) -> None:
    inverter = RecordedInverter(recorded, keeps_silent=False)
    result = await _straight(recorded, inverter, speed=100)
    assert (result.requests, result.answered, result.refused) == (8, 7, 1)
    assert (result.silent, result.given_up, result.dropped, result.wrong) == (0,) * 4
    assert (result.reconnects, result.repeats, result.late_for_dongle) == (0, 0, 0)
    assert result.problems == [f"SHINE: {CONTROL}: exception 1"]
    assert 0.22 <= result.seconds < 2
    assert (len(result.dongle_waits), len(result.client_waits)) == (5, 3)


async def test_wrong_words_are_noticed(recorded: Recorded) -> None:
    inverter = RecordedInverter(recorded, keeps_silent=False)
    inverter.words[Table.INPUT][3000] = 1
    inverter.store(100, [1])
    result = await _straight(recorded, inverter, speed=100)
    assert result.wrong == 1
    assert result.problems[0].endswith(
        "function 4 3000-3001: other words than the inverter's"
    )


async def test_the_inverter_is_silent_where_the_real_one_was(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.gateway.recorded.PATIENCE", 0.2)
    inverter = RecordedInverter(recorded)
    result = await _straight(recorded, inverter, speed=50)
    assert (result.answered, result.silent, result.dropped) == (6, 1, 0)
    assert [(each.function, each.address) for each in inverter.kept_silent] == [
        (4, 3004)
    ]


async def test_requests_that_are_not_passed_on_count_as_dropped(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.gateway.recorded.PATIENCE", 0.1)
    inverter = RecordedInverter(recorded, keeps_silent=False)
    inverter.silent = True
    replay = Replay(recorded=recorded, inverter=inverter, repeat=0.05)
    async with RecordedBus(inverter, wire=None) as bus:
        line = await StreamLine.connect("127.0.0.1", await bus.start_rtu_tcp())
        result = await replay.run(
            line, ("127.0.0.1", await bus.start_tcp()), speed=1000
        )
        line.close()
    assert (result.requests, result.dropped) == (8, 8)


async def test_a_server_that_hangs_up_is_connected_to_anew(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.gateway.recorded.PATIENCE", 0.2)
    inverter = RecordedInverter(recorded, keeps_silent=False)
    async with RecordedBus(inverter, wire=None, thinking=None) as bus:
        port = await bus.start_tcp()
        bus.faults = ["disconnect,address=3004,times=1"]
        line = await StreamLine.connect("127.0.0.1", await bus.start_rtu_tcp())
        replay = Replay(recorded=recorded, inverter=inverter)
        result = await replay.run(line, ("127.0.0.1", port), speed=100)
        line.close()
    assert (result.reconnects, result.dropped) == (1, 1)


# -- the real one ---------------------------------------------------------------------


@asynccontextmanager
async def gateway_before(
    bus: RecordedBus, path: Path
) -> AsyncIterator[tuple[TerminalLine, int, Gateway]]:
    """Put our gateway before a bus; yield the dongle's line and the port for clients."""
    link = await connect_serial(f"socket://127.0.0.1:{await bus.start_rtu_tcp()}")
    gateway = Gateway({1: link.for_unit(1)})
    server = Server(gateway)
    line = TerminalLine.offer(path)
    dongle_port = DonglePort(gateway, str(path))
    await gateway.start()
    await server.start("127.0.0.1", 0)
    await dongle_port.start()
    await until(lambda: dongle_port.is_open)
    try:
        yield line, server.port, gateway
    finally:
        await dongle_port.stop()
        await server.stop()
        await gateway.stop()
        await link.close()
        line.close()


@pytest.mark.skipif(not RECORDING.is_file(), reason="needs the recorded bus")
def test_the_recorded_morning_is_what_it_is_said_to_be() -> None:
    recorded = Recorded.load()
    assert recorded.dongle[0].step is not None
    assert recorded.dongle[0].step.pdu == BOOT[0].pdu
    assert sum(each.noise.startswith(b"\r\n ets") for each in recorded.dongle) == 1
    assert len(recorded.silences) == 14
    # The dongle's cycle takes 9.5 s; what was dropped is among it.
    blocks = [each for each in recorded.dongle if each.step]
    assert len(blocks) > 25 * len(CYCLE)
    assert [len(asked) for asked in recorded.clients.values()] == [63]
    assert recorded.words[Table.HOLDING][43] == 5100


@pytest.mark.skipif(not RECORDING.is_file(), reason="needs the recorded bus")
async def test_nothing_of_the_recorded_morning_is_dropped(tmp_path: Path) -> None:
    """Forty times as fast: the bus itself allows for no more than that."""
    recorded = Recorded.load()
    inverter = RecordedInverter(recorded, keeps_silent=False)
    async with (
        RecordedBus(inverter, wire=None, thinking=None) as bus,
        gateway_before(bus, tmp_path / "dongle") as (line, port, _),
    ):
        replay = Replay(recorded=recorded, inverter=inverter)
        async with asyncio.timeout(60):
            result = await replay.run(line, ("127.0.0.1", port), speed=40)
        assert bus.overlaps == 0
    assert result.requests == recorded.requests
    assert (result.dropped, result.given_up, result.wrong) == (0, 0, 0), result.problems
    assert result.reconnects == 0
    assert (result.repeats, result.late_for_dongle) == (0, 0)
    assert max(result.dongle_waits) < REPEAT
