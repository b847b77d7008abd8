"""Terminals: programs that know only serial ports are served, and can do no harm."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
import os
from pathlib import Path
import select
import stat
import termios
from time import monotonic
import tty
from typing import Any

from modbus_connection.mock import MockModbusConnection, MockModbusUnit
from pymodbus.client import AsyncModbusSerialClient, ModbusSerialClient
import pytest
import serial

from custom_components.local_solar.gateway import pty
from custom_components.local_solar.gateway.bus import Pace
from custom_components.local_solar.gateway.clients import ClientKind
from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.pty import (
    BURST,
    OCTETS_PER_SECOND,
    WRITE_BUFFER,
    Terminals,
)
from custom_components.local_solar.gateway.rtu_session import Host

from .ports import (
    HeldGateway,
    answer,
    nothing_is_left,
    read_all,
    read_pdu,
    request,
    until,
    write_pdu,
)

A, B = (read_pdu(address, 2) for address in (100, 200))
LONG = read_pdu(0, 125)


@pytest.fixture
def gateway() -> HeldGateway:
    return HeldGateway()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "local_solar" / "ports"


@asynccontextmanager
async def offered(
    gateway: Host, folder: Path, count: int = 1, idle: float = pty.IDLE
) -> AsyncIterator[Terminals]:
    """Offer terminals; in the end nothing may be left of them."""
    terminals = Terminals(gateway, folder, count, idle=idle)
    with nothing_is_left():
        await terminals.start()
        try:
            yield terminals
        finally:
            await terminals.stop()
    assert not any(path.is_symlink() for path in terminals.paths)


@contextmanager
def opened(terminals: Terminals, number: int = 1) -> Iterator[int]:
    """Open a terminal as any program does, and leave it as it is."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
    descriptor = os.open(terminals.paths[number - 1], flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def receive(descriptor: int, length: int) -> bytes:
    """Return so many octets when they have come."""
    octets = b""

    def has_come() -> bool:
        nonlocal octets
        octets += read_all(descriptor)
        return len(octets) >= length

    await until(has_come)
    return octets


# -- programs that were not made by us ------------------------------------------------------


@asynccontextmanager
async def real_gateway() -> AsyncIterator[Gateway]:
    """Share a unit whose holding registers 0 to 199 hold 1000 more than their addresses."""
    unit = MockModbusUnit(MockModbusConnection(), 1)
    unit.holding.update({address: 1000 + address for address in range(200)})
    await unit._conn.connect()  # noqa: SLF001
    gateway = Gateway({1: unit}, pace=Pace(first_gap=0.0))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


@pytest.mark.parametrize("baudrate", [9600, 115200])
async def test_pymodbus_reads_through_a_terminal(folder: Path, baudrate: int) -> None:
    async with real_gateway() as gateway, offered(gateway, folder) as terminals:
        client = AsyncModbusSerialClient(
            str(terminals.paths[0]), baudrate=baudrate, timeout=5
        )
        assert await client.connect()
        try:
            for address in range(0, 100, 10):
                answered = await client.read_holding_registers(
                    address, count=100, device_id=1
                )
                assert answered.registers == list(range(1000 + address, 1100 + address))
            refused = await client.write_register(0, 1, device_id=1)
            assert refused.isError()
        finally:
            client.close()
        # Closing takes pymodbus a turn of the event loop.
        await asyncio.sleep(0)


async def test_programs_that_block_have_a_terminal_each(folder: Path) -> None:
    def read(path: Path, address: int) -> list[int]:
        with ModbusSerialClient(str(path), baudrate=9600, timeout=5) as client:
            answered = client.read_holding_registers(address, count=20, device_id=1)
            registers: list[int] = answered.registers
            return registers

    async with real_gateway() as gateway, offered(gateway, folder, 3) as terminals:
        found = await asyncio.gather(
            *(
                asyncio.to_thread(read, path, 20 * place)
                for place, path in enumerate(terminals.paths)
            )
        )
        assert {client.name for client in gateway.clients} == {
            "terminal 1",
            "terminal 2",
            "terminal 3",
        }
        assert {client.kind for client in gateway.clients} == {ClientKind.TERMINAL}
    assert found == [[*range(1000 + at, 1020 + at)] for at in (0, 20, 40)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"baudrate": 115200, "rtscts": True},
        {"stopbits": serial.STOPBITS_TWO, "exclusive": True},
    ],
)
async def test_pyserial_gets_each_octet_as_it_is(
    gateway: HeldGateway, folder: Path, options: dict[str, Any]
) -> None:
    """Also those that terminals for people take for control characters."""
    pdus = [read_pdu(word, 9) for word in (0x0003, 0x0A0D, 0x1113, 0x1A04, 0x7F1C)]

    def ask(path: Path) -> list[bytes]:
        with serial.Serial(str(path), timeout=5, **options) as port:
            found = []
            for pdu in pdus:
                port.write(request(pdu))
                found.append(port.read(len(answer(pdu))))
            return found

    async with offered(gateway, folder) as terminals:
        for _ in range(3):
            found = await asyncio.to_thread(ask, terminals.paths[0])
            assert found == [answer(pdu) for pdu in pdus]
    assert gateway.statistics.garbage == 0


# -- who is there ---------------------------------------------------------------------------


async def test_a_client_is_there_while_something_comes_from_it(
    gateway: HeldGateway, folder: Path
) -> None:
    async with offered(gateway, folder, 2, idle=0.5) as terminals:
        with opened(terminals, 2) as descriptor:
            assert gateway.clients == []
            for _ in range(2):
                os.write(descriptor, request(A))
                assert await receive(descriptor, len(answer(A))) == answer(A)
                assert [client.name for client in gateway.clients] == ["terminal 2"]
                await until(lambda: not gateway.clients)


async def test_who_has_left_is_not_answered(gateway: HeldGateway, folder: Path) -> None:
    async with offered(gateway, folder, idle=0.05) as terminals:
        with opened(terminals) as descriptor:
            gateway.is_held = True
            os.write(descriptor, request(A))
            await until(lambda: gateway.taken)
            await until(lambda: not gateway.clients)
            gateway.settle()
            gateway.is_held = False
            os.write(descriptor, request(B))
            assert await receive(descriptor, len(answer(B))) == answer(B)


@pytest.mark.parametrize("pdu", [A, write_pdu(45, 26)])
async def test_nobody_answers_for_unit_0(
    gateway: HeldGateway, folder: Path, pdu: bytes
) -> None:
    async with offered(gateway, folder) as terminals:
        with opened(terminals) as descriptor:
            os.write(descriptor, request(pdu, 0) + request(B))
            assert await receive(descriptor, len(answer(B))) == answer(B)
    assert gateway.taken == [(1, B)]
    assert gateway.statistics.broadcasts == 1


# -- what programs do wrong -----------------------------------------------------------------


async def test_an_answer_that_was_not_read_is_not_taken_for_the_next(
    gateway: HeldGateway, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with offered(gateway, folder) as terminals:
        (terminal,) = terminals._terminals  # noqa: SLF001
        with opened(terminals) as descriptor:
            os.write(descriptor, request(A))
            await until(lambda: _unread(descriptor))
            _expire(terminal)
            assert _unread(descriptor)
            monkeypatch.setattr(pty, "monotonic", lambda: monotonic() + pty.UNREAD)
            _expire(terminal)
            assert not _unread(descriptor)
            os.write(descriptor, request(B))
            assert await receive(descriptor, len(answer(B))) == answer(B)


def _expire(terminal: pty._Terminal) -> None:
    """Let a terminal look for answers that were not read, as if it were time."""
    timer = terminal._expiry  # noqa: SLF001
    assert timer is not None
    timer.cancel()
    terminal._expire()  # noqa: SLF001


def _unread(descriptor: int) -> bool:
    """Return whether a terminal has something to read."""
    return bool(select.select([descriptor], [], [], 0)[0])


async def test_answers_that_are_not_read_are_dropped_whole(
    gateway: HeldGateway, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pty, "BURST", 1_000_000)
    async with offered(gateway, folder) as terminals:
        (terminal,) = terminals._terminals  # noqa: SLF001
        terminal._allowance = 1_000_000.0  # noqa: SLF001
        with opened(terminals) as descriptor:
            await asyncio.to_thread(_write_all, descriptor, request(LONG) * 400)
            await until(lambda: len(gateway.taken) == 400)
            assert gateway.statistics.unread > 100
            assert len(terminal._unsent) <= WRITE_BUFFER  # noqa: SLF001
            kept = 400 - gateway.statistics.unread
            expected = answer(LONG) * kept
            assert await receive(descriptor, len(expected)) == expected


def _write_all(descriptor: int, octets: bytes) -> None:
    """Write octets, however long that takes."""
    rest = memoryview(octets)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            continue


async def test_who_floods_a_terminal_is_not_read_faster_than_a_line_carries(
    gateway: HeldGateway, folder: Path
) -> None:
    """And is served again afterwards."""
    loop = asyncio.get_running_loop()
    flood = b"\3" * (BURST + 10_000)
    async with offered(gateway, folder, 2) as terminals:
        with opened(terminals) as descriptor, opened(terminals, 2) as other:
            began = loop.time()
            writing = asyncio.create_task(
                asyncio.to_thread(_write_all, descriptor, flood + request(A))
            )
            os.write(other, request(B))
            assert await receive(other, len(answer(B))) == answer(B)
            await receive(descriptor, len(answer(A)))
            assert loop.time() - began >= 9_000 / OCTETS_PER_SECOND
            await writing
    assert gateway.taken == [(1, B), (1, A)]
    assert sum(map(len, gateway.notes.noise)) == len(flood)


@pytest.mark.parametrize("pdu", [A, write_pdu(1, 2)])
async def test_a_terminal_that_was_made_to_echo_does_not_answer_itself(
    gateway: HeldGateway, folder: Path, pdu: bytes
) -> None:
    """The answer to a write is the same as the request."""
    async with offered(gateway, folder) as terminals:
        with opened(terminals) as descriptor:
            _make_it_for_people(descriptor)
            os.write(descriptor, request(pdu))
            assert await receive(descriptor, len(answer(pdu))) == answer(pdu)
            os.write(descriptor, request(B))
            assert await receive(descriptor, len(answer(B))) == answer(B)
    assert gateway.taken == [(1, pdu), (1, B)]
    assert gateway.statistics.garbage == 0


def _make_it_for_people(descriptor: int) -> None:
    """Let a terminal echo, and hand on whole lines only."""
    attributes = termios.tcgetattr(descriptor)
    attributes[tty.LFLAG] |= termios.ECHO | termios.ICANON | termios.ISIG
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


# -- the folder -----------------------------------------------------------------------------


async def test_nobody_else_has_access(gateway: HeldGateway, folder: Path) -> None:
    async with offered(gateway, folder, 2) as terminals:
        assert [path.name for path in terminals.paths] == ["1", "2"]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for path in terminals.paths:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(folder.iterdir()) == []


async def test_without_terminals_there_is_no_folder(
    gateway: HeldGateway, folder: Path
) -> None:
    async with offered(gateway, folder, 0) as terminals:
        assert terminals.paths == []
    assert not folder.exists()


async def test_names_of_a_run_that_was_killed_are_given_anew(
    gateway: HeldGateway, folder: Path
) -> None:
    folder.mkdir(mode=0o700, parents=True)
    for name in ("1", "3"):
        (folder / name).symlink_to("/dev/null")
    async with offered(gateway, folder, 2) as terminals:
        with opened(terminals) as descriptor:
            assert os.isatty(descriptor)
        assert not (folder / "3").is_symlink()


def _open_for_the_group(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o750)


def _a_file(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("")


def _a_link(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.symlink_to(folder.parent)


def _a_name_is_taken(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    (folder / "2").write_text("")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (_open_for_the_group, "Others have access"),
        (_a_file, "This is no folder"),
        (_a_link, "This is no folder"),
        (_a_name_is_taken, "Something else has the name"),
    ],
)
async def test_a_folder_that_will_not_do_is_refused(
    gateway: HeldGateway, folder: Path, prepare: Callable[[Path], None], reason: str
) -> None:
    prepare(folder)
    terminals = Terminals(gateway, folder, 2)
    with nothing_is_left(), pytest.raises(OSError, match=reason):
        await terminals.start()
    assert not (folder / "1").is_symlink()


async def test_a_folder_of_somebody_else_is_refused(
    gateway: HeldGateway, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(mode=0o700, parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(OSError, match="Others have access"):
        await Terminals(gateway, folder, 1).start()


async def test_a_name_that_somebody_else_was_given_meanwhile_stays(
    gateway: HeldGateway, folder: Path
) -> None:
    terminals = Terminals(gateway, folder, 1)
    await terminals.start()
    folder.joinpath("1").unlink()
    folder.joinpath("1").symlink_to("/dev/null")
    await terminals.stop()
    assert folder.joinpath("1").readlink() == Path("/dev/null")


async def test_they_can_be_stopped_in_the_middle_of_everything(
    gateway: HeldGateway, folder: Path
) -> None:
    gateway.is_held = True
    for _ in range(5):
        async with offered(gateway, folder, 8) as terminals:
            for number in range(1, 9):
                with opened(terminals, number) as descriptor:
                    os.write(descriptor, request(A) + request(B)[:3])
            await until(lambda: len(gateway.clients) == 8)
        assert gateway.clients == []
