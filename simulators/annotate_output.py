"""A report of a recording as text, and as JSON."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Final

from .annotate_histories import Movement
from .text_table import text_table

if TYPE_CHECKING:
    from .annotate_report import Report, Unknown

_LONGEST: Final = 32
"""Characters of a value that a table shows."""

_MOST_NAMES: Final = 2
"""Rows of other maps that a line of text names."""


def as_json(report: Report) -> dict[str, object]:
    """Return a report as JSON types."""
    return {
        "capture": report.name,
        "unit": report.unit,
        "exchanges": report.exchanges,
        "seconds": report.seconds,
        "dropped_lines": report.dropped,
        "profile": report.profile,
        "because": report.because,
        "registers": report.registers,
        "clients": [asdict(client) for client in report.clients],
        "failures": [asdict(failure) for failure in report.failures],
        "writes": [asdict(written) for written in report.writes],
        "known": [
            asdict(row) | {"first": _plain(row.first), "last": _plain(row.last)}
            for row in report.known
        ],
        "known_to_other_profiles": [asdict(each) for each in report.of_others],
        "unknown": [asdict(each) for each in report.strangers],
    }


def as_text(report: Report) -> Iterator[str]:
    """Yield the lines of a report."""
    seconds = "" if report.seconds is None else f" in {report.seconds:.1f} s"
    yield f"{report.name}: unit {report.unit}, {report.exchanges} requests{seconds}"
    if report.dropped:
        yield f"{report.dropped} lines are missing: they came too fast"
    yield f"register map {report.profile}: {report.because}"
    moved = sum(register.changes > 0 for register in report.strangers)
    yield (
        f"{report.registers} registers were read: {len(report.strangers)} that no map"
        f" knows ({moved} of them moved), {len(report.of_others)} that only maps of other"
        " families know"
    )
    yield from _titled("Clients", _clients(report))
    yield from _titled("Refused or not answered", _failures(report))
    yield from _titled("Writes", _writes(report))
    yield from _titled(f"Registers that {report.profile} knows", _known(report))
    yield from _titled(
        "Registers that only maps of other families know", _moved(report.of_others)
    )
    yield from _titled("Registers that no map knows", _moved(report.strangers))


def _titled(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", f"{title}:", "")
        yield from (f"  {line}" for line in found)


def _clients(report: Report) -> Iterator[str]:
    header = (
        *("client", "connections", "requests", "per s", "cycle s", "p50 ms", "p99 ms"),
        *("repeats", "exceptions", "unanswered", "garbage"),
    )
    return text_table(
        header,
        (
            (
                client.client or "(not named)",
                client.connections,
                client.requests,
                _rounded(client.per_second, 2),
                _rounded(client.cycle, 1),
                _milliseconds(client.p50),
                _milliseconds(client.p99),
                client.repeats,
                client.exceptions,
                client.unanswered,
                client.garbage,
            )
            for client in report.clients
        ),
    )


def _failures(report: Report) -> Iterator[str]:
    return text_table(
        ("request", "unit", "what came", "times", "answered", "by"),
        (
            (
                failure.what,
                failure.unit,
                "nothing"
                if failure.exception is None
                else f"exception {failure.exception}",
                failure.times,
                failure.answered or "never",
                _readers(failure.clients),
            )
            for failure in report.failures
        ),
    )


def _writes(report: Report) -> Iterator[str]:
    return text_table(
        ("request", "unit", "words", "times", "done", "by"),
        (
            (
                written.what,
                written.unit,
                " ".join(map(str, written.last or ())),
                written.times,
                written.acknowledged,
                _readers(written.clients),
            )
            for written in report.writes
        ),
    )


def _known(report: Report) -> Iterator[str]:
    return text_table(
        ("register", "key", "name", "first", "last", "unit", "read by"),
        (
            (
                f"{row.table} {row.address}",
                row.key,
                row.name,
                _short(row.first) if row.is_whole else "(read in part)",
                _short(row.last),
                row.unit,
                _readers(row.readers),
            )
            for row in report.known
        ),
    )


def _moved(registers: Iterable[Unknown]) -> Iterator[str]:
    """Yield a table; neighbours that were always 0 share a line."""
    rows: list[tuple[object, ...]] = []
    for is_idle, group in groupby(enumerate(registers), key=lambda each: _idle(*each)):
        members = [register for _, register in group]
        if is_idle is not None and len(members) > 1:
            first, last = members[0], members[-1]
            rows.append(
                (
                    f"{first.table} {first.address}-{last.address}",
                    *(0, 0, 0, 0, 0, Movement.CONSTANT, None),
                    _readers(first.readers),
                )
            )
        else:
            rows += map(_moved_row, members)
    header = (
        *("register", "first", "last", "min", "max", "changes"),
        *("looks like", "elsewhere", "read by"),
    )
    return text_table(header, rows)


def _idle(number: int, register: Unknown) -> tuple[object, ...] | None:
    """Return what neighbours that were always 0 have in common, ``None`` for others."""
    if register.maximum or register.elsewhere:
        return None
    return register.table, register.address - number, _readers(register.readers)


def _moved_row(register: Unknown) -> tuple[object, ...]:
    looks_like = str(register.movement)
    if register.text is not None:
        looks_like += f' "{register.text}"'
    names = register.elsewhere[:_MOST_NAMES]
    more = len(register.elsewhere) - len(names)
    return (
        f"{register.table} {register.address}",
        register.first,
        register.last,
        register.minimum,
        register.maximum,
        register.changes,
        looks_like,
        ", ".join(names) + (f" and {more} more" if more else ""),
        _readers(register.readers),
    )


def _readers(readers: Mapping[str, int]) -> str:
    return ", ".join(
        f"{peer} {times}" if peer else str(times) for peer, times in readers.items()
    )


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)


def _short(value: object) -> object:
    """Return a value as a table shows it."""
    plain = _plain(value)
    if isinstance(plain, str) and len(plain) > _LONGEST:
        return plain[: _LONGEST - 3] + "..."
    return plain


def _plain(value: object) -> object:
    """Return a value as a JSON type."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
