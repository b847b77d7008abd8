"""Write the entity texts and icons that derive from the register tables.

    python scripts/build_translations.py           rewrite the two files
    python scripts/build_translations.py --check   exit 1 if they are not up to date

``translations/en.json`` keeps its hand-written parts (forms, errors, devices);
its ``entity`` part comes from the names and options of the points. ``icons.json``
gets an icon for each point without a device class.
"""

from collections.abc import Iterator, Mapping
import json
from pathlib import Path
import sys
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from custom_components.local_solar import quantities  # noqa: E402
from custom_components.local_solar.event import CLEARED  # noqa: E402
from custom_components.local_solar.gateway.devices import every_point as gateway_points  # noqa: E402
from custom_components.local_solar.growatt.alarms import AlarmKind, slug_texts  # noqa: E402
from custom_components.local_solar.growatt.datalogger.devices import (  # noqa: E402
    every_point as datalogger_points,
)
from custom_components.local_solar.growatt.known_inverter import SYNC_CLOCK  # noqa: E402
from custom_components.local_solar.growatt.profiles.catalogue import every_row  # noqa: E402
from custom_components.local_solar.hoymiles.alarms import TEXTS  # noqa: E402
from custom_components.local_solar.hoymiles.devices import every_point  # noqa: E402
from custom_components.local_solar.hoymiles.points import LAST_EVENT  # noqa: E402
from custom_components.local_solar.outback.points import every_point as outback_points  # noqa: E402
from custom_components.local_solar.points import (  # noqa: E402
    ALARMS,
    COMMANDED_UNTIL,
    CONNECTED,
    PROBLEM,
    Point,
    Quantity,
    Visibility,
)

INTEGRATION: Final = ROOT / "custom_components" / "local_solar"

type Texts = dict[str, Texts | str]

ACRONYMS: Final = [
    "AC",
    "AFCI",
    "AGM",
    "AXS",
    "APX",
    "BDC",
    "BMS",
    "CT",
    "DC",
    "EPS",
    "FFT",
    "IEEE",
    "LG",
    "MPPT",
    "PID",
    "PV",
    "RS232",
    "RS485",
    "SOC",
    "SVG",
    "UPS",
]

ICONS: Final[Mapping[Quantity, str]] = {
    Quantity.PERCENT: "mdi:percent-outline",
    Quantity.RESISTANCE: "mdi:omega",
    Quantity.CAPACITY: "mdi:battery-heart-variant",
    Quantity.COUNT: "mdi:counter",
    Quantity.RATE: "mdi:speedometer",
    Quantity.STATE: "mdi:state-machine",
    Quantity.FAULT: "mdi:alert-circle-outline",
    Quantity.CODE: "mdi:identifier",
    Quantity.TEXT: "mdi:text-short",
    Quantity.TIME_OF_DAY: "mdi:clock-outline",
    Quantity.FLAG: "mdi:toggle-switch-outline",
    Quantity.ALARMS: "mdi:alarm-light-outline",
    Quantity.OCCURRENCES: "mdi:message-alert-outline",
    Quantity.COMMAND: "mdi:clock-check-outline",
}
"""Icons of quantities that Home Assistant has no device class for."""

COMMAND_ICONS: Final[Mapping[str, str]] = {
    "clear_alarms": "mdi:alarm-light-off-outline",
    "fast_data": "mdi:fast-forward",
    "restart": "mdi:restart",
}
"""Icons of commands that the icon of their quantity does not fit."""

STATUS_ICONS: Final[Mapping[str, Mapping[str, str]]] = {
    "status": {
        "standby": "mdi:power-standby",
        "waiting": "mdi:timer-sand",
        "normal": "mdi:solar-power-variant",
        "fault": "mdi:alert",
    },
    "battery_state": {
        "idle": "mdi:battery-outline",
        "charging": "mdi:battery-arrow-up-outline",
        "discharging": "mdi:battery-arrow-down-outline",
    },
}


def points() -> Iterator[Point]:
    """Go through every point that may become an entity."""
    for row in every_row():
        if row.point.visibility is not Visibility.RAW:
            yield row.point
    yield from (CONNECTED, PROBLEM, ALARMS, SYNC_CLOCK, COMMANDED_UNTIL)
    for point in (
        *datalogger_points(),
        *gateway_points(),
        *every_point(),
        *outback_points(),
    ):
        if point.visibility is not Visibility.RAW:
            yield point


def platforms_of(point: Point) -> Iterator[str]:
    """Go through the platforms a point is shown on: read only, and as a control."""
    shown = {quantities.platform(point, may_write=may) for may in (False, True)}
    yield from sorted(platform.value for platform in shown if platform is not None)


def humanise(slug: str) -> str:
    """Return an option's words: ``pv_battery_online`` -> ``PV battery online``."""
    words = slug.split("_")
    known = {acronym.lower(): acronym for acronym in ACRONYMS}
    text = " ".join(known.get(word, word) for word in words)
    return text[0].upper() + text[1:]


def state_texts(point: Point) -> Texts:
    """Return the text of each option of a point."""
    alarms: dict[str, str] = {}
    if point.quantity is Quantity.FAULT:
        alarms = dict(slug_texts(AlarmKind(point.key)))
    elif point.key == LAST_EVENT.key:
        alarms = dict(TEXTS)
    return {option: alarms.get(option, humanise(option)) for option in point.options}


def entity_texts() -> Texts:
    """Return the ``entity`` part of the translations."""
    texts: Texts = {}
    for point in points():
        for platform in platforms_of(point):
            _add_texts(_part(texts, platform), point)
    event = _part(_part(texts, "event"), ALARMS.key)
    event["state_attributes"] = {
        "event_type": {
            "state": {
                "fault": "Fault",
                "warning": "Warning",
                "info": "Information",
                CLEARED: "Cleared",
            }
        }
    }
    return _sorted(texts)


def _add_texts(platform: Texts, point: Point) -> None:
    entry = _part(platform, point.translation_key)
    if (name := entry.setdefault("name", point.name)) != point.name:
        sys.exit(f"{point.key}: two names: {name!r} and {point.name!r}")
    if point.options:
        states = _part(entry, "state")
        if point.quantity is Quantity.OCCURRENCES:
            del entry["state"]
            event_type = _part(_part(entry, "state_attributes"), "event_type")
            states = _part(event_type, "state")
        states.update(
            (option, text)
            for option, text in state_texts(point).items()
            if option not in states
        )


def entity_icons() -> Texts:
    """Return the ``entity`` part of the icons."""
    icons: Texts = {}
    for point in points():
        icon = COMMAND_ICONS.get(point.key) or ICONS.get(point.quantity)
        if icon is None:
            continue
        states: Texts = {
            state: icon
            for state, icon in STATUS_ICONS.get(point.key, {}).items()
            if state in point.options
        }
        for platform in platforms_of(point):
            entry = _part(_part(icons, platform), point.translation_key)
            entry["default"] = icon
            if states:
                entry["state"] = states
    return _sorted(icons)


def _part(texts: Texts, key: str) -> Texts:
    part = texts.setdefault(key, {})
    assert isinstance(part, dict)
    return part


def _sorted(texts: Texts) -> Texts:
    return {
        key: _sorted(value) if isinstance(value, dict) else value
        for key, value in sorted(texts.items())
    }


def rendered() -> Iterator[tuple[Path, str]]:
    """Go through the two files and the text each should have."""
    for path, part in (
        (INTEGRATION / "translations" / "en.json", entity_texts()),
        (INTEGRATION / "icons.json", entity_icons()),
    ):
        document = json.loads(path.read_text("utf-8")) if path.exists() else {}
        document["entity"] = part
        yield path, json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the files, or check them."""
    stale = [
        (path, text)
        for path, text in rendered()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    if "--check" in arguments:
        for path, _ in stale:
            print(
                f"{path.relative_to(ROOT)} is stale: run scripts/build_translations.py"
            )
        return 1 if stale else 0
    for path, text in stale:
        path.write_text(text, "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
