"""The recorded morning of a dongle and a client, for ``benchmarks.gateway``.

The simulated inverter answers as fast as the recorded one did, and is silent where that
was. The gateway has a link to it, a serial port for the dongle and a listener; what the
tests play against it is played here in the time of the recording.
"""

import asyncio
from contextlib import AsyncExitStack, closing
from dataclasses import replace
import logging
from pathlib import Path
import tempfile
from typing import Final

from modbus_connection import ModbusSerialParams
from modbus_connection.tmodbus import ModbusConnection

from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.serial_port import DonglePort
from custom_components.local_solar.gateway.server import Server
from simulators.dongle.lines import TerminalLine
from tests.gateway.recorded import Replay, Result
from tests.gateway.recording import (
    RECORDING,
    UNIT,
    Recorded,
    RecordedBus,
    RecordedInverter,
)

from .asking import Answer, async_answer_questions

HOST: Final = "127.0.0.1"
BAUDRATE: Final = 115_200
_OPEN_WITHIN: Final = 10.0


def _part(recorded: Recorded, seconds: float) -> Recorded:
    """Return the beginning of a recording."""
    return replace(
        recorded,
        dongle=[asked for asked in recorded.dongle if asked.at <= seconds],
        clients={
            name: [asked for asked in each if asked.at <= seconds]
            for name, each in recorded.clients.items()
        },
        silences=[each for each in recorded.silences if each.at <= seconds],
        seconds=min(seconds, recorded.seconds),
    )


async def _play(seconds: float, speed: float) -> Result:
    recorded = _part(Recorded.load(), seconds)
    inverter = RecordedInverter(recorded)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bus = await stack.enter_async_context(RecordedBus(inverter))
        device = await bus.start_pty(folder / "inverter")
        connection = ModbusConnection(
            ModbusSerialParams(device=str(device), baudrate=BAUDRATE)
        )
        stack.push_async_callback(connection.close)
        gateway = Gateway({UNIT: connection.for_unit(UNIT)})
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        server = Server(gateway)
        await server.start(HOST, 0)
        stack.push_async_callback(server.stop)
        stick = stack.enter_context(closing(TerminalLine.offer(folder / "stick")))
        port = DonglePort(gateway, str(folder / "stick"))
        await port.start()
        stack.push_async_callback(port.stop)
        async with asyncio.timeout(_OPEN_WITHIN):
            while not port.is_open:
                await asyncio.sleep(0.01)
        replay = Replay(recorded=recorded, inverter=inverter)
        return await replay.run(stick, (HOST, server.port), speed=speed)


async def _serve() -> None:
    logging.disable(logging.WARNING)

    async def handle(question: Answer) -> Answer:
        if not RECORDING.exists():
            return {}
        result = await _play(question["seconds"], question["speed"])
        waits, others = sorted(result.dongle_waits), sorted(result.client_waits)
        return {
            "seconds": result.seconds,
            "requests": result.requests,
            "answered": result.answered,
            "refused": result.refused,
            "silent": result.silent,
            "dropped": result.dropped,
            "wrong": result.wrong,
            "reconnects": result.reconnects,
            "repeats": result.repeats,
            "asked_again": result.asked_again,
            "waits": [waits[len(waits) // 2], waits[-1]] if waits else [0.0, 0.0],
            "others": [others[len(others) // 2], others[-1]] if others else [0.0, 0.0],
            "problems": result.problems[:10],
        }

    await async_answer_questions(handle)


def serve_morning() -> None:
    """Be inverter, gateway, dongle and client in one."""
    asyncio.run(_serve())
