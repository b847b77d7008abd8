"""Imports point downwards only, and nothing is imported that must not be."""

import ast
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from importlib import import_module
import sys
from typing import Final

from modbus_connection import ModbusUnit

from .sources import FOLDER, PACKAGE, Source, module_of, sources


class Layer(IntEnum):
    """Layers of the house; a module imports from its own or from lower ones."""

    GROUND = 0
    """Vocabulary, registers, counters, the one door for writes: nothing of makers, nothing
    of Home Assistant."""
    FAMILY = 1
    """One folder for each maker, and the gateway."""
    COORDINATOR = 2
    """What connects families to Home Assistant: coordinators, and what the door for writes
    means to it."""
    SURFACE = 3
    """What Home Assistant loads: platforms, flows, services, set-up."""


GROUND: Final = {
    "buffered_hours",
    "const",
    "counters",
    "guarded",
    "modbus",
    "modbus_link",
    "points",
    "registers",
    "setting_values",
    "values",
    "write_budget",
    "write_errors",
    "write_gate",
}
COORDINATOR: Final = {
    "battery_control",
    "buffered_records",
    "coordinators",
    "quantities",
    "recorder_queue",
    "writing",
}
SURFACE_FOLDERS: Final = {"flows"}

BANNED: Final = {
    "tmodbus": "changes from release to release: go through modbus_connection",
    "pymodbus": "a peer of the tests, not a client",
    "serial": "Home Assistant opens serial ports",
    "serialx": "Home Assistant opens serial ports",
    "voluptuous": "use probatio",
    "pytz": "use zoneinfo",
    "requests": "blocks the event loop",
}

ALLOWED: Final = {"gateway.serial_port": {"serialx"}}
"""What single modules may import all the same. On the dongle's port we are the device, which
Home Assistant's connections are not made for; it opens with the library that they use."""

STANDARD: Final = set(sys.stdlib_module_names) - {"__future__"}

BENEATH: Final = {
    Layer.GROUND: STANDARD | {"modbus_connection"},
    Layer.FAMILY: STANDARD | {"modbus_connection", "google", "cryptography"},
}
"""What the layers without Home Assistant may import from outside."""


def family_of(name: str) -> str | None:
    """Return the family that a module is of."""
    return name.split(".", maxsplit=1)[0] if layer_of(name) is Layer.FAMILY else None


def layer_of(name: str) -> Layer:
    """Return the layer of a module. A folder that is not known is a family."""
    top = name.split(".", maxsplit=1)[0]
    if top in GROUND:
        return Layer.GROUND
    if top in COORDINATOR:
        return Layer.COORDINATOR
    if top in SURFACE_FOLDERS or not (FOLDER / top).is_dir() or not top:
        return Layer.SURFACE
    return Layer.FAMILY


def imported_modules(source: Source) -> set[str]:
    """Return the modules of the integration that a module imports."""
    return {
        module
        for imported in source.imports()
        if (module := module_of(imported)) is not None and module != source.name
    }


def offences(check: Callable[[Source], Iterable[str]]) -> dict[str, set[str]]:
    """Return what a check finds in each module, of those where it finds anything."""
    found = {source.name: set(check(source)) for source in sources().values()}
    return {name: what for name, what in found.items() if what}


def imported_from_outside(source: Source) -> set[str]:
    """Return the packages that a module imports, other than the integration."""
    return {
        imported.split(".", maxsplit=1)[0]
        for imported in source.imports()
        if module_of(imported) is None
    }


def test_imports_point_downwards() -> None:
    def above(source: Source) -> Iterator[str]:
        for module in imported_modules(source):
            if layer_of(module) > layer_of(source.name):
                yield module

    assert offences(above) == {}


def test_a_family_imports_no_other_family() -> None:
    def others(source: Source) -> Iterator[str]:
        if (family := family_of(source.name)) is not None:
            for module in imported_modules(source):
                if family_of(module) not in (None, family):
                    yield module

    assert offences(others) == {}


def test_devices_are_understood_without_home_assistant() -> None:
    def unexpected(source: Source) -> set[str]:
        if (allowed := BENEATH.get(layer_of(source.name))) is None:
            return set()
        own = ALLOWED.get(source.name, set())
        return imported_from_outside(source) - allowed - own

    assert offences(unexpected) == {}
    assert not any("homeassistant" in allowed for allowed in BENEATH.values())


def test_nothing_banned_is_imported() -> None:
    def banned(source: Source) -> set[str]:
        own = ALLOWED.get(source.name, set())
        return imported_from_outside(source) & BANNED.keys() - own

    assert offences(banned) == {}
    assert ALLOWED.keys() <= sources().keys()


def test_annotations_need_no_import_from_the_future() -> None:
    assert offences(lambda source: imported_from_outside(source) & {"__future__"}) == {}


def test_the_layers_are_those_of_the_design() -> None:
    expected = {
        "points": Layer.GROUND,
        "counters": Layer.GROUND,
        "guarded": Layer.GROUND,
        "modbus.reader": Layer.GROUND,
        "modbus_link": Layer.GROUND,
        "write_errors": Layer.GROUND,
        "write_gate": Layer.GROUND,
        "write_budget": Layer.GROUND,
        "growatt.settings": Layer.FAMILY,
        "gateway.serial_port": Layer.FAMILY,
        "writing": Layer.COORDINATOR,
        "services": Layer.SURFACE,
        "growatt.identify": Layer.FAMILY,
        "growatt.datalogger.session": Layer.FAMILY,
        "growatt.profiles.min_tl_xh": Layer.FAMILY,
        "hoymiles.client": Layer.FAMILY,
        "hoymiles.settings": Layer.FAMILY,
        "outback.mate3": Layer.FAMILY,
        "outback.blocks.gateway": Layer.FAMILY,
        "outback.settings": Layer.FAMILY,
        "coordinators.base": Layer.COORDINATOR,
        "coordinators.datalogger": Layer.COORDINATOR,
        "coordinators.hoymiles": Layer.COORDINATOR,
        "coordinators.outback": Layer.COORDINATOR,
        "sensor": Layer.SURFACE,
        "flows.growatt": Layer.SURFACE,
        "flows.hoymiles": Layer.SURFACE,
        "flows.mate3_page": Layer.SURFACE,
        "flows.outback": Layer.SURFACE,
        "config_flow": Layer.SURFACE,
        "": Layer.SURFACE,
    }
    assert {name: layer_of(name) for name in expected} == expected
    assert expected.keys() <= sources().keys()


def receivers(*methods: str) -> dict[str, set[str]]:
    """Return on what each module calls methods of these names."""
    found: dict[str, set[str]] = {}
    for source in sources().values():
        for node in ast.walk(source.tree):
            match node:
                case ast.Call(func=ast.Attribute(value=value, attr=attr)) if (
                    attr in methods
                ):
                    found.setdefault(source.name, set()).add(ast.unparse(value))
    return found


def test_only_the_gate_calls_a_drivers_write() -> None:
    """Everything that changes a device goes through one door."""
    assert receivers("async_write") == {
        "write_gate": {"self._driver"},
        # These ask the gate, or ask for that.
        "writing": {"self._gate(device, key)"},
        "services": {"writing"},
        "clock_sync": {"writing"},
        "battery_control": {"writing"},
        # Asks what asks the gate, for clients of a bus.
        "gateway.gateway": {"writer"},
        "coordinators.gateway_writes": {"setting.writing"},
    }
    assert receivers("drivers") == {
        "writing": {"self._owner"},
        # Asks whether there are any.
        "services": {"self.coordinator"},
        # Asks whether two devices share one.
        "battery_control": {"self._owner"},
    }


def test_only_drivers_put_anything_on_the_wire() -> None:
    writes = {name for name in dir(ModbusUnit) if "write" in name}
    assert {"write_register", "write_registers"} < writes
    assert receivers(*writes) == {
        "growatt.settings": {"self._unit"},
        "outback.settings": {"self._unit"},
    }


def test_commands_that_write_to_a_logger_come_from_its_drivers() -> None:
    """A session itself only sets the clock, as any server of these loggers has to."""

    def makers(source: Source) -> set[str]:
        return {
            f"{node.func.id}({ast.unparse(node.args[0])})"
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("write_holding", "write_holdings", "write_parameter")
        }

    assert offences(makers) == {
        "growatt.datalogger.session": {"write_parameter(ParameterNumber.CLOCK)"},
        "growatt.datalogger.settings": {"write_parameter(number)"},
        "growatt.datalogger.unit": {
            "write_holding(self._number)",
            "write_holdings(self._number)",
        },
    }


def test_commands_to_a_dtu_come_from_its_drivers() -> None:
    """The client itself only lets the DTU collect its events, which changes nothing."""
    assert receivers("async_command") == {
        "hoymiles.settings": {"session"},
        "hoymiles.client": {"self"},
    }
    own = {
        ast.unparse(call.args[0])
        for call in ast.walk(sources()["hoymiles.client"].tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "async_command"
    }
    assert own == {"Action.COLLECT_ALARMS"}


def is_driver(imported: str) -> bool:
    """Return whether a name that is imported is the class of a family's driver."""
    module, _, name = imported.rpartition(".")
    if module_of(imported) is None or family_of(module_of(imported) or "") is None:
        return False
    what = getattr(import_module(module), name, None)
    return isinstance(what, type) and hasattr(what, "async_write")


def test_only_the_coordinator_of_a_family_has_its_drivers() -> None:
    def drivers(source: Source) -> set[str]:
        return {
            imported.removeprefix(f"{PACKAGE}.")
            for imported in source.imports()
            if is_driver(imported)
        }

    assert offences(drivers) == {
        "coordinators.datalogger": {
            "growatt.datalogger.settings.LoggerSettings",
            "growatt.settings.InverterSettings",
        },
        "coordinators.growatt": {"growatt.settings.InverterSettings"},
        "coordinators.hoymiles": {
            "hoymiles.settings.DtuSettings",
            "hoymiles.settings.InverterSettings",
        },
        "coordinators.outback": {"outback.settings.DeviceSettings"},
    }


def test_outbacks_family_is_used_by_its_coordinator_and_its_steps_only() -> None:
    users = {
        source.name
        for source in sources().values()
        if family_of(source.name) != "outback"
        and any(family_of(module) == "outback" for module in imported_modules(source))
    }
    assert users == {"coordinators.outback", "flows.outback"}
