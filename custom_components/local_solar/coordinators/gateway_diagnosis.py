"""What is known of a gateway, for who helps its owner: without addresses of the owner's."""

from collections.abc import Mapping
from dataclasses import asdict

from ..gateway.clients import Client, ClientKind
from ..gateway.gateway import Gateway
from ..gateway.policy import Policy
from .gateway_captures import Captured
from .gateway_listeners import Listeners


def diagnosed_gateway(
    gateway: Gateway, listeners: Listeners, captured: Captured | None
) -> Mapping[str, object]:
    """Return it as JSON types."""
    statistics = asdict(gateway.statistics)
    for what, seconds in statistics.items():
        if isinstance(seconds, float):
            statistics[what] = round(seconds, 1)
    return {
        "clients": [_diagnosed(client) for client in gateway.clients],
        "statistics": {
            **statistics,
            "exceptions": {
                str(code): count
                for code, count in sorted(gateway.statistics.exceptions.items())
            },
        },
        "gap_ms": round(1000 * gateway.gap),
        "reachable": gateway.is_reachable,
        "silent_units": sorted(gateway.units_silent),
        "policy": _diagnosed_policy(gateway.policy),
        "listeners": [
            {
                "name": listener.name,
                "open": listener.is_open,
                "error": listener.error,
            }
            for listener in listeners.listeners
        ],
        "capture": captured
        and {
            "lines": captured.lines,
            "dropped": captured.dropped,
            "error": captured.error,
        },
    }


def _diagnosed(client: Client) -> Mapping[str, object]:
    by_network = client.kind in (ClientKind.TCP, ClientKind.RTU_TCP)
    return {
        "kind": client.kind.value,
        "name": "**REDACTED**" if by_network else client.name,
        "requests": client.requests,
        "exceptions": client.exceptions,
        "blocked_writes": client.blocked_writes,
        "waiting": client.waiting,
    }


def _diagnosed_policy(policy: Policy) -> Mapping[str, object]:
    return {
        "peers": len(policy.peers),
        "ranges": [str(span) for span in policy.ranges],
        "never": {
            str(unit): [str(span) for span in spans]
            for unit, spans in sorted(policy.never.items())
        },
        "writers": len(policy.writers),
        "dongle_writes": policy.dongle_writes,
    }
