"""What an inverter is, from what its logger reports: the same as over Modbus."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

from modbus_connection import IllegalDataAddressError, IllegalFunctionError
import pytest

from custom_components.local_solar.growatt.datalogger.records import (
    Block,
    RegisterRecord,
    decode,
)
from custom_components.local_solar.growatt.datalogger.unit import RecordedUnit, words_in
from custom_components.local_solar.growatt.identify import Identification, identify
from custom_components.local_solar.growatt.known_inverter import KnownInverter
from custom_components.local_solar.growatt.models import (
    DEVICE_TYPE_CODES,
    OFF_GRID_CODES,
    V3_CODES,
    Certainty,
    Family,
)
from custom_components.local_solar.modbus.image import Space
from simulators.datalogger.inverters import SimulatedInverter
from simulators.datasets import SHIPPED, Table
from tests.modbus.helpers import ScriptedUnit

from .recordings import ANNOUNCED, LIVE, Recording, each_of

DATASETS: Final = sorted(SHIPPED.glob("*.json"))

NOT_REPORTED: Final[Mapping[str, frozenset[str]]] = {
    # The meter is told at holding 180, which these are not announced with: better
    # one too many than a grid that is not shown.
    "min_5000tl_x": frozenset({"meter"}),
    # The battery's name plate is at holding 1125, the VPP protocol's version at 30099,
    # and the serial number of the logger is that at 23, not the one at 209.
    "spa_3000": frozenset({"battery_serial", "serial_place"}),
    "sph_5000": frozenset({"battery_serial", "serial_place", "vpp"}),
    "sph_10000tl3": frozenset({"battery_serial", "serial_place"}),
    "spf_5000es": frozenset({"serial_place"}),
    "mod_10000tl3_xh": frozenset({"vpp"}),
    # Its battery is at input 8093: whether loggers report that is not known.
    "wit_15000": frozenset({"battery", "vpp"}),
}
"""Dataset -> what may differ, as records do not tell it."""

SAME: Final = frozenset(field.name for field in fields(Identification)) - {"evidence"}


def scripted(inverter: SimulatedInverter) -> ScriptedUnit:
    """Return the same inverter on Modbus."""
    words = inverter.unit.dataset.words
    unit = ScriptedUnit()
    unit.holding.update(words[Table.HOLDING])
    unit.input.update(words[Table.INPUT])
    return unit


def reported(inverter: SimulatedInverter) -> RecordedUnit:
    """Return what its logger reports of it when it connects."""
    return RecordedUnit(
        [Block(*group) for group in inverter.announcement()],
        [Block(*group) for group in inverter.values()],
    )


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda path: path.stem)
async def test_a_record_tells_what_modbus_tells(dataset: Path) -> None:
    inverter = SimulatedInverter(dataset=dataset)
    wanted = await identify(scripted(inverter))
    found = await identify(reported(inverter), serial_number=inverter.serial)
    different = {name for name in SAME if getattr(found, name) != getattr(wanted, name)}
    assert different == NOT_REPORTED.get(dataset.stem, frozenset())
    assert not different & {"family", "profile", "phases", "strings", "model"}


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda path: path.stem)
async def test_its_records_can_be_true(dataset: Path) -> None:
    inverter = SimulatedInverter(dataset=dataset)
    found = await identify(reported(inverter), serial_number=inverter.serial)
    poll = KnownInverter(found).take_in(
        Space.INPUT,
        [Block(*group) for group in inverter.values()],
        0.0,
    )
    assert poll.snapshot
    assert not poll.failed


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda path: path.stem)
async def test_the_serial_number_of_the_record_counts(dataset: Path) -> None:
    """Registers may keep another one: the short place of new models is stale."""
    inverter = SimulatedInverter(dataset=dataset)
    found = await identify(reported(inverter), serial_number="AAA0CE0000")
    assert found.serial_number == "AAA0CE0000"
    assert found.serial_place is None
    own = await identify(reported(inverter), serial_number=inverter.serial)
    assert found.family is own.family


# -- what must not be confused ----------------------------------------------------------------

OFF_GRID: Final = [
    *OFF_GRID_CODES,
    *(code for code, model in DEVICE_TYPE_CODES.items() if model.family is Family.SPF),
]
STRING: Final = [
    *V3_CODES,
    *(
        code
        for code, model in DEVICE_TYPE_CODES.items()
        if model.family is Family.V3_PV
    ),
]


async def family_of(name: str, code: int, serial: str = "QQQ0CE1234") -> Identification:
    """Identify a dataset's inverter with another type code, and a serial number unknown."""
    inverter = SimulatedInverter(dataset=SHIPPED / f"{name}.json", serial=serial)
    inverter.unit.dataset.words[Table.HOLDING][43] = code
    # Off-grid models have it here as well.
    inverter.unit.dataset.words[Table.INPUT][44] = 0
    return await identify(reported(inverter), serial_number=serial)


@pytest.mark.parametrize("name", ["spf_5000es", "mtls_4200", "tl3s_12000"])
async def test_off_grid_and_string_inverters_are_told_apart_by_their_code(
    name: str,
) -> None:
    """They report the same groups."""
    for code in OFF_GRID[:: max(1, len(OFF_GRID) // 40)]:
        assert (await family_of(name, code)).family is Family.SPF, code
    for code in STRING[:: max(1, len(STRING) // 40)]:
        assert (await family_of(name, code)).family is Family.V3_PV, code


@pytest.mark.parametrize(
    "name", ["min_6000tl_xh", "min_7600tl_xh_us", "mod_10000tl3_xh"]
)
async def test_hybrids_of_one_and_three_phases_are_told_apart_by_their_code(
    name: str,
) -> None:
    """They report the same groups."""
    one_phase = {Family.MIN_TL_XH, Family.MIN_TL_XH_US}
    found = await family_of(name, 5100)
    assert found.family in one_phase
    found = await family_of(name, 5400)
    assert (found.family, found.phases) == (Family.MOD_TL3_XH, 3)


@pytest.mark.parametrize("name", ["spf_5000es", "mtls_4200", "tl3s_12000"])
async def test_who_tells_no_code_is_not_changed_and_not_asked_for_what_resets(
    name: str,
) -> None:
    found = await family_of(name, 0)
    inverter = KnownInverter(found)
    assert found.certainty < Certainty.CODED
    assert not inverter.may_touch(30000, 1)
    assert not found.vpp


# -- real loggers -----------------------------------------------------------------------------

FAMILIES: Final = {
    "v2-sci-02": Family.V3_PV,
    "v2-sci-26": Family.V3_PV,
    "v6-tlx-03-dirkvdb-1": Family.MOD_TL3_XH,
    "v6-tlx-03-dirkvdb-2": Family.MOD_TL3_XH,
    "v6-tlx-03-dirkvdb-3": Family.MOD_TL3_XH,
    "grott-hist-02": Family.MIN_TL_XH,
    "grott-hist-07": Family.V3_PV,
    "v6-sph-03": Family.SPH_TL3,
}


@each_of(ANNOUNCED)
async def test_recorded_inverters_are_what_they_are(it: Recording) -> None:
    announced = decode(it.packet)
    assert isinstance(announced, RegisterRecord)
    inputs = [
        live.blocks
        for each in LIVE
        if isinstance(live := decode(each.packet), RegisterRecord)
        and live.inverter == announced.inverter
    ]
    found = await identify(
        RecordedUnit(announced.blocks, inputs[0] if inputs else ()),
        serial_number=announced.inverter,
    )
    assert found.family is FAMILIES[it.id]
    assert found.serial_number == announced.inverter
    assert (found.phases == 3) is (it.id not in ("grott-hist-02", "grott-hist-07"))


# -- the unit -------------------------------------------------------------------------------

BLOCKS: Final = (Block(45, (3, 4)), Block(43, (1, 2)), Block(100, (7,)))


@pytest.mark.parametrize(
    ("address", "count", "words"),
    [
        (43, 1, [1]),
        (43, 4, [1, 2, 3, 4]),
        (44, 2, [2, 3]),
        (46, 1, [4]),
        (100, 1, [7]),
    ],
)
def test_words_are_found_across_blocks(
    address: int, count: int, words: list[int]
) -> None:
    assert words_in(BLOCKS, address, count) == words


@pytest.mark.parametrize(
    ("address", "count"),
    [(42, 1), (42, 2), (43, 5), (47, 1), (46, 55), (99, 2), (100, 2), (101, 1)],
)
def test_words_that_were_not_reported_are_refused(address: int, count: int) -> None:
    with pytest.raises(IllegalDataAddressError):
        words_in(BLOCKS, address, count)


async def test_the_spaces_are_apart_and_nothing_can_be_written() -> None:
    unit = RecordedUnit([Block(0, (1,))], [Block(0, (2,))])
    assert await unit.read_holding_registers(0, 1) == [1]
    assert await unit.read_input_registers(0, 1) == [2]
    assert unit.connected
    with pytest.raises(IllegalFunctionError):
        await unit.write_register(0, 1)
    with pytest.raises(IllegalFunctionError):
        await unit.write_registers(0, [1])
