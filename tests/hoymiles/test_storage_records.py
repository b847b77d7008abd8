"""Records of storage gateways: what they say, and what follows from who feeds whom."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.hoymiles import messages, storage_records as records
from custom_components.local_solar.hoymiles.errors import MessageError
from custom_components.local_solar.hoymiles.messages import Fields
from custom_components.local_solar.hoymiles.storage_records import (
    Battery,
    Consumption,
    Flow,
    GatewayDevice,
    GatewayInfo,
    GridPhase,
    HybridInfo,
    InverterPhase,
    LoadPhase,
    Production,
    StorageData,
    StoragePanel,
    StorageRegistry,
    storage_data,
)

from .test_frame import named, needs_captures

GATEWAY: Final = 0x430193100003
INVERTER: Final = 0x200393100004

AFTERNOON: Final[Mapping[str, Any]] = {
    "serial": INVERTER,
    "time": 1_740_667_398,
    "utc_offset": 3600,
    "page_count": 1,
    "production": {"to_load": 45, "to_battery": 35},
    "consumption": {"from_pv": 45, "from_battery": 2, "from_grid": 32},
    "panels": [
        {"input": 1, "voltage": 5288, "current": 126, "power": 439, "energy": 79},
        {"input": 2, "voltage": 383, "current": -6},
    ],
    "battery": {
        "type": 1,
        "soc": 45,
        "soh": 99,
        "voltage": 2386,
        "max_charge_current": 250,
        "max_discharge_current": 250,
        "charge_cutoff_voltage": 2592,
        "discharge_cutoff_voltage": 2016,
        "cell_temperature_max": 240,
        "cell_temperature_min": 200,
        "module_temperature_max": 240,
        "module_temperature_min": 200,
        "energy_charged": 38,
        "energy_discharged": 2,
        "cell_voltage_max": 3309,
        "cell_voltage_min": 3305,
        "module_voltage_max": 3970,
        "module_voltage_min": 3968,
    },
    "grid": {
        "parameters": {
            "status": 1,
            "frequency": 4998,
            "power_flow_direction": -1,
        },
        "phases": [
            {
                "phase": 1,
                "voltage": 2329,
                "current": 46,
                "reactive_power": -22,
                "power_factor": -17,
                "energy_export": 1,
                "energy_import": 12,
            }
        ],
    },
}
"""Numbers that an owner published of a February afternoon (ha-hoymiles-wifi#88), as far
as they are at hand."""

BLOCKS: Final[Mapping[str, type[Any]]] = {
    "production": Production,
    "consumption": Consumption,
    "battery": Battery,
    "flow": Flow,
}
"""Block -> its record, where both have the same shape."""

LISTS: Final[Mapping[tuple[str, ...], type[Any]]] = {
    ("panels",): StoragePanel,
    ("grid", "phases"): GridPhase,
    ("load", "phases"): LoadPhase,
    ("inverter", "phases"): InverterPhase,
}

numbers = st.integers(-(1 << 31), (1 << 31) - 1)
watts = st.integers(-20_000, 20_000)
flows = st.builds(Flow, *[watts] * 6, st.integers(0, 100))
true_flows = st.builds(Flow, *[st.integers(0, 20_000)] * 5, watts, st.integers(0, 100))
"""Such as can be: only between battery and grid there are two directions."""


def payload_of(capture_id: str) -> bytes:
    return named(capture_id).frame().payload


def encoded(name: str, fields: Mapping[str, Any]) -> bytes:
    return messages.encode(name, fields)


def data_of(fields: Mapping[str, Any]) -> StorageData:
    return storage_data(encoded("StorageDataReply", fields))


# -- the gateway ----------------------------------------------------------------------


@needs_captures
def test_a_real_gateway_says_what_it_is() -> None:
    assert records.gateway_info(payload_of("real-gwinfo-rep")) == GatewayInfo(
        serial=GATEWAY,
        time=1_750_064_193,
        page_count=1,
        page_index=0,
        software_version=4105,
        hardware_version=45313,
        signal=0,
        encrypts=False,
        devices=(GatewayDevice(INVERTER, records.HYBRID_INVERTER, 1),),
    )


@needs_captures
def test_texts_that_are_left_out_make_no_difference() -> None:
    real = records.gateway_info(payload_of("real-gwinfo-rep"))
    made = records.gateway_info(payload_of("gw-gateway-info-rep"))
    assert replace(made, time=real.time) == real


def test_a_gateway_without_a_word_about_itself() -> None:
    info = records.gateway_info(b"")
    assert (info.serial, info.software_version, info.signal) == (0, 0, 0)
    assert info.devices == ()
    assert not info.encrypts


def test_the_seed_of_a_gateway_shows_only_that_there_is_one() -> None:
    seed = b"sixteen secret b"
    info = records.gateway_info(
        encoded("GatewayInfoReply", {"gateways": [{"encryption_seed": seed}]})
    )
    assert info.encrypts
    assert "secret" not in repr(info)


# -- what there is --------------------------------------------------------------------


@needs_captures
def test_the_list_of_inverters() -> None:
    payload = payload_of("gw-energy-storage-registry-rep")
    assert records.storage_registry(payload) == StorageRegistry(
        time=1_760_000_000,
        page_count=0,
        page_index=0,
        meter_serial="10C093100008",
        pv_meter_serial="",
        inverters=(
            HybridInfo(
                serial=INVERTER,
                model_name="HYS-4.6LV-EUG1",
                hardware_version="H01",
                main_software="1.0.0",
                battery_serial="B1",
                battery_hardware="",
                battery_software="",
                battery_capacity=100,
                panel_count=2,
            ),
        ),
    )


def test_a_text_that_is_not_utf_8_loses_nothing_else() -> None:
    inverter = {"serial": 1, "model_name": b"HYS\xff\0rest", "battery_capacity": 100}
    payload = encoded("StorageRegistryReply", {"inverters": [inverter]})
    (info,) = records.storage_registry(payload).inverters
    assert (info.model_name, info.battery_capacity) == (
        "HYS\N{REPLACEMENT CHARACTER}",
        100,
    )


# -- values ---------------------------------------------------------------------------


def test_the_values_of_an_afternoon() -> None:
    data = data_of(AFTERNOON)
    assert (data.serial, data.time, data.page_count) == (INVERTER, 1_740_667_398, 1)
    assert data.production == Production(45, 35, 0)
    assert data.consumption == Consumption(45, 2, 32)
    assert data.panels == (
        StoragePanel(1, 5288, 126, 439, 79),
        StoragePanel(2, 383, -6, 0, 0),
    )
    assert data.battery is not None
    assert (data.battery.soc, data.battery.voltage, data.battery.power) == (45, 2386, 0)
    assert data.grid is not None
    assert (data.grid.status, data.grid.frequency) == (1, 4998)
    assert data.grid.phases == (GridPhase(1, 2329, 46, 0, -22, -17, 1, 12),)
    assert data.is_linked


def test_the_energies_of_an_afternoon_are_those_of_the_day() -> None:
    """What the inputs made is what their shares make; lifetimes would be far from it."""
    data = data_of(AFTERNOON)
    assert data.production is not None
    assert abs(data.pv_energy - sum(data.production)) <= 1


def test_a_block_that_was_not_sent_is_no_block_of_zeros() -> None:
    nothing = data_of({"serial": INVERTER})
    assert nothing == StorageData(serial=INVERTER, time=0, page_count=0, page_index=0)
    zeros = data_of(
        {"production": {}, "consumption": {}, "battery": {}, "grid": {}, "flow": {}}
    )
    assert zeros.production == Production(0, 0, 0)
    assert zeros.flow == Flow(*[0] * 7)
    assert zeros.battery is not None
    assert zeros.grid is not None


@pytest.mark.parametrize("name", BLOCKS)
@given(values=st.lists(numbers, min_size=40, max_size=40))
def test_the_numbers_of_a_block_are_in_their_places(
    name: str, values: list[int]
) -> None:
    sent = dict(zip(BLOCKS[name]._fields, values, strict=False))
    assert getattr(data_of({name: sent}), name)._asdict() == sent


@pytest.mark.parametrize("path", LISTS)
@given(values=st.lists(numbers, min_size=10, max_size=10))
def test_the_numbers_of_a_list_are_in_their_places(
    path: tuple[str, ...], values: list[int]
) -> None:
    sent = dict(zip(LISTS[path]._fields, values, strict=False))
    if path == ("panels",):
        (found,) = data_of({"panels": [sent]}).panels
        assert found._asdict() == sent
        return
    block, _ = path
    data = data_of({block: {"phases": [sent]}})
    phases: Iterable[Any] = (
        data.load_phases if block == "load" else getattr(data, block).phases
    )
    assert [phase._asdict() for phase in phases] == [sent]


@given(payload=st.binary(max_size=200))
def test_no_payload_does_harm(payload: bytes) -> None:
    for parse in (records.gateway_info, records.storage_registry, storage_data):
        with suppress(MessageError):
            parse(payload)


@pytest.mark.parametrize(
    ("sent", "is_linked"),
    [
        ({}, False),
        ({"battery": {}, "grid": {"phases": [{"phase": 1}]}, "flow": {}}, False),
        ({"flow": {"soc": 50}}, False),
        ({"panels": [{"input": 1, "energy": 79}]}, False),
        ({"battery": {"voltage": 512}}, True),
        ({"battery": {"soc": 1}}, True),
        ({"grid": {"phases": [{"phase": 1}, {"phase": 2, "voltage": 2300}]}}, True),
        ({"inverter": {"phases": [{"phase": 1, "voltage": 2300}]}}, True),
        ({"panels": [{"input": 1, "voltage": 3600}]}, True),
        ({"flow": {"battery_to_grid": -1}}, True),
    ],
)
def test_an_inverter_that_is_reached_has_a_voltage_somewhere(
    sent: Fields, is_linked: bool
) -> None:
    assert data_of(sent).is_linked is is_linked


# -- who feeds whom -------------------------------------------------------------------


@given(flow=true_flows)
def test_what_comes_in_goes_out(flow: Flow) -> None:
    pv = flow.pv_to_load + flow.pv_to_battery + flow.pv_to_grid
    sources = pv + flow.grid_import + flow.battery_discharge
    assert sources == flow.load + flow.grid_export + flow.battery_charge


@given(flow=flows)
def test_no_flow_is_believed_to_go_backwards(flow: Flow) -> None:
    assert min(flow.load, flow.battery_charge, flow.battery_discharge) >= 0
    assert min(flow.grid_import, flow.grid_export) >= 0
    assert flow.grid == flow.grid_import - flow.grid_export


def test_the_grid_charges_the_battery() -> None:
    flow = Flow(0, 0, 0, 0, 300, -2000, 40)
    assert (flow.grid_import, flow.battery_charge) == (2300, 2000)
    assert (flow.grid_export, flow.battery_discharge) == (0, 0)
    assert (flow.load, flow.grid) == (300, 2300)


def test_the_battery_feeds_the_grid() -> None:
    flow = Flow(100, 0, 50, 200, 0, 1500, 40)
    assert (flow.grid_export, flow.battery_discharge) == (1550, 1700)
    assert (flow.grid_import, flow.battery_charge) == (0, 0)
    assert (flow.load, flow.grid) == (300, -1550)


# -- pages ----------------------------------------------------------------------------


def test_pages_have_different_blocks_of_one_inverter() -> None:
    whole = data_of(AFTERNOON)
    first = replace(whole, panels=whole.panels[:1], battery=None, page_count=3)
    second = replace(
        whole, panels=whole.panels[1:], production=None, grid=None, page_index=1
    )
    third = StorageData(serial=INVERTER, time=0, page_count=3, page_index=2)
    joined = records.joined_data([first, second, third])
    assert joined == replace(whole, page_count=3)


def test_pages_of_lists_are_one_list() -> None:
    infos = [
        records.gateway_info(
            encoded("GatewayInfoReply", {"devices": [{"serial": serial}]})
        )
        for serial in (1, 2)
    ]
    assert [device.serial for device in records.joined_info(infos).devices] == [1, 2]
    lists = [
        records.storage_registry(
            encoded("StorageRegistryReply", {"inverters": [{"serial": serial}]})
        )
        for serial in (1, 2)
    ]
    joined = records.joined_registry(lists)
    assert [inverter.serial for inverter in joined.inverters] == [1, 2]
