"""A client that insists on registers which a unit does not answer, and the others."""

import asyncio
from collections.abc import Coroutine
from typing import override

from modbus_connection import ModbusTimeoutError
import pytest

from custom_components.local_solar.gateway.bus import Pace
from custom_components.local_solar.gateway.clients import Client
from custom_components.local_solar.gateway.gateway import Gateway

from .helpers import HeldUnit, make_client, read_pdu, words
from .virtual_time import VirtualLoop

NOTHING_THERE = 1000
SECONDS = 60.0
LENGTH = 5


class Gappy(HeldUnit):
    """A unit that takes 0.1 s, and is silent where it has no registers."""

    @override
    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        await asyncio.sleep(0.1)
        if address >= NOTHING_THERE:
            await asyncio.sleep(1.4)
            raise ModbusTimeoutError("nothing there")
        return await super().read_holding_registers(address, count)


async def answered(insists_on: int | None) -> int:
    """Return how many answers three clients get while another insists on something."""
    loop = asyncio.get_running_loop()
    gateway = Gateway({1: Gappy()}, pace=Pace(first_gap=0.0, max_age=0.0))
    await gateway.start()
    end = loop.time() + SECONDS
    answers = 0

    async def ask(number: int, address: int, length: int, pause: float) -> None:
        nonlocal answers
        client = make_client(f"10.0.0.{number}:1")
        while loop.time() < end:
            future: asyncio.Future[bytes | None] = loop.create_future()
            gateway.take(client, 1, read_pdu(address, length), future.set_result)
            answer = await future
            answers += answer is not None and answer[0] == 3
            await asyncio.sleep(pause)

    asking = [ask(number, 10 * number, LENGTH, 0.3) for number in range(3)]
    if insists_on is not None:
        asking.append(ask(9, NOTHING_THERE, insists_on, 0.05))
    await asyncio.gather(*asking)
    await gateway.stop()
    return answers


async def answered_after_a_timeout(others: int) -> bytes | None:
    """Return what a client is told that had one timeout, where many others want much."""
    loop = asyncio.get_running_loop()
    gateway = Gateway({1: Gappy()}, pace=Pace(first_gap=0.0, max_age=0.0))
    await gateway.start()

    async def ask(client: Client, address: int) -> bytes | None:
        future: asyncio.Future[bytes | None] = loop.create_future()
        gateway.take(client, 1, read_pdu(address), future.set_result)
        return await future

    async def go_on(number: int) -> None:
        client = make_client(f"10.0.1.{number}:1")
        while True:
            await ask(client, number)

    tasks = [asyncio.create_task(go_on(number)) for number in range(others)]
    unlucky = make_client()
    await ask(unlucky, 500)
    await ask(unlucky, NOTHING_THERE)
    answer = await ask(unlucky, 500)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await gateway.stop()
    return answer


def in_virtual_time[T](scenario: Coroutine[None, None, T]) -> T:
    """Run something at once."""
    loop = VirtualLoop()
    try:
        with loop.rule(("bus", "late_answers", "watch", "scheduler", "gateway")):
            task = loop.create_task(scenario)
            while not task.done():
                loop.move(0.05)
            return task.result()
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("length", "share"),
    # For those of the same shape there is no asking while a late answer may come.
    [(LENGTH + 1, 0.9), (LENGTH, 0.6)],
)
def test_who_insists_on_what_is_not_there_costs_others_little(
    length: int, share: float
) -> None:
    undisturbed = in_virtual_time(answered(None))
    assert in_virtual_time(answered(length)) >= share * undisturbed


def test_who_had_bad_luck_once_is_not_left_out_for_it() -> None:
    assert in_virtual_time(answered_after_a_timeout(40)) == words(500)
