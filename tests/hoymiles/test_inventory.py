"""What is known to be behind a DTU, and how that changes."""

from dataclasses import replace
import json
from typing import Final

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.local_solar.hoymiles.inventory import (
    GONE_AFTER,
    MAX_INPUTS,
    Inventory,
    Inverter,
    Stocktaking,
)
from custom_components.local_solar.hoymiles.records import (
    AppInfo,
    DtuInfo,
    InverterInfo,
    MeterInfo,
    Panel,
    RealData,
    SinglePhase,
    ThreePhase,
)

DTU: Final = "414393100001"
INVERTER: Final = 0x141293100001
STICK_INVERTER: Final = 0x112493100011
METER: Final = 0x37FF93100005
NOTHING: Final = RealData("", 0, 1, 0, (), (), (), 0, 0)
KNOWN: Final = Inventory(
    serial=DTU,
    software=0x1101,
    hardware=0x1000,
    inverters=(Inverter(serial=INVERTER, part_number=0x10214201, inputs=(1, 2)),),
)
INFO: Final = AppInfo(
    dtu_serial="",
    time=0,
    page_count=0,
    page_index=0,
    dtu=DtuInfo(
        device_kind=0,
        software_version=0,
        hardware_version=0,
        signal_strength=0,
        error_code=0,
        feature_flags=0,
        wifi_version="",
        seed=b"",
    ),
    inverters=(),
    meters=(),
    features={},
)
"""What a frame without a payload says, which is a legal one."""


def listed(*serials: int, meters: tuple[int, ...] = ()) -> AppInfo:
    """Return the list of a DTU."""
    return replace(
        INFO,
        inverters=tuple(InverterInfo(serial, 10008, 0, 0, 0, 0) for serial in serials),
        meters=tuple(MeterInfo(serial, 3, 1, 0) for serial in meters),
    )


def sample(serial: int) -> SinglePhase:
    """Return the values of an inverter."""
    return SinglePhase(**{**dict.fromkeys(SinglePhase._fields, 0), "serial": serial})


def panel(serial: int, port: int) -> Panel:
    """Return an input."""
    return Panel(serial, port, 0, 0, 0, 0, 0, 0)


def serials(inventory: Inventory) -> list[int]:
    """Return the serial numbers of the inverters."""
    return [inverter.serial for inverter in inventory.inverters]


def test_dtu_that_does_not_say_who_it_is_stays_who_it_was() -> None:
    assert Stocktaking(KNOWN).take(INFO, NOTHING) == KNOWN


def test_version_that_is_left_out_takes_no_setting_away() -> None:
    info = replace(INFO, dtu_serial=DTU)
    known = Stocktaking(KNOWN).take(info, NOTHING)
    assert known.software == KNOWN.software
    assert known.takes_temporary_limit


def test_what_the_list_leaves_out_of_an_inverter_stays() -> None:
    known = Stocktaking(KNOWN).take(listed(INVERTER), NOTHING)
    (inverter,) = known.inverters
    assert inverter.part_number == 0x10214201
    assert inverter.software == 10008


def test_inverter_is_found_by_the_list_or_by_its_values() -> None:
    stock = Stocktaking(KNOWN)
    data = replace(NOTHING, inverters=(sample(STICK_INVERTER),))
    assert serials(stock.take(None, data)) == [STICK_INVERTER, INVERTER]
    known = stock.take(listed(INVERTER, STICK_INVERTER, STICK_INVERTER + 1), NOTHING)
    assert serials(known) == [STICK_INVERTER, STICK_INVERTER + 1, INVERTER]


def test_inverter_is_forgotten_when_several_lists_leave_it_out() -> None:
    stock = Stocktaking(KNOWN)
    stock.take(listed(INVERTER, STICK_INVERTER, meters=(METER,)), NOTHING)
    for _ in range(GONE_AFTER - 1):
        known = stock.take(listed(INVERTER), NOTHING)
        assert serials(known) == [STICK_INVERTER, INVERTER]
        assert known.meters == (METER,)
    known = stock.take(listed(INVERTER), NOTHING)
    assert serials(known) == [INVERTER]
    assert known.meters == ()
    # It may come back.
    assert serials(stock.take(listed(INVERTER, STICK_INVERTER), NOTHING)) == [
        STICK_INVERTER,
        INVERTER,
    ]


def test_lists_that_leave_an_inverter_out_must_follow_each_other() -> None:
    stock = Stocktaking(KNOWN)
    for _ in range(5):
        for _ in range(GONE_AFTER - 1):
            stock.take(listed(STICK_INVERTER), NOTHING)
        stock.take(listed(INVERTER, STICK_INVERTER), NOTHING)
    assert serials(stock.known) == [STICK_INVERTER, INVERTER]


def test_inverter_that_has_values_is_there_whatever_the_list_says() -> None:
    stock = Stocktaking(KNOWN)
    data = replace(NOTHING, inverters=(sample(INVERTER),))
    for _ in range(2 * GONE_AFTER):
        stock.take(listed(STICK_INVERTER), data)
    assert serials(stock.known) == [STICK_INVERTER, INVERTER]


def test_empty_list_forgets_nobody() -> None:
    stock = Stocktaking(KNOWN)
    for _ in range(2 * GONE_AFTER):
        assert serials(stock.take(INFO, NOTHING)) == [INVERTER]


def test_polls_without_a_list_forget_nobody() -> None:
    stock = Stocktaking(KNOWN)
    for _ in range(2 * GONE_AFTER):
        assert serials(stock.take(None, NOTHING)) == [INVERTER]


@pytest.mark.parametrize("port", [-1, 0, MAX_INPUTS + 1, 1 << 30])
def test_input_that_cannot_be_is_none(port: int) -> None:
    data = replace(
        NOTHING, inverters=(sample(INVERTER),), panels=(panel(INVERTER, port),)
    )
    (inverter,) = Stocktaking(KNOWN).take(None, data).inverters
    assert inverter.inputs == (1, 2)


def test_inputs_of_an_unknown_model_are_those_that_have_values() -> None:
    unknown = 0x999993100001
    data = replace(
        NOTHING,
        inverters=(sample(unknown),),
        panels=(panel(unknown, 3), panel(unknown, 1), panel(unknown, 3)),
    )
    stock = Stocktaking(Inventory(serial=DTU))
    (inverter,) = stock.take(None, data).inverters
    assert inverter.inputs == (1, 3)
    assert inverter.model.name == "Microinverter (9999)"
    (inverter,) = stock.take(None, NOTHING).inverters
    assert inverter.inputs == (1, 3)


def test_three_phases_are_seen_in_the_values_and_not_forgotten() -> None:
    unknown = 0x999993100001
    stock = Stocktaking(Inventory(serial=DTU))
    three = ThreePhase(**{**dict.fromkeys(ThreePhase._fields, 0), "serial": unknown})
    stock.take(None, replace(NOTHING, inverters=(three,)))
    stock.take(listed(unknown), replace(NOTHING, inverters=(sample(unknown),)))
    (inverter,) = stock.known.inverters
    assert inverter.three_phase


@pytest.mark.parametrize(
    ("serial", "inverter", "software", "takes"),
    [
        ("414393100001", INVERTER, 0x1101, True),
        ("414393100001", INVERTER, 0x1100, False),
        ("414393100001", INVERTER, 0, False),
        ("413093100010", STICK_INVERTER, 0x1101, False),
        ("413093100010", STICK_INVERTER, 0xFFFF, False),
        ("999993100010", INVERTER, 0x1101, True),
    ],
)
def test_temporary_limit_is_for_integrated_dtus_with_firmware_that_knows_it(
    serial: str, inverter: int, software: int, takes: bool
) -> None:
    inventory = Inventory(
        serial=serial, software=software, inverters=(Inverter(serial=inverter),)
    )
    assert inventory.takes_temporary_limit is takes


_NUMBER: Final = st.integers(0, (1 << 63) - 1)
INVENTORIES: Final = st.builds(
    Inventory,
    serial=st.text(max_size=20),
    software=_NUMBER,
    hardware=_NUMBER,
    inverters=st.lists(
        st.builds(
            Inverter,
            serial=_NUMBER,
            part_number=st.integers(-(1 << 31), (1 << 31) - 1),
            software=_NUMBER,
            hardware=_NUMBER,
            grid_profile=_NUMBER,
            grid_profile_version=_NUMBER,
            three_phase=st.booleans(),
            inputs=st.lists(st.integers(1, MAX_INPUTS), max_size=8).map(tuple),
        ),
        max_size=5,
    ).map(tuple),
    meters=st.lists(_NUMBER, max_size=3).map(tuple),
)


@given(inventory=INVENTORIES)
@settings(max_examples=40)
def test_inventory_survives_being_stored(inventory: Inventory) -> None:
    stored = inventory.to_json()
    read = json.loads(json.dumps(stored))
    assert Inventory.from_json(read) == inventory
    # The coordinator compares what it would store with what is stored.
    assert stored == read
