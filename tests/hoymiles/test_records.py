"""Records: what a DTU says, field by field, and what must not leave its messages."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields as fields_of, is_dataclass, replace
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor
from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.hoymiles import messages, records
from custom_components.local_solar.hoymiles.errors import MessageError
from custom_components.local_solar.hoymiles.records import (
    ENCRYPTS,
    AlarmList,
    AlarmRecord,
    AppInfo,
    CommandAck,
    Config,
    InverterInfo,
    Meter,
    MeterInfo,
    NetworkInfo,
    Panel,
    RealData,
    SinglePhase,
    ThreePhase,
)

from .test_frame import named

PARSERS: Final[Mapping[str, Callable[[bytes], object]]] = {
    "AppInfoReply": records.app_info,
    "RealDataReply": records.real_data,
    "OldRealDataReply": records.old_real_data,
    "ConfigReply": records.config,
    "NetworkInfoReply": records.network_info,
    "AlarmReply": records.alarm_list,
    "CommandAck": records.command_ack,
    "CommandStatusReply": records.command_status,
}
"""Message -> what makes a record of it."""

LISTS: Final[Mapping[tuple[str, str], type[Any]]] = {
    ("RealDataReply", "single_phase"): SinglePhase,
    ("RealDataReply", "three_phase"): ThreePhase,
    ("RealDataReply", "panels"): Panel,
    ("RealDataReply", "meters"): Meter,
    ("AppInfoReply", "inverters"): InverterInfo,
    ("AppInfoReply", "meters"): MeterInfo,
    ("AlarmReply", "alarms"): AlarmRecord,
}
"""Message and its field -> the record of an item."""

DTU: Final = "414393100001"
INVERTER: Final = 0x141293100001
NOW: Final = 1_760_000_000
SEED: Final = bytes(range(0x41, 0x51))

SECRETS: Final = ("wifi_password", "apn_password", "ap_password", "lock_password")
"""Fields that give access to something."""


def payload_of(capture_id: str) -> bytes:
    """Return the payload of a captured frame."""
    return named(capture_id).frame().payload


def encoded(name: str, fields: Mapping[str, Any]) -> bytes:
    """Return a payload made here."""
    return messages.encode(name, fields)


def item_descriptor(message: str, field: str) -> Descriptor:
    """Return what the schema says of the items of a list."""
    top = cast(Descriptor, messages.parse(message, b"").DESCRIPTOR)
    item = top.fields_by_name[field].message_type
    assert item is not None
    return item


def plain_values(record: object) -> Iterator[object]:
    """Go through all that a record holds, however deep."""
    parts: Iterable[object]
    if is_dataclass(record):
        parts = (getattr(record, field.name) for field in fields_of(record))
    elif isinstance(record, Mapping):
        parts = (*record.keys(), *record.values())
    elif isinstance(record, tuple | frozenset):
        parts = record
    else:
        yield record
        return
    for part in parts:
        yield from plain_values(part)


# -- values of now --------------------------------------------------------------------


def test_values_of_an_inverter_with_two_inputs() -> None:
    assert records.real_data(payload_of("plain-real-data-new-rep")) == RealData(
        dtu_serial=DTU,
        time=NOW,
        page_count=1,
        page_index=0,
        inverters=(
            SinglePhase(
                serial=INVERTER,
                format_version=1,
                voltage=2314,  # 231.4 V
                frequency=4998,  # 49.98 Hz
                active_power=3127,  # 312.7 W
                reactive_power=12,
                current=135,  # 1.35 A
                power_factor=999,
                temperature=284,  # 28.4 degrees
                warning_count=3,
                profile_crc=28864,
                link=1,
                power_limit=1000,  # 100 %
                link_quality=157 << 16 | 31,
            ),
        ),
        panels=(
            Panel(INVERTER, 1, 371, 428, 1588, 294_912, 1203, 0x03090000),
            Panel(INVERTER, 2, 369, 431, 1590, 294_101, 1199, 0x03000000),
        ),
        meters=(),
        dtu_power=3127,
        dtu_energy_today=2402,
    )


def test_encrypted_values_are_the_same_as_plain_ones() -> None:
    assert records.real_data(payload_of("enc-real-data-new-rep")) == records.real_data(
        payload_of("plain-real-data-new-rep")
    )


def test_power_that_is_fed_into_the_grid_is_negative() -> None:
    (meter,) = records.real_data(payload_of("issue-ha68-meter")).meters
    assert meter._asdict() == {
        **dict.fromkeys(Meter._fields, 0),
        "type": 3,
        "serial": 0x37FF93100005,
        "power_total": -28,
        "power_factor_total": -601,
        "energy_export_total": 35549,
        "energy_import_total": 71773,
    }


def test_an_inverter_that_is_not_reached_keeps_its_lifetime_energy() -> None:
    data = records.real_data(payload_of("plain-real-data-new-night-rep"))
    (inverter,) = data.inverters
    assert not inverter.is_linked
    assert inverter.active_power == 0
    assert [panel.energy_total for panel in data.panels] == [294_912, 294_101]


@pytest.mark.parametrize("list_name", ["single_phase", "three_phase"])
def test_zero_is_a_value_only_while_the_inverter_is_reached(list_name: str) -> None:
    for sent, is_linked in (
        ({}, False),
        ({"link": 1}, True),
        ({"format_version": 1}, True),
        ({"link_quality": 5}, False),
    ):
        payload = encoded("RealDataReply", {list_name: [{"serial": 1, **sent}]})
        (inverter,) = records.real_data(payload).inverters
        assert inverter.is_linked is is_linked


def test_inverters_with_one_and_with_three_phases_are_told_apart() -> None:
    payload = encoded(
        "RealDataReply",
        {
            "three_phase": [{"serial": 3, "voltage_ca": 4001}],
            "single_phase": [{"serial": 1, "power_limit": 900}, {"serial": 2}],
        },
    )
    first, second, third = records.real_data(payload).inverters
    assert isinstance(first, SinglePhase)
    assert first.power_limit == 900
    assert isinstance(second, SinglePhase)
    assert isinstance(third, ThreePhase)
    assert (third.serial, third.voltage_ca) == (3, 4001)


def test_values_of_a_page_that_is_not_the_first() -> None:
    data = records.real_data(payload_of("pages-real-data-new-p2-rep"))
    assert (data.page_count, data.page_index, data.time) == (3, 2, NOW)
    assert [panel.port for panel in data.panels] == [4, 5, 6]
    assert (data.inverters, data.dtu_power) == ((), 0)


# -- values of now, as older DTUs give them -------------------------------------------


def test_older_dtus_give_the_values_of_an_inverter_with_each_input() -> None:
    data = records.old_real_data(payload_of("plain-real-data-rep"))
    assert (data.dtu_serial, data.time, data.page_count) == (DTU, NOW, 1)
    assert data.inverters == (
        SinglePhase(
            serial=INVERTER,
            format_version=0,
            voltage=2314,
            frequency=4998,
            active_power=3127,
            reactive_power=12,
            current=135,
            power_factor=999,
            temperature=284,
            warning_count=3,
            profile_crc=0,
            link=1,
            power_limit=0,
            link_quality=157 << 16 | 31,
        ),
    )
    assert data.panels == (
        Panel(INVERTER, 1, 371, 428, 1588, 294_912, 1203, 0),
        Panel(INVERTER, 2, 371, 428, 1588, 294_912, 1203, 0),
    )
    (meter,) = data.meters
    assert meter.serial == 0x10C093100008
    assert (meter.power_total, meter.power_a, meter.power_b) == (261, 261, 0)
    assert (meter.power_factor_total, meter.fault) == (983, 1)
    assert (meter.energy_export_total, meter.energy_import_total) == (1959, 1972)
    assert (meter.type, meter.voltage_a, meter.power_factor_c) == (0, 0, 0)


def test_older_dtus_give_each_inverter_once_in_the_order_of_its_inputs() -> None:
    rows = [
        {"serial": serial, "port": port, "active_power": serial}
        for serial, port in ((7, 1), (5, 1), (7, 2), (5, 2))
    ]
    data = records.old_real_data(encoded("OldRealDataReply", {"panels": rows}))
    assert [inverter.serial for inverter in data.inverters] == [7, 5]
    assert [panel[:2] for panel in data.panels] == [(7, 1), (5, 1), (7, 2), (5, 2)]


def test_the_numbers_of_an_old_meter_are_in_their_places() -> None:
    same = [
        field.name
        for field in item_descriptor("OldRealDataReply", "meters").fields
        if field.name in Meter._fields
    ]
    sent = {name: index for index, name in enumerate(same, 1)}
    payload = encoded("OldRealDataReply", {"meters": [{**sent, "power_factor": 99}]})
    (meter,) = records.old_real_data(payload).meters
    assert meter._asdict() == {
        **dict.fromkeys(Meter._fields, 0),
        **sent,
        "power_factor_total": 99,
    }


# -- lists of records -----------------------------------------------------------------


@pytest.mark.parametrize(("message", "field"), sorted(LISTS))
@given(data=st.data())
def test_every_number_of_a_record_is_the_field_of_its_name(
    message: str, field: str, data: st.DataObject
) -> None:
    record = LISTS[message, field]
    numbers = st.lists(
        st.integers(-(1 << 31), (1 << 31) - 1),
        min_size=len(record._fields),
        max_size=len(record._fields),
    )
    unsigned = {
        item.name
        for item in item_descriptor(message, field).fields
        if item.type in (item.TYPE_UINT32, item.TYPE_UINT64)
    }
    items = [
        {
            name: abs(number) if name in unsigned else number
            for name, number in zip(record._fields, row, strict=True)
        }
        for row in data.draw(st.lists(numbers, max_size=3))
    ]
    result = PARSERS[message](encoded(message, {field: items}))
    name = "inverters" if field.endswith("_phase") else field
    assert getattr(result, name) == tuple(record(**item) for item in items)


@pytest.mark.parametrize(("message", "field"), sorted(LISTS))
def test_a_record_has_only_numbers_that_are_in_the_message(
    message: str, field: str
) -> None:
    known = item_descriptor(message, field).fields_by_name
    assert set(LISTS[message, field]._fields) <= set(known)


# -- what a DTU is --------------------------------------------------------------------


def app_info(**dtu: int | bytes) -> AppInfo:
    """Return what a DTU with these fields says of itself."""
    return records.app_info(encoded("AppInfoReply", {"dtu": dtu}))


def test_what_a_dtu_says_of_itself() -> None:
    payload = encoded(
        "AppInfoReply",
        {
            "dtu_serial": DTU.encode() + b"\0J",
            "time": NOW,
            "page_count": 2,
            "page_index": 1,
            "dtu": {
                "device_kind": 1,
                "software_version": 0x1101,
                "hardware_version": 0x1000,
                "signal_strength": -61,
                "error_code": 4,
                "feature_flags": 0x4E0000C0,
                "wifi_version": b" 2.3.0\0rest",
                "encryption_seed": SEED,
            },
            "features": [
                {"key": 8, "value": b"1,A:1000,B:0,C:0\r"},
                {"key": 9, "value": b"\xff"},
            ],
        },
    )
    info = records.app_info(payload)
    assert (info.dtu_serial, info.time) == (DTU, NOW)
    assert (info.page_count, info.page_index) == (2, 1)
    assert info.dtu.device_kind == 1
    assert (info.dtu.software_version, info.dtu.hardware_version) == (0x1101, 0x1000)
    assert (info.dtu.signal_strength, info.dtu.error_code) == (-61, 4)
    assert info.dtu.wifi_version == "2.3.0"
    assert info.features == {8: "1,A:1000,B:0,C:0", 9: "\ufffd"}
    assert info.dtu.encrypts
    assert info.dtu.seed == SEED


def test_encryption_needs_the_feature_and_a_seed() -> None:
    # The word of a real DTU that encrypts.
    real = 1_308_623_040
    assert real & ENCRYPTS
    assert app_info(feature_flags=real, encryption_seed=SEED).dtu.encrypts
    assert not app_info(feature_flags=real).dtu.encrypts
    assert not app_info(encryption_seed=SEED).dtu.encrypts
    assert not app_info(
        feature_flags=real & ~ENCRYPTS, encryption_seed=SEED
    ).dtu.encrypts


# -- configuration and network --------------------------------------------------------


def test_what_is_set_in_a_dtu() -> None:
    assert records.config(payload_of("plain-config-rep")) == Config(
        time=NOW,
        power_limit=1000,
        upload_interval=5,
        wifi_signal=78,
        network_mode=1,
        meter_kind="0",
        dtu_serial=DTU,
    )


def test_a_text_that_is_not_utf_8_costs_nothing_but_itself() -> None:
    config = records.config(payload_of("trap-nonutf8-config"))
    assert (config.time, config.meter_kind) == (NOW, "0\ufffd")


def test_how_a_dtu_is_connected() -> None:
    payload = payload_of("enc-network-info-rep")
    assert records.network_info(payload) == NetworkInfo(
        dtu_serial=DTU, signal=78, work_mode=1, work_state=1
    )


# -- alarms and commands --------------------------------------------------------------


def test_events_of_inverters() -> None:
    found = records.alarm_list(payload_of("plain-alarms-rep"))
    assert (found.dtu_serial, found.time) == (DTU, NOW)
    assert (found.page_count, found.page_index) == (1, 0)
    assert found.alarms == (
        AlarmRecord(INVERTER, 8409, 46, 1_700_145_543, 0, 683, 600),
        AlarmRecord(INVERTER, 28796, 52, 1_700_148_478, 1_700_148_850, 0, 0),
    )


def test_events_in_the_older_layout() -> None:
    alarm = {"serial": INVERTER, "code": 8409, "number": 46, "start_time": 5}
    fields = {"dtu_serial": DTU.encode(), "time": NOW, "alarms": [alarm, alarm]}
    found = records.alarm_list(encoded("OldAlarmReply", fields))
    assert (found.dtu_serial, found.time) == (DTU, NOW)
    assert (found.page_count, found.page_index) == (1, 0)
    assert found.alarms == 2 * (AlarmRecord(INVERTER, 8409, 46, 5, 0, 0, 0),)


def test_no_events_are_an_empty_list() -> None:
    for page_count in (0, 1):
        payload = encoded("AlarmReply", {"time": NOW, "page_count": page_count})
        found = records.alarm_list(payload)
        assert (found.time, found.page_count, found.alarms) == (NOW, 1, ())


def test_a_command_that_was_taken() -> None:
    payload = payload_of("plain-set-power-limit-temporary-rep")
    assert records.command_ack(payload) == CommandAck(
        dtu_serial=DTU, action=211, error_code=0, transaction_id=NOW
    )


@pytest.mark.parametrize(
    ("capture_id", "expected"),
    [
        ("plain-limit-status-running-rep", (set(), set(), {INVERTER}, {})),
        ("plain-limit-status-done-rep", ({INVERTER}, set(), set(), {})),
        ("plain-limit-status-failed-rep", (set(), {INVERTER}, set(), {INVERTER: 1})),
    ],
)
def test_what_became_of_a_command(
    capture_id: str,
    expected: tuple[object, ...],
) -> None:
    status = records.command_status(payload_of(capture_id))
    assert (status.dtu_serial, status.action) == (DTU, 8)
    assert status.transaction_id == NOW
    assert (status.succeeded, status.failed, status.running, status.errors) == expected


def test_an_inverter_with_an_error_has_failed() -> None:
    payload = encoded(
        "CommandStatusReply",
        {
            "inverter_failed": [1],
            "inverter_errors": [{"serial": 2, "error_code": 7}],
            "inverter_running": [{"serial": 3, "progress": 50}],
        },
    )
    status = records.command_status(payload)
    assert status.failed == {1, 2}
    assert status.errors == {2: 7}
    assert status.running == {3}


# -- all of them ----------------------------------------------------------------------


@pytest.mark.parametrize("message", sorted(PARSERS))
def test_an_empty_message_is_a_record_of_zeros(message: str) -> None:
    record = PARSERS[message](b"")
    if isinstance(record, AlarmList):
        # The older layout has no pages, which makes one.
        assert record.page_count == 1
        record = replace(record, page_count=0)
    assert set(plain_values(record)) <= {0, "", b""}


@pytest.mark.parametrize("message", sorted(PARSERS))
def test_what_is_no_message_is_an_error(message: str) -> None:
    with pytest.raises(MessageError, match=f"this is no {message}"):
        PARSERS[message](b"\xff")


@pytest.mark.parametrize("message", sorted(PARSERS))
@given(data=st.data())
def test_records_hold_plain_values_only(message: str, data: st.DataObject) -> None:
    payload = data.draw(st.binary(max_size=60))
    try:
        record = PARSERS[message](payload)
    except MessageError:
        return
    assert {type(value) for value in plain_values(record)} <= {int, str, bytes}
    assert is_dataclass(record)
    assert record == PARSERS[message](payload)


@given(st.binary(max_size=50))
def test_any_bytes_are_a_text_that_ends_at_the_first_nul(octets: bytes) -> None:
    text = records.text(octets)
    assert "\0" not in text
    assert text == records.text(octets + b"\0rest")
    assert text == text.strip()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_in_utf_8_is_kept(text: str) -> None:
    assert records.text(text.encode()) == text.partition("\0")[0].strip()


# -- secrets --------------------------------------------------------------------------


def test_the_seed_is_not_in_what_is_logged() -> None:
    info = app_info(feature_flags=ENCRYPTS, encryption_seed=SEED)
    for shown in (repr(info), str(info), repr(info.dtu)):
        assert "DtuInfo(" in shown
        assert SEED.decode() not in shown
        assert "seed" not in shown


def test_the_configuration_has_no_passwords_and_no_names_of_networks() -> None:
    hidden = {
        "wifi_password": b"hidden-1",
        "apn_password": b"hidden-2",
        "ap_password": b"hidden-3",
        "wifi_ssid": b"hidden-4",
        "ap_ssid": b"hidden-5",
        "apn_name": b"hidden-6",
        "apn_set": b"hidden-7",
        "sim_number": b"hidden-8",
        "imei": b"hidden-9",
    }
    payload = encoded("ConfigReply", {**hidden, "lock_password": 987_654})
    config = records.config(payload)
    assert not any(
        value == 987_654 or (isinstance(value, str) and "hidden" in value)
        for value in plain_values(config)
    )
    names = {field.name for field in fields_of(Config)}
    assert not names & {*hidden, *SECRETS}


def test_no_record_has_a_password() -> None:
    classes = [value for value in vars(records).values() if isinstance(value, type)]
    assert Config in classes
    for kind in classes:
        names = (
            [field.name for field in fields_of(kind)]
            if is_dataclass(kind)
            else getattr(kind, "_fields", ())
        )
        assert not [name for name in names if "password" in name], kind
