"""Decoding what is wanted of a block, as its scale factors of the moment say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ..modbus.decoder import Decoder
from ..modbus.image import RegisterImage, Space
from ..modbus.register import Register
from ..points import Value
from .block import Row
from .chain import Place
from .placed import as_exponent

SCALINGS_KEPT: Final = 16
"""Sets of scale factors that are remembered; they hardly ever change."""


@dataclass(frozen=True, slots=True)
class _Scaled:
    """The rows that can be decoded with a set of scale factors, and those that cannot."""

    decoder: Decoder
    unscaled: tuple[Register, ...]


class BlockDecoder:
    """Decodes a fixed set of rows of a block."""

    def __init__(self, device: str, place: Place, rows: Iterable[Row]) -> None:
        """Decode ``rows`` of the block at ``place``, which is of ``device``."""
        self.device = device
        self.place = place
        self.rows = tuple(rows)
        names = dict.fromkeys(row.scale_factor for row in self.rows if row.scale_factor)
        block = place.block
        assert block is not None
        self._addresses = {
            name: block.row(name).at(place.address).address for name in names
        }
        self._scaled: dict[tuple[int | None, ...], _Scaled] = {}

    def decode(self, image: RegisterImage) -> dict[str, Value | None]:
        """Return key -> value for every row whose words the image knows.

        A value whose scale the gateway does not tell is ``None``.
        """
        known = image.words[Space.HOLDING]
        words = tuple(known.get(address) for address in self._addresses.values())
        if (scaled := self._scaled.get(words)) is None:
            if len(self._scaled) >= SCALINGS_KEPT:
                self._scaled.clear()
            scaled = self._scaled[words] = self._scale(words)
        values = scaled.decoder.decode(image)
        for row in scaled.unscaled:
            if image.get(row.space, row.address, row.words) is not None:
                values[row.key] = None
        return values

    def without_counters(
        self, values: Mapping[str, Value | None]
    ) -> dict[str, Value | None]:
        """Return values without those that must only be shown as often as they are read."""
        counters = {
            row.key for row in self.rows if row.register.point.quantity.is_counter
        }
        return {key: value for key, value in values.items() if key not in counters}

    def _scale(self, words: tuple[int | None, ...]) -> _Scaled:
        exponents: dict[str, int | None] = {"": 0}
        read = dict(zip(self._addresses, words, strict=True))
        exponents |= {name: as_exponent(word) for name, word in read.items()}
        scaled: list[Register] = []
        unscaled: list[Register] = []
        for row in self.rows:
            exponent = exponents[row.scale_factor]
            if exponent is not None:
                scaled.append(row.at(self.place.address, exponent))
            elif read[row.scale_factor] is not None:
                unscaled.append(row.at(self.place.address))
        return _Scaled(Decoder(scaled), tuple(unscaled))
