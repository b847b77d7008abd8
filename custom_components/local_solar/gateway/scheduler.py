"""Serves the lines of all clients from the bus, one request at a time.

An answer that takes several times as long as is usual counts for as many turns: who asks a
slow unit gets as much of the bus as the others, not as many answers. Who asks for registers
that another client's request is about to bring waits for that one.
"""

from asyncio import Event, TimerHandle, get_running_loop
from collections import deque
from collections.abc import Callable
import logging
from time import monotonic
from typing import Final

from .asked import Asked
from .bus import Bus, BusError
from .cache import BlockCache
from .clients import Client
from .pdu import ExceptionCode, exception_answer, part_of
from .reads import Reads
from .statistics import Statistics
from .turns import Job, Line, Turns

_LOGGER = logging.getLogger(__name__)

MOST_WAITING: Final = 64
"""Requests of one client that wait for the bus; more are told that it is busy."""

PATIENCE: Final = 30.0
"""Seconds after which a request is told that the bus is busy: nobody waits for longer."""

QUICKLY: Final = 1 / 2
SLOWLY: Final = 1 / 16
"""How much one answer counts for what is taken for usual: a quick one, and a slow one."""

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at who has waited for too long."""

LONG: Final = 0.1
"""Seconds up to which an answer counts for one turn, however short others are."""

MOST_OWED: Final = 15.0
"""Seconds that a client waits for the others after a long answer, at most. It may not be to
blame: somebody else of Home Assistant had the link, or a unit was silent for once."""

type Settle = Callable[[Asked, bytes], None]
"""Hands an answer over."""


class Scheduler:
    """The one who serves all clients."""

    def __init__(
        self, bus: Bus, cache: BlockCache, statistics: Statistics, settle: Settle
    ) -> None:
        """Serve clients from ``bus``, and keep in ``cache`` what it brings."""
        self._bus = bus
        self._cache = cache
        self._statistics = statistics
        self._settle = settle
        self._lines: dict[Client, Line] = {}
        self._turns = Turns()
        self._usual = 0.0
        """Seconds that most answers take."""
        self._queued: Reads[Job] = Reads()
        """Jobs that have not begun and may have company."""
        self._running: Job | None = None
        self._work = Event()
        self._ended = Event()
        """Set when the bus has done what it was at."""
        self._alarm: TimerHandle | None = None
        self._looked = 0.0
        """When it was looked for those who have waited for too long."""
        self._is_stopping = False

    # -- what clients ask -----------------------------------------------------------

    def submit(self, asked: Asked) -> None:
        """Have a read done and its answer told when its turn comes."""
        request = asked.request
        if (code := self._bus.refuses(request, asked.at)) is not None:
            self._refuse_one(asked, code)
            return
        if asked.client.waiting > MOST_WAITING:
            self._refuse_one(asked, ExceptionCode.BUSY)
            return
        running = self._running
        if running is not None and running.request.covers(request) and running.is_valid:
            running.waiters.append(asked)
            return
        self._enqueue(asked)

    def _enqueue(self, waiter: Asked, *, alone: bool = False) -> None:
        """Let somebody wait, in company of those who want more unless ``alone``."""
        request = waiter.request
        queued = self._queued
        job = queued.kept.get(request)
        if job is None and not alone and (wider := queued.wider(request)):
            job = queued.kept[wider[0]]
        if job is None:
            job = Job(waiter)
            queued.keep(request, job)
        else:
            job.waiters.append(waiter)
        # It stands in this client's line too: nobody waits longer for having company.
        line = self._lines.get(waiter.client)
        if line is None:
            line = self._lines[waiter.client] = Line(waiter.client)
        line.jobs.append(job)
        if not line.is_in_turn:
            self._turns.join(line)
        self._work.set()

    def leave(self, client: Client) -> None:
        """Forget a client and what it waits for."""
        running = self._running
        if running is not None:
            running.waiters = _without(client, running.waiters)
        if (line := self._lines.pop(client, None)) is None:
            return
        for job in line.jobs:
            job.waiters = _without(client, job.waiters)
            if not job.waiters and job.started is None:
                self._retire(job)
        line.jobs.clear()

    def forget(self, unit: int) -> None:
        """Hand out nothing any more that was read of a unit until now."""
        running = self._running
        if running is not None and running.request.unit == unit:
            running.is_valid = False
        self._cache.forget(unit)
        self._bus.forget(unit)

    async def async_hold(self, unit: int) -> None:
        """Begin no more reads of a unit, and wait until no answer of it can come any more.

        Whoever writes to it compares what it reads, and knows nothing of ours.
        """
        self._bus.hold(unit)
        while self._running is not None and self._running.request.unit == unit:
            self._ended.clear()
            await self._ended.wait()
        await self._bus.async_let_late_answers_pass(unit)

    def release(self, unit: int) -> None:
        """Go on with the reads of a unit; hand out nothing that was read of it before."""
        self._bus.release(unit)
        self.forget(unit)
        self._work.set()

    def finish(self) -> None:
        """Begin nothing more: ``async_run`` ends when what is on the bus has been answered."""
        self._is_stopping = True
        self._work.set()

    def stop(self) -> None:
        """Forget everybody."""
        self._bus.stop()
        if self._alarm is not None:
            self._alarm.cancel()
        self._running = None
        self._lines.clear()
        self._queued = Reads()
        self._turns = Turns()
        self._is_stopping = False

    # -- serving them ---------------------------------------------------------------

    async def async_run(self) -> None:
        """Serve all lines until stopped."""
        while not self._is_stopping:
            now = monotonic()
            if now - self._looked >= LOOK_EVERY:
                self._dismiss_impatient(now)
            if (turn := self._next(now)) is None:
                self._work.clear()
                await self._work.wait()
                continue
            line, job = turn
            busy = self._statistics.bus_busy
            try:
                self._begin(job, now)
                self._answer(job, await self._bus.async_read(job.request), now)
            except BusError as err:
                self._give_up(job, err.code)
            except Exception:  # all the others would wait for ever
                _LOGGER.exception("Unexpected error at %s", job.request)
                self._give_up(job, ExceptionCode.DEVICE_FAILURE)
            if took := self._statistics.bus_busy - busy:
                line.had += self._turns_of(took)
            if line.jobs:
                self._turns.put(line)
            else:
                line.is_in_turn = False

    def _turns_of(self, seconds: float) -> int:
        """Return for how many turns an answer counts, and learn how long most take."""
        if not self._usual:
            self._usual = seconds
        usual, turns = self._usual, 1
        if seconds > LONG:
            all_once = usual * (len(self._turns) + 1)
            turns = max(1, round(min(seconds / usual, MOST_OWED / all_once)))
        # Quick answers tell soon what is usual. What takes long counts as twice the usual,
        # so that some of it does not make it so.
        if seconds < usual:
            self._usual -= (usual - seconds) * QUICKLY
        else:
            self._usual += min(seconds - usual, usual) * SLOWLY
        return turns

    def _dismiss_impatient(self, now: float) -> None:
        """Tell those who have waited for too long, also for what cannot begin yet."""
        self._looked = now
        for line in list(self._lines.values()):
            for job in list(line.jobs):
                if job.started is None:
                    self._drop_impatient(job, now)
                    if not job.waiters:
                        self._retire(job)

    def _next(self, now: float) -> tuple[Line, Job] | None:
        """Return whose turn it is and what is to be done, ``None`` if there is nothing."""
        not_ready: list[Line] = []
        found: tuple[Line, Job] | None = None
        while found is None and (line := self._turns.take()) is not None:
            if (job := self._take_ready(line.jobs, now)) is not None:
                self._turns.begin(line)
                found = line, job
            elif line.jobs:
                not_ready.append(line)
            else:
                line.is_in_turn = False
        if not_ready:
            for line in not_ready:
                self._turns.put(line)
            if found is None:
                jobs = (job for line in not_ready for job in line.jobs)
                self._wake_at(min(self._bus.ready_at(job.request, now) for job in jobs))
        return found

    def _take_ready(self, jobs: deque[Job], now: float) -> Job | None:
        """Take the first job out of a line that may be done now, if there is one."""
        found: Job | None = None
        skipped: list[Job] = []
        while jobs:
            job = jobs.popleft()
            if job.started is not None or not job.waiters:
                # It was done in the line of somebody else, or nobody wants it any more.
                continue
            if self._bus.ready_at(job.request, now) <= now:
                found = job
                break
            skipped.append(job)
        if skipped:
            jobs.extendleft(reversed(skipped))
        return found

    def _wake_at(self, when: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        delay = max(0.0, when - monotonic())
        self._alarm = get_running_loop().call_later(delay, self._work.set)

    def _begin(self, job: Job, now: float) -> None:
        """Take note that the bus is at a job from now on."""
        request = job.request
        job.started = now
        self._retire(job)
        for waiter in job.waiters:
            self._statistics.waited += now - waiter.at
        job.is_fresh = not self._bus.may_be_late(request, now)
        self._running = job

    def _end(self, job: Job) -> None:
        """Take note that the bus has done with a job: nobody joins it any more."""
        self._running = None
        self._ended.set()
        if not job.is_valid:
            # If its answer is still to come, that is from before a write.
            self._bus.forget(job.request.unit)

    def _retire(self, job: Job) -> None:
        """Let nobody join a job any more before it begins."""
        if self._queued.kept.get(job.request) is job:
            self._queued.drop(job.request)

    def _give_up(self, job: Job, code: int) -> None:
        """Tell all who wait for a job that it was done in vain."""
        self._end(job)
        self._refuse(job, code)
        self._refuse_all_queued(job.request.unit)

    def _drop_impatient(self, job: Job, now: float) -> None:
        late = [each for each in job.waiters if now - each.at > PATIENCE]
        if late:
            job.waiters = [each for each in job.waiters if each not in late]
            for waiter in late:
                self._refuse_one(waiter, ExceptionCode.BUSY)

    def _answer(self, job: Job, answer: bytes, started: float) -> None:
        """Tell all who wait for a job what it brought."""
        self._end(job)
        request = job.request
        if job.is_fresh and job.is_valid:
            self._cache.store(request, answer, started)
        waiters, job.waiters = job.waiters, []
        if len(waiters) > 1:
            self._statistics.joined += len(waiters) - 1
        for waiter in waiters:
            if waiter.at > started and self._is_old(started):
                # It joined while the bus was at it, and that took too long.
                self._statistics.joined -= 1
                self._enqueue(waiter)
                continue
            self._settle(waiter, part_of(answer, request, waiter.request))

    def _is_old(self, started: float) -> bool:
        return monotonic() - started > self._cache.max_age

    def _refuse(self, job: Job, code: int) -> None:
        is_worth_asking = self._bus.refusal(job.request.unit, monotonic()) is None
        waiters, job.waiters = job.waiters, []
        for waiter in waiters:
            if is_worth_asking and waiter.request != job.request:
                # What fails as a whole may be served in part; not in the company of
                # another one that fails.
                self._enqueue(waiter, alone=True)
            else:
                self._refuse_one(waiter, code)

    def _refuse_one(self, asked: Asked, code: int) -> None:
        self._settle(asked, exception_answer(asked.request.function, code))

    def _refuse_all_queued(self, unit: int) -> None:
        """Tell those who wait for a unit that has fallen silent."""
        code = self._bus.refusal(unit, monotonic())
        if code is None:
            return
        is_link = code is ExceptionCode.PATH_UNAVAILABLE
        for job in list(self._queued.kept.values()):
            if job.request.unit == unit or is_link:
                job.started = monotonic()
                self._retire(job)
                self._refuse(job, code)


def _without(client: Client, waiters: list[Asked]) -> list[Asked]:
    return [each for each in waiters if each.client is not client]
