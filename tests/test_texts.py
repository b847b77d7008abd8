"""Texts, icons and manifest: complete, used, and such as Home Assistant's validator asks.

The validator (hassfest) only runs in CI; what it checks of an integration like this
one is held here as well.
"""

import ast
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import cache
import importlib.util
import json
import re
import tomllib
from typing import Any, Final

import probatio
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import yaml

from custom_components.local_solar.const import (
    CONF_ALLOWED,
    CONF_CLOUD_HOST,
    CONF_CLOUD_PORT,
    CONF_DONGLE_BAUDRATE,
    CONF_DONGLE_DEVICE,
    CONF_IDENTIFICATION,
    CONF_INVENTORY,
    CONF_KIND,
    CONF_LINK,
    CONF_MODE,
    CONF_RTU_PORT,
    CONF_TERMINALS,
    CONF_UNIT_ID,
    CONF_UNITS,
    CONF_WRITE_ACCESS,
    CONF_WRITERS,
    DOMAIN,
    KIND_DATALOGGER,
    KIND_GATEWAY,
    KIND_GROWATT,
    KIND_HOYMILES,
    KIND_OUTBACK,
    MODE_WITH_CLOUD,
    WRITE_CONFIRM,
)
from custom_components.local_solar.coordinators.outback import ERROR_TEXTS
from custom_components.local_solar.gateway.devices import every_point as gateway_points
from custom_components.local_solar.growatt.datalogger.devices import (
    every_point as datalogger_points,
)
from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.known_inverter import SYNC_CLOCK
from custom_components.local_solar.growatt.models import Family
from custom_components.local_solar.growatt.profiles.catalogue import every_row
from custom_components.local_solar.growatt.time_slots import SlotCodec
from custom_components.local_solar.hoymiles.alarms import TEXTS
from custom_components.local_solar.hoymiles.devices import every_point
from custom_components.local_solar.hoymiles.inventory import Inventory
from custom_components.local_solar.hoymiles.points import LAST_EVENT
from custom_components.local_solar.modbus_link import LinkProblem, ModbusLink
from custom_components.local_solar.outback.block import Family as OutBackFamily
from custom_components.local_solar.outback.points import every_point as outback_points
from custom_components.local_solar.points import (
    ALARMS,
    COMMANDED_UNTIL,
    CONNECTED,
    PROBLEM,
    Point,
    Quantity,
    Visibility,
)
from custom_components.local_solar.quantities import platform, presentation
from custom_components.local_solar.services import ACTIONS
from custom_components.local_solar.write_errors import WriteError
from custom_components.local_solar.writing import CONFIRM_ISSUE
from homeassistant.config_entries import SOURCE_USER
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowManager, FlowResultType, section
from homeassistant.helpers.selector import SelectSelector

from .sources import FOLDER, PACKAGE, ROOT, Source, sources

type Texts = dict[str, Any]
type FlowResult = Mapping[str, Any]

ENGLISH: Final[Texts] = json.loads((FOLDER / "translations" / "en.json").read_text())
ICONS: Final[Texts] = json.loads((FOLDER / "icons.json").read_text())
MANIFEST: Final[Texts] = json.loads((FOLDER / "manifest.json").read_text())
SERVICES: Final = FOLDER / "services.yaml"

KEY: Final = re.compile(r"(?!.*[_-]{2})(?![_-])[a-z0-9_-]+(?<![_-])")
ICON: Final = re.compile(r"mdi:[a-z0-9]+(-[a-z0-9]+)*")
PLACEHOLDER: Final = re.compile(r"{(\w+)}")

FROM_CORE: Final = {
    "already_in_progress",
    "reauth_successful",
    "reconfigure_successful",
    "single_instance_allowed",
}
"""Reasons to abort whose texts Home Assistant has itself."""

KEYS_OF_FUNCTIONS: Final[Mapping[str, Callable[[], frozenset[str]]]] = {
    "explain": lambda: frozenset(LinkProblem),
    "_key_of": lambda: values_of("flows.hoymiles", "_ERRORS"),
    "text_of_error": lambda: frozenset({*ERROR_TEXTS.values(), "not_a_mate3"}),
    "_issue_text": lambda: frozenset(
        {CONFIRM_ISSUE, *(f"{CONFIRM_ISSUE}_{kind}" for kind in things_to_know())}
    ),
}
"""What functions return that choose a text in ways that cannot be read from the code."""

HANDED_ON: Final = {
    "dhcp",
    "import",
    "integration_discovery",
    "ssdp",
    "usb",
    "zeroconf",
}
"""Steps that Home Assistant starts and that show nothing themselves."""


def part(texts: Texts, *path: str) -> Texts:
    """Return a part of the texts, empty if it is missing."""
    for key in path:
        texts = texts.get(key, {})
    return texts


def leaves(texts: Texts, *path: str) -> Iterator[tuple[tuple[str, ...], object]]:
    """Go through all texts with their paths."""
    for key, value in texts.items():
        if isinstance(value, dict):
            yield from leaves(value, *path, key)
        else:
            yield (*path, key), value


def values_of(module: str, name: str) -> frozenset[str]:
    """Return the values of a table of the code."""
    table = sources()[module].value_of(ast.Name(name))
    assert isinstance(table, Mapping)
    return frozenset(table.values())


def placeholders(*texts: str) -> set[str]:
    """Return the names in braces."""
    return {name for text in texts for name in PLACEHOLDER.findall(text)}


# -- reading the code -------------------------------------------------------------------------


@cache
def calls() -> tuple[tuple[Source, ast.Call, str], ...]:
    """Return all calls in the integration, with the bare name of what is called."""
    return tuple(
        (source, node, ast.unparse(node.func).rsplit(".", maxsplit=1)[-1])
        for source in sources().values()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
    )


def argument(call: ast.Call, name: str) -> ast.expr | None:
    """Return a keyword argument."""
    return next((item.value for item in call.keywords if item.arg == name), None)


def keys_in(source: Source, node: ast.expr | None) -> frozenset[str]:
    """Return which keys an expression may be or hold; none if that cannot be told."""
    match node:
        case None:
            return frozenset()
        case ast.IfExp(body=body, orelse=orelse):
            return keys_in(source, body) | keys_in(source, orelse)
        case ast.Tuple(elts=parts):
            return keys_in_all(source, parts)
        case ast.Call(func=ast.Name(id=name)) if name in KEYS_OF_FUNCTIONS:
            return KEYS_OF_FUNCTIONS[name]()
        case ast.Call(func=ast.Name(id=name)):
            return keys_in_all(source, returned_by(source, name))
    value = source.value_of(node)
    if value is None and isinstance(node, ast.Name):
        return keys_in_all(source, assigned_to(source, node)).union(
            *(keys_in(caller, given) for caller, given in passed_to(source, node))
        )
    return frozenset({value}) if isinstance(value, str) else frozenset()


def keys_in_all(source: Source, nodes: Iterable[ast.expr]) -> frozenset[str]:
    """Return which keys any of some expressions may be."""
    return frozenset().union(*(keys_in(source, node) for node in nodes))


type Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: Source) -> Iterator[Function]:
    """Go through the functions and methods of a module."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def returned_by(source: Source, name: str) -> Iterator[ast.expr]:
    """Go through what a function of a module returns."""
    for function in functions(source):
        if function.name == name:
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield node.value


def function_around(source: Source, inner: ast.expr) -> Function | None:
    """Return the innermost function that an expression stands in."""
    around = [
        function
        for function in functions(source)
        if any(node is inner for node in ast.walk(function))
    ]
    return around[-1] if around else None


def assigned_to(source: Source, name: ast.Name) -> Iterator[ast.expr]:
    """Go through what a local variable is set to."""
    for node in ast.walk(function_around(source, name) or ast.Module()):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=target)], value=value)
                | ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value)
            ) if target == name.id:
                yield value


def passed_to(source: Source, name: ast.Name) -> Iterator[tuple[Source, ast.expr]]:
    """Go through what is handed to a parameter: in its module, and where it is imported."""
    if (function := function_around(source, name)) is None:
        return
    full_name = f"{PACKAGE}.{source.name}.{function.name}"
    parameters = [argument.arg for argument in function.args.args]
    place = parameters.index(name.id) if name.id in parameters else None
    is_method = parameters[:1] == ["self"]
    if place is not None and is_method:
        place -= 1
    for other, call, called in calls():
        if called != function.name:
            continue
        # A method is not imported, but its class is.
        if other is not source and not any(
            imported.startswith(f"{PACKAGE}.{source.name}.")
            if is_method
            else imported == full_name
            for imported in other.imports()
        ):
            continue
        if place is not None and place < len(call.args):
            yield other, call.args[place]
        elif (given := argument(call, name.id)) is not None:
            yield other, given


def string_constants() -> set[str]:
    """Return all strings that stand in the code."""
    return {
        node.value
        for source in sources().values()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def translated(*, issues: bool) -> set[str]:
    """Return the texts of errors, or those of issues, that the code names."""
    return {
        key
        for source, call, name in calls()
        if argument(call, "translation_domain") is not None
        or name.endswith("create_issue")
        if name.endswith("create_issue") is issues
        for key in keys_in(source, argument(call, "translation_key"))
    }


def kinds_of(error: type[WriteError]) -> Iterator[type[WriteError]]:
    """Go through the classes that an error has below it."""
    for kind in error.__subclasses__():
        yield kind
        yield from kinds_of(kind)


WRITE_ERRORS: Final[Mapping[str, type[WriteError]]] = {
    error.__name__: error for error in kinds_of(WriteError)
}
"""What the door for writes may say; ``writing`` turns it into texts."""


def things_to_know() -> frozenset[str]:
    """Return the keys of warnings and doubts that come with a change."""
    return frozenset().union(
        *(
            keys_in(source, argument(call, kind))
            for source, call, name in calls()
            if name == "Change"
            for kind in ("warnings", "doubts")
        )
    )


def doubts() -> frozenset[str]:
    """Return the keys of doubts that come with a change."""
    return frozenset().union(
        *(
            keys_in(source, argument(call, "doubts"))
            for source, call, name in calls()
            if name == "Change"
        )
    )


def write_errors() -> Iterator[tuple[str, set[str]]]:
    """Go through the texts of refused and failed writes, and the words they get."""
    for source, call, name in calls():
        if (error := WRITE_ERRORS.get(name)) is None:
            continue
        named = {item.arg: "" for item in call.keywords if item.arg is not None}
        made = error(*("" for _ in call.args), **named)
        words = {"device", "register", *made.details}
        if name == "DoubtfulError":
            keys = doubts()
        elif "key" in vars(made):
            keys = keys_in(source, call.args[0])
        else:
            keys = frozenset({made.key})
        assert keys, ast.unparse(call)
        yield from ((key, words) for key in keys)
    for source in sources().values():
        for node in ast.walk(source.tree):
            match node:
                case ast.Raise(exc=ast.Name(id=name)) if name in WRITE_ERRORS:
                    yield (
                        WRITE_ERRORS[name].key,
                        {"device", "register", *WRITE_ERRORS[name]().details},
                    )


def form_errors() -> set[str]:
    """Return the errors that forms show."""
    found: set[str] = set()
    for source in sources().values():
        for node in ast.walk(source.tree):
            match node:
                case ast.Assign(
                    targets=[ast.Subscript(value=ast.Name(id="errors"))], value=value
                ):
                    found |= keys_in(source, value)
    for source, call, name in calls():
        if name.endswith("FormError") and call.args:
            found |= keys_in(source, call.args[0])
        if isinstance(errors := argument(call, "errors"), ast.Dict):
            for value in errors.values:
                found |= keys_in(source, value)
    return found


def abort_reasons(*, repairs: bool = False) -> set[str]:
    """Return why flows end, apart from what Home Assistant has texts for.

    Flows that repair something have their texts with the issue.
    """
    found: set[str] = set()
    for source, call, name in calls():
        if (source.name == "repairs") is not repairs:
            continue
        if "abort" in name:
            found |= keys_in(source, argument(call, "reason"))
        if name == "_abort_if_unique_id_configured":
            found |= keys_in(source, argument(call, "error")) or {"already_configured"}
    return found - FROM_CORE


def steps(kind: str) -> dict[str, ast.AST]:
    """Return the steps of the config flow or of the options flow."""
    found: dict[str, ast.AST] = {}
    for source in sources().values():
        if source.parts[:1] not in (("flows",), ("config_flow",)):
            continue
        for node in source.tree.body:
            if not isinstance(node, ast.ClassDef):
                continue
            names = node.name, *map(ast.unparse, node.bases)
            is_options = any("OptionsFlow" in name for name in names)
            if is_options is not (kind == "options"):
                continue
            for member in node.body:
                if isinstance(member, ast.AsyncFunctionDef | ast.FunctionDef):
                    step = member.name.removeprefix("async_step_")
                    if step != member.name:
                        found[step] = member
    return found


def shows_progress(step: ast.AST) -> bool:
    """Return whether a step shows progress instead of a form."""
    return any(
        isinstance(node, ast.Attribute) and node.attr == "async_show_progress"
        for node in ast.walk(step)
    )


def fields_in_code() -> set[str]:
    """Return the names of all fields and sections of forms."""
    return {
        key
        for source, call, name in calls()
        if name in ("Required", "Optional")
        and source.parts[:1] in (("flows",), ("config_flow",))
        for key in keys_in(source, call.args[0])
    }


# -- entities and devices ---------------------------------------------------------------------


def points() -> list[Point]:
    """Return every point that may become an entity."""
    rows = [row.point for row in every_row()]
    derived = (CONNECTED, PROBLEM, ALARMS, SYNC_CLOCK, COMMANDED_UNTIL)
    return [
        point
        for point in (
            *rows,
            *derived,
            *every_point(),
            *outback_points(),
            *datalogger_points(),
            *gateway_points(),
        )
        if point.visibility is not Visibility.RAW
    ]


def shown_points() -> list[tuple[Platform, Point]]:
    """Return every entity there may be: settings are shown, or changed with a control."""
    return [
        (shown, point)
        for point in points()
        for shown in {platform(point, may_write=may) for may in (False, True)}
        if shown is not None
    ]


def test_every_entity_has_a_name_and_a_text_for_each_state() -> None:
    for shown, point in shown_points():
        texts = part(ENGLISH, "entity", shown, point.translation_key)
        assert texts.get("name"), point.key
        assert placeholders(texts["name"]) == ({"n"} if point.index else set())
        assert set(point.options) <= states_in(texts, point), point.key


def states_in(texts: Texts, point: Point) -> set[str]:
    """Return what the texts have a word for: states, or what an event may be."""
    if point.quantity is Quantity.OCCURRENCES:
        texts = part(texts, "state_attributes", "event_type")
    return set(texts.get("state", ()))


def test_every_text_of_an_entity_is_of_a_point() -> None:
    options: dict[tuple[str, str], set[str]] = {}
    told: dict[tuple[str, str], set[str]] = {}
    for shown, point in shown_points():
        name = shown.value, point.translation_key
        texts = part(ENGLISH, "entity", *name)
        options.setdefault(name, set()).update(point.options)
        told.setdefault(name, set()).update(states_in(texts, point))
    assert told == options
    assert {
        (domain, key) for domain, keys in ENGLISH["entity"].items() for key in keys
    } == options.keys()


def test_last_events_are_told_in_the_words_of_the_table() -> None:
    texts = ENGLISH["entity"]["sensor"][LAST_EVENT.key]["state"]
    assert texts == TEXTS
    # The table is of one maker: the key must not be another one's.
    assert {point.options for point in points() if point.key == LAST_EVENT.key} == {
        LAST_EVENT.options
    }


def test_every_kind_of_event_has_a_text() -> None:
    texts = ENGLISH["entity"]["event"]["alarms"]["state_attributes"]["event_type"]
    event = sources()["event"]
    (types,) = (
        node.value
        for node in ast.walk(event.tree)
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "_attr_event_types"
    )
    assert isinstance(types, ast.List)
    assert set(texts["state"]) == {event.value_of(item) for item in types.elts}


def test_every_entity_without_a_device_class_has_an_icon() -> None:
    for shown, point in shown_points():
        if has_device_class(shown, point):
            continue
        assert part(ICONS, "entity", shown, point.translation_key), point.key


def has_device_class(shown: Platform, point: Point) -> bool:
    """Return whether Home Assistant knows an icon for an entity."""
    match shown:
        case Platform.NUMBER | Platform.SENSOR:
            return presentation(point).device_class is not None
        case Platform.BINARY_SENSOR:
            return presentation(point).binary_class is not None
        case _:
            return False


def test_every_icon_is_of_an_entity_and_its_states() -> None:
    for domain, entities in ICONS["entity"].items():
        for key, icons in entities.items():
            texts = ENGLISH["entity"][domain][key]
            assert set(icons.get("state", ())) <= set(texts.get("state", ()))


@pytest.mark.parametrize("name", ["build_translations", "build_docs"])
def test_generated_texts_icons_and_pages_are_up_to_date(name: str) -> None:
    path = ROOT / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.main(["--check"]) == 0


def test_every_kind_of_device_has_a_name_and_no_other() -> None:
    kinds = {
        key
        for source, call, name in calls()
        if name == "DeviceIdentity"
        for key in keys_in(source, argument(call, "kind"))
    }
    # What is behind a gateway is named by its family and told apart by its port.
    behind = {f"{family}_on_port" for family in OutBackFamily} & {*ENGLISH["device"]}
    assert behind == {
        f"{family}_on_port"
        for family in OutBackFamily
        if family is not OutBackFamily.GATEWAY
    }
    assert kinds | behind == set(ENGLISH["device"])
    (given,) = (
        names_in(source, argument(call, "translation_placeholders"))
        for source, call, name in calls()
        if source.name == "devices" and name == "async_get_or_create"
    )
    assert given is not None
    for kind, texts in ENGLISH["device"].items():
        assert placeholders(texts["name"]) <= given, kind
        # What there may be several of by the same name is told apart by its number.
        assert ("serial_number" in placeholders(texts["name"])) is (
            kind in ("numbered_inverter", "datalogger")
        )
        assert ("port" in placeholders(texts["name"])) is (kind in behind)


# -- forms ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["config", "options"])
def test_every_step_that_is_shown_has_texts_and_every_text_is_of_a_step(
    kind: str,
) -> None:
    texts = set(part(ENGLISH, kind, "step"))
    known = steps(kind)
    shown = {
        step
        for step, node in known.items()
        if step not in HANDED_ON and not shows_progress(node)
    }
    assert shown <= texts
    assert texts <= set(known)


def test_the_title_of_a_discovery_is_given_what_its_text_names() -> None:
    given = [
        names_in(source, node.value)
        for source in sources().values()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "self.context['title_placeholders']"
    ]
    assert given
    named = placeholders(ENGLISH["config"]["flow_title"])
    assert all(names is not None and named <= names for names in given)


def test_every_progress_has_a_text_and_every_text_is_used() -> None:
    actions = {
        key
        for source, call, name in calls()
        for key in keys_in(source, argument(call, "progress_action"))
    }
    assert actions == set(part(ENGLISH, "config", "progress"))


def test_every_error_of_a_form_has_a_text_and_every_text_is_used() -> None:
    texts = set(part(ENGLISH, "config", "error")) | set(
        part(ENGLISH, "options", "error")
    )
    assert form_errors() <= texts
    assert texts <= form_errors() | string_constants()


def test_every_reason_to_abort_has_a_text_and_every_text_is_used() -> None:
    texts = set(part(ENGLISH, "config", "abort")) | set(
        part(ENGLISH, "options", "abort")
    )
    assert abort_reasons() <= texts
    assert texts <= abort_reasons() | string_constants()


def test_every_field_has_texts_and_every_text_is_of_a_field() -> None:
    texts = {
        field
        for kind in ("config", "options")
        for step in part(ENGLISH, kind, "step").values()
        for field in (
            *step.get("data", ()),
            *step.get("sections", ()),
            *(
                field
                for more in step.get("sections", {}).values()
                for field in more.get("data", ())
            ),
        )
    }
    assert fields_in_code() == texts


@pytest.mark.parametrize(
    "form",
    [
        form
        for kind in ("config", "options")
        for step in part(ENGLISH, kind, "step").values()
        for form in (step, *step.get("sections", {}).values())
    ],
)
def test_every_field_is_described(form: Texts) -> None:
    assert set(form.get("data", ())) == set(form.get("data_description", ()))
    assert "title" in form or "name" in form
    descriptions = form.get("menu_option_descriptions", {})
    assert set(descriptions) in (set(), set(form.get("menu_options", ())))


def test_every_choice_of_a_selector_is_used() -> None:
    used = {
        key
        for source, call, name in calls()
        if name == "SelectSelectorConfig"
        for key in keys_in(source, argument(call, "translation_key"))
    }
    choices = choices_of_actions()
    assert used.isdisjoint(choices)
    assert used | set(choices) == set(part(ENGLISH, "selector"))
    for name, options in choices.items():
        assert set(options) == set(ENGLISH["selector"][name]["options"])


def test_actions_offer_the_modes_that_time_slots_have() -> None:
    codecs = [row.codec for row in every_row() if isinstance(row.codec, SlotCodec)]
    modes = {mode for codec in codecs for mode in codec.modes}
    days = {
        option
        for codec in codecs
        if (field := codec.field("days")) is not None
        for option in (field.options or {}).values()
    }
    choices = choices_of_actions()
    assert modes == set(choices["slot_mode"])
    assert days == set(choices["slot_days"])


# -- forms as they are shown -----------------------------------------------------------------


@pytest.fixture(name="entry")
def make_entry(hass: HomeAssistant) -> MockConfigEntry:
    """An entry that is not set up; some menus offer more when there is one."""
    identified = Identification(
        serial_number="SNL0CE1234",
        family=Family.MIN_TL_XH,
        profile="min_tl_xh",
        model="MIN 6000TL-XH",
    )
    entry = MockConfigEntry(
        domain=DOMAIN,
        unique_id=identified.serial_number,
        data={
            CONF_KIND: KIND_GROWATT,
            CONF_LINK: ModbusLink(host="inverter").to_json(),
            CONF_UNIT_ID: 1,
            CONF_IDENTIFICATION: identified.to_json(),
        },
    )
    entry.add_to_hass(hass)
    return entry


@pytest.fixture(name="dtu")
def make_dtu_entry(hass: HomeAssistant) -> MockConfigEntry:
    """An entry of a DTU with a meter, not set up either."""
    inventory = Inventory(serial="413093100010", meters=(0x37FF93100005,))
    entry = MockConfigEntry(
        domain=DOMAIN,
        unique_id=inventory.serial,
        data={
            CONF_KIND: KIND_HOYMILES,
            "host": "dtu",
            "port": 10081,
            CONF_INVENTORY: inventory.to_json(),
        },
    )
    entry.add_to_hass(hass)
    return entry


@pytest.fixture(name="gateway")
def make_gateway_entry(hass: HomeAssistant) -> MockConfigEntry:
    """An entry of a MATE3, not set up either."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        unique_id="0090ea000001",
        data={
            CONF_KIND: KIND_OUTBACK,
            CONF_LINK: ModbusLink(host="mate3").to_json(),
            CONF_UNIT_ID: 1,
        },
    )
    entry.add_to_hass(hass)
    return entry


@pytest.fixture(name="listener")
def make_listener_entry(hass: HomeAssistant) -> MockConfigEntry:
    """An entry that listens to dataloggers and passes on what they report, not set up."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        data={
            CONF_KIND: KIND_DATALOGGER,
            "host": "192.0.2.1",
            "port": 5279,
            CONF_MODE: MODE_WITH_CLOUD,
            CONF_CLOUD_HOST: "cloud",
            CONF_CLOUD_PORT: 5279,
            CONF_ALLOWED: [],
            CONF_INVENTORY: {},
        },
    )
    entry.add_to_hass(hass)
    return entry


@pytest.fixture(name="bus")
def make_bus_entry(hass: HomeAssistant) -> MockConfigEntry:
    """An entry that shares a bus, with a stick, not set up either."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        data={
            CONF_KIND: KIND_GATEWAY,
            CONF_LINK: ModbusLink(host="bridge").to_json(),
            CONF_UNITS: [1],
            "host": "127.0.0.1",
            "port": 5020,
            CONF_RTU_PORT: 0,
            CONF_TERMINALS: 0,
            CONF_DONGLE_DEVICE: "/dev/ttyUSB1",
            CONF_DONGLE_BAUDRATE: "115200",
        },
    )
    entry.add_to_hass(hass)
    return entry


async def test_menus_and_forms_to_add_an_entry_have_all_their_texts(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    flow = hass.config_entries.flow

    async def start() -> FlowResult:
        return await flow.async_init(DOMAIN, context={"source": SOURCE_USER})

    await assert_has_texts(flow, start, ENGLISH["config"])


async def test_menus_and_forms_to_change_an_entry_have_all_their_texts(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    dtu: MockConfigEntry,
    gateway: MockConfigEntry,
    listener: MockConfigEntry,
    bus: MockConfigEntry,
) -> None:
    for changed in (entry, dtu, gateway, listener, bus):

        async def start(changed: MockConfigEntry = changed) -> FlowResult:
            result: FlowResult = await changed.start_reconfigure_flow(hass)
            return result

        await assert_has_texts(hass.config_entries.flow, start, ENGLISH["config"])


async def test_options_have_all_their_texts(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    dtu: MockConfigEntry,
    gateway: MockConfigEntry,
    listener: MockConfigEntry,
    bus: MockConfigEntry,
) -> None:
    flow = hass.config_entries.options
    texts = ENGLISH["options"]["step"]
    shown: dict[str, set[str]] = {}
    for changed in (entry, dtu, gateway, listener, bus):
        result = await flow.async_init(changed.entry_id)
        step = texts[result["step_id"]]
        assert placeholders(step["title"], step.get("description", "")) == set()
        schema = result["data_schema"]
        assert schema is not None
        fields = {str(field) for field in schema.schema}
        assert fields <= set(step["data"])
        assert_choices_have_texts(schema.schema.values())
        shown.setdefault(result["step_id"], set()).update(fields)
    # The first form has the texts of all kinds of entries but a gateway.
    assert shown == {step: set(texts[step]["data"]) for step in ("init", "gateway")}


async def test_the_acknowledgement_has_all_its_texts(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    dtu: MockConfigEntry,
    gateway: MockConfigEntry,
    listener: MockConfigEntry,
    bus: MockConfigEntry,
) -> None:
    flow = hass.config_entries.options
    texts = ENGLISH["options"]["step"]
    for changed in (entry, dtu, gateway, listener, bus):
        writers = {CONF_WRITERS: ["192.0.2.7"]} if changed is bus else {}
        result = await flow.async_init(changed.entry_id)
        result = await flow.async_configure(
            result["flow_id"], {CONF_WRITE_ACCESS: WRITE_CONFIRM, **writers}
        )
        name = "gateway_acknowledge" if changed is bus else "acknowledge"
        assert result["step_id"] == name
        step = texts[name]
        given = set(result["description_placeholders"] or ())
        assert placeholders(step["title"], step["description"]) == given
        schema = result["data_schema"]
        assert schema is not None
        assert_fields_have_texts(schema, step)


async def assert_has_texts(
    flow: FlowManager[Any, Any, Any],
    start: Callable[[], Awaitable[FlowResult]],
    texts: Texts,
) -> None:
    """Go through all menus, and compare each menu and the form behind it with the texts."""
    paths: list[tuple[str, ...]] = [()]
    while paths:
        path = paths.pop()
        result = await start()
        for option in path:
            result = await flow.async_configure(
                result["flow_id"], {"next_step_id": option}
            )
        step = texts["step"][result["step_id"]]
        given = set(result.get("description_placeholders") or ())
        assert placeholders(step["title"], step.get("description", "")) <= given
        if result["type"] is FlowResultType.MENU:
            assert set(result["menu_options"]) == set(step["menu_options"])
            paths += [(*path, option) for option in result["menu_options"]]
        else:
            assert result["type"] is FlowResultType.FORM
            assert_fields_have_texts(result["data_schema"], step)
        flow.async_abort(result["flow_id"])


def assert_fields_have_texts(schema: probatio.Schema, step: Texts) -> None:
    """Compare the fields of a form, or of a section of it, with the texts."""
    fields = {str(marker): value for marker, value in schema.schema.items()}
    parts = {key: it for key, it in fields.items() if isinstance(it, section)}
    assert set(step.get("data", ())) == set(fields) - set(parts)
    assert set(step.get("sections", ())) == set(parts)
    for key, inner in parts.items():
        assert_fields_have_texts(inner.schema, step["sections"][key])
    assert_choices_have_texts(fields.values())


def assert_choices_have_texts(fields: Iterable[object]) -> None:
    """Compare the choices that fields of a form offer with the texts."""
    for selector in fields:
        if not isinstance(selector, SelectSelector):
            continue
        if (name := selector.config.get("translation_key")) is not None:
            options = selector.config["options"]
            assert set(options) == set(ENGLISH["selector"][name]["options"])


# -- errors, issues, actions -------------------------------------------------------------------


def test_every_error_that_is_raised_has_a_text_and_every_text_is_used() -> None:
    texts = part(ENGLISH, "exceptions")
    of_writes = {key for key, _ in write_errors()}
    assert translated(issues=False) | of_writes == set(texts)
    assert all(set(text) == {"message"} for text in texts.values())


def names_in(source: Source, node: ast.expr | None) -> set[object] | None:
    """Return the keys of a dictionary, also of one that the module makes elsewhere.

    ``None`` if they cannot be told.
    """
    match node:
        case None:
            return set()
        case ast.Dict(keys=keys, values=values):
            names: set[object] = set()
            for key, value in zip(keys, values, strict=True):
                if key is not None:
                    names.add(source.value_of(key))
                elif (merged := names_in(source, value)) is not None:
                    names |= merged
                else:
                    return None
            return names
        case ast.Name():
            return names_in_one_of(source, assigned_to(source, node)) or names_passed(
                source, node
            )
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return names_in_one_of(source, returned_by(source, name))
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return names_in_one_of(source, returned_by(source, name))
        case ast.Attribute(value=ast.Name() as owner, attr="details"):
            return details_of(source, owner)
        case ast.Attribute(attr=name):
            made = (
                argument(call, name) for other, call, _ in calls() if other is source
            )
            return names_in_one_of(source, (value for value in made if value))
    return None


def merged_parameters(source: Source, call: ast.Call) -> str | None:
    """Return the ``**name`` of the function around a call that its placeholders hold."""
    node = argument(call, "translation_placeholders")
    function = function_around(source, call)
    if not isinstance(node, ast.Dict) or function is None:
        return None
    kwarg = function.args.kwarg
    merged = {
        value.id
        for key, value in zip(node.keys, node.values, strict=True)
        if key is None and isinstance(value, ast.Name)
    }
    return kwarg.arg if kwarg is not None and kwarg.arg in merged else None


def keys_and_names(
    source: Source, call: ast.Call
) -> Iterator[tuple[frozenset[str], set[object]]]:
    """Go through the texts that a call may raise, each with the words it is given.

    A function that is handed both the key and the words is looked at from its callers.
    """
    node = argument(call, "translation_key")
    names = names_in(source, argument(call, "translation_placeholders"))
    if names is None:
        return
    merged = merged_parameters(source, call)
    function = function_around(source, call)
    if merged is None or function is None or not isinstance(node, ast.Name):
        yield keys_in(source, node), names
        return
    place = [parameter.arg for parameter in function.args.args].index(node.id) - 1
    for other, caller, called in calls():
        if other is source and called == function.name:
            given = {item.arg for item in caller.keywords}
            yield keys_in(other, caller.args[place]), names | given


def names_passed(source: Source, name: ast.Name) -> set[object] | None:
    """Return the names that are always handed to ``**name`` of the function around it."""
    function = function_around(source, name)
    if function is None or (kwarg := function.args.kwarg) is None:
        return None
    passed = [
        {item.arg for item in call.keywords}
        for other, call, called in calls()
        if other is source and called == function.name and kwarg.arg == name.id
    ]
    return set().union(passed[0].intersection(*passed)) if passed else None


def details_of(source: Source, error: ast.Name) -> set[object] | None:
    """Return what errors of the class of a parameter always tell."""
    function = function_around(source, error)
    for parameter in function.args.args if function else ():
        if parameter.arg == error.id and isinstance(parameter.annotation, ast.Name):
            key = WRITE_ERRORS[parameter.annotation.id].key
            told = [words for known, words in write_errors() if known == key]
            return set().union(told[0].intersection(*told)) if told else None
    return None


def names_in_one_of(source: Source, nodes: Iterable[ast.expr]) -> set[object] | None:
    """Return the keys of a dictionary that stands in one place only."""
    found = [*nodes]
    return names_in(source, found[0]) if len(found) == 1 else None


def test_writes_that_fail_are_given_what_their_texts_name() -> None:
    for key, words in write_errors():
        text = ENGLISH["exceptions"][key]["message"]
        assert placeholders(text) <= words, key


def test_errors_are_given_what_their_texts_name() -> None:
    checked = 0
    for source, call, _ in calls():
        if argument(call, "translation_domain") is None:
            continue
        for keys, names in keys_and_names(source, call):
            for key in keys:
                text = part(ENGLISH, "exceptions", key).get("message", "")
                assert placeholders(text) <= names, key
                checked += 1
    assert checked


def test_every_issue_has_texts_and_every_text_is_used() -> None:
    texts = part(ENGLISH, "issues")
    assert translated(issues=True) == set(texts)
    for text in texts.values():
        assert "title" in text
        assert ("description" in text) is not ("fix_flow" in text)


def test_every_repair_has_texts_for_its_steps_and_ends() -> None:
    shown = {
        key
        for source, call, name in calls()
        if source.name == "repairs" and name == "async_show_form"
        for key in keys_in(source, argument(call, "step_id"))
    }
    repairs = [
        text["fix_flow"] for text in ENGLISH["issues"].values() if "fix_flow" in text
    ]
    assert repairs
    for repair in repairs:
        assert set(repair["step"]) == shown == {"confirm"}
        assert set(repair["abort"]) == abort_reasons(repairs=True)


def test_issues_and_repairs_are_given_what_their_texts_name() -> None:
    checked = set()
    for source, call, name in calls():
        if not name.endswith("create_issue"):
            continue
        names = names_in(source, argument(call, "translation_placeholders"))
        for key in keys_in(source, argument(call, "translation_key")):
            for path, text in leaves(ENGLISH["issues"][key]):
                if "abort" not in path and names is not None:
                    assert placeholders(str(text)) <= names, (key, path)
                    checked.add(key)
    assert {
        key for key in ENGLISH["issues"] if key.startswith(CONFIRM_ISSUE)
    } <= checked
    for source, call, name in calls():
        if source.name == "repairs" and "abort" in name:
            words = names_in(source, argument(call, "description_placeholders"))
            assert words is not None
            for key in keys_in(source, argument(call, "reason")):
                for issue in ENGLISH["issues"].values():
                    text = part(issue, "fix_flow", "abort").get(key, "")
                    assert placeholders(text) <= words, key


# -- actions ----------------------------------------------------------------------------------


@cache
def actions() -> Texts:
    """Return the description of the actions."""
    described: Texts = yaml.safe_load(SERVICES.read_text())
    return described


def fields_and_sections(action: str) -> tuple[Texts, Texts]:
    """Return the fields of an action, those in sections too, and the sections."""
    fields: Texts = {}
    groups: Texts = {}
    for key, field in (actions()[action] or {}).get("fields", {}).items():
        if "fields" in field:
            groups[key] = field
            fields |= field["fields"]
        else:
            fields[key] = field
    return fields, groups


def choices_of_actions() -> dict[str, list[str]]:
    """Return the options of each selector that has texts of its own."""
    return {
        select["translation_key"]: select["options"]
        for action in actions()
        for field in fields_and_sections(action)[0].values()
        if "translation_key" in (select := (field["selector"].get("select") or {}))
    }


def test_every_action_and_its_fields_have_texts_and_an_icon() -> None:
    assert set(actions()) == set(part(ENGLISH, "services"))
    assert set(actions()) == set(part(ICONS, "services"))
    for action in actions():
        texts = ENGLISH["services"][action]
        assert set(texts) <= {"name", "description", "fields", "sections"}
        fields, groups = fields_and_sections(action)
        assert set(fields) == set(part(texts, "fields"))
        assert set(groups) == set(part(texts, "sections"))
        for text in (
            texts,
            *part(texts, "fields").values(),
            *part(texts, "sections").values(),
        ):
            assert text.get("name"), action
            assert text.get("description"), action
        icons = ICONS["services"][action]
        assert set(icons) <= {"service", "sections"}
        assert set(part(icons, "sections")) <= set(groups)


def test_every_action_is_described_as_it_is() -> None:
    """What a dashboard offers is what the action takes."""
    assert set(actions()) == set(ACTIONS)
    for name, (_, schema, _) in ACTIONS.items():
        described, _ = fields_and_sections(name)
        fields = {str(marker): marker for marker in schema.schema}
        assert set(described) == set(fields), name
        for key, field in described.items():
            required = isinstance(fields[key], probatio.Required)
            assert field.get("required", False) is required, (name, key)


# -- what the validator checks -------------------------------------------------------------------


def test_there_are_no_other_kinds_of_texts() -> None:
    assert set(ENGLISH) <= {
        "common",
        "config",
        "device",
        "entity",
        "exceptions",
        "issues",
        "options",
        "selector",
        "services",
        "title",
    }
    # They would be taken instead of the translations, and have references.
    assert not (FOLDER / "strings.json").exists()


@pytest.mark.parametrize("texts", [ENGLISH, ICONS], ids=["texts", "icons"])
def test_keys_are_well_formed(texts: Texts) -> None:
    for path, _ in leaves(texts):
        assert all(KEY.fullmatch(key) for key in path), path


def test_texts_are_plain_complete_and_translatable() -> None:
    for path, text in leaves(ENGLISH):
        assert isinstance(text, str), path
        assert text, path
        assert text == text.strip(), path
        assert not re.search(r"<[a-zA-Z/!]", text), f"{path}: no HTML"
        assert not re.search(r"https?://|www\.", text), (
            f"{path}: a placeholder for URLs"
        )
        assert not re.search(r"'{\w+}'", text), f"{path}: no quotes around placeholders"
        assert "[%key:" not in text, f"{path}: references are for core only"
        assert text.count("{") == text.count("}") == len(PLACEHOLDER.findall(text)), (
            path
        )


@pytest.mark.parametrize(
    "path", sorted((FOLDER / "translations").glob("*.json")), ids=lambda path: path.stem
)
def test_all_languages_name_the_same_placeholders(path: Any) -> None:
    english = dict(leaves(ENGLISH))
    for key, text in leaves(json.loads(path.read_text())):
        assert key in english
        assert placeholders(str(text)) == placeholders(str(english[key])), key


def test_icons_are_well_formed_and_no_state_repeats_the_default() -> None:
    assert set(ICONS) <= {"entity", "services"}
    for path, icon in leaves(ICONS):
        assert ICON.fullmatch(str(icon)), path
    for entities in ICONS["entity"].values():
        for key, icons in entities.items():
            assert set(icons) <= {"default", "state", "state_attributes", "range"}
            assert icons["default"] not in icons.get("state", {}).values(), key


def test_the_manifest_is_complete_and_sorted() -> None:
    keys = list(MANIFEST)
    assert keys == ["domain", "name", *sorted(set(keys) - {"domain", "name"})]
    assert MANIFEST["domain"] == DOMAIN == FOLDER.name
    assert {"codeowners", "documentation", "iot_class", "name", "version"} <= set(keys)
    assert set(keys) <= {
        "after_dependencies",
        "categories",
        "codeowners",
        "config_flow",
        "connectivity",
        "dependencies",
        "dhcp",
        "documentation",
        "domain",
        "import_executor",
        "integration_type",
        "iot_class",
        "issue_tracker",
        "loggers",
        "name",
        "quality_scale",
        "requirements",
        "single_config_entry",
        "usb",
        "version",
        "zeroconf",
    }
    assert MANIFEST["integration_type"] in {
        "device",
        "entity",
        "hardware",
        "helper",
        "hub",
        "service",
        "system",
    }
    assert MANIFEST["iot_class"] in {
        "assumed_state",
        "calculated",
        "cloud_polling",
        "cloud_push",
        "local_polling",
        "local_push",
    }
    assert all(owner.startswith("@") for owner in MANIFEST["codeowners"])
    for key in ("documentation", "issue_tracker"):
        assert MANIFEST[key].startswith("https://")
        assert "home-assistant.io" not in MANIFEST[key]


def test_the_version_is_a_version_and_the_same_everywhere() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(-?(a|b|rc|beta)\.?\d+)?", MANIFEST["version"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert MANIFEST["version"] == project["version"]


def test_no_requirement_is_pinned() -> None:
    """Home Assistant installs with constraints of its own."""
    for requirement in MANIFEST["requirements"]:
        assert re.fullmatch(r"[A-Za-z0-9._\[\]-]+>=[0-9.]+(,<[0-9.]+)?", requirement)


def test_discovery_is_spelt_as_the_validator_wants_it() -> None:
    for matcher in MANIFEST.get("dhcp", ()):
        assert matcher.get("hostname", "").islower() or "hostname" not in matcher
        if "macaddress" in matcher:
            assert re.fullmatch(r"[0-9A-F]+\*", matcher["macaddress"])
    for matcher in MANIFEST.get("usb", ()):
        assert re.fullmatch(r"[0-9A-F]{4}", matcher.get("vid", "0000"))
        assert re.fullmatch(r"[0-9A-F]{4}", matcher.get("pid", "0000"))


def test_there_is_a_config_flow_and_it_is_announced() -> None:
    assert MANIFEST["config_flow"] is True
    assert "config_flow" in sources()


def test_setup_is_for_entries_only() -> None:
    names = {
        target.id
        for node in sources()[""].tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert "CONFIG_SCHEMA" in names


ALWAYS_THERE: Final = {*Platform, "homeassistant", "websocket_api"}
"""Integrations that need no mention as a dependency."""


def test_every_integration_that_is_used_is_a_dependency() -> None:
    named = {*MANIFEST["dependencies"], *MANIFEST.get("after_dependencies", ())}
    used: set[str] = set()
    for source in sources().values():
        for imported in source.imports():
            match imported.split("."):
                case ["homeassistant", "components", component, *_] if (
                    component != source.name
                ):
                    used.add(component)
    assert used - ALWAYS_THERE <= named
    assert set(MANIFEST["dependencies"]) <= used
