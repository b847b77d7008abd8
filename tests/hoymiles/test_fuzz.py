"""Frames that were garbled in every way: errors of one kind, no hang, no memory kept.

``scripts/bench hoymiles`` runs the same with 100,000 frames, and so does this test with
that number in LOCAL_SOLAR_EXAMPLES.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
import gc
from inspect import isfunction
import os
from random import Random
from time import perf_counter
import tracemalloc
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from custom_components.local_solar.hoymiles import commands, messages, records
from custom_components.local_solar.hoymiles.cipher import SEED_LENGTH, Cipher
from custom_components.local_solar.hoymiles.commands import Command
from custom_components.local_solar.hoymiles.errors import FrameError
from custom_components.local_solar.hoymiles.frame import (
    MAX_LENGTH,
    Extension,
    Frame,
    FrameReader,
    encode,
    is_extended,
    reply_to,
)

from .test_frame import good_frames

EXAMPLES: Final = int(os.environ.get("LOCAL_SOLAR_EXAMPLES", "8000"))

SECONDS_EACH: Final = 0.003
"""Ten times what a frame takes on a computer with nothing else to do."""

GROWTH: Final = 64 * 1024
"""Bytes that may be held at the end: counts, and what Python keeps for itself."""

PARSERS: Final[tuple[Callable[[bytes], object], ...]] = (
    *(records.app_info, records.real_data, records.old_real_data, records.config),
    *(records.network_info, records.alarm_list, records.command_ack),
    records.command_status,
)
REPLIES: Final = {
    reply_to(command.id): command.reply
    for command in vars(commands).values()
    if isinstance(command, Command)
}
"""Command of a reply -> its message."""

# What wire formats trip over: ends of ranges, long varints, lengths beyond the end.
SHARP: Final = (
    *(b"\0", b"\xff", b"\x7f", b"\x80", b"H", b"HM", b"\0\0\0\0"),
    *(b"\xff" * 10, b"\xff" * 9 + b"\x01", b"\x80" * 10 + b"\x01"),
    *(b"\x0a\xff\xff\xff\xff\x0f", b"\x0b", b"\x0c", b"\x4a\x80\x80\x80\x80\x08"),
)

type Mutation = Callable[[Random, bytearray], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """A good frame, and what encrypts it."""

    frame: Frame
    cipher: Cipher | None


@dataclass(slots=True)
class Outcome:
    """What came of mutated frames."""

    seconds: float = 0.0
    growth: int = 0
    """Bytes that are held since the half of them."""
    counts: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    """Exceptions that are no ``FrameError``, with the bytes that made them."""


# -- good frames ----------------------------------------------------------------------


def _filled(random: Random, message: Descriptor) -> dict[str, Any]:
    """Return a message with a value in most fields."""

    def value(item: FieldDescriptor) -> Any:
        if item.message_type is not None:
            return _filled(random, item.message_type)
        if item.type == FieldDescriptor.TYPE_BYTES:
            return random.randbytes(random.randrange(13))
        return random.getrandbits(random.choice((1, 7, 16, 31)))

    return {
        item.name: [value(item) for _ in range(random.randrange(1, 4))]
        if item.is_repeated
        else value(item)
        for item in message.fields
        if random.random() < 0.8
    }


def _made(random: Random) -> Iterator[Sample]:
    """Make replies of all kinds, plain and encrypted."""
    for command, name in sorted(REPLIES.items()):
        descriptor = messages.parse(name, b"").DESCRIPTOR
        for cipher in (None, Cipher(random.randbytes(SEED_LENGTH))):
            payload = messages.encode(name, _filled(random, descriptor))
            extension = (
                Extension(gateway=0x430193100003, number=255)
                if is_extended(command)
                else None
            )
            sequence = random.randrange(1 << 16)
            yield Sample(Frame(command, sequence, payload, extension), cipher)


def samples(random: Random) -> list[Sample]:
    """Return good frames: made here, and captured ones where these are at hand."""
    captured = (Sample(found.frame(), found.cipher) for found in good_frames())
    return [*_made(random), *captured]


# -- mutations ------------------------------------------------------------------------


def _place(random: Random, data: bytearray) -> slice:
    """Return a part of some data, which may be nothing and is rarely much."""
    start = random.randrange(len(data) + 1)
    return slice(start, start + random.choice((0, 1, 1, 2, 4, 9, 40)))


def _flip(random: Random, data: bytearray) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _cut(random: Random, data: bytearray) -> None:
    del data[_place(random, data)]


def _end_early(random: Random, data: bytearray) -> None:
    del data[random.randrange(len(data) + 1) :]


def _insert(random: Random, data: bytearray) -> None:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.randbytes(random.choice((1, 2, 16)))


def _sharpen(random: Random, data: bytearray) -> None:
    at = random.randrange(len(data) + 1)
    sharp = random.choice(SHARP)
    data[at : at + random.choice((0, len(sharp)))] = sharp


def _duplicate(random: Random, data: bytearray) -> None:
    part = data[_place(random, data)]
    at = random.randrange(len(data) + 1)
    data[at:at] = part * random.choice((1, 1, 2, 30))


def _replace(random: Random, data: bytearray) -> None:
    place = _place(random, data)
    data[place] = random.randbytes(len(data[place]))


def _change_length(random: Random, data: bytearray) -> None:
    if len(data) >= 10:
        near = int.from_bytes(data[8:10]) + random.choice((-1, 1))
        length = random.choice((0, 9, 10, 23, 24, near, random.randrange(1 << 16)))
        data[8:10] = (length % (1 << 16)).to_bytes(2)


MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(_flip, _flip, _cut, _end_early, _insert, _sharpen, _duplicate, _replace),
)
OF_STREAMS: Final = (*MUTATIONS, _change_length, _change_length)


def _mutate(random: Random, data: bytes, mutations: Sequence[Mutation]) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5))):
        random.choice(mutations)(random, changed)
    return bytes(changed)


def _mutant(random: Random, sample: Sample) -> bytes:
    """Return a garbled frame, in half of the cases one with a good checksum."""
    frame = sample.frame
    if random.random() < 0.5:
        return _mutate(random, encode(frame, sample.cipher), OF_STREAMS)
    payload = _mutate(random, frame.payload, MUTATIONS)[: MAX_LENGTH // 2]
    return encode(
        Frame(frame.command, frame.sequence, payload, frame.extension), sample.cipher
    )


# -- what becomes of them -------------------------------------------------------------


class _Victim:
    """Reads what comes, as a session does, and all the records that there are."""

    def __init__(self, random: Random, outcome: Outcome) -> None:
        self._random = random
        self._outcome = outcome
        self._reader = FrameReader()

    def take(self, stream: bytes, cipher: Cipher | None) -> None:
        """Read a garbled frame."""
        if self._random.random() < 0.5:
            self._reader = FrameReader()
        self._reader.cipher = cipher
        place = self._random.randrange(len(stream) + 1)
        for segment in (stream[:place], stream[place:]):
            for frame in self._attempt("segment", self._reader.feed, segment) or ():
                self._look_at(frame)

    def _look_at(self, frame: Frame) -> None:
        name = REPLIES.get(frame.command) or self._random.choice(messages.NAMES)
        self._attempt(
            "message", lambda data: messages.decode(name, data), frame.payload
        )
        for parser in PARSERS:
            self._attempt("record", parser, frame.payload)

    def _attempt[Result](
        self, what: str, function: Callable[[bytes], Result], data: bytes
    ) -> Result | None:
        try:
            result = function(data)
        except FrameError:
            self._outcome.counts[f"{what} refused"] += 1
            if what == "segment":
                self._reader = FrameReader()
            return None
        except Exception as err:  # noqa: BLE001
            self._outcome.unexpected.append(f"{what}: {err!r} by {data.hex()}")
            return None
        self._outcome.counts[f"{what} read"] += 1
        return result


def campaign(count: int, seed: int = 1) -> Outcome:
    """Garble so many frames and tell what came of it."""
    random, outcome = Random(seed), Outcome()
    chosen, victim = samples(random), _Victim(random, outcome)
    started = perf_counter()
    for number in range(count):
        if number == count // 2:
            gc.collect()
            tracemalloc.start()
        sample = random.choice(chosen)
        # The wrong key now and then, as after a restart.
        cipher = (
            sample.cipher if random.random() < 0.9 else random.choice(chosen).cipher
        )
        victim.take(_mutant(random, sample), cipher)
    outcome.seconds = perf_counter() - started
    del victim
    gc.collect()
    outcome.growth = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return outcome


def test_garbled_frames_are_refused_and_leave_nothing_behind() -> None:
    outcome = campaign(EXAMPLES)
    assert outcome.unexpected == []
    assert outcome.growth < GROWTH
    assert outcome.seconds < 10 + SECONDS_EACH * EXAMPLES
    counts = outcome.counts
    for what in ("segment", "message", "record"):
        assert counts[f"{what} refused"] > EXAMPLES / 100
        assert counts[f"{what} read"] > EXAMPLES / 100


def test_every_kind_of_record_is_tried() -> None:
    functions = {
        value
        for name, value in vars(records).items()
        if isfunction(value) and value.__module__ == records.__name__
        if not name.startswith("_")
    }
    assert set(PARSERS) == functions - {records.text}


def test_the_same_seed_gives_the_same_frames() -> None:
    first, second = campaign(300, seed=2), campaign(300, seed=2)
    assert first.counts == second.counts
    assert first.counts != campaign(300, seed=3).counts
