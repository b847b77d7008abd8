"""What clients may do: read-only unless the owner says otherwise.

Registers that must never be touched are refused for everyone, first of all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
import re
from typing import Final

from ..modbus.image import Space
from .clients import Client, ClientKind
from .pdu import READ_INPUT, ExceptionCode, Request

type Network = IPv4Network | IPv6Network

_SPAN: Final = re.compile(
    r"(?:(?P<space>holding|input)\s+)?(?P<first>\d{1,5})(?:\s*-\s*(?P<last>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Registers from ``first`` to ``last``, of one space or (``None``) of both."""

    space: Space | None = None
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read ``holding 0-124``, ``input 3000-3249`` or ``30-40`` (both spaces).

        Raises ``ValueError`` that says what is wrong with it.
        """
        if (match := _SPAN.fullmatch(text.strip().lower())) is None:
            raise ValueError(
                f"{text!r} is not like 'holding 0-124', 'input 3000' or '30-40'"
            )
        first = int(match["first"])
        last = int(match["last"] or first)
        if not first <= last <= 0xFFFF:
            raise ValueError(
                f"{text!r}: registers go from 0 to 65535, the lower one first"
            )
        space = Space(match["space"]) if match["space"] else None
        return cls(space=space, first=first, last=last)

    def __str__(self) -> str:
        """Return it as it is read."""
        span = (
            str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        )
        return f"{self.space} {span}" if self.space else span

    def covers(self, space: Space, first: int, last: int) -> bool:
        """Return whether registers lie within it."""
        return self._is_of(space) and self.first <= first and last <= self.last

    def touches(self, space: Space, first: int, last: int) -> bool:
        """Return whether one of these registers lies within it."""
        return self._is_of(space) and self.first <= last and first <= self.last

    def _is_of(self, space: Space) -> bool:
        return self.space is None or self.space is space


def space_of(request: Request) -> Space:
    """Return which registers a request is about."""
    return Space.INPUT if request.function == READ_INPUT else Space.HOLDING


class Refusal(StrEnum):
    """Why a request is not carried out."""

    NEVER = "never"
    """Registers that must never be touched."""
    RANGE = "range"
    WRITES_OFF = "writes_off"
    NOT_A_WRITER = "not_a_writer"


REFUSED_WITH: Final[Mapping[Refusal, ExceptionCode]] = {
    Refusal.NEVER: ExceptionCode.ILLEGAL_ADDRESS,
    Refusal.RANGE: ExceptionCode.ILLEGAL_ADDRESS,
    Refusal.WRITES_OFF: ExceptionCode.ILLEGAL_FUNCTION,
    Refusal.NOT_A_WRITER: ExceptionCode.ILLEGAL_FUNCTION,
}


def parse_network(text: str) -> Network:
    """Read ``192.168.1.7`` or ``192.168.1.0/24``. Raises ``ValueError``."""
    return ip_network(text.strip(), strict=False)


def is_in(peer: str, networks: Iterable[Network]) -> bool:
    """Return whether an IP address lies in one of the networks."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who may do what. What is left empty is not restricted, but for writing."""

    peers: tuple[Network, ...] = ()
    """From where connections are taken."""
    ranges: tuple[Span, ...] = ()
    """Registers that may be read."""
    never: Mapping[int, tuple[Span, ...]] = field(default_factory=dict)
    """Registers that must not be touched, by unit."""
    writers: tuple[Network, ...] = ()
    """Who may write, of those that come by network. None: nobody."""
    dongle_writes: bool = False
    """Whether the maker's stick may write."""

    def admits(self, peer: str) -> bool:
        """Return whether a connection from an address is taken."""
        return not self.peers or is_in(peer, self.peers)

    def refusal(self, client: Client, request: Request) -> Refusal | None:
        """Return why a request is not carried out, ``None`` if it is."""
        space = space_of(request)
        first, last = request.address, request.address + request.length - 1
        if any(
            span.touches(space, first, last)
            for span in self.never.get(request.unit, ())
        ):
            return Refusal.NEVER
        if request.is_write:
            return self._write_refusal(client)
        if self.ranges and not any(
            span.covers(space, first, last) for span in self.ranges
        ):
            return Refusal.RANGE
        return None

    def _write_refusal(self, client: Client) -> Refusal | None:
        if not self.writers and not self.dongle_writes:
            return Refusal.WRITES_OFF
        if client.kind is ClientKind.DONGLE:
            may_write = self.dongle_writes
        else:
            may_write = is_in(client.peer, self.writers)
        return None if may_write else Refusal.NOT_A_WRITER
