"""A recorded morning of an inverter's bus, played against a gateway.

The same requests come with the same pauses as in the recording, an inverter with the
recorded words answers, and what all clients make of it is counted. Through the broker that
made the recording requests were dropped, and the client over TCP had to connect anew again
and again: 69 and 175 times in its 37 minutes.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusIOException

from simulators.datasets import Table
from simulators.dongle.dongle import SimulatedDongle, Tally
from simulators.dongle.lines import Line
from simulators.dongle.steps import REPEAT, Step

from .recording import DONGLE, READ_HOLDING, TABLES, Asked, Recorded, RecordedInverter

PATIENCE: Final = 5.0
"""Seconds that a client over TCP waits for an answer, whatever the speed."""

NOBODY_ANSWERS: Final = (6, 10, 11)
"""Exceptions of a gateway that has nothing to hand over."""


@dataclass(slots=True, kw_only=True)
class Result:
    """What became of the requests of all clients."""

    requests: int = 0
    """Without repeats."""
    answered: int = 0
    """With words, or with the echo of a write."""
    refused: int = 0
    """With an exception as devices give it."""
    silent: int = 0
    """With silence, or an exception that says so, while the inverter kept silent to just
    this, as it did in the recording."""
    given_up: int = 0
    """With an exception that says that nobody answers, though the inverter was not silent."""
    dropped: int = 0
    """Without any answer, though the inverter was not silent."""
    wrong: int = 0
    """Answers with other words than the inverter's."""
    reconnects: int = 0
    """How often a client had to connect anew."""
    seconds: float = 0.0
    dongle: Tally = field(default_factory=Tally)
    dongle_waits: list[float] = field(default_factory=list)
    """Seconds from each first request of the dongle to its answer, if the inverter gave one."""
    asked_again: int = 0
    """Requests of the dongle that the inverter did not answer before they were repeated."""
    client_waits: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What was refused, dropped or wrong, in words."""

    @property
    def repeats(self) -> int:
        """How often the dongle asked again."""
        return self.dongle.repeats

    @property
    def late_for_dongle(self) -> int:
        """Answers that came only after the dongle had repeated its request."""
        return sum(wait > REPEAT for wait in self.dongle_waits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What came back: words, an exception code, or nothing."""

    words: tuple[int, ...] | None = None
    exception: int | None = None


@dataclass(slots=True, kw_only=True)
class Replay:
    """Plays a recording once. ``inverter`` is asked what the answers should be."""

    recorded: Recorded
    inverter: RecordedInverter
    repeat: float = REPEAT
    """Seconds of silence after which the dongle asks again."""
    result: Result = field(default_factory=Result)

    async def run(
        self, dongle: Line, tcp: tuple[str, int], *, speed: float = 1.0
    ) -> Result:
        """Let all clients ask what they did, ``speed`` times as fast.

        The dongle speaks RTU through its line, the others Modbus TCP to ``tcp``. Nobody
        asks anew before the answer is there or given up. What the inverter does not answer
        takes real time: its silences belong to a speed of 1, as they follow closely on one
        another at more. Raises ``OSError`` if the line is lost or nobody listens.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self.inverter.begin(speed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._play_dongle(dongle, begun, speed))
            for asked in self.recorded.clients.values():
                group.create_task(self._play_client(asked, tcp, begun, speed))
        self.result.seconds = loop.time() - begun
        return self.result

    async def _play_dongle(self, line: Line, begun: float, speed: float) -> None:
        dongle = SimulatedDongle(line, repeat=self.repeat, tally=self.result.dongle)
        async with dongle.listening():
            for asked in self.recorded.dongle:
                await _until(begun + asked.at / speed)
                if asked.step is None:
                    line.send(asked.noise)
                    continue
                silences = len(self.inverter.kept_silent)
                done = await dongle.ask(asked.step)
                if done.is_answered and self._kept_silent(asked.step, silences):
                    self.result.asked_again += 1
                elif done.is_answered:
                    self.result.dongle_waits.append(done.wait)
                answer = _Answer(words=done.words, exception=done.exception)
                self._note(DONGLE, asked.step, answer, silences)

    async def _play_client(
        self, asked: Sequence[Asked], tcp: tuple[str, int], begun: float, speed: float
    ) -> None:
        client = await _connect(tcp)
        try:
            for each in asked:
                await _until(begun + each.at / speed)
                if each.step is None:
                    continue
                if not client.connected:
                    self.result.reconnects += 1
                    client.close()
                    client = await _connect(tcp)
                silences = len(self.inverter.kept_silent)
                answer = await self._ask(client, each.step)
                self._note("client", each.step, answer, silences)
        finally:
            client.close()

    async def _ask(self, client: AsyncModbusTcpClient, step: Step) -> _Answer:
        read = (
            client.read_holding_registers
            if step.function == READ_HOLDING
            else client.read_input_registers
        )
        loop = asyncio.get_running_loop()
        sent = loop.time()
        with suppress(ModbusIOException, ConnectionException):
            answer = await read(step.address, count=step.word, device_id=step.unit)
            self.result.client_waits.append(loop.time() - sent)
            if answer.isError():
                return _Answer(exception=answer.exception_code)
            return _Answer(words=tuple(answer.registers))
        return _Answer()

    def _note(self, who: str, step: Step, answer: _Answer, silences: int) -> None:
        """Count what became of a request; ``silences`` are those before it was made."""
        result = self.result
        result.requests += 1
        problem = ""
        if answer.words is not None:
            result.answered += 1
            if step.is_read and not self._is_right(step, answer.words):
                result.wrong += 1
                problem = "other words than the inverter's"
        elif answer.exception not in (None, *NOBODY_ANSWERS):
            result.refused += 1
            problem = f"exception {answer.exception}"
        elif self._was_silent(step, silences):
            result.silent += 1
        elif answer.exception is None:
            result.dropped += 1
            problem = "no answer"
        else:
            result.given_up += 1
            problem = f"exception {answer.exception} though the inverter was not silent"
        if problem:
            result.problems.append(f"{who}: {step}: {problem}")

    def _was_silent(self, step: Step, silences: int) -> bool:
        count = step.word if step.is_read else 1
        return any(
            silence.concerns(step.function, step.address, count)
            for silence in self.inverter.kept_silent[silences:]
        )

    def _kept_silent(self, step: Step, silences: int) -> bool:
        """Tell whether the inverter did not answer just this request, since ``silences``."""
        asked = step.function, step.address, step.word if step.is_read else 1
        return any(
            (silence.function, silence.address, silence.count) == asked
            for silence in self.inverter.kept_silent[silences:]
        )

    def _is_right(self, step: Step, words: tuple[int, ...]) -> bool:
        table = TABLES[step.function]
        known = self.recorded.words[table]
        written = self.inverter.written if table is Table.HOLDING else set()
        return len(words) == step.word and all(
            word == known.get(address, 0)
            for address, word in enumerate(words, step.address)
            if address not in written
        )


async def _connect(tcp: tuple[str, int]) -> AsyncModbusTcpClient:
    host, port = tcp
    client = AsyncModbusTcpClient(
        host, port=port, timeout=PATIENCE, retries=0, reconnect_delay=0
    )
    if not await client.connect():
        raise ConnectionRefusedError(f"nobody listens on {host}:{port}")
    return client


async def _until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())
