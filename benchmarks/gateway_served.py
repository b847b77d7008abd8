"""The gateway in a process of its own, and the bare loop over the same units.

The units are those of Home Assistant's own library, on the link that is asked for.
"""

import asyncio
import cProfile
import io
import logging
import pstats
import time
from typing import Final

from modbus_connection import ModbusSerialParams, ModbusTcpParams, ModbusUnit
from modbus_connection.tmodbus import ModbusConnection

from custom_components.local_solar.gateway.bus import Pace
from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.server import Limits, Server

from .asking import Answer, async_answer_questions
from .gateway_minimal import MinimalServer
from .gateway_words import READ_HOLDING, Block

HOST: Final = "127.0.0.1"


def _connection(link: Answer) -> ModbusConnection:
    """Return a link to a device, as ``gateway_device`` says where it is."""
    if "path" in link:
        return ModbusConnection(
            ModbusSerialParams(device=link["path"], baudrate=link["baud"])
        )
    if link["link"] == "rtu":
        device = f"socket://{HOST}:{link['port']}"
        return ModbusConnection(ModbusSerialParams(device=device, baudrate=115_200))
    return ModbusConnection(ModbusTcpParams(host=HOST, port=link["port"]))


class Served:
    """A gateway with its link and its listener."""

    def __init__(self, question: Answer) -> None:
        """Put it together."""
        self._connection = _connection(question["to"])
        units = {unit: self._connection.for_unit(unit) for unit in question["units"]}
        self.gateway = Gateway(units, pace=Pace(**question["pace"]))
        limits = Limits(**question["limits"]) if "limits" in question else None
        self._server = Server(self.gateway, limits=limits)

    async def start(self) -> int:
        """Serve; return the port."""
        await self.gateway.start()
        await self._server.start(HOST, 0)
        return self._server.port

    def report(self) -> Answer:
        """Return what it knows of itself."""
        statistics = self.gateway.statistics
        return {
            "gap": self.gateway.gap,
            "silent": sorted(self.gateway.units_silent),
            "clients": len(self.gateway.clients),
            "bus_requests": statistics.bus_requests,
            "bus_errors": statistics.bus_errors,
            "from_cache": statistics.from_cache,
            "joined": statistics.joined,
            "requests": statistics.requests,
        }


async def _read(unit: ModbusUnit, block: Block) -> None:
    if block.function == READ_HOLDING:
        await unit.read_holding_registers(block.address, block.length)
    else:
        await unit.read_input_registers(block.address, block.length)


async def _loop(question: Answer) -> Answer:
    """Read blocks one after the other, for so many seconds."""
    connection = _connection(question["to"])
    units = {unit: connection.for_unit(unit) for unit in question["units"]}
    blocks = [Block(*block) for block in question["blocks"]]
    await _read(units[blocks[0].unit], blocks[0])
    began, cpu, reads = time.monotonic(), time.process_time(), 0
    while time.monotonic() - began < question["seconds"]:
        block = blocks[reads % len(blocks)]
        await _read(units[block.unit], block)
        reads += 1
    seconds = time.monotonic() - began
    cpu = time.process_time() - cpu
    await connection.close()
    return {"reads": reads, "seconds": seconds, "cpu": cpu}


def _text(profile: cProfile.Profile) -> str:
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(35)
    return text.getvalue()


async def _serve() -> None:
    logging.disable(logging.WARNING)
    served: dict[str, Served] = {}
    profile: cProfile.Profile | None = None

    async def handle(question: Answer) -> Answer:
        nonlocal profile
        name = question.get("name", "")
        match question["do"]:
            case "open":
                served[name] = Served(question)
                return {"port": await served[name].start()}
            case "minimal":
                unit = _connection(question["to"]).for_unit(1)
                return {"port": await MinimalServer(unit).start()}
            case "loop":
                return await _loop(question)
            case "profile":
                if profile is None:
                    profile = cProfile.Profile()
                    profile.enable()
                    return {}
                profile.disable()
                text, profile = _text(profile), None
                return {"text": text}
        report = served[name].report() if name in served else {}
        return {**report, "cpu": time.process_time(), "at": time.monotonic()}

    await async_answer_questions(handle)


def serve_gateway() -> None:
    """Be a gateway."""
    asyncio.run(_serve())
