"""The pages about Growatt: register maps with alarm codes, and models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from custom_components.local_solar.growatt.alarms import (
    PROTOCOL_2,
    TABLES,
    AlarmKind,
    Meaning,
)
from custom_components.local_solar.growatt.derived import FORMULAS
from custom_components.local_solar.growatt.inverter import INTERVALS
from custom_components.local_solar.growatt.known_inverter import told_by
from custom_components.local_solar.growatt.models import (
    DEVICE_TYPE_CODES,
    FIRMWARE_PREFIXES,
    SERIAL_PREFIXES,
    Family,
    Model,
)
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.growatt.profiles.profile import Group, Part, Profile
from custom_components.local_solar.growatt.profiles.protocol_2 import MAX_WORDS
from custom_components.local_solar.growatt.profiles.vpp import GROUPS, OVERLAY
from custom_components.local_solar.growatt.remote_power import CommandCodec
from custom_components.local_solar.growatt.time_slots import CountReaches, SlotCodec
from custom_components.local_solar.modbus.image import Space
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import Rhythm

from .growatt_about import NAMES
from .growatt_families import anchor
from .shared import (
    GENERATED,
    SHOWN_AS,
    Row,
    as_page,
    interval_text,
    limits_text,
    option_text,
    table,
    type_text,
)

SPACES: Final[Mapping[Space, str]] = {
    Space.INPUT: "Input registers (function 4)",
    Space.HOLDING: "Holding registers (function 3)",
}

PARTS: Final[Mapping[Part, str]] = {
    Part.INVERTER: "inverter",
    Part.STRING: "string",
    Part.STRING_MONITOR: "monitored string",
    Part.THREE_PHASE: "three phases",
    Part.BATTERY: "battery",
    Part.CONVERTER: "more converters",
    Part.MODULE: "battery module",
    Part.BACKUP: "emergency output",
    Part.BACKUP_BOX: "backup box",
    Part.EXTERNAL_PV: "external PV",
    Part.PRIORITY_MODE: "work mode: priority",
    Part.SYSTEM_MODE: "work mode: system",
    Part.VPP: "VPP firmware",
    Part.VPP_CLUSTER: "more battery clusters",
}

REGISTERS_INTRO: Final = """\
# Growatt registers

The register maps that Local Solar reads Growatt inverters with: one section for each map,
then the alarm codes. [growatt.md](growatt.md) explains the devices,
[growatt_models.md](growatt_models.md) tells which model is read with which map.

How to read the tables:

- **Address** is what goes over the wire, counted from 0. 32-bit numbers have the high word
  first. Input and holding registers are two spaces: the same address means something else
  in each.
- **Type**: `u16` and `s16` are one word, `u32` and `s32` are two; `s` is signed. Bits are
  counted from 0.
- **Scale**: value = (raw + offset) × scale. The offset is 0 unless the notes name one.
- **Entity**: *shown* is an entity that is enabled, *offered* is one that is disabled until
  you enable it, *raw* has no entity: it is in the diagnostics download only.
- **Rhythm**: how often the register is read while its entity is enabled:
{rhythms}.
- **Part**: rows of a part that an inverter lacks are not polled, nor are those of
  *more converters* and *more battery clusters*, as no recording shows one in use. The
  diagnostics download asks for all of its map.
  Of the two parts *work mode*, there is the one whose meaning you chose in the options.
- *Setting* marks what can be written once you have switched that on in the options: with
  the actions of Local Solar and, if its entity is shown or offered, with a control in the
  place of the sensor. Nothing else can be written, and no other values. Flash memory wears
  out: writes of what is kept in it are spaced and counted.
- *Never write* gives the reason why a register must be left alone, whatever program you use.

These entities have no register of their own. A power or energy is derived only where the
map has no row for it, by the first formula that the inverter has all parts of, and has no
value while a part has none. The battery's power is positive while it charges, the grid's
while the house draws from it.

{derived}
"""

MODELS_INTRO: Final = """\
# Growatt models

How Local Solar recognises a model, and which register map it then reads it with.
[growatt.md](growatt.md) tells in which order the evidence counts.

The type code is holding register 43, the serial number starts at holding register 23 and
the firmware at holding register 9. *Reported* means that an owner has reported the code;
the others are from Growatt's documents only. A code or prefix that is missing here is no
reason to refuse an inverter: it is then read with the map that fits what it answers.
"""

VPP: Final = "VPP protocol"

VPP_INTRO: Final = """\
These rows are added to the map of an inverter that speaks the VPP protocol: see
[growatt.md](growatt.md#the-vpp-protocol). Off-grid models and those of protocol V3 are never
asked for them."""

# --- registers ---


def registers_page() -> str:
    """Return the page of the register maps."""
    lines = [GENERATED, "", _registers_intro()]
    for profile in PROFILES.values():
        lines += _profile_lines(profile)
    lines += _overlay_lines()
    for name, alarms in TABLES.items():
        whose = "" if alarms is PROTOCOL_2 else f" of {name}"
        for kind in AlarmKind:
            title = f"{kind.capitalize()} codes{whose}"
            lines += _alarm_lines(title, alarms.meanings(kind))
    return as_page(lines)


def _registers_intro() -> str:
    rhythms = ";\n".join(
        f"  `{rhythm}` {interval_text(INTERVALS[rhythm])}" for rhythm in Rhythm
    )
    told = [
        f"- `{key}`: from {', '.join(f'`{row}`' for row in rows)}"
        for key, rows in told_by(PROTOCOL_2).items()
    ]
    formulas = [f"- `{it.point.key}`: {it.text}" for it in FORMULAS]
    derived = "\n".join([*told, *formulas])
    return REGISTERS_INTRO.format(rhythms=rhythms, derived=derived)


def _profile_lines(profile: Profile) -> Iterator[str]:
    base = _extended_by(profile)
    known = set(base) if base else set()
    parts = {
        row: section.part
        for section in profile.sections
        for row in section.rows
        if row not in known
    }
    yield f"## {profile.name} (`{profile.key}`)"
    yield ""
    if base is not None:
        yield f"All rows of [{base.name}](#{_anchor(base)}), and these:"
        yield ""
        if profile.read_only:
            yield _read_only_text(profile)
            yield ""
    else:
        yield from _group_lines(profile.groups, profile.max_words)
    yield from _space_lines(profile.name, parts)


def _overlay_lines() -> Iterator[str]:
    yield f"## {VPP}"
    yield ""
    yield VPP_INTRO
    yield ""
    yield from _group_lines(GROUPS, MAX_WORDS)
    parts = {row: section.part for section in OVERLAY for row in section.rows}
    yield from _space_lines(VPP, parts)


def _group_lines(
    groups: Mapping[Space, Sequence[Group]], max_words: int
) -> Iterator[str]:
    yield f"Largest read: {max_words} words. A read stays inside one group:"
    yield ""
    yield from (
        f"- {space}: " + ", ".join(f"{low}-{high}" for low, high in of_space)
        for space, of_space in groups.items()
    )
    yield ""


def _space_lines(name: str, parts: Mapping[Register, Part]) -> Iterator[str]:
    for space, title in SPACES.items():
        rows = sorted(
            (row for row in parts if row.space is space),
            key=lambda row: (row.address, row.end),
        )
        if not rows:
            continue
        yield f"### {title} of {name}"
        yield ""
        yield from table(
            (
                *("Address", "Key", "Name", "Type", "Scale", "Unit"),
                *("Entity", "Rhythm", "Part", "Options, limits, notes"),
            ),
            (_cells(row, parts[row]) for row in rows),
        )


def _extended_by(profile: Profile) -> Profile | None:
    """Return the earlier profile whose rows ``profile`` has all, if there is one."""
    rows = set(profile)
    for other in PROFILES.values():
        if other is profile:
            return None
        if rows.issuperset(other):
            return other
    return None


def _read_only_text(profile: Profile) -> str:
    whole = [
        f"`{row.key}`"
        for row in profile
        if row.key in profile.read_only and row.part_of is None
    ]
    return (
        f"Of those, {', '.join(whole)} and their parts are no settings here: they are"
        " read and never written."
    )


def _anchor(profile: Profile) -> str:
    return anchor(f"{profile.name} ({profile.key})")


def _cells(row: Register, part: Part) -> Row:
    point = row.point
    name = point.name.replace("{n}", str(point.index))
    return (
        str(row.address) if row.words == 1 else f"{row.address}-{row.end - 1}",
        f"`{row.key}`",
        name,
        _type_text(row),
        "" if row.scale == 1 else f"{row.scale:g}",
        point.unit or "",
        SHOWN_AS[point.visibility],
        point.rhythm.value,
        PARTS[part],
        ". ".join(_notes(row)),
    )


def _type_text(row: Register) -> str:
    match row.codec:
        case SlotCodec():
            return "time slot"
        case CountReaches():
            return "count"
        case CommandCodec():
            return "command"
        case _:
            return type_text(row.codec)


def _notes(row: Register) -> Iterator[str]:
    if any(row.options == PROTOCOL_2.options(kind) for kind in AlarmKind):
        yield f"Options: see the [{row.key} codes](#{row.key}-codes)"
    elif row.options is not None:
        yield "Options: " + ", ".join(
            f"{raw} {option_text(option)}" for raw, option in row.options.items()
        )
    if row.offset:
        yield f"Offset {row.offset}"
    if row.sentinels:
        yield "Not available: " + ", ".join(str(raw) for raw in sorted(row.sentinels))
    if row.point.setting is not None:
        yield _setting_text(row)
    if row.never_write:
        yield f"**Never write**: {row.never_write}"
    if row.note:
        yield row.note[0].upper() + row.note[1:]


def _setting_text(row: Register) -> str:
    setting, unit = row.point.setting, row.point.unit
    assert setting is not None
    text = f"Setting{limits_text(setting, unit)}"
    if setting.persistent_while:
        text += f"; in flash only while `{setting.persistent_while}` is on"
    elif setting.persistent:
        text += "; kept in flash"
    if row.part_of is not None:
        text += "; written as a whole with the others of its slot"
    return text


def _alarm_lines(title: str, meanings: Mapping[int, Meaning]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield from table(
        ("Code", "State of the entity", "Meaning"),
        (
            (str(code), f"`{meaning.slug}`", meaning.text)
            for code, meaning in sorted(meanings.items())
        ),
    )


# --- models ---


def models_page() -> str:
    """Return the page of the models."""
    lines = [GENERATED, "", MODELS_INTRO, "## Families and their maps", ""]
    lines += table(
        ("Family", "Register map"),
        ((NAMES[family], _map_text(family)) for family in Family),
    )
    lines += _model_lines("Type codes", "Type code", DEVICE_TYPE_CODES, strings=False)
    lines += _model_lines("Serial numbers", "Starts with", SERIAL_PREFIXES)
    lines += _model_lines("Firmware", "Starts with", FIRMWARE_PREFIXES)
    return as_page(lines)


def _map_text(family: Family) -> str:
    profile = PROFILES[family]
    return f"[{profile.name}](growatt_registers.md#{_anchor(profile)})"


def _model_lines[Key: (int, str)](
    title: str, label: str, models: Mapping[Key, Model], *, strings: bool = True
) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    columns: list[tuple[str, Callable[[Key, Model], str]]] = [
        (label, lambda key, _: f"`{key}`"),
        ("Model", lambda _, model: model.name),
        ("Family", lambda _, model: NAMES[model.family]),
    ]
    if strings:
        columns += [
            ("Phases", lambda _, model: str(model.phases or "")),
            ("Strings", lambda _, model: str(model.strings or "")),
        ]
    else:
        columns.append(("Reported", lambda _, model: "yes" if model.confirmed else ""))
    yield from table(
        [name for name, _ in columns],
        (
            [cell(key, model) for _, cell in columns]
            for key, model in sorted(models.items(), key=lambda item: item[0])
        ),
    )
