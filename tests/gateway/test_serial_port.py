"""The dongle's port: it comes and goes, and the stick is answered as its inverter does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
import logging
from pathlib import Path

import pytest
from serialx import create_serial_connection

from custom_components.local_solar.gateway import rtu_session, serial_port
from custom_components.local_solar.gateway.clients import ClientKind
from custom_components.local_solar.gateway.serial_port import DonglePort

from .ports import (
    Cable,
    HeldGateway,
    answer,
    nothing_is_left,
    read_pdu,
    request,
    until,
    write_pdu,
)

OFTEN = 0.02
"""Seconds between two attempts to open the port."""

A, B = (read_pdu(address, 2) for address in (100, 200))
WHO = read_pdu(43)
"""What a stick asks unit 0 when it starts."""


@pytest.fixture
def gateway() -> HeldGateway:
    return HeldGateway()


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    cable = Cable(tmp_path / "dongle")
    yield cable
    cable.pull_out()


@asynccontextmanager
async def served(gateway: HeldGateway, cable: Cable) -> AsyncIterator[DonglePort]:
    """Look after the port of a cable; in the end nothing may be left of that."""
    port = DonglePort(gateway, str(cable.path), retry_after=OFTEN)
    with nothing_is_left():
        await port.start()
        try:
            yield port
        finally:
            await port.stop()
            cable.pull_out()
    assert gateway.clients == []
    assert not port.is_open


@asynccontextmanager
async def plugged_in(gateway: HeldGateway, cable: Cable) -> AsyncIterator[DonglePort]:
    """Look after a port that is there and open."""
    async with served(gateway, cable) as port:
        cable.plug_in()
        await until(lambda: port.is_open)
        yield port


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Return what the module logged."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == serial_port.__name__ and record.levelno == level
    ]


# -- answers ------------------------------------------------------------------------------


async def test_a_stick_is_answered(gateway: HeldGateway, cable: Cable) -> None:
    async with plugged_in(gateway, cable):
        cable.send(request(A))
        assert await cable.receive(len(answer(A))) == answer(A)
        (client,) = gateway.clients
        assert (client.name, client.peer) == ("dongle", "dongle")
        assert client.kind is ClientKind.DONGLE


async def test_whoever_is_there_answers_as_the_inverter(
    gateway: HeldGateway, cable: Cable
) -> None:
    async with plugged_in(gateway, cable):
        cable.send(request(WHO, 0))
        assert await cable.receive(7) == answer(WHO, 1)
        assert gateway.taken == [(1, WHO)]


async def test_a_write_to_all_is_dropped(gateway: HeldGateway, cable: Cable) -> None:
    async with plugged_in(gateway, cable):
        cable.send(request(write_pdu(45, 26), 0) + request(A))
        assert await cable.receive(len(answer(A))) == answer(A)
        assert gateway.taken == [(1, A)]
        assert gateway.statistics.broadcasts == 1


async def test_glued_and_torn_requests_are_answered(
    gateway: HeldGateway, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtu_session, "monotonic", lambda: 100.0)
    octets = request(A) + request(B)
    async with plugged_in(gateway, cable):
        gateway.is_held = True
        cable.send(octets[:11])
        await until(lambda: gateway.taken == [(1, A)])
        cable.send(octets[11:])
        await until(lambda: gateway.taken == [(1, A), (1, B)])
        gateway.settle()
        gateway.settle()
        expected = answer(A) + answer(B)
        assert await cable.receive(len(expected)) == expected


async def test_a_stick_that_repeats_itself_gets_one_answer(
    gateway: HeldGateway, cable: Cable
) -> None:
    async with plugged_in(gateway, cable):
        gateway.is_held = True
        for _ in range(3):
            cable.send(request(A))
        await until(lambda: gateway.statistics.repeated == 2)
        gateway.settle()
        gateway.is_held = False
        cable.send(request(B))
        expected = answer(A) + answer(B)
        assert await cable.receive(len(expected)) == expected


async def test_answers_that_nobody_takes_are_dropped_whole(
    gateway: HeldGateway, cable: Cable
) -> None:
    long = read_pdu(0, 125)
    async with plugged_in(gateway, cable):
        while not gateway.statistics.unread:
            cable.send(request(long))
            asked = len(gateway.taken)
            await until(lambda: len(gateway.taken) > asked)  # noqa: B023
        taken = cable.received()
        while more := await _rest(cable):
            taken += more
        assert taken == answer(long) * (len(taken) // len(answer(long)))


async def _rest(cable: Cable) -> bytes:
    """Return what comes within a few turns of the event loop."""
    for _ in range(20):
        await asyncio.sleep(0)
        if octets := cable.received():
            return octets
    return b""


# -- it comes and goes --------------------------------------------------------------------


async def test_a_port_need_not_be_there_yet(
    gateway: HeldGateway, cable: Cable, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with served(gateway, cable) as port:
        await until(lambda: messages(caplog, logging.WARNING))
        assert not port.is_open
        assert gateway.clients == []
        cable.plug_in()
        await until(lambda: port.is_open)
        cable.send(request(A))
        assert await cable.receive(len(answer(A))) == answer(A)
    assert len(messages(caplog, logging.WARNING)) == 1
    assert len(messages(caplog, logging.INFO)) == 1


async def test_it_is_logged_once_when_it_goes_and_once_when_it_is_back(
    gateway: HeldGateway,
    cable: Cable,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    attempts = 0

    async def counted(*args: object, **kwargs: object) -> object:
        nonlocal attempts
        attempts += 1
        return await create_serial_connection(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(serial_port, "create_serial_connection", counted)
    async with plugged_in(gateway, cable) as port:
        assert messages(caplog, logging.WARNING) == []
        for times in (1, 2):
            cable.pull_out()
            await until(lambda: not port.is_open)
            await until(lambda: gateway.clients == [])
            before = attempts
            await until(lambda: attempts > before + 3)  # noqa: B023
            assert len(messages(caplog, logging.WARNING)) == times
            cable.plug_in()
            await until(lambda: port.is_open)
            assert len(messages(caplog, logging.INFO)) == times
            cable.send(request(A))
            assert await cable.receive(len(answer(A))) == answer(A)


async def test_what_was_asked_before_it_went_is_not_answered_after(
    gateway: HeldGateway, cable: Cable
) -> None:
    async with plugged_in(gateway, cable) as port:
        gateway.is_held = True
        cable.send(request(A))
        await until(lambda: gateway.taken)
        cable.pull_out()
        await until(lambda: not gateway.clients)
        cable.plug_in()
        await until(lambda: port.is_open)
        gateway.settle()
        gateway.is_held = False
        cable.send(request(B))
        assert await cable.receive(len(answer(B))) == answer(B)


async def test_one_attempt_at_a_time(
    gateway: HeldGateway, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that hangs is given up; only then it is tried again."""
    running = most = attempts = 0

    async def hang(*_: object, **__: object) -> None:
        nonlocal running, most, attempts
        running, attempts = running + 1, attempts + 1
        most = max(most, running)
        try:
            await asyncio.Event().wait()
        finally:
            running -= 1

    monkeypatch.setattr(serial_port, "create_serial_connection", hang)
    monkeypatch.setattr(serial_port, "OPENED_WITHIN", OFTEN)
    async with served(gateway, cable):
        await until(lambda: attempts == 3)
    assert (running, most) == (0, 1)


async def test_whatever_goes_wrong_it_is_tried_again(
    gateway: HeldGateway,
    cable: Cable,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = 0

    async def fail(*_: object, **__: object) -> None:
        nonlocal attempts
        attempts += 1
        raise RuntimeError("a bug of the library")

    monkeypatch.setattr(serial_port, "create_serial_connection", fail)
    async with served(gateway, cable) as port:
        await until(lambda: attempts == 3)
        monkeypatch.undo()
        cable.plug_in()
        await until(lambda: port.is_open)
    assert len(messages(caplog, logging.ERROR)) == 1
    assert len(messages(caplog, logging.WARNING)) == 1


async def test_a_driver_that_does_not_let_go_holds_up_nobody(
    gateway: HeldGateway, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = asyncio.Event()
    hanging = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            hanging.set()
            await let_go.wait()

    monkeypatch.setattr(serial_port, "create_serial_connection", hang)
    monkeypatch.setattr(serial_port, "OPENED_WITHIN", OFTEN)
    monkeypatch.setattr(serial_port, "CLOSED_WITHIN", OFTEN)
    port = DonglePort(gateway, str(cable.path), retry_after=OFTEN)
    before = asyncio.all_tasks()
    with nothing_is_left():
        await port.start()
        await hanging.wait()
        await port.stop()
        let_go.set()
        await until(lambda: asyncio.all_tasks() == before)


async def test_what_is_no_serial_port_is_looked_for_again(
    gateway: HeldGateway, cable: Cable, caplog: pytest.LogCaptureFixture
) -> None:
    cable.path.write_text("not a port")
    async with served(gateway, cable) as port:
        await until(lambda: messages(caplog, logging.WARNING))
        cable.path.unlink()
        cable.plug_in()
        await until(lambda: port.is_open)


async def test_nobody_else_can_open_it_meanwhile(
    gateway: HeldGateway, cable: Cable, caplog: pytest.LogCaptureFixture
) -> None:
    async with plugged_in(gateway, cable):
        other = DonglePort(HeldGateway(), str(cable.path), retry_after=OFTEN)
        await other.start()
        await until(lambda: messages(caplog, logging.WARNING))
        assert not other.is_open
        await other.stop()


async def test_it_can_be_stopped_at_any_time(
    gateway: HeldGateway, cable: Cable
) -> None:
    cable.plug_in()
    with nothing_is_left():
        for turns in range(60):
            port = DonglePort(gateway, str(cable.path), retry_after=OFTEN)
            await port.start()
            for _ in range(turns):
                await asyncio.sleep(0)
            await port.stop()
            assert gateway.clients == []
