"""Names of points that differ in one word only, written as one."""

from collections.abc import Callable, Iterable, Sequence
import re
from typing import Final

from custom_components.local_solar.points import Point

_PHASE: Final = re.compile(r"\bL[123]\b")
_SPANS: Final = ("today", "total")


def folded(points: Iterable[Point]) -> list[str]:
    """Return the names of points, those alike as one: ``PV1-4 power``, ``Grid L1-L3 voltage``.

    ``Load energy today and total`` stands for both.
    """
    numbered: dict[str, list[int]] = {}
    for point in points:
        numbered.setdefault(point.name, []).extend(
            [point.index] if point.index is not None and "{n}" in point.name else []
        )
    names = [
        name.replace("{n}", _from_to(numbers)) for name, numbers in numbered.items()
    ]
    return _fold_spans(_fold_phases(names))


def _from_to(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"


def _fold(
    names: Iterable[str],
    split: Callable[[str], tuple[str, str] | None],
    join: Callable[[str, Sequence[str]], str],
) -> list[str]:
    """Fold names that differ in one word: ``split`` gives pattern and word, ``join`` the name."""
    kept: dict[str, list[str]] = {}
    for name in names:
        pattern, word = split(name) or (name, "")
        kept.setdefault(pattern, []).extend([word] if word else [])
    return [
        join(pattern, words) if words else pattern for pattern, words in kept.items()
    ]


def _fold_phases(names: Iterable[str]) -> list[str]:
    def split(name: str) -> tuple[str, str] | None:
        found = _PHASE.findall(name)
        return (_PHASE.sub("{}", name), found[0]) if len(found) == 1 else None

    def join(pattern: str, words: Sequence[str]) -> str:
        low, high = min(words), max(words)
        return pattern.format(low if low == high else f"{low}-{high}")

    return _fold(names, split, join)


def _fold_spans(names: Iterable[str]) -> list[str]:
    def split(name: str) -> tuple[str, str] | None:
        start, _, last = name.rpartition(" ")
        return (f"{start} {{}}", last) if last in _SPANS else None

    def join(pattern: str, words: Sequence[str]) -> str:
        return pattern.format(" and ".join(span for span in _SPANS if span in words))

    return _fold(names, split, join)
