"""Which scale a battery's voltage has: the same register means 0.01 V or 0.1 V.

The documents say 0.01 V, which is right for packs of up to 655 V full scale
(ARK). High-voltage packs (APX) answer in 0.1 V. The code of the battery's
monitor tells which it is; voltage times current against the power tells when
the code is unknown, or wrong.
"""

from collections.abc import Mapping
import logging
from typing import Final

_LOGGER = logging.getLogger(__name__)

FINE: Final = 0.01
COARSE: Final = 0.1

VOLTAGE_KEYS: Final = frozenset({"battery_voltage", "bms_voltage"})
"""Rows that the question is about (input 3169 and 3216)."""

_SCALES: Final[Mapping[str, float]] = {"ZEBA": FINE, "ZECA": COARSE}
"""Scale by monitor code (holding 3096): ZEBA for ARK, ZECA for APX."""

MIN_POWER: Final = 200.0
"""Watts below which current is too coarse (0.1 A) to judge by."""

_AGREES: Final = 1.6
"""Voltage times current may be off by this factor: losses and the age of the values.
Less than the square root of 10, so that only one scale can agree."""

CONFIRMATIONS: Final = 3
"""Polls in a row that must contradict the scale before it is changed."""


class VoltageScale:
    """The scale in use, and the check of it."""

    def __init__(self, code: str | None) -> None:
        """Choose by the monitor's code; the documented scale where it is unknown."""
        self.scale = _SCALES.get((code or "")[:4], FINE)
        self._doubts = 0

    def check(self, raw_voltage: int, current: float, power: float) -> bool:
        """Compare U x I with the power; return whether the scale was changed.

        ``current`` in A and ``power`` in W may have either sign.
        """
        power, current = abs(power), abs(current)
        if power < MIN_POWER or not raw_voltage or not current:
            return False
        other = COARSE if self.scale == FINE else FINE
        if _agrees(raw_voltage * self.scale * current, power) or not _agrees(
            raw_voltage * other * current, power
        ):
            self._doubts = 0
            return False
        self._doubts += 1
        if self._doubts < CONFIRMATIONS:
            return False
        _LOGGER.info(
            "Battery voltage: %s V steps contradict %.0f W at %.1f A, using %s V steps",
            self.scale,
            power,
            current,
            other,
        )
        self.scale, self._doubts = other, 0
        return True


def _agrees(product: float, power: float) -> bool:
    return power / _AGREES < product < power * _AGREES


def battery_model(code: str | None) -> str:
    """Return the family of a battery by its monitor's code, or just what it is."""
    return _MODELS.get((code or "")[:4], "battery")


_MODELS: Final[Mapping[str, str]] = {
    "ZEBA": "ARK battery",
    "ZECA": "APX battery",
}
