"""Runs a process of ``benchmarks.gateway``: a gateway, its device, clients, or rogues.

    python -m benchmarks.gateway_peer ROLE

It is asked by lines of JSON and answers each with one. Home Assistant is left out, as
memory is measured: the gateway is imported without what is around it.
"""

from importlib import import_module
from pathlib import Path
import resource
import sys
from types import ModuleType
from typing import Any, Final

ROLES: Final = {
    "device": "gateway_device",
    "load": "gateway_load",
    "gateway": "gateway_served",
    "rogue": "gateway_rogues",
    "morning": "gateway_replayed",
}
"""Modules of this folder with a function ``serve_ROLE``."""

_FOLDER: Final = Path(__file__).parents[1] / "custom_components" / "local_solar"


def main() -> None:
    """Play a role until the one who asks has gone."""
    package: Any = ModuleType("custom_components.local_solar")
    package.__path__ = [str(_FOLDER)]
    sys.modules[package.__name__] = package
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    role = sys.argv[1]
    getattr(import_module(f"benchmarks.{ROLES[role]}"), f"serve_{role}")()


# Not a benchmark by itself, so without what scripts/bench takes for the sign of one.
main()
