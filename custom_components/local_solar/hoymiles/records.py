"""What a DTU says, as plain records: no object of the protobuf library goes further.

Numbers are the raw integers of the messages; ``messages.proto`` gives their scales. A
number that was not sent is 0: the protocol cannot tell the two apart. What comes in
dozens is a named tuple, which is made in half the time of a frozen dataclass.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, NamedTuple

from . import messages

ENCRYPTS: Final = 1 << 25
"""Bit of the DTU's features that says that it wants encrypted requests."""


class SinglePhase(NamedTuple):
    """An inverter with one phase."""

    serial: int
    format_version: int
    voltage: int
    frequency: int
    active_power: int
    reactive_power: int
    current: int
    power_factor: int
    temperature: int
    warning_count: int
    profile_crc: int
    link: int
    power_limit: int
    link_quality: int

    @property
    def is_linked(self) -> bool:
        """Whether the DTU reaches it, so that a number that was not sent is a 0."""
        return bool(self.link or self.format_version)


class ThreePhase(NamedTuple):
    """An inverter with three phases."""

    serial: int
    format_version: int
    voltage_a: int
    voltage_b: int
    voltage_c: int
    voltage_ab: int
    voltage_bc: int
    voltage_ca: int
    frequency: int
    active_power: int
    reactive_power: int
    current_a: int
    current_b: int
    current_c: int
    power_factor: int
    temperature: int
    warning_count: int
    profile_crc: int
    link: int
    link_quality: int

    @property
    def is_linked(self) -> bool:
        """Whether the DTU reaches it, so that a number that was not sent is a 0."""
        return bool(self.link or self.format_version)


type InverterSample = SinglePhase | ThreePhase


class Panel(NamedTuple):
    """A DC input of an inverter."""

    serial: int
    """Of the inverter."""
    port: int
    """Counted from 1."""
    voltage: int
    current: int
    power: int
    energy_total: int
    energy_today: int
    status_code: int


class Meter(NamedTuple):
    """A meter on the DTU's RS-485 port. Power is negative while the grid is fed."""

    type: int
    serial: int
    power_total: int
    power_a: int
    power_b: int
    power_c: int
    power_factor_total: int
    energy_export_total: int
    energy_export_a: int
    energy_export_b: int
    energy_export_c: int
    energy_import_total: int
    energy_import_a: int
    energy_import_b: int
    energy_import_c: int
    fault: int
    voltage_a: int
    voltage_b: int
    voltage_c: int
    current_a: int
    current_b: int
    current_c: int
    power_factor_a: int
    power_factor_b: int
    power_factor_c: int


@dataclass(frozen=True, slots=True)
class RealData:
    """The values of now, one page or all of them."""

    dtu_serial: str
    time: int
    """Seconds by the DTU's clock, which may be wrong or count from its start."""
    page_count: int
    page_index: int
    inverters: tuple[InverterSample, ...]
    panels: tuple[Panel, ...]
    meters: tuple[Meter, ...]
    dtu_power: int
    dtu_energy_today: int


@dataclass(frozen=True, slots=True)
class DtuInfo:
    """What a DTU says of itself."""

    device_kind: int
    software_version: int
    hardware_version: int
    signal_strength: int
    error_code: int
    feature_flags: int
    wifi_version: str
    seed: bytes = field(repr=False)
    """What its encryption derives from until it restarts."""

    @property
    def encrypts(self) -> bool:
        """Whether it wants encrypted requests."""
        return bool(self.feature_flags & ENCRYPTS) and bool(self.seed)


class InverterInfo(NamedTuple):
    """An inverter that is bound to a DTU."""

    serial: int
    software_version: int
    hardware_part_number: int
    hardware_version: int
    grid_profile_version: int
    grid_profile_id: int


class MeterInfo(NamedTuple):
    """A meter that is bound to a DTU."""

    serial: int
    model: int
    ct_ratio: int
    software_version: int


@dataclass(frozen=True, slots=True)
class AppInfo:
    """What a DTU is and what is behind it."""

    dtu_serial: str
    time: int
    page_count: int
    page_index: int
    dtu: DtuInfo
    inverters: tuple[InverterInfo, ...]
    meters: tuple[MeterInfo, ...]
    features: Mapping[int, str]
    """Settings by the number of the action that sets them."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is set in the DTU, without its passwords."""

    time: int
    power_limit: int
    """0.1 % that all inverters keep; 0 if the firmware does not say."""
    upload_interval: int
    """Minutes between two reports to the vendor's cloud."""
    wifi_signal: int
    network_mode: int
    meter_kind: str
    dtu_serial: str


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """How the DTU is connected."""

    dtu_serial: str
    signal: int
    work_mode: int
    work_state: int


class AlarmRecord(NamedTuple):
    """One event of an inverter."""

    serial: int
    code: int
    """Packed: see ``alarms``."""
    number: int
    start_time: int
    end_time: int
    """0 while it lasts."""
    data_1: int
    data_2: int


@dataclass(frozen=True, slots=True)
class AlarmList:
    """Events of all inverters, one page or all of them."""

    dtu_serial: str
    time: int
    page_count: int
    page_index: int
    alarms: tuple[AlarmRecord, ...]


@dataclass(frozen=True, slots=True)
class CommandAck:
    """Whether a command was taken, which is not that it was carried out."""

    dtu_serial: str
    action: int
    error_code: int
    transaction_id: int


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """What became of a command, by serial numbers of inverters."""

    dtu_serial: str
    action: int
    transaction_id: int
    succeeded: frozenset[int]
    failed: frozenset[int]
    running: frozenset[int]
    errors: Mapping[int, int]


def text(data: bytes) -> str:
    """Return a text of a device: cut at the first NUL, what is not UTF-8 replaced."""
    return data.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _alike[Record](
    make: Callable[[Iterable[Any]], Record], names: tuple[str, ...]
) -> Callable[[Iterable[Any]], tuple[Record, ...]]:
    """Return what makes records of messages that have fields of their names."""
    values = attrgetter(*names)
    return lambda found: tuple(map(make, map(values, found)))


_single_phase: Final = _alike(SinglePhase._make, SinglePhase._fields)
_three_phase: Final = _alike(ThreePhase._make, ThreePhase._fields)
_panels: Final = _alike(Panel._make, Panel._fields)
_meters: Final = _alike(Meter._make, Meter._fields)
_inverter_infos: Final = _alike(InverterInfo._make, InverterInfo._fields)
_meter_infos: Final = _alike(MeterInfo._make, MeterInfo._fields)
_alarms: Final = _alike(AlarmRecord._make, AlarmRecord._fields)


def app_info(payload: bytes) -> AppInfo:
    """Return what a DTU says of itself, as all of these do: ``MessageError`` if it does not."""
    message = messages.parse("AppInfoReply", payload)
    dtu = message.dtu
    return AppInfo(
        dtu_serial=text(message.dtu_serial),
        time=message.time,
        page_count=message.page_count,
        page_index=message.page_index,
        dtu=DtuInfo(
            device_kind=dtu.device_kind,
            software_version=dtu.software_version,
            hardware_version=dtu.hardware_version,
            signal_strength=dtu.signal_strength,
            error_code=dtu.error_code,
            feature_flags=dtu.feature_flags,
            wifi_version=text(dtu.wifi_version),
            seed=dtu.encryption_seed,
        ),
        inverters=_inverter_infos(message.inverters),
        meters=_meter_infos(message.meters),
        features={item.key: text(item.value) for item in message.features},
    )


def real_data(payload: bytes) -> RealData:
    """Return one page of values."""
    message = messages.parse("RealDataReply", payload)
    return RealData(
        text(message.dtu_serial),
        message.time,
        message.page_count,
        message.page_index,
        (*_single_phase(message.single_phase), *_three_phase(message.three_phase)),
        _panels(message.panels),
        _meters(message.meters),
        message.dtu_power,
        message.dtu_energy_today,
    )


def old_real_data(payload: bytes) -> RealData:
    """Return one page of values from the message of older DTUs.

    It has one row for each input, with the values of its inverter in all of them.
    """
    message = messages.parse("OldRealDataReply", payload)
    rows = message.panels
    return RealData(
        text(message.dtu_serial),
        message.time,
        message.page_count,
        message.page_index,
        tuple({row.serial: _old_inverter(row) for row in rows}.values()),
        _panels_of_old(rows),
        tuple(_old_meter(meter) for meter in message.meters),
        0,
        0,
    )


def _old_inverter(row: Any) -> SinglePhase:
    return SinglePhase(
        serial=row.serial,
        format_version=0,
        voltage=row.grid_voltage,
        frequency=row.grid_frequency,
        active_power=row.active_power,
        reactive_power=row.reactive_power,
        current=row.grid_current,
        power_factor=row.power_factor,
        temperature=row.temperature,
        warning_count=row.warning_count,
        profile_crc=0,
        link=row.link,
        power_limit=0,
        link_quality=row.link_quality,
    )


def _panels_of_old(rows: Iterable[Any]) -> tuple[Panel, ...]:
    return tuple(
        Panel(
            serial=row.serial,
            port=row.port,
            voltage=row.voltage,
            current=row.current,
            power=row.power,
            energy_total=row.energy_total,
            energy_today=row.energy_today,
            status_code=0,
        )
        for row in rows
    )


def _old_meter(meter: Any) -> Meter:
    same = {
        name: getattr(meter, name)
        for name in Meter._fields
        if name.startswith(("power_t", "power_a", "power_b", "power_c", "energy"))
    }
    return Meter(
        type=0,
        serial=meter.serial,
        power_factor_total=meter.power_factor,
        fault=meter.fault,
        **same,
        **dict.fromkeys(Meter._fields[16:], 0),
    )


def config(payload: bytes) -> Config:
    """Return what is set in a DTU."""
    message = messages.parse("ConfigReply", payload)
    return Config(
        time=message.time,
        power_limit=message.power_limit,
        upload_interval=message.upload_interval,
        wifi_signal=message.wifi_signal,
        network_mode=message.network_mode,
        meter_kind=text(message.meter_kind),
        dtu_serial=text(message.dtu_serial),
    )


def network_info(payload: bytes) -> NetworkInfo:
    """Return how a DTU is connected."""
    message = messages.parse("NetworkInfoReply", payload)
    return NetworkInfo(
        dtu_serial=text(message.dtu_serial),
        signal=message.signal,
        work_mode=message.work_mode,
        work_state=message.work_state,
    )


def alarm_list(payload: bytes) -> AlarmList:
    """Return one page of events, also of a DTU that uses the older layout."""
    message = messages.parse("AlarmReply", payload)
    if not message.page_count and not message.alarms:
        old = messages.parse("OldAlarmReply", payload)
        return AlarmList(text(old.dtu_serial), old.time, 1, 0, _alarms(old.alarms))
    return AlarmList(
        dtu_serial=text(message.dtu_serial),
        time=message.time,
        page_count=message.page_count,
        page_index=message.page_index,
        alarms=_alarms(message.alarms),
    )


def command_ack(payload: bytes) -> CommandAck:
    """Return whether a command was taken."""
    message = messages.parse("CommandAck", payload)
    return CommandAck(
        dtu_serial=text(message.dtu_serial),
        action=message.action,
        error_code=message.error_code,
        transaction_id=message.transaction_id,
    )


def command_status(payload: bytes) -> CommandStatus:
    """Return what became of a command."""
    message = messages.parse("CommandStatusReply", payload)
    return CommandStatus(
        dtu_serial=text(message.dtu_serial),
        action=message.action,
        transaction_id=message.transaction_id,
        succeeded=frozenset(message.inverter_success),
        failed=frozenset(message.inverter_failed)
        | {error.serial for error in message.inverter_errors},
        running=frozenset(item.serial for item in message.inverter_running),
        errors={error.serial: error.error_code for error in message.inverter_errors},
    )
