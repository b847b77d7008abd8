"""``client``: another program at an inverter or at a gateway, which reads now and then."""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from pymodbus import ModbusException
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerType

from .cli import Address, Commands, add_duration, positive, serve

NOT_ANSWERED: Final = 1
"""Exit code if the last request was not answered with registers."""

_MOST: Final = 125
_PATIENCE: Final = 5.0
_SPACES: Final = ("holding", "input")


@dataclass(frozen=True, slots=True)
class Block:
    """Registers that are read together."""

    space: str
    first: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``input:3000:47``."""
        space, _, rest = text.partition(":")
        first, _, count = rest.partition(":")
        numbers = [int(word) if word.isdecimal() else -1 for word in (first, count)]
        if (
            space not in _SPACES
            or not 0 <= numbers[0] <= 0xFFFF
            or not 1 <= numbers[1] <= _MOST
        ):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not like input:3000:47 (holding or input, first register,"
                f" 1 to {_MOST} registers)"
            )
        return cls(space, numbers[0], numbers[1])

    def __str__(self) -> str:
        """Return it as it is given."""
        return f"{self.space}:{self.first}:{self.count}"


class BusClient:
    """Reads blocks in turn, and says when what it gets changes its kind."""

    def __init__(
        self, server: Address, blocks: Sequence[Block], *, unit: int, rtu: bool
    ) -> None:
        """Read ``blocks`` of ``unit`` from ``server``."""
        self.answered = 0
        self.failed = 0
        self.trouble = ""
        """What was wrong with the last answer."""
        self._server = server
        self._blocks = blocks
        self._unit = unit
        self._client = AsyncModbusTcpClient(
            server.host,
            port=server.port,
            framer=FramerType.RTU if rtu else FramerType.SOCKET,
            timeout=_PATIENCE,
            retries=0,
            reconnect_delay=0,
        )

    async def run(self, interval: float) -> None:
        """Read until cancelled, each ``interval`` seconds."""
        try:
            while True:
                for block in self._blocks:
                    self._note(block, await self._read(block))
                await asyncio.sleep(interval)
        finally:
            self._client.close()

    async def _read(self, block: Block) -> str:
        """Return what is wrong with the answer, nothing if that is registers."""
        if not self._client.connected and not await self._client.connect():
            return "cannot connect"
        read = (
            self._client.read_holding_registers
            if block.space == "holding"
            else self._client.read_input_registers
        )
        try:
            answer = await read(block.first, count=block.count, device_id=self._unit)
        except ModbusException:
            return "no answer"
        return f"exception {answer.exception_code}" if answer.isError() else ""

    def _note(self, block: Block, trouble: str) -> None:
        if trouble:
            self.failed += 1
        else:
            self.answered += 1
            if self.trouble or self.answered == 1:
                print(f"answered by {self._server}", flush=True)
        if trouble and trouble != self.trouble:
            print(f"{block}: {trouble}", flush=True)
        self.trouble = trouble


def register(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "client",
        help="another program that reads an inverter, or a gateway in front of it",
        description=(
            "A program that reads registers now and then, as energy managers do. It says"
            " when it begins to get answers, and what is wrong when it gets none; in the end"
            " how many there were. Exits with 1 if the last request was not answered."
        ),
    )
    parser.add_argument(
        "--server",
        metavar="HOST:PORT",
        type=Address.parse,
        required=True,
        help="Modbus TCP",
    )
    parser.add_argument(
        "--rtu", action="store_true", help="RTU frames over TCP instead"
    )
    parser.add_argument(
        "--unit",
        metavar="N",
        type=int,
        default=1,
        choices=range(256),
        help="unit id (1)",
    )
    parser.add_argument(
        "--read",
        dest="blocks",
        metavar="SPACE:FIRST:COUNT",
        type=Block.parse,
        action="append",
        help="registers to read, such as input:3000:47 (holding:0:1); may be repeated",
    )
    parser.add_argument(
        "--interval",
        metavar="S",
        type=positive,
        default=2.0,
        help="seconds between two rounds (%(default)g)",
    )
    add_duration(parser)
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Read until stopped, and return the exit code."""
    blocks = options.blocks or [Block("holding", 0, 1)]
    client = BusClient(options.server, blocks, unit=options.unit, rtu=options.rtu)
    work = asyncio.create_task(client.run(options.interval))
    print(f"asking {options.server}", flush=True)
    try:
        await serve(options.duration)
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
    print(f"{client.answered} answered, {client.failed} not", flush=True)
    return NOT_ANSWERED if client.trouble or not client.answered else 0
