"""Growatt units to test with: made up, and recorded."""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Final

import pytest

from custom_components.local_solar.modbus.codecs import Text
from tests.modbus.helpers import FakeClock, ScriptedUnit

SHARED: Final = Path(__file__).parents[3] / "shared"
FACTS: Final = SHARED / "facts"
CAPTURE: Final = (
    SHARED / "captures" / "growatt" / "derived_min_6000tl_xh_live_2025-09-21.json"
)

SERIAL: Final = "SNL0CE1234"
LONG_SERIAL: Final = "SNL0CE12345678AB"
BATTERY_SERIAL: Final = "0ARK123456789012"


def put_text(unit: ScriptedUnit, address: int, count: int, text: str) -> None:
    """Put a text into the holding registers."""
    unit.holding.update(enumerate(Text(count).encode(text), address))


def make_unit(
    code: int = 5100,
    *,
    serial: str = SERIAL,
    firmware: str = "AL1.0",
    long_serial: str | None = None,
    serial_3000: str | None = LONG_SERIAL,
    battery: bool = False,
    clock: FakeClock | None = None,
) -> ScriptedUnit:
    """Return an inverter with a name plate; all else is 0."""
    unit = ScriptedUnit(clock)
    unit.holding.update({6: 0, 7: 60000, 14: 29, 43: code, 44: 0x0201})
    put_text(unit, 9, 3, firmware)
    put_text(unit, 12, 2, "ZAba")
    put_text(unit, 23, 5, serial)
    if long_serial is not None:
        put_text(unit, 209, 15, long_serial)
    if serial_3000 is not None:
        put_text(unit, 3001, 15, serial_3000)
    if battery:
        put_text(unit, 3087, 8, BATTERY_SERIAL)
        put_text(unit, 3096, 2, "ZEBA")
        unit.holding[3103] = 2
        unit.input[3118] = 1
    return unit


def recorded(clock: FakeClock | None = None) -> ScriptedUnit:
    """Return a unit that answers as a recorded MIN 6000TL-XH did; skip without it."""
    if not CAPTURE.exists():
        pytest.skip(f"no recording: {CAPTURE} is missing")
    registers: Mapping[str, Mapping[int | str, int]] = json.loads(
        CAPTURE.read_text("utf-8")
    )
    unit = ScriptedUnit(clock)
    unit.load_raw({space: registers[space] for space in ("holding", "input")})
    return unit
