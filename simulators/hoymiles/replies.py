"""What a simulated DTU answers. Fields are named and scaled as in ``messages.proto``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import math
from typing import TYPE_CHECKING, Final

from custom_components.local_solar.hoymiles.messages import Field, Fields
from custom_components.local_solar.modbus.crc import crc16

from .faults import FaultKind, Trouble
from .fields import integer, many, text
from .inverter import HISTORY_STEP, SimulatedInverter, SimulatedMeter
from .values import old_real_data, real_data

if TYPE_CHECKING:
    from .dtu import SimulatedDtu

FEATURES: Final = 0x4C0000C0
"""Bits of what the firmware can do, as seen on a real one (without encryption)."""

ENCRYPTS: Final = 1 << 25
"""The bit that says that requests must be encrypted."""

STORED_LIMIT_FEATURE: Final = 8
"""Key of the feature that tells the stored limit."""

_GRID_PROFILE: Final = 0x0300
"""VDE-AR-N 4105:2018."""
_GRID_PROFILE_VERSION: Final = 0x2001

_SECTION: Final = bytes.fromhex("0003 08FC 07F8 0032 0899 0BB8")
"""An invented part of a profile: limits of the voltage and their times."""

_SIGNAL: Final = 78
"""Percent."""

_ALARMS_PER_PAGE: Final = 12
_HISTORY_PER_PAGE: Final = 150
"""So that a reply has less than 1024 bytes, which is all that some clients read."""

_BAD_TEXT: Final = b"0\xff"

_INVERTER: Final = 3
_METER: Final = 5

type Answer = Callable[[SimulatedDtu, Fields, Trouble], Fields | None]


@dataclass(frozen=True, slots=True)
class Handler:
    """How a request is read and answered. ``answer`` returns ``None`` for silence."""

    request: str
    """Name of its message."""
    reply: str
    answer: Answer


# -- what it is ------------------------------------------------------------------------


def app_info(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Tell what the DTU is and what is behind it."""
    page = integer(request, "page_index")
    size = dtu.inventory.inverters_per_page
    inverters = list(dtu.inverters.values())
    fields: Fields = {
        "dtu_serial": dtu.serial.encode(),
        "time": dtu.unix_time(trouble=trouble) & 0xFFFFFFFF,
        "inverter_count": len(inverters),
        "panel_count": sum(inverter.spec.model.inputs for inverter in inverters),
        "page_count": max(1, math.ceil(len(inverters) / size)),
        "page_index": page,
        "inverters": [
            _inverter_info(inverter)
            for inverter in inverters[page * size : (page + 1) * size]
        ],
    }
    if page == 0:
        stored = inverters[0].stored_limit if inverters else 0
        fields |= {
            "dtu": _dtu_info(dtu),
            "meters": [_meter_info(meter) for meter in dtu.meters],
            "features": many(
                {"key": 1, "value": b"1"},
                {
                    "key": STORED_LIMIT_FEATURE,
                    "value": f"1,A:{stored},B:0,C:0".encode(),
                },
            ),
        }
    return fields


def _dtu_info(dtu: SimulatedDtu) -> Fields:
    return {
        "device_kind": 1,
        "software_version": dtu.firmware,
        "hardware_version": 0x1000,
        "step_time": HISTORY_STEP,
        "radio_hardware_version": 0x10101,
        "radio_software_version": 0x100101,
        "access_mode": 1,
        "signal_strength": _SIGNAL,
        "wifi_version": b"1.2.0.5",
        "rule_id": 21,
        "feature_flags": FEATURES | (ENCRYPTS if dtu.cipher else 0),
        "encryption_seed": dtu.encryption_seed,
    }


def _meter_info(meter: SimulatedMeter) -> Fields:
    return {
        "device_kind": _METER,
        "serial": meter.spec.serial,
        "model": 1 if meter.spec.phases == 1 else 3,
        "ct_ratio": 1,
        "communication_way": 1,
        "access_mode": 1,
    }


def _inverter_info(inverter: SimulatedInverter) -> Fields:
    return {
        "device_kind": _INVERTER,
        "serial": inverter.serial,
        "bootloader_version": 257,
        "software_version": 10008,
        "hardware_part_number": inverter.spec.model.part_number,
        "hardware_version": 0x100,
        "grid_profile_version": _GRID_PROFILE_VERSION,
        "grid_profile_id": _GRID_PROFILE,
        "radio_hardware_version": 1,
        "radio_software_version": 2,
        "rule_id": 1,
    }


def default_config(serial: str) -> Fields:
    """Return an invented configuration. What changes by itself is not in it."""
    return {
        "network_mode": 1,
        "wifi_signal": _SIGNAL,
        "cloud_port": 10081,
        "apn_set": b"CMNET",
        "meter_kind": b"0",
        "meter_interface": b"0",
        "wifi_ssid": b"Sunny Side",
        "wifi_password": b"correct-horse-battery",
        "cloud_host": b"dataeu.hoymiles.com",
        "dtu_serial": serial.encode(),
        "access_mode": 1,
        "dhcp_enable": 1,
        "apn_name": b"NONE",
        "apn_password": b"apn-staple-71",
        "ap_ssid": f"DTUBI-{serial}".encode(),
        "ap_password": b"ap-paperclip-42",
        **_octets("mac", "AC190072" + serial[-4:]),
        **_octets("wifi_mac", "AC190072" + serial[-4:]),
        **_octets("wifi_ip", "C0A80132"),
    }


def _octets(name: str, digits: str) -> dict[str, Field]:
    return {f"{name}_{n}": octet for n, octet in enumerate(bytes.fromhex(digits))}


def config(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Tell the configuration, secrets and all. Newer firmware leaves the limit out."""
    limit = 0
    if dtu.inverters and dtu.tells_limit_in_config:
        limit = next(iter(dtu.inverters.values())).stored_limit
    fields: Fields = {
        **dtu.config,
        "utc_offset": dtu.utc_offset,
        "time": dtu.unix_time(trouble=trouble) & 0xFFFFFFFF,
        "power_limit": limit,
        "upload_interval": dtu.upload_interval,
    }
    if trouble.has(FaultKind.BAD_TEXT):
        fields["meter_kind"] = _BAD_TEXT
    return fields


def set_config(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Take a configuration, which is noted and changes nothing."""
    dtu.desk.note(0xA310, dtu.clock.now())
    return {
        "utc_offset": dtu.utc_offset,
        "time": dtu.unix_time(trouble=trouble) & 0xFFFFFFFF,
    }


def network_info(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Tell how it is connected."""
    return {
        "dtu_serial": dtu.serial.encode(),
        "time": dtu.unix_time(trouble=trouble) & 0xFFFFFFFF,
        "set_mode": 1,
        "set_time": 60,
        "set_state": 1,
        "work_mode": 1,
        "work_time": int((dtu.clock.now() - dtu.booted).total_seconds()),
        "signal": _SIGNAL,
        "work_state": 1,
    }


def heartbeat(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Tell that it is alive."""
    return {
        "utc_offset": dtu.utc_offset,
        "time": dtu.unix_time(trouble=trouble),
        "signal": _SIGNAL,
        "dtu_serial": dtu.serial.encode(),
    }


# -- commands, events, history ---------------------------------------------------------


def local_command(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Take a command."""
    return command(dtu, 0xA305, request, trouble)


def cloud_command(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Take a command under the id that the cloud uses."""
    return command(dtu, 0x2305, request, trouble)


def command(
    dtu: SimulatedDtu, command_id: int, request: Fields, trouble: Trouble
) -> Fields:
    """Take a command and acknowledge it."""
    error = dtu.desk.give(command_id, request, dtu.clock.now(), trouble)
    return {
        "dtu_serial": dtu.serial.encode(),
        "time": dtu.unix_time(trouble=trouble),
        "action": integer(request, "action"),
        "error_code": error,
        "transaction_id": integer(request, "transaction_id"),
    }


def command_status(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Tell what became of a command."""
    action = integer(request, "action")
    transaction = integer(request, "transaction_id")
    return {
        "dtu_serial": dtu.serial.encode(),
        "time": dtu.unix_time(trouble=trouble),
        "action": action,
        "page_count": 1,
        "transaction_id": transaction,
        **dtu.desk.status(action, transaction, dtu.clock.now()),
    }


def alarms(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Give a page of the events that were listed by command."""
    page = integer(request, "page_index")
    listed = dtu.alarms.collected
    first = page * _ALARMS_PER_PAGE
    now = dtu.clock.now()
    ahead = dtu.unix_time(now, trouble) - int(now.timestamp())
    return {
        "dtu_serial": dtu.serial.encode(),
        "time": dtu.unix_time(trouble=trouble),
        "page_count": max(1, math.ceil(len(listed) / _ALARMS_PER_PAGE)),
        "page_index": page,
        "alarms": [
            alarm.fields(ahead) for alarm in listed[first : first + _ALARMS_PER_PAGE]
        ],
    }


def history_power(
    dtu: SimulatedDtu, request: Fields, trouble: Trouble
) -> Fields | None:
    """Give a page of today's powers, one for each five minutes until now."""
    if not dtu.has_history:
        return None
    page = integer(request, "page_index")
    now = dtu.clock.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = dtu.unix_time(midnight, trouble)
    steps = int((now - midnight).total_seconds()) // HISTORY_STEP
    first = page * _HISTORY_PER_PAGE
    numbers = range(first, min(steps, first + _HISTORY_PER_PAGE))
    inverters = dtu.inverters.values()
    return {
        "serial": int(dtu.serial, 16),
        "page_count": max(1, math.ceil(steps / _HISTORY_PER_PAGE)),
        "page_index": page,
        "utc_offset": dtu.utc_offset,
        "time": dtu.unix_time(trouble=trouble) & 0xFFFFFFFF,
        "start_time": start & 0xFFFFFFFF,
        "long_term_start": start & 0xFFFFFFFF,
        "absolute_start": start + first * HISTORY_STEP & 0xFFFFFFFF,
        "step_time": HISTORY_STEP,
        "current_power": sum(inverter.grid(now).active_power for inverter in inverters),
        "energy_total": int(
            sum(energy for inverter in inverters for energy in inverter.energy_total)
        ),
        "energy_today": int(
            sum(energy for inverter in inverters for energy in inverter.energy_today)
        ),
        "powers": [
            round(10 * dtu.history.get(number, 0.0) * 3600 / HISTORY_STEP)
            for number in numbers
        ],
        "warning_count": sum(inverter.warning_count for inverter in inverters),
    }


def grid_profile(dtu: SimulatedDtu, serial: int) -> Fields:
    """Tell the grid profile of an inverter, as it was read by command."""
    profile = _GRID_PROFILE.to_bytes(2) + _GRID_PROFILE_VERSION.to_bytes(2) + _SECTION
    return {
        "time": dtu.unix_time(),
        "transaction_id": dtu.unix_time(),
        "rule_id": 1,
        "data": profile,
        "crc": crc16(profile),
        "dtu_serial": dtu.serial.encode(),
        "device_serial": f"{serial:012X}".encode(),
        "page_count": 1,
        "rule_type": 1,
    }


def fetch_grid_profile(
    dtu: SimulatedDtu, request: Fields, trouble: Trouble
) -> Fields | None:
    """Give the grid profile of an inverter that is named; silence about others."""
    try:
        serial = int(text(request, "device_serial") or "0", 16)
    except ValueError:
        serial = 0
    if serial not in dtu.inverters:
        return None
    return {
        **grid_profile(dtu, serial),
        "time": dtu.unix_time(trouble=trouble),
        "transaction_id": integer(request, "transaction_id"),
    }


HANDLERS: Final[Mapping[int, Handler]] = {
    0xA301: Handler("AppInfoRequest", "AppInfoReply", app_info),
    0xA302: Handler("HeartbeatToDtu", "HeartbeatFromDtu", heartbeat),
    0xA303: Handler("OldRealDataRequest", "OldRealDataReply", old_real_data),
    0xA304: Handler("AlarmRequest", "AlarmReply", alarms),
    0xA305: Handler("CommandRequest", "CommandAck", local_command),
    0xA306: Handler("CommandStatusRequest", "CommandStatusReply", command_status),
    0xA307: Handler("DevConfigFetchRequest", "DevConfigFetchReply", fetch_grid_profile),
    0xA309: Handler("ConfigRequest", "ConfigReply", config),
    0xA310: Handler("SetConfigRequest", "SetConfigReply", set_config),
    0xA311: Handler("RealDataRequest", "RealDataReply", real_data),
    0xA314: Handler("NetworkInfoRequest", "NetworkInfoReply", network_info),
    0xA315: Handler("HistoryPowerRequest", "HistoryPowerReply", history_power),
    0x2305: Handler("CommandRequest", "CommandAck", cloud_command),
}
"""Id of a request -> how it is answered. Others are met with silence."""
