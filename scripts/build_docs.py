"""Write the pages of the documentation that derive from the tables.

    python scripts/build_docs.py           rewrite the pages
    python scripts/build_docs.py --check   exit 1 if they are not up to date

``docs/growatt_registers.md`` lists the register maps and the alarm codes,
``docs/growatt_models.md`` the type codes and prefixes that models are recognised by,
``docs/hoymiles_points.md`` the points, events and models of Hoymiles devices.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
import re
import sys
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from custom_components.local_solar.growatt.alarms import FAULTS, WARNINGS, Meaning  # noqa: E402
from custom_components.local_solar.growatt.inverter import DERIVED_FROM, INTERVALS  # noqa: E402
from custom_components.local_solar.growatt.models import (  # noqa: E402
    DEVICE_TYPE_CODES,
    FIRMWARE_PREFIXES,
    PROFILE_OF,
    SERIAL_PREFIXES,
    Family,
    Model,
)
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES  # noqa: E402
from custom_components.local_solar.growatt.profiles.profile import Part, Profile  # noqa: E402
from custom_components.local_solar.growatt.time_slots import SlotCodec  # noqa: E402
from custom_components.local_solar.hoymiles import (  # noqa: E402
    points as hoymiles_points,
    storage,
    storage_points,
)
from custom_components.local_solar.hoymiles.alarms import (  # noqa: E402
    ROWS as EVENTS,
    Scope,
    describe,
)
from custom_components.local_solar.hoymiles.devices import devices  # noqa: E402
from custom_components.local_solar.hoymiles.inventory import (  # noqa: E402
    TEMPORARY_LIMIT_SINCE,
    Inventory,
    Inverter,
)
from custom_components.local_solar.hoymiles.models import PART_NUMBERS, PREFIXES, Kind  # noqa: E402
from custom_components.local_solar.modbus.codecs import (  # noqa: E402
    Bits,
    Clock,
    Codec,
    Hex,
    Integer,
    MinutesOfDay,
    SharedWord,
    Text,
    TimeOfDay,
    Words,
)
from custom_components.local_solar.modbus.image import Space  # noqa: E402
from custom_components.local_solar.modbus.register import Register  # noqa: E402
from custom_components.local_solar.points import (  # noqa: E402
    Device,
    Point,
    Quantity,
    Rhythm,
    Setting,
    Visibility,
)
from custom_components.local_solar.write_budget import SPACING  # noqa: E402

DOCS: Final = ROOT / "docs"

GENERATED: Final = "<!-- Made by scripts/build_docs.py from the tables. Change those, not this page. -->"

SPACES: Final[Mapping[Space, str]] = {
    Space.INPUT: "Input registers (function 4)",
    Space.HOLDING: "Holding registers (function 3)",
}

SHOWN_AS: Final[Mapping[Visibility, str]] = {
    Visibility.SHOWN: "**shown**",
    Visibility.OFFERED: "offered",
    Visibility.RAW: "raw",
}

PARTS: Final[Mapping[Part, str]] = {
    Part.INVERTER: "inverter",
    Part.STRING: "string",
    Part.BATTERY: "battery",
    Part.CONVERTER: "more converters",
    Part.MODULE: "battery module",
    Part.BACKUP: "emergency output",
    Part.BACKUP_BOX: "backup box",
    Part.EXTERNAL_PV: "external PV",
    Part.PRIORITY_MODE: "work mode: priority",
    Part.SYSTEM_MODE: "work mode: system",
}

FAMILIES: Final[Mapping[Family, str]] = {
    Family.V3_PV: "PV inverters with the map V3",
    Family.TL_X_BASE: "PV inverters, base registers",
    Family.MIN_TL_X: "MIN TL-X, MIC TL-X",
    Family.MIN_TL_XH: "MIN TL-XH",
    Family.MIN_TL_XH_US: "MIN TL-XH-US",
    Family.MOD_TL3_X: "MOD, MID, MAC TL3-X",
    Family.MOD_TL3_XH: "MOD, MID TL3-XH and HU",
    Family.SPH: "SPH, single-phase",
    Family.SPH_TL3: "SPH and SPA TL3, three-phase",
    Family.SPA: "SPA, single-phase",
    Family.SPF: "SPF, SPE (off-grid)",
    Family.MAX_TL3: "MAX",
    Family.WIT: "WIT, WIS",
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
  *more converters*, as no recording shows one in use. The diagnostics download asks for all.
  Of the two parts *work mode*, there is the one whose meaning you chose in the options.
- *Setting* marks what can be written once you have switched that on in the options: with
  the actions of Local Solar and, if its entity is shown or offered, with a control in the
  place of the sensor. Nothing else can be written, and no other values. Flash memory wears
  out: writes of what is kept in it are spaced and counted.
- *Never write* gives the reason why a register must be left alone, whatever program you use.

These entities have no register of their own: {derived}.
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

HOYMILES_INTRO: Final = """\
# Hoymiles points, events and models

What Local Solar knows of Hoymiles devices: the points of each, the codes of events, and the
numbers that models are recognised by. [hoymiles.md](hoymiles.md) explains the devices.

How to read the tables of points:

- **Key** is the name that actions take, and a part of the entity's unique id.
- **Entity**: *shown* is an entity that is enabled, *offered* is one that is disabled until
  you enable it. What is marked *everyday* is enabled as soon as changing settings is
  switched on.
- **Step** is what one step of the number counts that the device sends. Points without a step
  are worked out, or are no numbers.
- *PV1* stands for each DC input, and *L1* for each phase where a device has three.
- *Setting* marks what can be changed once you have switched that on in the options: with the
  actions of Local Solar, and with a control in the place of the sensor. Nothing else can be
  written, and no other values. A *command* is a button, which is there only then. Flash
  memory wears out: writes of what is kept in it are spaced and counted.
"""

KINDS: Final[Mapping[Kind, str]] = {
    Kind.INVERTER: "microinverter",
    Kind.INVERTER_DTU: "microinverter with its own DTU",
    Kind.DTU: "DTU",
    Kind.GATEWAY: "storage gateway",
    Kind.STORAGE: "hybrid inverter",
    Kind.METER: "meter",
    Kind.REPEATER: "repeater",
}

SCOPES: Final[Mapping[Scope, str]] = {
    Scope.ALL: "all",
    Scope.THREE_PHASE: "three-phase",
    Scope.NOT_THREE_PHASE: "others than three-phase",
    Scope.OLDER_MI: "older MI",
}

type Row = Sequence[str]


def table(header: Row, rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield _line(header)
    yield _line(["---"] * len(header))
    for row in rows:
        yield _line(row)
    yield ""


def _line(cells: Row) -> str:
    return (
        "| "
        + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
        + " |"
    )


# --- registers ---


def registers_page() -> str:
    """Return the page of the register maps."""
    lines = [GENERATED, "", _registers_intro()]
    for profile in PROFILES.values():
        lines += _profile_lines(profile)
    lines += _alarm_lines("Fault codes", FAULTS)
    lines += _alarm_lines("Warning codes", WARNINGS)
    return "\n".join(lines).rstrip() + "\n"


def _registers_intro() -> str:
    rhythms = ";\n".join(
        f"  `{rhythm}` {interval_text(INTERVALS[rhythm])}" for rhythm in Rhythm
    )
    derived = "; ".join(
        f"`{key}` (from {', '.join(f'`{row}`' for row in rows)})"
        for key, rows in DERIVED_FROM.items()
    )
    return REGISTERS_INTRO.format(rhythms=rhythms, derived=derived)


def interval_text(seconds: float) -> str:
    """Return how often a rhythm reads."""
    if seconds == float("inf"):
        return "once"
    if seconds >= 120:
        return f"every {seconds / 60:g} minutes"
    return f"every {seconds:g} s"


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
        yield f"Largest read: {profile.max_words} words. A read stays inside one group:"
        yield ""
        yield from (
            f"- {space}: " + ", ".join(f"{low}-{high}" for low, high in groups)
            for space, groups in profile.groups.items()
        )
        yield ""
    for space, title in SPACES.items():
        rows = sorted(
            (row for row in parts if row.space is space),
            key=lambda row: (row.address, row.end),
        )
        if not rows:
            continue
        yield f"### {title} of {profile.name}"
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
    title = f"{profile.name} ({profile.key})".lower()
    return "".join(
        "-" if char == " " else char
        for char in title
        if char.isalnum() or char in " _-"
    )


def _cells(row: Register, part: Part) -> Row:
    point = row.point
    name = point.name.replace("{n}", str(point.index))
    return (
        str(row.address) if row.words == 1 else f"{row.address}-{row.end - 1}",
        f"`{row.key}`",
        name,
        type_text(row.codec),
        "" if row.scale == 1 else f"{row.scale:g}",
        point.unit or "",
        SHOWN_AS[point.visibility],
        point.rhythm.value,
        PARTS[part],
        ". ".join(_notes(row)),
    )


def type_text(codec: Codec) -> str:
    """Return the name of an encoding."""
    match codec:
        case SharedWord():
            return f"{type_text(codec.codec)} in shared word"
        case Integer():
            order = ", low word first" if codec.low_word_first else ""
            return f"{'s' if codec.signed else 'u'}{16 * codec.words}{order}"
        case Bits(shift=8, width=8):
            return "high byte"
        case Bits(shift=0, width=8):
            return "low byte"
        case Bits(width=1):
            return f"bit {codec.shift}"
        case Bits():
            return f"bits {codec.shift}-{codec.shift + codec.width - 1}"
        case Text():
            return f"text ({2 * codec.words})"
        case Hex():
            return "hexadecimal"
        case TimeOfDay() | MinutesOfDay():
            return "time"
        case Clock():
            return "date and time"
        case SlotCodec():
            return "time slot"
        case Words():
            return f"{codec.words} words as they are"
    sys.exit(f"no name for {codec!r}")


def _notes(row: Register) -> Iterator[str]:
    if row.point.quantity is Quantity.FAULT:
        kind = "fault" if row.key == "fault" else "warning"
        yield f"Options: see the [{kind} codes](#{kind}-codes)"
    elif row.options is not None:
        yield "Options: " + ", ".join(
            f"{raw} {_option_text(option)}" for raw, option in row.options.items()
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


def _option_text(option: str | bool) -> str:
    return ("off", "on")[option] if isinstance(option, bool) else f"`{option}`"


def _setting_text(row: Register) -> str:
    setting, unit = row.point.setting, row.point.unit
    assert setting is not None
    text = f"Setting{_limits_text(setting, unit)}"
    if setting.persistent_while:
        text += f"; in flash only while `{setting.persistent_while}` is on"
    elif setting.persistent:
        text += "; kept in flash"
    if row.part_of is not None:
        text += "; written as a whole with the others of its slot"
    return text


def _limits_text(setting: Setting, unit: str | None) -> str:
    if setting.minimum is None or setting.maximum is None:
        return ""
    text = f": {setting.minimum:g} to {setting.maximum:g}"
    text += f" {unit}" if unit else ""
    return text + (f", step {setting.step:g}" if setting.step is not None else "")


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
        ((FAMILIES[family], _map_text(family)) for family in Family),
    )
    lines += _model_lines("Type codes", "Type code", DEVICE_TYPE_CODES, strings=False)
    lines += _model_lines("Serial numbers", "Starts with", SERIAL_PREFIXES)
    lines += _model_lines("Firmware", "Starts with", FIRMWARE_PREFIXES)
    return "\n".join(lines).rstrip() + "\n"


def _map_text(family: Family) -> str:
    key = PROFILE_OF[family]
    if key is None:
        return "none: refused, because its values would be wrong"
    profile = PROFILES[key]
    text = f"[{profile.name}](growatt_registers.md#{_anchor(profile)})"
    return text if key == family.value else f"{text}, the closest one"


def _model_lines[Key: (int, str)](
    title: str, label: str, models: Mapping[Key, Model], *, strings: bool = True
) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    columns: list[tuple[str, Callable[[Key, Model], str]]] = [
        (label, lambda key, _: f"`{key}`"),
        ("Model", lambda _, model: model.name),
        ("Family", lambda _, model: FAMILIES[model.family]),
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


# --- Hoymiles ---

_SINGLE_PHASE: Final = Inventory(
    serial="414393100001",
    software=TEMPORARY_LIMIT_SINCE,
    inverters=(
        Inverter(serial=0x1412_9310_0001, part_number=0x1021_4201, inputs=(1,)),
    ),
    meters=(0x37FF_9310_0005,),
)
_THREE_PHASE: Final = Inventory(
    serial="413093100030",
    inverters=(Inverter(serial=0x1361_9310_0041, three_phase=True, inputs=(1,)),),
)
_STORAGE: Final = storage.StorageInventory(
    serial="430193100003",
    inverters=(
        storage.HybridInverter(
            serial=0x2003_9310_0004, inputs=(1,), phases=(1, 2, 3), has_battery=True
        ),
    ),
)
"""Devices with all that there can be."""

_OTHER_PHASE: Final = re.compile(r"_l[23]_(?!l)")


def hoymiles_page() -> str:
    """Return the page of Hoymiles devices."""
    dtu, single, meter = devices(_SINGLE_PHASE)
    _, three = devices(_THREE_PHASE)
    gateway, hybrid, battery = storage.devices(_STORAGE)
    lines = [GENERATED, "", HOYMILES_INTRO]
    lines += _device_lines("DTU", dtu, {})
    lines += _device_lines(
        "Microinverter",
        single,
        _steps(*hoymiles_points.SINGLE_PHASE, *hoymiles_points.input_rows(1)),
    )
    lines += _device_lines(
        "Three-phase microinverter, besides",
        three,
        _steps(*hoymiles_points.THREE_PHASE),
        without=single,
    )
    lines += _device_lines(
        "Meter", meter, _steps(*hoymiles_points.meter_rows(three_phase=True))
    )
    lines += _device_lines("Storage gateway", gateway, {})
    lines += _device_lines(
        "Hybrid inverter",
        hybrid,
        _steps(*storage_points.inverter_rows((1,), (1, 2, 3))),
    )
    lines += _device_lines(
        "Battery of a hybrid inverter", battery, _steps(*storage_points.battery_rows())
    )
    lines += _event_lines()
    lines += _number_lines()
    return "\n".join(lines).rstrip() + "\n"


def _steps(*rows: hoymiles_points.Row) -> dict[str, str]:
    """Return what one step of each row's integer is, by key."""
    return {
        row.point.key: f"{row.times / row.per_unit:g} {row.point.unit or ''}".rstrip()
        for row in rows
    }


def _device_lines(
    title: str,
    device: Device,
    steps: Mapping[str, str],
    *,
    without: Device | None = None,
) -> Iterator[str]:
    known = {point.key for point in without.points} if without else set()
    yield f"## {title}"
    yield ""
    yield from table(
        ("Key", "Name", "Unit", "Entity", "Step", "Setting, notes"),
        (
            (
                f"`{point.key}`",
                point.name.replace("{n}", str(point.index)),
                point.unit or "",
                SHOWN_AS[point.visibility],
                steps.get(point.key, ""),
                _point_notes(point),
            )
            for point in device.points
            if point.key not in known
            and (without is not None or not _OTHER_PHASE.search(point.key))
        ),
    )


def _point_notes(point: Point) -> str:
    notes = []
    if (setting := point.setting) is not None:
        kind = "Command" if point.quantity is Quantity.COMMAND else "Setting"
        limits = _limits_text(setting, point.unit)
        if point.key == hoymiles_points.TEMPORARY_LIMIT:
            least = hoymiles_points.LEAST_LIMIT
            limits = f": {least:g} % of the rated power to the rated power, step"
            limits += f" {setting.step:g} {point.unit}"
        elif point.quantity is Quantity.FLAG:
            limits = ": on or off"
        notes.append(kind + limits)
        if setting.persistent:
            notes.append(
                f"kept in flash, at least {(setting.spacing or SPACING).total_seconds():g} s apart"
            )
        elif limits:
            notes.append("not kept in flash")
        if setting.everyday:
            notes.append("everyday")
    if point.key == hoymiles_points.LAST_EVENT.key:
        notes.append("see the [event codes](#event-codes)")
    return "; ".join(notes)


def _event_lines() -> Iterator[str]:
    yield "## Event codes"
    yield ""
    yield "*Problem* is on while an event of the kind `fault` lasts. Codes from 5000 on belong to"
    yield "older inverters; the protocol that is spoken here has no room for them."
    yield ""
    yield from table(
        ("Code", "Inverters", "State of *Last event*", "Kind", "Meaning"),
        (
            (
                str(row.code),
                SCOPES[row.scope],
                f"`{row.key}`",
                describe(
                    row.code, three_phase=row.scope is Scope.THREE_PHASE
                ).kind.value,
                row.text,
            )
            for row in sorted(EVENTS)
        ),
    )


def _number_lines() -> Iterator[str]:
    yield "## Serial numbers"
    yield ""
    yield "The first four of a serial number's twelve digits. An unknown one is no reason to refuse"
    yield "a device."
    yield ""
    yield from table(
        ("Starts with", "What it is", "Family", "DC inputs", "Powers"),
        (
            (
                f"`{digits}`",
                KINDS[prefix.kind],
                prefix.family,
                str(prefix.inputs or ""),
                prefix.power_class or "",
            )
            for digits, prefix in sorted(PREFIXES.items())
        ),
    )
    yield "## Part numbers"
    yield ""
    yield "The first three bytes of the hardware part number that a DTU tells of each inverter. They"
    yield "give the exact model; the temporary limit needs its rated power."
    yield ""
    yield from table(
        ("Starts with", "Model", "Rated power"),
        (
            (f"`{digits}`", model.name, f"{model.rated_power} W")
            for digits, model in sorted(PART_NUMBERS.items())
        ),
    )


# --- files ---


def rendered() -> Iterator[tuple[Path, str]]:
    """Go through the pages and the text each should have."""
    yield DOCS / "growatt_registers.md", registers_page()
    yield DOCS / "growatt_models.md", models_page()
    yield DOCS / "hoymiles_points.md", hoymiles_page()


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale = [
        (path, text)
        for path, text in rendered()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    if "--check" in arguments:
        for path, _ in stale:
            print(f"{path.relative_to(ROOT)} is stale: run scripts/build_docs.py")
        return 1 if stale else 0
    for path, text in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
