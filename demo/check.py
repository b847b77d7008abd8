"""Whether what Home Assistant shows can be true, and a table of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .client import Device, Entity, State

UNKNOWN: Final = frozenset({"unknown", "unavailable"})

RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "W": (-65_000, 65_000),
    "VA": (-65_000, 65_000),
    "var": (-20_000, 20_000),
    "kW": (-20, 20),
    "V": (0, 1_000),
    "A": (-200, 200),
    "Hz": (45, 65),
    "kWh": (0, 1_000_000),
    "°C": (-25, 100),
    "%": (0, 100),
}
"""What a device of a household or a workshop can show, by unit."""

KEYS: Final[Mapping[str, tuple[float, float]]] = {
    "grid_l1_voltage": (200, 260),
    "energy_total": (1, 1_000_000),
    "pv_energy_total": (1, 1_000_000),
}
"""Narrower ranges of some points."""

POWERS: Final = ("W", "kW")

OFTEN_UNKNOWN: Final = frozenset({"commanded_until"})
"""What has no value while nothing was commanded."""

FULL: Final = 99
"""Per cent of charge from which on a battery may rest while the sun shines."""

STATES: Final[Mapping[str, str]] = {
    "connected": "on",
    "problem": "off",
    "fault": "none",
    "warning": "none",
}
"""What healthy devices show."""

SUM_TOLERANCE: Final = 0.02
LOSSES: Final = 0.1
"""Share of its panels' power that an inverter loses at most."""

SUMS_OF_STRINGS: Final[Mapping[str, Mapping[str, float]]] = {
    "pv_n_power": {"pv_power": SUM_TOLERANCE, "ac_power": LOSSES},
    "pv_n_energy_today": {
        "pv_energy_today": SUM_TOLERANCE,
        "energy_today": SUM_TOLERANCE,
    },
    "pv_n_energy_total": {
        "pv_energy_total": SUM_TOLERANCE,
        "energy_total": SUM_TOLERANCE,
    },
}
"""What the strings of a device make together: the first of these that it shows, and by
what share that may differ."""

SUMS_OF_DEVICES: Final = (
    *("ac_power", "energy_today", "energy_total"),
    *("pv_power", "pv_energy_today", "pv_energy_total"),
    *("load_power", "grid_import_power", "grid_export_power"),
)
"""What a device makes together of what is shown of those that are reached through it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one entity shows."""

    entity_id: str
    entry_id: str
    device_id: str
    via_id: str | None
    """The device that this one is reached through."""
    device: str
    entity: str
    key: str
    value: str
    unit: str
    reported: str

    @property
    def number(self) -> float | None:
        """The value, if it is a number."""
        try:
            return float(self.value)
        except ValueError:
            return None


def readings(
    devices: Sequence[Device], entities: Sequence[Entity], states: Mapping[str, State]
) -> list[Reading]:
    """Return what the enabled entities of devices show; events show nothing at first."""
    return [
        Reading(
            entity_id=entity.id,
            entry_id=device.entry_id,
            device_id=device.id,
            via_id=device.via_id,
            device=device.name,
            entity=_short_name(states[entity.id].name, device.name),
            key=entity.key,
            value=states[entity.id].value,
            unit=states[entity.id].unit or "",
            reported=states[entity.id].reported,
        )
        for device in devices
        for entity in entities
        if entity.device_id == device.id
        and entity.enabled
        and entity.domain != "event"
        and entity.id in states
    ]


def _short_name(name: str, device: str) -> str:
    return name.removeprefix(device).strip() or name


def doubts(shown: Sequence[Reading]) -> list[str]:
    """Return what cannot be true, in words."""
    found = [
        f"{reading.device}: {reading.entity} shows {reading.value} {reading.unit}".rstrip()
        for reading in shown
        if not _is_plausible(reading)
    ]
    for device_id in dict.fromkeys(reading.device_id for reading in shown):
        own = [reading for reading in shown if reading.device_id == device_id]
        behind = [reading for reading in shown if reading.via_id == device_id]
        found += [
            f"{own[0].device}: {doubt}"
            for doubt in (*_doubts_about(own), *_doubts_about_sums(own, behind))
        ]
    return found


def _is_plausible(reading: Reading) -> bool:
    if reading.entity_id.startswith("button."):
        # It shows when it was last pressed.
        return reading.value != "unavailable"
    if reading.key in OFTEN_UNKNOWN and reading.value == "unknown":
        return True
    if reading.value in UNKNOWN:
        return False
    if reading.key in STATES:
        return reading.value == STATES[reading.key]
    limits = KEYS.get(reading.key) or RANGES.get(reading.unit)
    if limits is None:
        return True
    number = reading.number
    return number is not None and limits[0] <= number <= limits[1]


def _doubts_about(shown: Sequence[Reading]) -> Iterator[str]:
    """Yield what values of one device have against each other."""
    by_key = {reading.key: reading for reading in shown}
    charge = by_key.get("battery_soc")
    powers = [reading.number or 0 for reading in shown if reading.unit in POWERS]
    if powers and not any(powers) and (charge is None or (charge.number or 0) < FULL):
        yield "no power anywhere, although the sun shines"
    for part, totals in SUMS_OF_STRINGS.items():
        strings = [reading for reading in shown if reading.key == part]
        total = next((key for key in totals if key in by_key), None)
        if strings and total is not None:
            yield from _doubts_about_sum(
                "strings", strings, by_key[total], totals[total]
            )


def _doubts_about_sums(
    shown: Sequence[Reading], behind: Sequence[Reading]
) -> Iterator[str]:
    """Yield what values of a device have against those of the devices behind it."""
    for key in SUMS_OF_DEVICES:
        parts = [reading for reading in behind if reading.key == key]
        for total in shown:
            if total.key == key and parts:
                yield from _doubts_about_sum(
                    "devices behind it", parts, total, SUM_TOLERANCE
                )


def _doubts_about_sum(
    name: str, parts: Sequence[Reading], total: Reading, tolerance: float
) -> Iterator[str]:
    """Yield that parts do not add up to a total, if they do not."""
    together, expected = sum(part.number or 0 for part in parts), total.number or 0
    if abs(together - expected) > tolerance * max(together, expected):
        unit = total.unit
        yield f"the {name} give {together:g} {unit}, together {expected:g} {unit}"


def table(shown: Sequence[Reading]) -> list[str]:
    """Return lines of a table: device, entity, value, unit."""
    rows = [("device", "entity", "value", "unit")]
    last = ""
    for reading in shown:
        device = "" if reading.device == last else reading.device
        rows.append((device, reading.entity, reading.value, reading.unit))
        last = reading.device
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return lines
