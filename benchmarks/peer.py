"""Runs a process of a benchmark: what is measured, what stands for a device, or clients.

    python -m benchmarks.peer BENCHMARK ROLE

It is asked by lines of JSON and answers each with one. Home Assistant is left out, as
memory is measured: protocols are imported without what is around them.
"""

from importlib import import_module
from pathlib import Path
import resource
import sys
from types import ModuleType
from typing import Any, Final

ROLES: Final = {
    "datalogger": {
        "server": "datalogger_server",
        "cloud": "datalogger_cloud",
        "load": "datalogger_load",
        "crowd": "datalogger_crowd",
        "probe": "datalogger_rogues",
        "rogues": "datalogger_rogues",
    },
    "gateway": {
        "device": "gateway_device",
        "load": "gateway_load",
        "gateway": "gateway_served",
        "rogue": "gateway_rogues",
        "morning": "gateway_replayed",
    },
}
"""Modules of this folder with a function ``serve_ROLE``, by benchmark and role."""

_FOLDER: Final = Path(__file__).parents[1] / "custom_components" / "local_solar"


def main() -> None:
    """Play a role until the one who asks has gone."""
    package: Any = ModuleType("custom_components.local_solar")
    package.__path__ = [str(_FOLDER)]
    sys.modules[package.__name__] = package
    # A thousand loggers are two thousand connections with a cloud.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    benchmark, role = sys.argv[1:]
    module = import_module(f"benchmarks.{ROLES[benchmark][role]}")
    getattr(module, f"serve_{role}")()


# Not a benchmark by itself, so without what scripts/bench takes for the sign of one.
main()
