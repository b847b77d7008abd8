"""Meters that loggers report: what of a block or a list is which value."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.datalogger.meters import (
    LISTED,
    METER,
    MOST_VOLTS,
    POINTS,
    MeterRow,
    meter_values,
)
from custom_components.local_solar.growatt.datalogger.packets import Type
from custom_components.local_solar.growatt.datalogger.records import (
    METER_WORDS,
    MeterLog,
    MeterRecord,
    RecordError,
    decode,
)
from custom_components.local_solar.points import Value

from .recordings import REPORTS, Recording, each_of, recorded

BLOCK: Final = MeterRecord(
    logger="XGD0SIM001",
    inverter="SNL0CE1234",
    unit=1,
    at=None,
    words=(0, 132, *[0] * (METER_WORDS - 2)),
)
LIST: Final = MeterLog(
    logger="XGD0SIM001", unit=0x22, at=None, numbers=(1.0, *[0.0] * (LISTED - 1))
)

NAMES: Final = {
    "grid_l1_voltage": "v1_V",
    "grid_l2_voltage": "v2_V",
    "grid_l3_voltage": "v3_V",
    "grid_l1_current": "i1_A",
    "grid_l1_active_power": "p1_W",
    "grid_power": "p_total_W",
    "power_factor": "pf_total",
    "grid_frequency": "f_Hz",
    "grid_import_energy_total": "e_pos_kWh",
    "grid_export_energy_total": "e_neg_kWh",
}
"""Key -> name in the recordings."""


def values_of(record: MeterRecord | MeterLog) -> Mapping[str, Value | None]:
    """Return the values of a report that can be true."""
    values = meter_values(record)
    assert values is not None
    assert set(values) == {point.key for point in POINTS}
    return values


def reported(it: Recording) -> MeterRecord | MeterLog:
    """Return what a recording says."""
    record = decode(it.packet)
    assert isinstance(record, MeterRecord | MeterLog)
    return record


@each_of([each for each in REPORTS if each.kind == Type.METER])
def test_a_recorded_block_says_what_was_published(it: Recording) -> None:
    values = values_of(reported(it))
    for key, name in NAMES.items():
        assert values[key] == it.decoded["values"][name], key


@each_of(
    [
        each
        for each in REPORTS
        if each.kind == Type.METER_LOG and each.id != "v6-stefa-21"
    ]
)
def test_the_values_of_a_recorded_list_fit_each_other(it: Recording) -> None:
    record = reported(it)
    assert isinstance(record, MeterLog)
    values = {
        key: value
        for key, value in values_of(record).items()
        if isinstance(value, int | float)
    }
    counted = values["grid_import_energy_total"] + values["grid_export_energy_total"]
    assert counted == pytest.approx(record.numbers[0], rel=1e-3)
    phases = [values[f"grid_l{phase}_active_power"] for phase in (1, 2, 3)]
    # They are not of the same moment.
    assert sum(phases) == pytest.approx(values["grid_power"], abs=45)
    for phase in (1, 2, 3):
        voltage, current = (
            values[f"grid_l{phase}_{what}"] for what in ("voltage", "current")
        )
        assert 225 < voltage < 245
        apparent = record.numbers[7 + phase]
        assert voltage * current == pytest.approx(apparent, rel=0.5)
    assert 49.5 < values["grid_frequency"] < 50.5
    assert -1 <= values["power_factor"] <= 1


def test_the_list_that_another_text_was_written_over_is_refused() -> None:
    with pytest.raises(RecordError):
        decode(recorded("v6-stefa-21").packet)


def test_power_is_import_when_it_is_positive() -> None:
    """The meter of a house that exported counts it as negative power."""
    values = values_of(reported(recorded("v6-stefa-01")))
    assert values["grid_power"] == -118.9
    assert values["grid_import_energy_total"] == 391.2
    assert values["grid_export_energy_total"] == 17116.5


@pytest.mark.parametrize("row", METER, ids=lambda row: row.point.key)
def test_each_value_is_told_where_its_row_says(row: MeterRow) -> None:
    words = list(BLOCK.words)
    words[row.word : row.word + 2] = row.codec.encode(1234)
    assert values_of(replace(BLOCK, words=tuple(words)))[row.point.key] == (
        1234 / row.divisor
    )
    numbers = list(LIST.numbers)
    numbers[row.place] = 123.5
    assert values_of(replace(LIST, numbers=tuple(numbers)))[row.point.key] == 123.5


def test_no_two_values_are_told_at_the_same_place() -> None:
    assert len({row.word for row in METER}) == len(METER)
    assert len({row.place for row in METER}) == len(METER)
    assert max(row.place for row in METER) < LISTED
    assert max(row.word + row.codec.words for row in METER) <= METER_WORDS


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_a_voltage_that_cannot_be_makes_the_report_garbage(phase: int) -> None:
    words, numbers = list(BLOCK.words), list(LIST.numbers)
    for volts, is_garbage in ((MOST_VOLTS, False), (MOST_VOLTS + 0.1, True)):
        words[2 * phase + 1] = round(10 * volts)
        numbers[13 + phase] = volts
        for record in (
            replace(BLOCK, words=tuple(words)),
            replace(LIST, numbers=tuple(numbers)),
        ):
            assert (meter_values(record) is None) is is_garbage


@pytest.mark.parametrize("count", [1, 24, 25, LISTED - 1])
def test_a_list_of_another_meter_is_not_taken_for_one_that_is_known(count: int) -> None:
    assert meter_values(replace(LIST, numbers=(230.0,) * count)) is None


def test_a_meter_that_was_not_heard_has_no_values() -> None:
    """Its counters would fall to 0, and rise again."""
    assert meter_values(replace(BLOCK, words=(0,) * METER_WORDS)) is None
    assert meter_values(replace(LIST, numbers=(0.0,) * LISTED)) is None


@given(
    st.lists(st.integers(0, 0xFFFF), min_size=METER_WORDS, max_size=METER_WORDS),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
)
def test_any_report_is_understood_or_refused(
    words: list[int], numbers: list[float]
) -> None:
    for record in (
        replace(BLOCK, words=tuple(words)),
        replace(LIST, numbers=tuple(numbers)),
    ):
        values = meter_values(record)
        assert values is None or len(values) == len(METER)
