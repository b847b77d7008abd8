"""The page about OutBack: the blocks of a gateway's map, and what is made of them."""

from collections.abc import Iterator, Mapping
from typing import Final

from custom_components.local_solar.modbus.codecs import Codec
from custom_components.local_solar.outback import alarms, codecs, derived, totals
from custom_components.local_solar.outback.block import Block, Family, Nominal, Row
from custom_components.local_solar.outback.blocks import BLOCKS
from custom_components.local_solar.outback.mate3 import INTERVALS
from custom_components.local_solar.outback.rows import BATTERY_RANGE
from custom_components.local_solar.points import ALARMS, PROBLEM, Point, Rhythm, Setting

from .shared import (
    GENERATED,
    SHOWN_AS,
    as_page,
    interval_text,
    limits_text,
    option_text,
    table,
    type_text,
)

INTRO: Final = """\
# OutBack blocks and registers

What Local Solar knows of the register map of OutBack's gateways (MATE3, MATE3s, AXS Port): a
section for each kind of block. [outback.md](outback.md) explains the devices.

A map is a chain of blocks that begins at 40002, behind the marker `SunS` at 40000. Which blocks
there are, where they lie and how long they are differs from system to system and with the
firmware; the diagnostics download lists those of yours. Blocks that are not in this list are
skipped.

How to read the tables:

- **Offset** counts from the register with the block's number, which is 1, as OutBack's documents
  do. Address on the wire = address of the block + offset - 1. All are holding registers. A row that
  lies beyond the length that the gateway tells is not there: older firmware has shorter blocks.
- **Key** is the name that actions take, and a part of the entity's unique id. The action
  `read_register` takes OutBack's own name as well; it stands under the key where it is another one.
- **Type**: `u16` and `s16` are one word, `u32` is two; `s` is signed. `bit` gives the mask.
  Addresses have the high word first, other numbers of two words the low word.
- **Scale factor** names the row of the same block that holds the power of ten to multiply with.
- **Entity**: *shown* is an entity that is enabled, *offered* is one that is disabled until you
  enable it, *raw* has no entity.
- **Rhythm**: how often the row is read while its entity is enabled: `live` with each poll,
  {live} unless the options say otherwise, `settings` {settings}.
- *Setting* marks what can be written once you have switched that on in the options: with the
  actions of Local Solar and, if its entity is shown or offered, with a control in the place of the
  sensor. Nothing else can be written, and no other values. *Everyday*: its control is enabled as
  soon as changing settings is on. *Installer*: it needs the option *Settings for installers*, too.
- *Command* marks a setting that is written to one register and read in another. It acts on all
  devices of the HUB at once.
- Limits that are multiples of the *nominal voltage* hold for the system's voltage, which the
  gateway tells: {low:g} to {high:g} times 48 V is {low48:g} to {high48:g} V. The device has limits
  of its own, which may be narrower.
- *Never write* gives the reason why a register must be left alone, whatever program you use.
- Not available, and therefore unknown: 0xFFFF in `u16`, 0x8000 in `s16`, 0xFFFFFFFF in `u32`, bit
  fields whose highest bit is set, and whatever has a scale factor that is not available. In powers
  and energies of the day also 0x7FFF and 0x8000.
"""

TITLES: Final[Mapping[int, str]] = {
    64110: "Gateway",
    64120: "System control",
    1: "Common block",
    64255: "Packet statistics (OPTICS)",
    64113: "FX and VFX inverter",
    64114: "FX and VFX inverter, configuration",
    64117: "FXR, VFXR or single-phase Radian inverter",
    64115: "Split-phase Radian inverter",
    64116: "FXR, VFXR or Radian inverter, configuration",
    64111: "FLEXmax charge controller",
    64112: "FLEXmax charge controller, configuration",
    64118: "FLEXnet DC battery monitor",
    64119: "FLEXnet DC battery monitor, configuration",
}
"""Titles of the sections, in their order."""

FAMILIES: Final[Mapping[Family, str]] = {
    Family.GATEWAY: "the gateway",
    Family.INVERTER: "inverters",
    Family.CHARGE_CONTROLLER: "charge controllers",
    Family.BATTERY_MONITOR: "the battery monitor",
}


def outback_page() -> str:
    """Return the page of OutBack's blocks."""
    if set(TITLES) != set(BLOCKS):
        raise ValueError("each block needs a title")
    low, high = BATTERY_RANGE
    lines = [
        GENERATED,
        "",
        INTRO.format(
            live=interval_text(INTERVALS[Rhythm.LIVE]),
            settings=interval_text(INTERVALS[Rhythm.SETTINGS]),
            low=low,
            high=high,
            low48=round(48 * low, 1),
            high48=round(48 * high, 1),
        ),
    ]
    lines += _worked_out_lines()
    for did, title in TITLES.items():
        lines += _block_lines(title, BLOCKS[did])
    return as_page(lines)


# --- points without a register ---


def _worked_out_lines() -> Iterator[str]:
    yield "## Worked out"
    yield ""
    yield "These points are in no register. A sum over all devices of a kind is there only while each"
    yield "of them has a value, and, after midnight, once all of them have started anew."
    yield ""
    yield from table(
        ("Key", "Name", "Device", "Unit", "Made of"),
        (
            (f"`{point.key}`", point.name, device, point.unit or "", made_of)
            for point, device, made_of in _worked_out()
        ),
    )


def _worked_out() -> Iterator[tuple[Point, str, str]]:
    """Go through the points, the devices that have them, and what they are made of."""
    inverters = FAMILIES[Family.INVERTER]
    battery = f"`{derived.BATTERY_POWER}`"
    fields = ", ".join(f"`{key}`" for key in alarms.FIELDS)
    faults = ", ".join(
        f"`{key}`" for key, (kind, _) in alarms.FIELDS.items() if kind == "fault"
    )
    reporting = f"{inverters} and {FAMILIES[Family.CHARGE_CONTROLLER]}"
    yield PROBLEM, reporting, faults
    yield ALARMS, reporting, fields
    monitor = FAMILIES[Family.BATTERY_MONITOR]
    yield derived.CHARGE_POWER, monitor, f"{battery} while it is positive, else 0"
    yield derived.DISCHARGE_POWER, monitor, f"{battery} while it is negative, else 0"
    for point, legs in derived.LEGS:
        made_of = " + ".join(f"`{leg}`" for leg in legs)
        yield point, "split-phase inverters", made_of
    for total in totals.TOTALS:
        yield (
            total.point,
            FAMILIES[Family.GATEWAY],
            f"`{total.of}` of all {FAMILIES[total.family]}",
        )


# --- blocks ---


def _block_lines(title: str, block: Block) -> Iterator[str]:
    yield f"## {title} ({block.did})"
    yield ""
    port = ", one for each device" if block.has_port else ""
    yield (
        f"`{block.name}`{port}. {block.length} registers behind number and length in the"
        " newest document."
    )
    yield ""
    yield from table(
        (
            *("Offset", "Key", "Name", "Type", "Scale factor", "Unit"),
            *("Entity", "Rhythm", "Options, limits, notes"),
        ),
        (_cells(row) for row in sorted(block.rows, key=lambda row: row.offset)),
    )


def _cells(row: Row) -> tuple[str, ...]:
    point = row.register.point
    last = row.end - 1
    key = f"`{row.key}`"
    return (
        str(row.offset) if row.offset == last else f"{row.offset}-{last}",
        key if row.name == row.key else f"{key}<br>`{row.name}`",
        point.name.replace("{n}", str(point.index)),
        _type_text(row.register.codec),
        f"`{row.scale_factor}`" if row.scale_factor else "",
        point.unit or "",
        SHOWN_AS[point.visibility],
        point.rhythm.value,
        ". ".join(_notes(row)),
    )


def _type_text(codec: Codec) -> str:
    """Return the name of an encoding."""
    match codec:
        case codecs.Bit():
            return f"bit {codec.mask:#06x}"
        case codecs.BitField():
            return "bit field"
        case codecs.Shown():
            return "bits " + ", ".join(f"{mask:#06x}" for _, mask in codec.masks)
        case codecs.Address():
            return "IPv4 address"
        case codecs.Moment():
            return "u32, seconds of the epoch"
        case codecs.HourAndMinute():
            return "hour, minute"
    return type_text(codec)


def _notes(row: Row) -> Iterator[str]:
    register = row.register
    if register.options is not None and not isinstance(register.codec, codecs.Bit):
        yield "Options: " + ", ".join(
            f"{raw} {option_text(option)}" for raw, option in register.options.items()
        )
    if (setting := row.setting) is not None:
        yield _setting_text(row, setting)
    elif row.write_only and not register.never_write:
        yield "Write-only: see the commands"
    if register.never_write:
        yield f"**Never write**: {register.never_write}"
    if register.note:
        yield register.note[0].upper() + register.note[1:]


def _setting_text(row: Row, setting: Setting) -> str:
    if row.sends_to is not None:
        return f"Command, written to {row.sends_to}; not kept in flash"
    if row.nominal is Nominal.BATTERY:
        text = (
            f"Setting: {setting.minimum:g} to {setting.maximum:g} × nominal voltage,"
            f" step {setting.step:g} V"
        )
    else:
        text = f"Setting{limits_text(setting, row.register.point.unit)}"
    text += "; kept in flash" if setting.persistent else "; not kept in flash"
    if setting.everyday:
        text += "; everyday"
    if setting.installer:
        text += "; installer"
    return text
