"""From what a DTU says to what its devices show."""

from collections.abc import Sequence
from dataclasses import replace
import random
from typing import Final

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.local_solar.hoymiles.devices import devices
from custom_components.local_solar.hoymiles.event_log import EventLog
from custom_components.local_solar.hoymiles.inventory import (
    Inventory,
    Inverter,
    Stocktaking,
)
from custom_components.local_solar.hoymiles.records import (
    AlarmRecord,
    AppInfo,
    Config,
    InverterSample,
    Meter,
    Panel,
    RealData,
    SinglePhase,
    ThreePhase,
)
from custom_components.local_solar.hoymiles.snapshot import (
    Known,
    active_limit,
    dtu_id,
    is_on,
    snapshot,
    stored_limit,
)
from custom_components.local_solar.points import Quantity

from .test_inventory import DTU, INFO, INVERTER, NOTHING

SINGLE: Final = SinglePhase(
    **{
        **dict.fromkeys(SinglePhase._fields, 0),
        "serial": INVERTER,
        "format_version": 1,
        "link": 1,
        "voltage": 2310,
        "frequency": 5000,
        "active_power": 4567,
        "temperature": 251,
        "power_limit": 1000,
    }
)
PANELS: Final = tuple(
    Panel(INVERTER, port, 365, 600, 2400, 1_000_000 * port, 1000 * port, 1)
    for port in (1, 2)
)
ONE: Final = Inventory(
    serial=DTU,
    software=0x1101,
    inverters=(Inverter(serial=INVERTER, part_number=0x10214201, inputs=(1, 2)),),
)
DATA: Final = replace(NOTHING, inverters=(SINGLE,), panels=PANELS)
CONFIG: Final = Config(0, 0, 5, 78, 1, "", DTU)
OFF: Final = 124

SINGLE_PHASE_METER: Final = 0x10C093100008
THREE_PHASE_METER: Final = 0x37FF93100005


def known(data: RealData = DATA, inventory: Inventory = ONE, **parts: object) -> Known:
    """Return what is known after one poll."""
    totals = {
        (panel.serial, panel.port): panel.energy_total
        for panel in data.panels
        if panel.energy_total
    }
    return replace(Known(inventory=inventory, data=data, energy_totals=totals), **parts)  # type: ignore[arg-type]


def shown(data: RealData = DATA, inventory: Inventory = ONE) -> dict[str, object]:
    """Return what the first inverter shows."""
    return dict(snapshot(known(data, inventory))[inventory.inverters[0].id])


# -- values ---------------------------------------------------------------------------


def test_inverter_shows_its_values_in_their_units() -> None:
    values = shown()
    assert values["connected"] is True
    assert values["ac_power"] == 456.7
    assert values["grid_l1_voltage"] == 231.0
    assert values["grid_frequency"] == 50.0
    assert values["inverter_temperature"] == 25.1
    assert values["pv_power"] == 480.0
    assert values["energy_today"] == 3.0
    assert values["energy_total"] == 3000.0
    assert values["active_power_limit"] == 100.0
    assert values["temporary_power_limit"] == 800.0


@pytest.mark.parametrize("link", [0, 1])
@pytest.mark.parametrize("version", [0, 1])
def test_inverter_is_there_if_the_dtu_reaches_it_and_has_asked_it(
    link: int, version: int
) -> None:
    sample = SINGLE._replace(link=link, format_version=version)
    values = shown(replace(DATA, inverters=(sample,)))
    assert values["connected"] is bool(link or version)
    assert ("ac_power" in values) is bool(link or version)
    empty = SinglePhase(
        **{**dict.fromkeys(SinglePhase._fields, 0), "serial": INVERTER, "link": link}
    )
    assert shown(replace(DATA, inverters=(empty,)))["connected"] is False


def test_power_that_is_not_sent_is_0_only_for_an_inverter_that_is_there() -> None:
    sample = SINGLE._replace(active_power=0)
    assert shown(replace(DATA, inverters=(sample,)))["ac_power"] == 0
    values = shown(
        replace(DATA, inverters=(sample._replace(link=0, format_version=0),))
    )
    assert "ac_power" not in values


def test_power_and_temperature_may_be_negative() -> None:
    sample = SINGLE._replace(reactive_power=-123, temperature=-85, power_factor=-990)
    values = shown(replace(DATA, inverters=(sample,)))
    assert values["reactive_power"] == -12.3
    assert values["inverter_temperature"] == -8.5
    assert values["power_factor"] == -0.99


@pytest.mark.parametrize(
    ("raw", "is_shown"),
    [(-120, 1), (-1, 1), (1, 1), (100, 1), (0, 0), (101, 0), (-121, 0), (157 << 16, 0)],
)
def test_link_quality_is_shown_if_it_can_be_one(raw: int, is_shown: int) -> None:
    values = shown(replace(DATA, inverters=(SINGLE._replace(link_quality=raw),)))
    assert ("link_quality" in values) is bool(is_shown)


def test_energy_of_a_part_of_the_inputs_is_not_taken_for_that_of_all() -> None:
    values = shown(replace(DATA, panels=PANELS[:1]))
    assert "energy_total" not in values
    assert "energy_today" not in values
    assert values["pv1_energy_total"] == 1000.0


def test_input_that_is_on_two_pages_counts_once() -> None:
    values = shown(replace(DATA, panels=(*PANELS, *PANELS)))
    assert values["pv_power"] == 480.0
    assert values["energy_today"] == 3.0
    assert values["energy_total"] == 3000.0


@pytest.mark.parametrize("port", [-1, 0, 9, 1 << 30])
def test_input_that_cannot_be_is_not_shown(port: int) -> None:
    values = shown(replace(DATA, panels=(*PANELS, PANELS[0]._replace(port=port))))
    assert values == shown()


# -- limits and switches --------------------------------------------------------------


def info(**features: str) -> AppInfo:
    """Return what a DTU says of itself, with such features."""
    return replace(
        INFO, features={int(key[1:]): text for key, text in features.items()}
    )


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1,A:1000,B:0,C:0", 100.0),
        ("A:333,B:0,C:0\r", 33.3),
        ("1,A:0,B:0,C:0", None),
        ("1,A:,B:0", None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_stored_limit_is_what_the_features_say(text: str, limit: float | None) -> None:
    assert stored_limit(known(info=info(_8=text))) == limit


def test_stored_limit_of_the_configuration_comes_second() -> None:
    config = replace(CONFIG, power_limit=500)
    assert stored_limit(known(config=config)) == 50
    assert stored_limit(known(config=CONFIG)) is None
    assert stored_limit(known(config=config, info=info(_8="A:700,B:0,C:0"))) == 70
    assert stored_limit(known(config=config, info=info(_8="A:0,B:0,C:0"))) == 50
    two = replace(ONE, inverters=(*ONE.inverters, Inverter(serial=INVERTER + 1)))
    assert stored_limit(known(inventory=two, config=config)) is None


def test_active_limit_is_that_of_the_inverter() -> None:
    config = replace(CONFIG, power_limit=500)
    (inverter,) = ONE.inverters
    assert active_limit(known(config=config), inverter) == 100
    silent = replace(DATA, inverters=(SINGLE._replace(power_limit=0),))
    assert active_limit(known(silent, config=config), inverter) == 50
    assert active_limit(known(silent), inverter) is None


@pytest.mark.parametrize(
    ("power", "word", "end", "on"),
    [
        (4567, None, 0, True),
        (0, None, 0, None),
        (0, OFF, 0, False),
        (0, OFF, 5, True),
        (4567, OFF, 0, True),
        (0, 121, 0, True),
    ],
)
def test_inverter_is_off_only_if_an_event_says_so(
    power: int, word: int | None, end: int, on: bool | None
) -> None:
    log = EventLog(three_phase=False)
    if word is not None:
        log.take([AlarmRecord(INVERTER, word, 1, 1, end, 0, 0)])
    data = replace(DATA, inverters=(SINGLE._replace(active_power=power),))
    (inverter,) = ONE.inverters
    assert is_on(known(data, events={INVERTER: log}), inverter) is on


# -- anything -------------------------------------------------------------------------

_RAW: Final = st.one_of(st.just(0), st.integers(-(1 << 31), (1 << 31) - 1))
_SERIALS: Final = (INVERTER, 0x136193100041, 0x138293100042, 0x999993100001)
_METERS: Final = (SINGLE_PHASE_METER, THREE_PHASE_METER, 0x555593100001)


def _record[Record: tuple[int, ...]](
    kind: type[Record], serials: Sequence[int], **fields: st.SearchStrategy[int]
) -> st.SearchStrategy[Record]:
    names: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    return st.builds(
        kind,
        **{
            **dict.fromkeys(names, _RAW),
            "serial": st.sampled_from(serials),
            **fields,
        },
    )


def _by_serial(found: InverterSample | Meter) -> int:
    return found.serial


REAL_DATA: Final = st.builds(
    RealData,
    dtu_serial=st.just(DTU),
    time=_RAW,
    page_count=st.just(1),
    page_index=st.just(0),
    inverters=st.lists(
        st.one_of(_record(SinglePhase, _SERIALS), _record(ThreePhase, _SERIALS)),
        max_size=4,
        unique_by=_by_serial,
    ).map(tuple),
    panels=st.lists(
        _record(Panel, _SERIALS, port=st.integers(-1, 20)),
        max_size=12,
        unique_by=lambda panel: (panel.serial, panel.port),
    ).map(tuple),
    meters=st.lists(_record(Meter, _METERS), max_size=3, unique_by=_by_serial).map(
        tuple
    ),
    dtu_power=st.integers(0, 1 << 40),
    dtu_energy_today=st.integers(0, 1 << 40),
)


@given(data=REAL_DATA)
@settings(max_examples=50)
def test_everything_that_is_shown_is_a_point_of_its_device(data: RealData) -> None:
    inventory = Stocktaking(ONE).take(None, data)
    there = {
        device.identity.id: {point.key for point in device.points}
        for device in devices(inventory)
    }
    for device, values in snapshot(known(data, inventory)).items():
        assert values.keys() <= there[device], values.keys() - there[device]


@given(data=REAL_DATA)
@settings(max_examples=50)
def test_no_counter_is_ever_0_or_less(data: RealData) -> None:
    inventory = Stocktaking(ONE).take(None, data)
    counters = {
        (device.identity.id, point.key)
        for device in devices(inventory)
        for point in device.points
        if point.quantity.is_counter
    }
    for device, values in snapshot(known(data, inventory)).items():
        for key, value in values.items():
            if (device, key) in counters and value is not None:
                assert isinstance(value, int | float)
                assert value > 0


@given(data=REAL_DATA, seed=st.integers(0, 1000))
@settings(max_examples=50)
def test_order_of_pages_does_not_matter(data: RealData, seed: int) -> None:
    shuffle = random.Random(seed)

    def mixed[Item](items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(shuffle.sample(items, len(items)))

    other = replace(
        data,
        inverters=mixed(data.inverters),
        panels=mixed(data.panels),
        meters=mixed(data.meters),
    )
    inventory = Stocktaking(ONE).take(None, data)
    assert Stocktaking(ONE).take(None, other) == inventory
    assert snapshot(known(other, inventory)) == snapshot(known(data, inventory))


# -- meters ---------------------------------------------------------------------------


def meter(**fields: int) -> Meter:
    """Return a meter."""
    return Meter(
        **{**dict.fromkeys(Meter._fields, 0), "serial": THREE_PHASE_METER, **fields}
    )


@pytest.mark.parametrize(
    ("raw", "power", "taken", "given_away"),
    [(261, 2610, 2610, 0), (-261, -2610, 0, 2610), (0, 0, 0, 0)],
)
def test_meter_counts_in_tens_of_watts(
    raw: int, power: int, taken: int, given_away: int
) -> None:
    inventory = replace(ONE, meters=(THREE_PHASE_METER,))
    data = replace(DATA, meters=(meter(power_total=raw, energy_import_total=71773),))
    values = snapshot(known(data, inventory))[f"{THREE_PHASE_METER:012X}"]
    assert values["grid_power"] == power
    assert values["grid_import_power"] == taken
    assert values["grid_export_power"] == given_away
    assert "-0.0" not in {str(value) for value in values.values()}
    assert values["grid_import_energy_total"] == 717.73
    assert "grid_export_energy_total" not in values


def test_meter_that_is_silent_is_said_to_be() -> None:
    inventory = replace(ONE, meters=(THREE_PHASE_METER,))
    values = snapshot(known(DATA, inventory))[f"{THREE_PHASE_METER:012X}"]
    assert values == {"connected": False}


def test_dtu_has_a_device_of_its_own() -> None:
    integrated = replace(ONE, serial=f"{INVERTER:012X}")
    assert dtu_id(integrated) not in {inverter.id for inverter in ONE.inverters}
    assert len(snapshot(known(inventory=integrated))) == 2


def test_every_counter_of_every_device_is_in_kilowatt_hours() -> None:
    inventory = replace(ONE, meters=(SINGLE_PHASE_METER, THREE_PHASE_METER))
    for device in devices(inventory):
        for point in device.points:
            if point.quantity in {Quantity.ENERGY_TODAY, Quantity.ENERGY_TOTAL}:
                assert point.unit == "kWh"
