"""One row of a register table.

Everything else derives from rows: read plans, entities, texts, documentation,
the simulator. ``value = (raw + offset) * scale``, with the scale as the maker
prints it (0.1 V); it is applied as a division by a whole number, which gives
the nearest double (231.5, not 231.50000000000003).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
import math
from typing import Final, cast

from ..points import Point, Setting, Value
from .codecs import Codec, Integer, Raw
from .errors import (
    ValueNotAnOptionError,
    ValueNotRepresentableError,
    ValueOutOfRangeError,
)
from .image import Space

_TOLERANCE: Final = 1e-6
"""How far, in steps of the register, a value may be off from floating point alone."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Register:
    """A row: where a point lives in a unit and how it is encoded.

    Rows are equal only to themselves, which makes sets of rows cheap.
    ``options`` maps raw numbers to option names, or to ``True`` and ``False``
    for flags. ``sentinels`` are raw numbers that mean "not available".
    ``note`` says what to beware of, ``never_write`` why it must not be written.
    ``part_of`` names the row, and the field of its value, that this row shows a part
    of: such a row is written as a whole, because its words belong together.
    """

    point: Point
    space: Space
    address: int
    codec: Codec
    scale: float = 1
    offset: int = 0
    options: Mapping[int, str | bool] | None = None
    sentinels: frozenset[int] = frozenset()
    note: str = ""
    never_write: str = ""
    part_of: tuple[str, str] | None = None
    words: int = field(init=False)
    numerator: int = field(init=False)
    divisor: int = field(init=False)

    def __post_init__(self) -> None:
        """Derive what decoding needs."""
        scale = Fraction(str(self.scale))
        object.__setattr__(self, "words", self.codec.words)
        object.__setattr__(self, "numerator", scale.numerator)
        object.__setattr__(self, "divisor", scale.denominator)

    @property
    def key(self) -> str:
        """Key of the point."""
        return self.point.key

    @property
    def end(self) -> int:
        """First address after the row."""
        return self.address + self.words

    def decode(self, words: list[int]) -> Value | None:
        """Return the value that ``words`` hold, ``None`` where that is "not available".

        A number without an option is ``None`` too: new firmware may bring new ones.
        """
        raw = self.codec.decode(words)
        if not isinstance(raw, int):
            return raw
        if raw in self.sentinels:
            return None
        if self.options is not None:
            return self.options.get(raw)
        return self._scaled(raw)

    def _scaled(self, raw: int) -> float:
        """Return the number that ``raw`` stands for."""
        scaled = (raw + self.offset) * self.numerator
        return scaled if self.divisor == 1 else scaled / self.divisor

    def encode(self, value: Value) -> tuple[int, ...]:
        """Return the words that hold ``value``.

        Raises ``ValueNotAnOptionError``, ``ValueOutOfRangeError`` or
        ``ValueNotRepresentableError``, each naming what is allowed.
        """
        if self.options is not None:
            return self._encode_raw(self._option(value), value)
        if isinstance(self.codec, Integer):
            return self._encode_raw(self._number(value, self.codec), value)
        # Codecs refuse other types, and say what they take.
        return self._encode_raw(cast(Raw, value), value)

    def _option(self, value: Value) -> int:
        options = self.options or {}
        for raw, option in options.items():
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return raw
        allowed = ", ".join(str(option) for option in options.values())
        raise ValueNotAnOptionError(self.key, value, f"is not one of: {allowed}")

    def _number(self, value: Value, codec: Integer) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueNotRepresentableError(self.key, value, "is not a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueOutOfRangeError(self.key, value, "is not a finite number")
        self._check_limits(value, codec)
        exact = Fraction(value) * self.divisor / self.numerator - self.offset
        raw = round(exact)
        if abs(exact - raw) > _TOLERANCE:
            raise ValueNotRepresentableError(
                self.key, value, f"is not a multiple of {self.scale}"
            )
        if raw in self.sentinels:
            raise ValueNotRepresentableError(
                self.key, value, "would read back as not available"
            )
        return raw

    def _check_limits(self, value: float, codec: Integer) -> None:
        """Hold ``value`` against the limits of the setting and of the register's type."""
        setting = self.point.setting or Setting()
        # A negative scale turns the limits round.
        low, high = sorted(map(self._scaled, (codec.minimum, codec.maximum)))
        if setting.minimum is not None:
            low = max(low, setting.minimum)
        if setting.maximum is not None:
            high = min(high, setting.maximum)
        if not low <= value <= high:
            raise ValueOutOfRangeError(
                self.key,
                value,
                f"is not within {low} to {high} {self.point.unit or ''}".rstrip(),
            )
        if (step := setting.step) and abs(
            (steps := Fraction(value) / Fraction(str(step))) - round(steps)
        ) > _TOLERANCE:
            raise ValueNotRepresentableError(
                self.key, value, f"is not a multiple of {step}"
            )

    def _encode_raw(self, raw: Raw, value: Value) -> tuple[int, ...]:
        try:
            return self.codec.encode(raw)
        except OverflowError as err:
            raise ValueOutOfRangeError(self.key, value, str(err)) from None
        except TypeError as err:
            raise ValueNotRepresentableError(self.key, value, str(err)) from None
