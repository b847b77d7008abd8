"""Sessions with one DTU: what is asked, what counts as an answer, what is given up.

An answer that will not come is not waited for: the simulator says when it keeps one back.
Only the tests of the timeouts themselves wait, and nothing ever answers there.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, override
from unittest.mock import patch

import pytest

from custom_components.local_solar.hoymiles import client as client_module
from custom_components.local_solar.hoymiles.client import DtuClient, Session
from custom_components.local_solar.hoymiles.dtu import Dtu
from custom_components.local_solar.hoymiles.errors import DtuError
from custom_components.local_solar.hoymiles.frame import Frame
from custom_components.local_solar.hoymiles.inventory import Inventory
from custom_components.local_solar.hoymiles.messages import Fields
from custom_components.local_solar.hoymiles.probe import async_identify
from simulators.clock import SimulatedClock
from simulators.hoymiles import Counters, SimulatedDtu
from simulators.hoymiles_faults import NO_TROUBLE, Fault, FaultKind, Trouble
from simulators.hoymiles_server import running_dtu

pytestmark = pytest.mark.usefixtures("socket_enabled")

INTEGRATED: Final = "hms-800w-2t"
STICK: Final = "stick-3"
NOON: Final = datetime(2026, 6, 21, 13)

A301, A303, A305, A306, A309, A311 = 0xA301, 0xA303, 0xA305, 0xA306, 0xA309, 0xA311

_KEEPS_BACK: Final = (
    FaultKind.SILENT,
    FaultKind.ZERO_BYTES,
    FaultKind.WRONG_SEQUENCE,
)


class TellingDtu(SimulatedDtu):
    """A DTU that tells when the answer that is waited for will not come."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Be a DTU whose values are those of now and whose commands are done at once."""
        self.lost = asyncio.Event()
        super().__init__(
            *args, **{"refresh": 0, "command_time": 0, "seed": 1, **kwargs}
        )
        self.counters = _TellingCounters()
        self.counters.lost = self.lost

    @override
    def answer(
        self, frame: Frame, request: Fields, trouble: Trouble = NO_TROUBLE
    ) -> Frame | None:
        reply = super().answer(frame, request, trouble)
        if (reply is None or trouble.has(*_KEEPS_BACK)) and not trouble.has(
            FaultKind.EVICT, FaultKind.DISCONNECT
        ):
            self.lost.set()
        return reply

    def set_faults(self, *faults: str) -> None:
        """Let this go wrong from now on, and nothing else."""
        self.faults = [Fault.parse(fault) for fault in faults]

    def asked(self, *commands: int) -> list[int]:
        """Return the ids of the requests so far, of these only if there are some."""
        return [
            request.command
            for request in self.requests
            if not commands or request.command in commands
        ]


class _TellingCounters(Counters):
    """Counts; a frame that cannot be read is answered with zeros, which say nothing."""

    __slots__ = ("lost",)
    lost: asyncio.Event

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "bad_frames" and value:
            self.lost.set()


@contextmanager
def impatient(dtu: TellingDtu) -> Iterator[None]:
    """Give up at once when it is known that no answer will come."""
    next_frame = Session._async_next_frame  # noqa: SLF001

    async def or_lost(session: Session) -> Frame:
        lost = asyncio.create_task(dtu.lost.wait())
        frame = asyncio.create_task(next_frame(session))
        try:
            await asyncio.wait((frame, lost), return_when=asyncio.FIRST_COMPLETED)
            if frame.done():
                return frame.result()
            raise TimeoutError
        finally:
            if lost.done():
                dtu.lost.clear()
            frame.cancel()
            lost.cancel()
            await asyncio.gather(frame, lost, return_exceptions=True)

    with (
        patch.object(Session, "_async_next_frame", or_lost),
        patch.object(client_module, "STATUS_INTERVAL", 0.001),
    ):
        yield


@dataclass(frozen=True)
class Rig:
    """A simulated DTU behind a socket, and what polls it."""

    sim: TellingDtu
    client: DtuClient
    dtu: Dtu


@asynccontextmanager
async def make_rig(inventory: Any = INTEGRATED, **kwargs: Any) -> AsyncIterator[Rig]:
    """Run a DTU and get to know it."""
    asyncio.get_running_loop().set_debug(False)
    clock = SimulatedClock(kwargs.pop("at", NOON), 0)
    sim = TellingDtu(inventory, clock=clock, **kwargs)
    async with running_dtu(sim) as address:
        with impatient(sim):
            client = DtuClient(
                address.host, address.port, lambda: clock.now().astimezone()
            )
            known = await async_identify(client)
            assert isinstance(known, Inventory)
            client.serial = known.serial
            sim.requests.clear()
            yield Rig(sim, client, Dtu(client, known))


@asynccontextmanager
async def soon_tired() -> AsyncIterator[None]:
    """Wait for an answer for a moment only: nothing tells that it will not come."""
    with patch.object(client_module, "REQUEST_TIMEOUT", 0.3):
        yield


# -- keys -----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["evict", "silent", "zero-bytes"])
async def test_key_is_asked_for_until_it_is_had(fault: str) -> None:
    """The DTU is busy twice, as when the app connects; it never lost its key."""
    async with make_rig(encrypt=True) as rig, soon_tired():
        rig.sim.set_faults(f"{fault},times=2")
        with pytest.raises(DtuError):
            await rig.client.async_in_session(Session.async_real_data)
        data = await rig.client.async_in_session(Session.async_real_data)
        assert data.inverters
        assert rig.client.is_encrypted


async def test_dtu_that_begins_to_encrypt_is_understood_again() -> None:
    """Firmware updates do that."""
    async with make_rig() as rig, soon_tired():
        await rig.client.async_in_session(Session.async_real_data)
        rig.sim.encrypt = True
        rig.sim.restart()
        with pytest.raises(DtuError):  # it answers nothing that is in plain text
            await rig.client.async_in_session(Session.async_real_data)
        data = await rig.client.async_in_session(Session.async_real_data)
        assert data.inverters
        assert rig.client.is_encrypted
