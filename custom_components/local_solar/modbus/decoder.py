"""Decoding many rows at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from ..points import Value
from .codecs import Bits, Integer
from .expressions import function_of
from .image import RegisterImage, Space
from .register import Register

type _Names = dict[str, Callable[..., Value | None]]
type _Place = Callable[[Register, int], str]
"""What an expression calls a word of a row, by its address."""

type Limits = Mapping[str, tuple[float, float]]
"""Key -> least and greatest value."""

_NO_LIMITS: Final[Limits] = {}

_SPACES: Final[Mapping[Space, str]] = {Space.HOLDING: "holding", Space.INPUT: "inputs"}


class Decoder:
    """Decodes a fixed set of rows from an image, fast.

    One expression gives the values of all rows. It is made once, so a decoder is worth it
    for rows that are decoded again and again; ``decode_known`` is for others.
    """

    def __init__(self, registers: Iterable[Register]) -> None:
        """Make the expression."""
        self.registers: Final = tuple(registers)
        self._keys = tuple(row.key for row in self.registers)
        self._values = _values_of(
            "holding, inputs",
            self.registers,
            lambda row, address: f"{_SPACES[row.space]}[{address}]",
        )

    def decode(self, image: RegisterImage) -> dict[str, Value | None]:
        """Return key -> value for every row whose words the image knows."""
        try:
            values = self._values(image.words[Space.HOLDING], image.words[Space.INPUT])
        except KeyError:
            return decode_known(self.registers, image)
        return dict(zip(self._keys, values, strict=True))


class RecordDecoder:
    """Decodes records that are always of the same registers."""

    def __init__(
        self,
        registers: Iterable[Register],
        addresses: Sequence[int],
        limits: Limits = _NO_LIMITS,
    ) -> None:
        """Make the expressions for the rows that lie in a record as a whole.

        ``addresses`` are those of the words of a record, in their order, ``limits`` the
        least and greatest that numbers can truly be, by key.
        """
        places = _places(addresses)
        rows = _rows_within(registers, places)
        self._keys = tuple(row.key for row in rows)
        self._values = _values_of(
            "words", rows, lambda _, address: f"words[{places[address]}]"
        )
        self._can_be: Callable[[Sequence[Value | None]], bool] = function_of(
            "values",
            " and ".join(
                f"{limits[key][0]!r} <= values[{place}] <= {limits[key][1]!r}"
                for place, key in enumerate(self._keys)
                if key in limits
            )
            or "True",
            {},
        )

    def decode(self, words: Sequence[int]) -> tuple[dict[str, Value | None], bool]:
        """Return key -> value of all rows, and whether there is no doubt about any."""
        values = self._values(words)
        try:
            can_be = self._can_be(values)
        except TypeError:  # something is not available
            can_be = False
        return dict(zip(self._keys, values, strict=True)), can_be


class RareRecordDecoder:
    """Does the same row by row: slower, but made at once."""

    def __init__(
        self,
        registers: Iterable[Register],
        addresses: Sequence[int],
        limits: Limits = _NO_LIMITS,
    ) -> None:
        """Take the same as ``RecordDecoder``; what can be is left to who asks."""
        self._places = _places(addresses)
        self._rows = _rows_within(registers, self._places)

    def decode(self, words: Sequence[int]) -> tuple[dict[str, Value | None], bool]:
        """Return key -> value of all rows, and no certainty about any."""
        places = self._places
        return {
            row.key: row.decode(
                [words[places[address]] for address in range(row.address, row.end)]
            )
            for row in self._rows
        }, False


def _places(addresses: Sequence[int]) -> Mapping[int, int]:
    """Return address -> place in a record; of a register told twice, the last."""
    return {address: place for place, address in enumerate(addresses)}


def _rows_within(
    registers: Iterable[Register], places: Mapping[int, int]
) -> list[Register]:
    """Return the rows that lie in a record as a whole."""
    return [
        row
        for row in registers
        if all(address in places for address in range(row.address, row.end))
    ]


def _values_of(
    parameters: str, rows: Iterable[Register], place: _Place
) -> Callable[..., tuple[Value | None, ...]]:
    """Return a function that gives the values of rows, in their order."""
    names: _Names = {}
    values = "".join(f"{_expression(row, names, place)}, " for row in rows)
    made: Callable[..., tuple[Value | None, ...]] = function_of(
        parameters, f"({values})", names
    )
    return made


def decode_known(
    registers: Iterable[Register], image: RegisterImage
) -> dict[str, Value | None]:
    """Return key -> value for every row whose words the image knows, row by row."""
    return {
        row.key: row.decode(words)
        for row in registers
        if (words := image.get(row.space, row.address, row.words)) is not None
    }


def _expression(row: Register, names: _Names, place: _Place) -> str:
    """Return what gives the value of a row; ``names`` takes in what it calls."""
    words = [place(row, address) for address in range(row.address, row.end)]
    raw = None if row.sentinels else _number(row, words)
    if raw is None:
        return f"{_named(row.decode, names)}([{', '.join(words)}])"
    if row.options is not None:
        return f"{_named(row.options.get, names)}({raw})"
    if row.offset:
        raw = f"({raw} + {row.offset})"
    if row.numerator != 1:
        raw = f"{raw} * {row.numerator}"
    return raw if row.divisor == 1 else f"{raw} / {row.divisor}"


def _number(row: Register, words: list[str]) -> str | None:
    """Return what gives the raw number of a row, ``None`` if it is none."""
    if isinstance(row.codec, Bits):
        return f"({words[0]} >> {row.codec.shift} & {(1 << row.codec.width) - 1})"
    if not isinstance(row.codec, Integer):
        return None
    order = words if row.codec.low_word_first else words[::-1]
    number = " | ".join(
        f"{word} << {16 * place}" if place else word for place, word in enumerate(order)
    )
    if row.codec.signed:
        sign = 1 << (16 * row.words - 1)
        return f"((({number}) ^ {sign}) - {sign})"
    return f"({number})"


def _named(function: Callable[..., Value | None], names: _Names) -> str:
    name = f"f{len(names)}"
    names[name] = function
    return name
