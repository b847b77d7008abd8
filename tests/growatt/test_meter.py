"""The meter block: true to the facts and to a recording."""

import csv
from itertools import pairwise
import json
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.profiles.meter import (
    METER,
    decode_meter_block,
)
from custom_components.local_solar.modbus.codecs import S16, S32, U16, U32

from .helpers import CAPTURE, FACTS

REGISTERS: Final = FACTS / "growatt_registers.csv"
TYPES: Final = {"u16": U16, "s16": S16, "u32": U32, "s32": S32}
BLOCK: Final = 100
"""Words that a Shine stick asks for."""


@pytest.fixture
def recorded() -> dict[str, dict[str, int]]:
    """Return the recording of a MIN 6000TL-XH, whose stick read the block."""
    if not CAPTURE.exists():
        pytest.skip("the recording is not here")
    document = json.loads(CAPTURE.read_text(encoding="utf-8"))
    return {table: document[table] for table in ("input", "fc20")}


def test_a_recorded_block_is_decoded(recorded: dict[str, dict[str, int]]) -> None:
    block = {int(place): word for place, word in recorded["fc20"].items()}
    assert decode_meter_block(block) == {
        "meter_voltage": 229.2,
        "meter_l1_current": 1.4,
        "meter_l2_current": 0.0,
        "meter_l1_power": 107.9,
        "meter_l2_power": 0.0,
        "meter_apparent_power": 227.6,
        "meter_reactive_power": -200.2,
        "meter_power_factor": 0.474,
        "meter_power": 107.9,
        "meter_apparent_power_total": 227.6,
        "meter_reactive_power_total": -200.2,
        "meter_power_factor_total": 0.474,
        "meter_frequency": 50.0,
        "meter_import_energy_total": 5433.3,
        "meter_export_energy_total": 8290.0,
    }


def test_the_recorded_block_agrees_with_itself_and_with_the_inverter(
    recorded: dict[str, dict[str, int]],
) -> None:
    meter = decode_meter_block({int(at): word for at, word in recorded["fc20"].items()})

    def inverter(address: int, divisor: float) -> float:
        words = recorded["input"]
        return (words[str(address)] << 16 | words[str(address + 1)]) / divisor

    # Read some seconds apart.
    assert meter["meter_power"] == pytest.approx(inverter(3041, 10), rel=0.1)
    assert meter["meter_export_energy_total"] == pytest.approx(
        inverter(3073, 10), rel=0.001
    )
    assert meter["meter_voltage"] == pytest.approx(
        recorded["input"]["3026"] / 10, rel=0.01
    )
    assert meter["meter_power"] == pytest.approx(
        meter["meter_apparent_power"] * meter["meter_power_factor"], rel=0.01
    )
    assert meter["meter_apparent_power"] == pytest.approx(
        abs(complex(meter["meter_power"], meter["meter_reactive_power"])), rel=0.01
    )


def test_words_that_are_missing_cost_their_own_rows_only() -> None:
    assert decode_meter_block({}) == {}
    words = {14: 0xFFFF, 15: 0xFFF6, 16: 0, 47: 500}
    assert decode_meter_block(words) == {
        "meter_l1_power": -1.0,
        "meter_frequency": 50.0,
    }


@given(st.lists(st.integers(0, 0xFFFF), min_size=BLOCK, max_size=BLOCK))
def test_any_block_is_decoded_within_the_steps_of_its_rows(words: list[int]) -> None:
    values = decode_meter_block(dict(enumerate(words)))
    assert set(values) == {row.point.key for row in METER}
    for row in METER:
        raw = row.codec.decode(words[row.address : row.end])
        assert values[row.point.key] == pytest.approx(raw * row.scale)


def test_rows_lie_apart_inside_the_block() -> None:
    assert all(row.end <= after.address for row, after in pairwise(METER))
    assert METER[-1].end <= BLOCK
    assert len({row.point.key for row in METER}) == len(METER)


@pytest.mark.skipif(not REGISTERS.exists(), reason="the collected facts are not here")
def test_the_rows_are_those_of_the_facts() -> None:
    with REGISTERS.open(encoding="utf-8") as file:
        facts = [row for row in csv.DictReader(file) if row["profile"] == "meter_fc20"]
    assert [
        (row.point.key, row.address, row.codec, row.scale, row.point.unit or "")
        for row in METER
    ] == [
        (
            fact["name"],
            int(fact["address"]),
            TYPES[fact["type"]],
            float(fact["scale"]),
            fact["unit"],
        )
        for fact in facts
    ]
