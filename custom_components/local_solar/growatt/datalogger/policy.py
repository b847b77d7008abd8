"""What a maker's server may tell a logger.

Any server that a logger talks to owns it and its inverters: it can move the logger to
another address, load firmware, read the password of the Wi-Fi and change every setting.
So acknowledgements, pings, the clock and looking at harmless parameters pass; the rest
needs the owner's word.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .packets import Packet, Type
from .parameters import SECRET, ParameterNumber
from .records import COMMANDS, UNANSWERED, commanded


class Permission(StrEnum):
    """What it takes to let a command through."""

    NONE = "none"
    SETTINGS = "settings"
    """That the maker's app may look at and change settings of the inverter."""
    TAKEOVER = "takeover"
    """That it may move the logger to another server, or load firmware."""
    NEVER = "never"


_OF_INVERTER: Final = frozenset(
    {Type.READ_HOLDING, Type.WRITE_HOLDING, Type.WRITE_HOLDINGS}
)

_EVERYDAY: Final = frozenset(
    {
        ParameterNumber.INTERVAL,
        ParameterNumber.TIME_ZONE,
        ParameterNumber.RESTART,
    }
)
"""Parameters of the logger that are settings like those of the inverter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was decided about one packet of the server, and what it was about.

    ``first`` and ``last`` are registers or parameters, ``None`` where there are none.
    """

    needs: Permission
    passes: bool
    type: int
    unit: int
    first: int | None = None
    last: int | None = None

    @property
    def name(self) -> str:
        """What kind of command it was: ``write_parameter``, or its number."""
        known = {kind.value: kind.name.lower() for kind in Type}
        return known.get(self.type, f"{self.type:02x}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the owner has allowed the maker's server."""

    settings: bool = False
    takeover: bool = False

    def judge(self, packet: Packet) -> Verdict:
        """Decide about a packet of the server."""
        about = commanded(packet) if packet.type in COMMANDS else None
        first, last = about or (None, None)
        needs = _needed(packet, about)
        return Verdict(
            needs=needs,
            passes=packet.is_intact and self._allows(needs),
            type=packet.type,
            unit=packet.unit,
            first=first,
            last=last,
        )

    def _allows(self, needs: Permission) -> bool:
        match needs:
            case Permission.NONE:
                return True
            case Permission.SETTINGS:
                return self.settings
            case Permission.TAKEOVER:
                return self.takeover
            case Permission.NEVER:
                return False


def _needed(packet: Packet, about: tuple[int, int] | None) -> Permission:
    """Return what a packet needs to pass."""
    if packet.type == Type.PING:
        return Permission.NONE
    if packet.type not in UNANSWERED:
        # A report's type: an acknowledgement, which has one byte.
        is_acknowledgement = len(packet.body) == 1
        return Permission.NONE if is_acknowledgement else Permission.NEVER
    if about is None:
        return Permission.NEVER
    if packet.type in _OF_INVERTER:
        return Permission.SETTINGS
    first, last = about
    if packet.type == Type.READ_PARAMETERS:
        touches_secrets = any(first <= number <= last for number in SECRET)
        return Permission.NEVER if touches_secrets or last < first else Permission.NONE
    if packet.type != Type.WRITE_PARAMETER:
        return Permission.NEVER
    if first == ParameterNumber.CLOCK:
        return Permission.NONE
    return Permission.SETTINGS if first in _EVERYDAY else Permission.TAKEOVER
