"""An OutBack MATE3 or MATE3s on Modbus TCP: one gateway with all that is on its HUB.

What it does as the real ones do, from OutBack's documents, a dump of a MATE3s and reports
of owners: it answers for any unit id; registers are read across the borders of blocks, but
not beyond the chain; commands read 0 and show in the states; writes to what cannot be
written are answered as done, and so are values outside the limits, which 64110/402 tells;
a second client is turned away.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, override

from simulators.clock import SimulatedClock
from simulators.datasets import Source, Table
from simulators.errors import SimulatorError
from simulators.faults import Fault
from simulators.modbus import ModbusSimulator
from simulators.requests import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, RefusedError, Request

from .access import Limits, WriteError, judge, nothing, row_at
from .chain import BASE, ENCRYPTION_KEY, GATEWAY, Block, Chain
from .commands import Commands
from .listener import Door, GuardedListener
from .registers import DAILY, PLACES, number, reads, show
from .systems import DEFAULT_VARIANT, VARIANTS, build

if TYPE_CHECKING:
    from pymodbus.framer import FramerType

    from .live import LiveValues

NO_DATA: Final = 0x8000
"""What the first words of a block read while the HUB has no data of the device."""

_ALL_UNITS: Final = range(256)
_CLOCK: Final = range(
    PLACES[GATEWAY]["year"].offset, PLACES[GATEWAY]["second"].offset + 1
)
_CLOCK_LIMITS: Final = ((2000, 2099), (1, 12), (1, 31), (0, 23), (0, 59), (0, 59))
_ERROR_BITS: Final = WriteError.HIGH | WriteError.LOW | WriteError.INVALID


@dataclass(frozen=True, slots=True)
class _Mask:
    """Words that hide what a block holds, until a time."""

    until: datetime
    block: Block
    offset: int
    words: tuple[int, ...]


class SimulatedMate3:
    """The registers of a gateway and the rules for reading and writing them.

    Times in seconds are of the clock.
    """

    def __init__(self, chain: Chain, clock: SimulatedClock | None = None) -> None:
        """Serve a chain, which changes with writes."""
        self.chain: Final = chain
        self.clock: Final = clock or SimulatedClock()
        self.silent = False
        """Whether it hears and answers nothing."""
        self.command_delay = 0.3
        """Seconds until commands and switches have their effect."""
        self.sentinels_after_write = 0.0
        """Seconds for which a register that was written reads "not available"."""
        self.gaps = 0.0
        """For so many seconds of each minute, the HUB has no data of one of its devices,
        of another one each minute."""
        self.gap_words = 1
        """First words of each block that read 0x8000 then."""
        self.encryption_key = 0
        """Key with which all registers but that of the key are scrambled; 0 for none."""
        self.limits: dict[tuple[int, int], Limits] = {}
        """DID and offset -> least and greatest word that the devices take, where that is
        narrower than what the documents allow."""
        self.commands: Final = Commands(chain, self._later, self._utc)
        self.live: LiveValues | None = None
        self._pending: list[tuple[datetime, Callable[[], None]]] = []
        self._masks: list[_Mask] = []
        self._ahead = timedelta()
        shown = self._shown_time()
        if shown is not None:
            self._ahead = shown - self.clock.now()

    # --- time ---

    @property
    def time(self) -> datetime:
        """Local time as the gateway has it."""
        return self.clock.now() + self._ahead

    @time.setter
    def time(self, time: datetime) -> None:
        self._ahead = time - self.clock.now()

    def _utc(self) -> datetime:
        gateway = self.chain.block(GATEWAY)
        return self.time - timedelta(hours=number(gateway, "set_time_zone") or 0)

    def _shown_time(self) -> datetime | None:
        """Return the time that the registers show, ``None`` if that is none."""
        gateway = self.chain.block(GATEWAY)
        with suppress(ValueError):
            return _time_of([gateway[offset] for offset in _CLOCK])
        return None

    def _later(self, action: Callable[[], None]) -> None:
        due = self.clock.now() + timedelta(seconds=self.command_delay)
        self._pending.append((due, action))
        if not self.command_delay:
            self._act()

    def _act(self) -> None:
        """Do what has become due. What that asks for may be due as well."""
        now = self.clock.now()
        while due := [entry for entry in self._pending if entry[0] <= now]:
            self._pending = [entry for entry in self._pending if entry[0] > now]
            for _, action in due:
                action()
            if self.live is not None:
                self.live.show()

    def update(self) -> None:
        """Bring everything that moves up to now."""
        self._act()
        if self.live is not None:
            self.live.update()
        gateway = self.chain.block(GATEWAY)
        for offset, part in zip(_CLOCK, self.time.timetuple(), strict=False):
            gateway[offset] = part
        self.commands.show_generator_time()
        now = self.clock.now()
        self._masks = [mask for mask in self._masks if mask.until > now]

    def start_living(self) -> None:
        """Let sun, house and battery drive the registers, by the clock's time."""
        # Brings the integration along: only for those who need it.
        from .live import LiveValues  # noqa: PLC0415

        self._ahead = timedelta()
        self.live = LiveValues(self.chain, self.commands, lambda: self.time)

    # --- reading ---

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """Return words. Raises ``RefusedError``."""
        if table is not Table.HOLDING:
            raise RefusedError(ILLEGAL_FUNCTION)
        self._check(address, count)
        self.update()
        words = self.chain.as_words()
        for mask in (*self._masks, *self._gap_masks()):
            with suppress(SimulatorError):
                start = self.chain.address_of(mask.block) + mask.offset - 1 - BASE
                words[start : start + len(mask.words)] = mask.words
        if self.encryption_key:
            words = self._scrambled(words)
        return words[address - BASE : address - BASE + count]

    def _check(self, address: int, count: int) -> None:
        if address < BASE or address + count > self.chain.end:
            raise RefusedError(ILLEGAL_ADDRESS)

    def _scrambled(self, words: Sequence[int]) -> list[int]:
        """Return words as a gateway has them whose registers are encrypted.

        How exactly is nobody's business here: what counts is that they make no sense.
        """
        scrambled = [
            (word << 7 & 0xFFFF | word >> 9) ^ self.encryption_key for word in words
        ]
        scrambled[ENCRYPTION_KEY - BASE] = self.encryption_key
        return scrambled

    # --- writing ---

    def check_write(self, address: int, words: Sequence[int], *, single: bool) -> None:
        """Take in a write without carrying it out. Raises ``RefusedError``."""
        self._check(address, len(words))

    def store(self, address: int, words: Sequence[int]) -> bool:
        """Carry out a write and return whether any of it had an effect."""
        self.update()
        by_block: dict[Block, dict[int, int]] = {}
        for place, word in zip(
            self.chain.places(address, len(words)), words, strict=True
        ):
            if place is not None:
                block, offset = place
                by_block.setdefault(block, {})[offset] = word
        done = False
        errors: WriteError | None = None
        for block, written in by_block.items():
            for took, error in self._store_in(block, written):
                done |= took
                if error is not None:
                    errors = (errors or WriteError.NONE) | error
        if errors is not None:
            self._show_error(errors)
        return done

    def _store_in(
        self, block: Block, written: dict[int, int]
    ) -> Iterator[tuple[bool, WriteError | None]]:
        """Write to one block; yield for each row what became of it."""
        if block.did == GATEWAY and any(offset in _CLOCK for offset in written):
            yield self._set_clock(block, written)
        seen: set[int] = set()
        for offset in written:
            if offset in seen or (block.did == GATEWAY and offset in _CLOCK):
                continue
            if (row := row_at(block.did, offset)) is None:
                continue
            offsets = range(row.offset, row.end)
            seen.update(offsets)
            if not block.has(row.end - 1):
                continue
            words = [written.get(place, block[place]) for place in offsets]
            limits = self.limits.get((block.did, offset))
            verdict = judge(self.chain, block, row, words, limits)
            if verdict.stored:
                for place, word in zip(offsets, words, strict=True):
                    block[place] = word
                self._hide(block, [place for place in offsets if place in written])
            if verdict.taken:
                self.commands.written(block, row.offset, words[0])
            yield verdict.taken, verdict.error

    def _set_clock(
        self, gateway: Block, written: dict[int, int]
    ) -> tuple[bool, WriteError]:
        """Set the clock, or parts of it."""
        error = WriteError.NONE
        parts: list[int] = []
        for offset, (low, high) in zip(_CLOCK, _CLOCK_LIMITS, strict=True):
            part = written.get(offset, gateway[offset])
            parts.append(part)
            if part > high:
                error |= WriteError.HIGH
            elif part < low:
                error |= WriteError.LOW
        if not error:
            try:
                self.time = _time_of(parts)
            except ValueError:
                error = WriteError.INVALID  # such as 31 June
        if not error:
            self.update()
            self._hide(gateway, [place for place in _CLOCK if place in written])
        return not error, error

    def _show_error(self, error: WriteError) -> None:
        gateway = self.chain.block(GATEWAY)
        now = reads(gateway, "error") or 0
        show(gateway, "error", now & ~int(_ERROR_BITS) | error)

    # --- what hides registers for a while ---

    def _hide(self, block: Block, offsets: Iterable[int]) -> None:
        if self.sentinels_after_write:
            until = self.clock.now() + timedelta(seconds=self.sentinels_after_write)
            self._masks += [
                _Mask(until, block, offset, (nothing(block.did, offset),))
                for offset in offsets
            ]

    def lose_data(
        self, port: int, seconds: float, *, did: int | None = None, words: int = 1
    ) -> None:
        """Let the first words of a device's blocks read 0x8000, as if there were no data.

        ``did`` picks one of its blocks. Raises ``SimulatorError`` if nothing is on the port.
        """
        until = self.clock.now() + timedelta(seconds=seconds)
        self._masks += [
            _Mask(until, block, 1, (NO_DATA,) * min(words, len(block.words)))
            for block in self.chain.device(port).blocks
            if did in (None, block.did)
        ]

    def _gap_masks(self) -> list[_Mask]:
        now = self.clock.now()
        devices = self.chain.devices()
        if not devices or now.second + now.microsecond / 1e6 >= self.gaps:
            return []
        device = devices[(now.hour * 60 + now.minute) % len(devices)]
        return [
            _Mask(now, block, 1, (NO_DATA,) * min(self.gap_words, len(block.words)))
            for block in device.blocks
        ]

    # --- from outside ---

    def word(self, did: int, offset: int, port: int | None = None) -> int:
        """Return a register as it is now. Raises ``SimulatorError`` if there is none."""
        self.update()
        return self._block_with(did, offset, port)[offset]

    def set_word(
        self, did: int, offset: int, word: int, port: int | None = None
    ) -> None:
        """Set a register, unchecked. What lives may overwrite it.

        Raises ``SimulatorError`` if there is none.
        """
        self._block_with(did, offset, port)[offset] = word

    def address_of(self, did: int, offset: int = 1, port: int | None = None) -> int:
        """Return the address of a register. Raises ``SimulatorError`` if there is none."""
        return self.chain.address_of(self._block_with(did, offset, port)) + offset - 1

    def _block_with(self, did: int, offset: int, port: int | None) -> Block:
        block = self.chain.block(did, port)
        if not block.has(offset):
            raise SimulatorError(f"{self.chain.name}: block {did} has no {offset}")
        return block

    def reset_day(self, port: int) -> None:
        """Let the daily counters of one device begin anew, whatever the time.

        Raises ``SimulatorError`` if nothing is on the port.
        """
        self.update()
        device = self.chain.device(port)
        if self.live is not None:
            self.live.reset_day(device)
        for name in DAILY[device.did]:
            show(device.live, name, 0)


def _time_of(parts: Sequence[int]) -> datetime:
    """Return the time of year, month, day and so on. Raises ``ValueError`` if it is none."""
    year, month, day, hour, minute, second = parts
    return datetime(year, month, day, hour, minute, second)


class Mate3Simulator(ModbusSimulator):
    """A gateway that listens. See ``ModbusSimulator`` for requests and faults."""

    def __init__(
        self,
        source: Source | None = None,
        *,
        variant: str = DEFAULT_VARIANT,
        live: bool = False,
        clock: SimulatedClock | None = None,
        many_clients: bool = False,
        reconnect_pause: float = 0.0,
        faults: Iterable[Fault | str] = (),
        capture: Path | None = None,
        record: bool = True,
        seed: int | None = None,
    ) -> None:
        """Make a gateway.

        Args:
            source: registers to serve: a dump, dataset, capture or diagnostics download.
                The gateway works on a copy.
            variant: the system that it is, without a source; see ``VARIANTS``.
            live: whether sun, house and battery drive the registers.
            clock: the time by which they do; the computer's if not given.
            many_clients: whether it serves more than one connection at a time.
            reconnect_pause: seconds after the end of a connection in which it takes no
                other one.
            faults: what goes wrong; see ``faults.py``.
            capture: file that gets a JSON line per request.
            record: whether to keep ``requests``.
            seed: makes random faults the same in every run.

        Raises:
            SimulatorError: if the source, the variant, a fault or the capture is no good.

        """
        chain = build(variant) if source is None else Chain.load(source)
        self.mate3: Final = SimulatedMate3(chain, clock)
        if source is None:
            self.mate3.time = self.mate3.clock.now()
        if live:
            self.mate3.start_living()
        self.door: Final = Door(many=many_clients, pause=reconnect_pause)
        super().__init__(
            dict.fromkeys(_ALL_UNITS, self.mate3),
            faults=faults,
            capture=capture,
            record=record,
            seed=seed,
        )

    @override
    async def _start_socket(
        self, kind: str, framer: FramerType, host: str, port: int
    ) -> int:
        listener = GuardedListener(self, kind, framer, host, port, self.door)
        await self._listen(listener, f"{host}:{port}")
        return listener.port

    @override
    def answers_broadcast(self, request: Request) -> int | None:
        """Let the gateway answer for unit 0 as for any other."""
        return 1

    def reboot(self, seconds: float = 0.0) -> None:
        """Hang up on all clients and take none for so many seconds."""
        self.door.shut(seconds)
        self.disconnect_clients()


__all__ = ["VARIANTS", "Mate3Simulator", "SimulatedMate3"]
