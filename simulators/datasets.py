"""Registers of a device from a file: dataset, capture or diagnostics download.

* A dataset: ``{"holding": {"30": 100}, "input": {"0": 401}, "_source": "..."}``. Keys are
  decimal addresses, words whole numbers from -32768 to 65535; keys that start with
  ``_`` are remarks. ``fc20`` holds the words of Growatt's function 0x20.
* A recorded bus: JSON lines in any of the formats of ``wire_log.py``. The last word seen
  at each address makes the dataset.
* A diagnostics download of Home Assistant: a dataset somewhere inside other JSON,
  usually at ``data.registers``.
* A register cache of the OutBack library ``mate3``: ``{"40000": 21365, ...}``, holding
  registers alone. It may stand inside a diagnostics download as well.

A word that is ``null`` or redacted is left out: it reads 0.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
import json
from pathlib import Path
from typing import Final, Self

from .errors import SimulatorError
from .exchanges import (
    READ_HOLDING,
    READ_INPUT,
    READ_METER,
    STAND_INS,
    WRITE_MULTIPLE,
    WRITE_SINGLE,
    Exchange,
)
from .text_file import read_text
from .wire_log import is_recording, parse_recording
from .words import read_address, read_word

SHIPPED: Final = Path(__file__).with_name("datasets")
"""Folder of the datasets that come with the simulators."""

_REDACTED: Final = "**REDACTED**"
"""What Home Assistant puts in the place of a private value in diagnostics."""

_MAP_START: Final = "40000"
"""Where the register map of an OutBack gateway begins."""


class Table(StrEnum):
    """The tables of 16-bit words that a device has."""

    HOLDING = "holding"
    INPUT = "input"
    METER = "fc20"
    """What Growatt's own function 0x20 reads."""


_TABLES: Final[Mapping[int, Table]] = {
    READ_HOLDING: Table.HOLDING,
    READ_INPUT: Table.INPUT,
    READ_METER: Table.METER,
    WRITE_SINGLE: Table.HOLDING,
    WRITE_MULTIPLE: Table.HOLDING,
}


def table_of(exchange: Exchange) -> Table | None:
    """Return which registers an exchange is about, ``None`` if its function is not known."""
    return _TABLES.get(exchange.function)


@dataclass(slots=True)
class Dataset:
    """The words of one device, by table and address.

    ``name`` says where they come from and stands at the front of messages.
    """

    name: str
    words: dict[Table, dict[int, int]] = field(
        default_factory=lambda: {table: {} for table in Table}
    )

    @classmethod
    def parse(cls, document: Mapping[str, object], name: str = "dataset") -> Self:
        """Read a dataset that is already decoded from JSON.

        Raises ``SimulatorError`` naming the table, the key and the value at fault.
        """
        dataset = cls(name)
        for key, entries in document.items():
            if key.startswith("_"):
                continue
            if key not in set(Table):
                expected = ", ".join(Table)
                raise SimulatorError(
                    f"{name}: unknown key {key!r}, not one of {expected}"
                )
            if not isinstance(entries, Mapping):
                raise SimulatorError(f"{name}: {key} is not an object of address: word")
            words = dataset.words[Table(key)]
            for address, word in entries.items():
                if str(address).startswith("_") or word in (None, _REDACTED):
                    continue
                words[read_address(address, f"{name}: {key}")] = read_word(
                    word, f"{name}: {key} {address}"
                )
        if not any(dataset.words.values()):
            raise SimulatorError(f"{name}: holds no registers")
        return dataset

    @classmethod
    def load(cls, source: str | Path, unit: int | None = None) -> Self:
        """Read a file, or a shipped dataset by its bare name (``min_6000tl_xh``).

        ``unit`` picks the device out of a capture of several.
        Raises ``SimulatorError`` if it cannot be read or holds something else.
        """
        text = read_text(_path(source), source)
        name = str(source)
        if is_recording(text):
            return cls.of_exchanges(parse_recording(text, name).exchanges, name, unit)
        try:
            document = json.loads(text)
        except json.JSONDecodeError as err:
            raise SimulatorError(
                f"{name}: line {err.lineno}: is not JSON: {err.msg}"
            ) from None
        except RecursionError:
            raise SimulatorError(f"{name}: is not JSON: nested too deeply") from None
        return cls.parse(_registers_in(document, name), name)

    @classmethod
    def of_exchanges(
        cls, exchanges: Iterable[Exchange], name: str, unit: int | None = None
    ) -> Self:
        """Take the last word seen at each address of a unit.

        What units 0 and 255 answered counts only if no other was heard: they are nobody's.
        Raises ``SimulatorError`` if there are no words, or of several units none is chosen.
        """
        by_unit: dict[int, Self] = {}
        for exchange in exchanges:
            if (table := table_of(exchange)) is None or not exchange.words:
                continue
            dataset = by_unit.setdefault(exchange.device, cls(name))
            dataset.words[table].update(enumerate(exchange.words, exchange.address))
        if not by_unit:
            raise SimulatorError(f"{name}: holds no registers")
        owned = {
            number: dataset
            for number, dataset in by_unit.items()
            if number not in STAND_INS
        }
        by_unit = owned or by_unit
        if len(by_unit) == 1:
            return by_unit.popitem()[1]
        if unit not in by_unit:
            units = ", ".join(str(key) for key in sorted(by_unit))
            wanted = "say which unit" if unit is None else f"not unit {unit}"
            raise SimulatorError(f"{name}: is of the units {units}: {wanted}")
        return by_unit[unit]

    def copy(self) -> Self:
        """Return one that can be changed without changing this one."""
        return type(self)(
            self.name, {table: dict(words) for table, words in self.words.items()}
        )

    def get(self, table: Table, address: int) -> int:
        """Return a word, 0 if it is not known."""
        return self.words[table].get(address, 0)


type Source = Dataset | Mapping[str, object] | str | Path
"""A dataset, or what one can be read from."""


def as_dataset(source: Source, unit: int | None = None) -> Dataset:
    """Return a dataset of its own from a dataset, a decoded document, a file or a name."""
    if isinstance(source, Dataset):
        return source.copy()
    if isinstance(source, Mapping):
        return Dataset.parse(_spread(source))
    return Dataset.load(source, unit)


def _path(source: str | Path) -> Path:
    """Return the file that ``source`` names; a bare name is that of a shipped dataset."""
    shipped = SHIPPED / f"{source}.json"
    if isinstance(source, str) and Path(source).name == source and shipped.is_file():
        return shipped
    return Path(source)


def _registers_in(document: object, name: str) -> Mapping[str, object]:
    """Return the dataset inside a document: itself, or the only one found in it."""
    if not isinstance(document, dict):
        raise SimulatorError(f"{name}: is not a dataset but a JSON {_kind(document)}")
    if any(table in document for table in Table):
        return document
    if _is_cache(document):
        return _spread(document)
    found = list(_datasets_below(document, ""))
    if len(found) == 1:
        return found[0][1]
    if found:
        places = ", ".join(place for place, _ in found)
        raise SimulatorError(f"{name}: holds registers of several devices: {places}")
    if "data" in document:
        raise SimulatorError(f"{name}: this diagnostics download holds no registers")
    return document


def _datasets_below(
    node: object, place: str
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Go through all objects that look like a dataset."""
    if isinstance(node, list):
        for index, child in enumerate(node):
            yield from _datasets_below(child, f"{place}.{index}".lstrip("."))
    elif isinstance(node, dict):
        if any(isinstance(node.get(table), dict) for table in Table) or _is_cache(node):
            yield place, _spread(node)
        else:
            for key, child in node.items():
                yield from _datasets_below(child, f"{place}.{key}".lstrip("."))


def _is_cache(node: Mapping[str, object]) -> bool:
    """Tell whether an object has nothing but words by address, from a SunSpec map's start."""
    return _MAP_START in node and all(
        str(key).isdecimal() for key in node if not str(key).startswith("_")
    )


def _spread(node: Mapping[str, object]) -> Mapping[str, object]:
    """Return a dataset for one or for a register cache, which has holding registers alone."""
    return {Table.HOLDING: node} if _is_cache(node) else node


def _kind(document: object) -> str:
    kinds: dict[type, str] = {list: "array", str: "text", bool: "truth value"}
    return kinds.get(type(document), "number" if document is not None else "null")
