"""The register map of an OutBack gateway: a SunSpec chain of blocks, read, changed, laid out.

From 40000 on stand the marker "SunS" and blocks, each a number (DID), a length that does not
count these two words, and so many words. The last DID is 0xFFFF, with the length 0. A device
on the HUB has two blocks, with what it measures and with its configuration, and the same
port in both.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import chain as concatenated
from typing import Final, Self

from simulators.datasets import Dataset, Source, Table, as_dataset
from simulators.errors import SimulatorError

BASE: Final = 40000
MARKER: Final = (0x5375, 0x6E53)
"""The text "SunS"."""

ENCRYPTION_KEY: Final = 40074
"""Register of the key with which a gateway scrambles all the others; 0 for none."""

_END: Final = (0xFFFF, 0)
HEADER_WORDS: Final = 2

GATEWAY: Final = 64110
SYSTEM_CONTROL: Final = 64120
CHARGE_CONTROLLER: Final = 64111
CHARGE_CONTROLLER_CONFIG: Final = 64112
FX: Final = 64113
FX_CONFIG: Final = 64114
SPLIT_PHASE: Final = 64115
RADIAN_CONFIG: Final = 64116
SINGLE_PHASE: Final = 64117
FLEXNET_DC: Final = 64118
FLEXNET_DC_CONFIG: Final = 64119

CONFIG_OF: Final[Mapping[int, int]] = {
    CHARGE_CONTROLLER: CHARGE_CONTROLLER_CONFIG,
    FX: FX_CONFIG,
    SPLIT_PHASE: RADIAN_CONFIG,
    SINGLE_PHASE: RADIAN_CONFIG,
    FLEXNET_DC: FLEXNET_DC_CONFIG,
}
"""DID of what a device measures -> DID of its configuration."""

_WITH_PORT: Final = frozenset((*CONFIG_OF, *CONFIG_OF.values()))
_PORT_OFFSET: Final = 3
PORTS: Final = range(1, 11)
"""Ports of a HUB10."""


@dataclass(slots=True, eq=False)
class Block:
    """A block with all its words, of which the first two are DID and length.

    Offsets count from 1, the DID, as in OutBack's documents.
    """

    words: list[int]

    @property
    def did(self) -> int:
        """What kind of block it is."""
        return self.words[0]

    @property
    def port(self) -> int | None:
        """Port on the HUB, ``None`` for a block that is the gateway's own."""
        return self.words[_PORT_OFFSET - 1] if self.did in _WITH_PORT else None

    @port.setter
    def port(self, port: int) -> None:
        self.words[_PORT_OFFSET - 1] = port

    def has(self, offset: int) -> bool:
        """Tell whether the block is long enough to have a register."""
        return 0 < offset <= len(self.words)

    def __getitem__(self, offset: int) -> int:
        """Return the word at an offset."""
        return self.words[offset - 1]

    def __setitem__(self, offset: int, word: int) -> None:
        """Set the word at an offset; negative ones in two's complement."""
        self.words[offset - 1] = word & 0xFFFF


@dataclass(frozen=True, slots=True, eq=False)
class HubDevice:
    """What is on one port: the block with what it measures, and its configuration."""

    live: Block
    config: Block | None

    @property
    def did(self) -> int:
        """DID of what it measures: its family."""
        return self.live.did

    @property
    def port(self) -> int:
        """Port on the HUB."""
        return self.live.words[_PORT_OFFSET - 1]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its blocks, in the order of the chain."""
        return (self.live,) if self.config is None else (self.live, self.config)


@dataclass(slots=True)
class Chain:
    """The blocks of a system, in order. ``name`` says where they come from."""

    name: str
    blocks: list[Block] = field(default_factory=list)

    @classmethod
    def load(cls, source: Source) -> Self:
        """Read a file, a decoded document or a dataset.

        Raises ``SimulatorError`` naming the source and what is wrong with it.
        """
        dataset = as_dataset(source)
        return cls.parse(dataset.words[Table.HOLDING], dataset.name)

    @classmethod
    def parse(cls, words: Mapping[int, int], name: str) -> Self:
        """Cut registers into blocks. Words that are missing inside a block read 0.

        Raises ``SimulatorError`` if they are not a whole chain.
        """
        if tuple(words.get(BASE + place) for place in range(2)) != MARKER:
            scrambled = BASE in words and words.get(ENCRYPTION_KEY)
            raise SimulatorError(
                f"{name}: "
                + (
                    f"is encrypted: {ENCRYPTION_KEY} is not 0 and there is no SunS at {BASE}"
                    if scrambled
                    else f"is no SunSpec map: there is no SunS at {BASE}"
                )
            )
        chain = cls(name)
        address = BASE + len(MARKER)
        while words.get(address) != _END[0]:
            if address not in words or address + 1 not in words:
                raise SimulatorError(
                    f"{name}: the chain of blocks breaks off: there is no block at {address}"
                )
            did, length = words[address], words[address + 1]
            following = address + HEADER_WORDS + length
            if following - 1 > max(words):
                raise SimulatorError(
                    f"{name}: block {did} at {address} with length {length} goes beyond"
                    f" the last register {max(words)}"
                )
            if did in _WITH_PORT and not length:
                raise SimulatorError(f"{name}: block {did} at {address} has no port")
            chain.blocks.append(
                Block([words.get(place, 0) for place in range(address, following)])
            )
            address = following
        if words.get(address + 1, 0) != _END[1]:
            raise SimulatorError(
                f"{name}: the chain of blocks goes wrong: the end at {address} has a length"
            )
        if not any(block.did == GATEWAY for block in chain.blocks):
            raise SimulatorError(f"{name}: has no block {GATEWAY}: it is no gateway")
        return chain

    def as_words(self) -> list[int]:
        """Return all words from ``BASE`` on, with the marker and the end."""
        return [
            *MARKER,
            *concatenated.from_iterable(block.words for block in self.blocks),
            *_END,
        ]

    def as_dataset(self) -> Dataset:
        """Return it as a dataset."""
        dataset = Dataset(self.name)
        dataset.words[Table.HOLDING] = dict(enumerate(self.as_words(), BASE))
        return dataset

    def copy(self) -> Self:
        """Return one that can be changed without changing this one."""
        return type(self)(self.name, deepcopy(self.blocks))

    # --- finding ---

    def find(self, did: int, port: int | None = None) -> Block | None:
        """Return a block, ``None`` if there is none. Without a port, the first one."""
        for block in self.blocks:
            if block.did == did and port in (None, block.port):
                return block
        return None

    def block(self, did: int, port: int | None = None) -> Block:
        """Return a block. Raises ``SimulatorError`` if there is none."""
        if (found := self.find(did, port)) is None:
            where = "" if port is None else f" on port {port}"
            raise SimulatorError(f"{self.name}: has no block {did}{where}")
        return found

    def address_of(self, block: Block) -> int:
        """Return the address at which a block begins."""
        address = BASE + len(MARKER)
        for other in self.blocks:
            if other is block:
                return address
            address += len(other.words)
        raise SimulatorError(f"{self.name}: block {block.did} is no longer there")

    def places(self, address: int, count: int) -> Iterator[tuple[Block, int] | None]:
        """Go through addresses: block and offset, ``None`` for marker and end."""
        wanted = range(address, address + count)
        start = BASE
        for block in (None, *self.blocks, None):
            length = len(MARKER if block is None else block.words)
            for place in range(
                max(start, wanted.start), min(start + length, wanted.stop)
            ):
                yield None if block is None else (block, place - start + 1)
            start += length

    @property
    def end(self) -> int:
        """First address after the chain."""
        words = sum(len(block.words) for block in self.blocks)
        return BASE + len(MARKER) + words + len(_END)

    def devices(self) -> list[HubDevice]:
        """Return the devices on the HUB, in the order of the chain."""
        return [
            HubDevice(block, self.find(CONFIG_OF[block.did], block.port))
            for block in self.blocks
            if block.did in CONFIG_OF
        ]

    def device(self, port: int) -> HubDevice:
        """Return what is on a port. Raises ``SimulatorError`` if nothing is."""
        for device in self.devices():
            if device.port == port:
                return device
        raise SimulatorError(f"{self.name}: nothing is on port {port}")

    # --- changing ---

    def move_port(self, family: int, old: int, new: int) -> None:
        """Plug a device into another port, which must be free. Addresses shift.

        ``family`` is the DID of what it measures. Raises ``SimulatorError``.
        """
        device = self.device(old)
        if device.did != family:
            raise SimulatorError(
                f"{self.name}: on port {old} is a {device.did}, not a {family}"
            )
        self._check_free(new)
        _set_port(device, new)
        self._lay_out()

    def swap_ports(self, one: int, other: int) -> None:
        """Plug two devices into each other's port. Raises ``SimulatorError``."""
        first, second = self.device(one), self.device(other)
        _set_port(first, other)
        _set_port(second, one)
        self._lay_out()

    def remove_device(self, port: int) -> None:
        """Unplug a device. Raises ``SimulatorError``."""
        gone = self.device(port).blocks
        self.blocks = [
            block for block in self.blocks if not any(block is one for one in gone)
        ]

    def add_device(self, like: int, port: int) -> None:
        """Plug in another device like that on port ``like``. Raises ``SimulatorError``."""
        model = self.device(like)
        self._check_free(port)
        added = HubDevice(
            deepcopy(model.live), deepcopy(model.config) if model.config else None
        )
        _set_port(added, port)
        self.blocks += added.blocks
        self._lay_out()

    def reorder(self, ports: Iterable[int]) -> None:
        """Lay the devices out in the order of these ports, those left out behind.

        Raises ``SimulatorError`` for a port with nothing on it.
        """
        first = [self.device(port) for port in ports]
        named = [device.port for device in first]
        rest = [device for device in self.devices() if device.port not in named]
        self._lay_out([*first, *rest])

    def _check_free(self, port: int) -> None:
        if port not in PORTS:
            raise SimulatorError(f"{self.name}: there is no port {port}")
        if any(device.port == port for device in self.devices()):
            raise SimulatorError(f"{self.name}: something is on port {port}")

    def _lay_out(self, devices: Iterable[HubDevice] | None = None) -> None:
        """Put the devices behind each other, by port unless given, where the first is now."""
        if devices is None:
            devices = sorted(self.devices(), key=lambda device: device.port)
        hub = [block for device in devices for block in device.blocks]
        place = next(
            place for place, block in enumerate(self.blocks) if block.did in CONFIG_OF
        )
        rest = [block for block in self.blocks if not any(block is one for one in hub)]
        self.blocks = [*rest[:place], *hub, *rest[place:]]


def _set_port(device: HubDevice, port: int) -> None:
    for block in device.blocks:
        block.port = port
