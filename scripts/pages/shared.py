"""What all pages have: tables in Markdown, and words for what rows have in common."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import sys
from typing import Final

from custom_components.local_solar.modbus.codecs import (
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
from custom_components.local_solar.points import Setting, Visibility

GENERATED: Final = "<!-- Made by scripts/build_docs.py from the tables. Change those, not this page. -->"

SHOWN_AS: Final[Mapping[Visibility, str]] = {
    Visibility.SHOWN: "**shown**",
    Visibility.OFFERED: "offered",
    Visibility.RAW: "raw",
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


def as_page(lines: Iterable[str]) -> str:
    """Return the text of a page."""
    return "\n".join(lines).rstrip() + "\n"


def interval_text(seconds: float) -> str:
    """Return how often a rhythm reads."""
    if seconds == float("inf"):
        return "once"
    if seconds >= 120:
        return f"every {seconds / 60:g} minutes"
    return f"every {seconds:g} s"


def limits_text(setting: Setting, unit: str | None) -> str:
    """Return the limits of a setting, as they stand behind its name."""
    if setting.minimum is None or setting.maximum is None:
        return ""
    text = f": {setting.minimum:g} to {setting.maximum:g}"
    text += f" {unit}" if unit else ""
    return text + (f", step {setting.step:g}" if setting.step is not None else "")


def option_text(option: str | bool) -> str:
    """Return an option as it stands in a table."""
    return ("off", "on")[option] if isinstance(option, bool) else f"`{option}`"


def type_text(codec: Codec) -> str:
    """Return the name of an encoding that several families use."""
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
        case Words():
            return f"{codec.words} words as they are"
    sys.exit(f"no name for {codec!r}")
