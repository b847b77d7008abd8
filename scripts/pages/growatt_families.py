"""The parts of ``docs/growatt.md`` that follow from the tables: what is read and set of whom."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import sys
from typing import Final

from custom_components.local_solar.growatt.derived import derivations
from custom_components.local_solar.growatt.models import (
    DEVICE_TYPE_CODES,
    FIRMWARE_PREFIXES,
    NARROW,
    OFF_GRID_CODES,
    SERIAL_PREFIXES,
    THREE_PHASE,
    V3_CODES,
    Family,
    Model,
)
from custom_components.local_solar.growatt.profiles.catalogue import (
    PROFILES,
    profile_of,
)
from custom_components.local_solar.growatt.profiles.profile import Part, Profile
from custom_components.local_solar.growatt.profiles.vpp import OVERLAY
from custom_components.local_solar.growatt.time_slots import SlotCodec
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import BATTERY_COMMAND, Setting, Visibility

from .folding import folded
from .growatt_about import ABOUT, NAMES
from .shared import option_text, table

_NOT_LISTED: Final = frozenset(
    {Part.CONVERTER, Part.VPP_CLUSTER, Part.PRIORITY_MODE, Part.SYSTEM_MODE}
)
"""Parts that are not polled, or that are there once an option says so."""

_ON_BATTERY: Final = frozenset({Part.BATTERY, Part.MODULE})

_GROUPS: Final[Mapping[str, tuple[Part, ...]]] = {
    "": (Part.INVERTER, Part.VPP, Part.STRING, Part.THREE_PHASE),
    "strings one by one": (Part.STRING_MONITOR,),
    "battery": (Part.BATTERY,),
    "battery modules": (Part.MODULE,),
    "emergency output": (Part.BACKUP,),
    "backup box": (Part.BACKUP_BOX, Part.EXTERNAL_PV),
}
"""Equipment as the lists name it, and its parts of a map."""

_FOR_FAULTS: Final = "for finding faults"

MOST_OPTIONS: Final = 5
"""Options of a setting that are named one by one."""

_NOT_REPEATED: Final = frozenset(
    {"Offered", f"Offered {_FOR_FAULTS}", "By action only"}
)
_LONG: Final = 120
"""Characters from which on a line is not repeated for another family."""


def overview() -> Iterator[str]:
    """Yield a table of all families, a line each."""
    yield from table(
        (
            *("Family", "Map", "PV inputs", "Phases", "Battery"),
            *("Settings", "Time slots", "Facts from"),
        ),
        (_overview_row(family, PROFILES[family]) for family in Family),
    )


def _overview_row(family: Family, profile: Profile) -> Sequence[str]:
    parts = {section.part for section in profile.sections}
    inputs = _highest_index(profile, Part.STRING)
    slots = sum(isinstance(row.codec, SlotCodec) for row in _settings(profile))
    settings = sum(not isinstance(row.codec, SlotCodec) for row in _settings(profile))
    return (
        _link(family),
        f"`{family}`",
        f"up to {inputs}" if inputs else "none",
        _phases(family, parts),
        "yes" if Part.BATTERY in parts else "",
        str(settings),
        str(slots or ""),
        ABOUT[family].facts,
    )


def _phases(family: Family, parts: set[Part]) -> str:
    if family in THREE_PHASE:
        return "3"
    return "1 or 3" if Part.THREE_PHASE in parts else "1"


def families() -> Iterator[str]:
    """Yield a section for each family, and one for the VPP protocol.

    What is offered, and what is set by action only, is not repeated for a family that has
    the same of it as an earlier one.
    """
    told: dict[tuple[str, str], Family] = {}
    for family in Family:
        yield f"### {NAMES[family]}"
        yield ""
        lines = []
        for name, text in _family_lines(family, PROFILES[family]):
            first = told.setdefault((name, text), family)
            if name in _NOT_REPEATED and first is not family and len(text) > _LONG:
                text = f"as {_link(first)}"
            lines.append((name, text))
        yield from _cards(lines)
    yield "### With the VPP protocol"
    yield ""
    yield from _cards(_vpp_lines())


def _link(family: Family) -> str:
    return f"[{NAMES[family]}](#{anchor(NAMES[family])})"


def _cards(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield from table(("", ""), ((f"**{name}**", text) for name, text in lines if text))


def _family_lines(family: Family, profile: Profile) -> Iterator[tuple[str, str]]:
    yield "Models", _models_text(family)
    yield "Recognised by", _names_text(family)
    rows = [*_listed(profile)]
    has_battery = any(part in _ON_BATTERY for part, _ in rows)
    yield "Shown", _grouped(_of(rows, Visibility.SHOWN, diagnostic=None))
    yield "Offered", _grouped(_of(rows, Visibility.OFFERED, diagnostic=False))
    yield (
        f"Offered {_FOR_FAULTS}",
        _grouped(_of(rows, Visibility.OFFERED, diagnostic=True)),
    )
    yield "Derived", _derived_text(profile, has_battery=has_battery)
    yield from _settings_lines(_settings(profile), rows)
    yield "Time slots", _slots_text(_settings(profile))
    if family not in NARROW:
        yield "With VPP firmware", _with_vpp_text(family, has_battery=has_battery)
    else:
        yield "VPP", "never asked for"
    yield "Mind", " ".join(ABOUT[family].doubts)


def _vpp_lines() -> Iterator[tuple[str, str]]:
    rows = [(section.part, row) for section in OVERLAY for row in section.rows]
    rows = [(part, row) for part, row in rows if part not in _NOT_LISTED]
    settings = [row for _, row in rows if _is_setting(row)]
    yield "Shown", _grouped(_of(rows, Visibility.SHOWN, diagnostic=None))
    yield "Offered", _grouped(_of(rows, Visibility.OFFERED, diagnostic=None))
    yield from _settings_lines(settings, rows)
    yield "Time slots", _slots_text(settings)
    if any(row.key == BATTERY_COMMAND for _, row in rows):
        yield "Commands", "`control_battery` and `release_battery`, with a battery"


# -- models ---------------------------------------------------------------------------


def _models_text(family: Family) -> str:
    by_code = _models_of(family, DEVICE_TYPE_CODES)
    names = by_code or _models_of(family, SERIAL_PREFIXES)
    return "; ".join(dict.fromkeys(names)) or "all that answer like this"


def _models_of(
    family: Family, models: Mapping[int, Model] | Mapping[str, Model]
) -> list[str]:
    return [model.name for model in models.values() if model.family is family]


def _names_text(family: Family) -> str:
    codes = [
        str(code) for code, model in DEVICE_TYPE_CODES.items() if model.family is family
    ]
    if family is Family.SPF:
        in_range = {str(code) for code in OFF_GRID_CODES}
        codes = [
            f"{OFF_GRID_CODES.start}-{OFF_GRID_CODES.stop - 1}",
            *(code for code in codes if code not in in_range),
        ]
    if family is Family.V3_PV:
        codes += _ranges(V3_CODES)
    named = (
        ("type code", codes),
        ("serial number", _prefixes(family, SERIAL_PREFIXES)),
        ("firmware", _prefixes(family, FIRMWARE_PREFIXES)),
    )
    text = "; ".join(f"{what} {', '.join(names)}" for what, names in named if names)
    return text or "what it answers"


def _prefixes(family: Family, models: Mapping[str, Model]) -> list[str]:
    return [f"`{prefix}`" for prefix, model in models.items() if model.family is family]


def _ranges(numbers: Iterable[int]) -> list[str]:
    """Return numbers as ranges: 101-110, 201-210."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found]


# -- entities -------------------------------------------------------------------------

type Placed = tuple[Part, Register]


def _listed(profile: Profile) -> Iterator[Placed]:
    for section in profile.sections:
        if section.part not in _NOT_LISTED:
            yield from ((section.part, row) for row in section.rows)


def _highest_index(profile: Profile, part: Part) -> int:
    return max(
        (
            row.point.index or 0
            for its_part, row in _listed(profile)
            if its_part is part
        ),
        default=0,
    )


def _of(
    rows: Iterable[Placed], visibility: Visibility, *, diagnostic: bool | None
) -> list[Placed]:
    """Return the rows of so visible entities that are no settings."""
    return [
        (part, row)
        for part, row in rows
        if row.point.visibility is visibility
        and row.point.setting is None
        and diagnostic in (None, row.point.diagnostic)
    ]


def _grouped(rows: Sequence[Placed]) -> str:
    """Return the names of entities, by the equipment that they are of."""
    texts = []
    for title, parts in _GROUPS.items():
        names = folded(row.point for part, row in rows if _group(part, row) in parts)
        if names:
            text = ", ".join(names)
            texts.append(f"*{title}*: {text}" if title else text)
    return "<br>".join(texts)


def _group(part: Part, row: Register) -> Part:
    """Return the part under which a row is listed: all phases of the emergency output as one."""
    return Part.BACKUP if row.key.startswith("eps_") else part


# -- derived points -------------------------------------------------------------------


def _derived_text(profile: Profile, *, has_battery: bool) -> str:
    plain = _derived(profile, has_battery=has_battery)
    texts = [f"{name} = {formula}" for name, formula in plain.items()]
    if profile.forbidden:
        return "; ".join(texts)
    spoken = _derived(profile_of(profile.key, vpp=True), has_battery=has_battery)
    more = [
        f"{name} = {formula}" for name, formula in spoken.items() if name not in plain
    ]
    if more:
        texts.append(f"with VPP firmware {'; '.join(more)}")
    return "; ".join(texts)


def _derived(profile: Profile, *, has_battery: bool) -> dict[str, str]:
    """Return the name of each derived point and its formula."""
    keys: dict[bool, set[str]] = {False: set(), True: set()}
    for part, row in _listed(profile):
        keys[part in _ON_BATTERY].add(row.key)
    if not has_battery:
        keys[True] = set()
    return {
        f"*{'Battery: ' if of_battery else ''}{it.point.name}*": it.formula.text
        for of_battery, its_keys in keys.items()
        for it in derivations(its_keys, of_battery=of_battery)
    }


# -- settings -------------------------------------------------------------------------


def _is_setting(row: Register) -> bool:
    return row.point.setting is not None and row.part_of is None


def _settings(profile: Profile) -> list[Register]:
    return [
        row
        for _, row in _listed(profile)
        if _is_setting(row) and row.key not in profile.read_only
    ]


def _settings_lines(
    settings: Sequence[Register], rows: Iterable[Placed]
) -> Iterator[tuple[str, str]]:
    part_of = {row.key: part for part, row in rows}
    numbers = [row for row in settings if not isinstance(row.codec, SlotCodec)]

    def text(chosen: Iterable[Register]) -> str:
        by_device: dict[bool, list[str]] = {False: [], True: []}
        for row in chosen:
            by_device[part_of[row.key] in _ON_BATTERY].append(_setting_text(row))
        texts = []
        for of_battery, names in by_device.items():
            if names:
                title = "*battery*: " if of_battery else ""
                texts.append(title + "; ".join(names))
        return "<br>".join(texts)

    shown = [row for row in numbers if row.point.visibility is not Visibility.RAW]
    yield "Everyday settings", text(row for row in shown if _rule(row).everyday)
    yield "More settings", text(row for row in shown if not _rule(row).everyday)
    yield (
        "By action only",
        text(row for row in numbers if row.point.visibility is Visibility.RAW),
    )


def _rule(row: Register) -> Setting:
    assert row.point.setting is not None
    return row.point.setting


def _setting_text(row: Register) -> str:
    point, rule = row.point, _rule(row)
    if rule.minimum is not None and rule.maximum is not None:
        unit = f" {point.unit}" if point.unit else ""
        return f"{point.name} {rule.minimum:g} to {rule.maximum:g}{unit}"
    options = list(dict.fromkeys((row.options or {}).values()))
    if all(isinstance(option, bool) for option in options):
        return point.name
    if len(options) > MOST_OPTIONS:
        return f"{point.name} (one of {len(options)})"
    return f"{point.name} ({', '.join(option_text(option) for option in options)})"


def _slots_text(settings: Iterable[Register]) -> str:
    kinds: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    for row in settings:
        if isinstance(row.codec, SlotCodec):
            kind = row.codec.modes, row.codec.parts
            kinds[kind] = kinds.get(kind, 0) + 1
    return "; ".join(
        _slot_kind_text(modes, parts, count) for (modes, parts), count in kinds.items()
    )


def _slot_kind_text(modes: Sequence[str], parts: Sequence[str], count: int) -> str:
    names = [f"`{mode}`" for mode in modes]
    if len(names) == 1:
        text = f"{count} {names[0]}"
    else:
        text = f"{count}, each {', '.join(names[:-1])} or {names[-1]}"
    more = [part for part in ("days", "power") if part in parts]
    text += "".join(f", with {part}" for part in more)
    return text if "enabled" in parts else f"{text} (no switch)"


def _with_vpp_text(family: Family, *, has_battery: bool) -> str:
    if family is Family.TL_X_BASE:
        return "asked for only if the type code names a MIN or MIC TL-X"
    if not has_battery:
        return "VPP control, and settings by action: [as below](#with-the-vpp-protocol)"
    slots = _slots_text(
        row for section in OVERLAY for row in section.rows if _is_setting(row)
    )
    return (
        "commands `control_battery` and `release_battery`; time slots: "
        f"{slots}; [and more](#with-the-vpp-protocol)"
    )


# -- pages ----------------------------------------------------------------------------


def anchor(title: str) -> str:
    """Return the anchor of a heading."""
    return "".join(
        "-" if char == " " else char
        for char in title.lower()
        if char.isalnum() or char in " _-"
    )


_MARK: Final = "<!-- {edge} {name}: made by scripts/build_docs.py from the tables -->"

BLOCKS: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "overview": overview,
    "families": families,
}
"""Blocks of the page, by the name in the comments around them."""


def with_blocks(page: str) -> str:
    """Return a page with its blocks as they should be. Exits if it lacks their comments."""
    for name, lines in BLOCKS.items():
        begin, end = (_MARK.format(edge=edge, name=name) for edge in ("begin", "end"))
        before, found_begin, rest = page.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found_begin and found_end):
            sys.exit(f"docs/growatt.md has no lines {begin} and {end}")
        body = "\n".join(lines()).rstrip()
        page = f"{before}{begin}\n\n{body}\n\n{end}{after}"
    return page
