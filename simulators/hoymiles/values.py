"""The values that a simulated DTU gives, in the new form and in that of older DTUs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
import math
from typing import TYPE_CHECKING, Final

from custom_components.local_solar.hoymiles.messages import Fields

from .faults import FaultKind, Trouble
from .fields import integer
from .inverter import SimulatedInverter, SimulatedMeter, grid_voltage

if TYPE_CHECKING:
    from .dtu import SimulatedDtu

PROFILE_CRC: Final = 28864
"""Of the grid profile, as seen at several sites with the same one."""

_AT_WORK: Final = 0x03000000
"""State of an input that is seen with panels that work."""

_METER: Final = 5
"""Kind of device."""

_PHASES: Final = "abc"


@dataclass(frozen=True, slots=True)
class Sample:
    """The values of one moment, as the pages that a DTU gives."""

    at: datetime
    pages: list[Fields]
    old_pages: list[Fields]


def make_sample(dtu: SimulatedDtu, at: datetime) -> Sample:
    """Gather the values of a moment."""
    return Sample(at, _real_pages(dtu, at), _old_pages(dtu, at))


def real_data(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields | None:
    """Give a page of the values that were gathered last."""
    dtu.counters.pages += 1
    if trouble.has(FaultKind.NO_REAL_DATA_NEW, FaultKind.NO_DATA, FaultKind.LOST_PAGE):
        return None
    page = integer(request, "page_index")
    sample = dtu.sample(first_page=page == 0, stuck=trouble.has(FaultKind.STUCK))
    fields: Fields = {"page_count": len(sample.pages), "page_index": page}
    if page < len(sample.pages):
        fields |= sample.pages[page]
    if trouble.has(FaultKind.MISSING_TOTAL):
        fields |= {"dtu_power": 0, "dtu_energy_today": 0}
    return fields | {
        "dtu_serial": dtu.serial.encode(),
        "time": _page_time(dtu, sample.at, page, trouble),
        "format_version": 1,
    }


def old_real_data(
    dtu: SimulatedDtu, request: Fields, trouble: Trouble
) -> Fields | None:
    """Give a page of the same in the form of older DTUs: one record for each input."""
    dtu.counters.pages += 1
    if trouble.has(FaultKind.NO_DATA, FaultKind.LOST_PAGE):
        return None
    page = integer(request, "page_index")
    sample = dtu.sample(first_page=page == 0, stuck=trouble.has(FaultKind.STUCK))
    fields: Fields = {"page_count": len(sample.old_pages), "page_index": page}
    if page < len(sample.old_pages):
        fields |= sample.old_pages[page]
    inverters = dtu.inverters.values()
    return fields | {
        "dtu_serial": dtu.serial.encode(),
        "time": _page_time(dtu, sample.at, page, trouble),
        "inverter_count": len(inverters),
        "panel_count": sum(inverter.spec.model.inputs for inverter in inverters),
        "signal": -60,
        "format_version": 1,
    }


def _page_time(dtu: SimulatedDtu, at: datetime, page: int, trouble: Trouble) -> int:
    jump = trouble.get(FaultKind.PAGE_TIME_JUMP) or 0
    return dtu.unix_time(at, trouble) + page * int(jump)


@dataclass(frozen=True, slots=True)
class _Record:
    """An inverter, or just more panels of one, on a page."""

    inverter: SimulatedInverter
    ports: range
    is_first: bool = True


def _records(dtu: SimulatedDtu) -> Iterator[_Record]:
    for inverter in dtu.inverters.values():
        inputs = inverter.spec.model.inputs
        size = dtu.inventory.panels_per_page or inputs
        for first in range(0, inputs, size):
            yield _Record(inverter, range(first, min(inputs, first + size)), first == 0)


def _record_pages(dtu: SimulatedDtu) -> list[list[_Record]]:
    records, size = list(_records(dtu)), dtu.inventory.inverters_per_page
    pages = [records[first : first + size] for first in range(0, len(records), size)]
    return pages or [[]]


def _real_pages(dtu: SimulatedDtu, at: datetime) -> list[Fields]:
    pages = [_real_page(dtu, records, at) for records in _record_pages(dtu)]
    reachable = [
        inverter for inverter in dtu.inverters.values() if inverter.is_reachable(at)
    ]
    produced = sum(inverter.grid(at).active_power for inverter in reachable)
    pages[0] |= {
        "dtu_power": produced,
        "dtu_energy_today": sum(
            int(energy) for inverter in reachable for energy in inverter.energy_today
        ),
    }
    pages[-1]["meters"] = [_meter(meter, at, produced / 10) for meter in dtu.meters]
    return pages


def _real_page(dtu: SimulatedDtu, records: list[_Record], at: datetime) -> Fields:
    single: list[Fields] = []
    three: list[Fields] = []
    panels: list[Fields] = []
    for record in records:
        inverter = record.inverter
        if record.is_first and inverter.spec.model.phases == 1:
            single.append(_single_phase(dtu, inverter, at))
        elif record.is_first:
            three.append(_three_phase(inverter, at))
        panels += _panels(inverter, record.ports, at)
    return {"single_phase": single, "three_phase": three, "panels": panels}


def _single_phase(
    dtu: SimulatedDtu, inverter: SimulatedInverter, at: datetime
) -> Fields:
    if not inverter.is_reachable(at):
        return {"serial": inverter.serial}
    grid = inverter.grid(at)
    return {
        "serial": inverter.serial,
        "format_version": 1,
        "voltage": grid.voltage,
        "frequency": grid.frequency,
        "active_power": grid.active_power,
        "reactive_power": grid.reactive_power,
        "current": grid.current,
        "power_factor": grid.power_factor,
        "temperature": grid.temperature,
        "warning_count": inverter.warning_count,
        "profile_crc": PROFILE_CRC,
        "link": 1,
        "power_limit": inverter.limit_in_force if dtu.shows_limit else 0,
        "link_quality": 85,
    }


def _three_phase(inverter: SimulatedInverter, at: datetime) -> Fields:
    if not inverter.is_reachable(at):
        return {"serial": inverter.serial}
    grid = inverter.grid(at)
    line = round(grid.voltage * math.sqrt(3))
    return {
        "serial": inverter.serial,
        "format_version": 1,
        "voltage_a": grid.voltage,
        "voltage_b": grid.voltage + 4,
        "voltage_c": grid.voltage - 5,
        "voltage_ab": line + 3,
        "voltage_bc": line,
        "voltage_ca": line - 4,
        "frequency": grid.frequency,
        "active_power": grid.active_power,
        "reactive_power": grid.reactive_power,
        "current_a": grid.current,
        "current_b": grid.current,
        "current_c": grid.current,
        "power_factor": grid.power_factor,
        "temperature": grid.temperature,
        "warning_count": inverter.warning_count,
        "profile_crc": PROFILE_CRC,
        "link": 1,
        "link_quality": 85,
    }


def _panels(inverter: SimulatedInverter, ports: range, at: datetime) -> list[Fields]:
    """Return the inputs: of an inverter out of reach just the energy of a life."""
    reachable = inverter.is_reachable(at)
    values = inverter.panels(at)
    panels: list[Fields] = []
    for port in ports:
        fields: Fields = {
            "serial": inverter.serial,
            "port": port + 1,
            "energy_total": int(inverter.energy_total[port]),
        }
        if reachable:
            fields |= {
                "voltage": values[port].voltage,
                "current": values[port].current,
                "power": values[port].power,
                "energy_today": int(inverter.energy_today[port]),
                "status_code": _AT_WORK,
            }
        panels.append(fields)
    return panels


def _meter(meter: SimulatedMeter, at: datetime, produced: float) -> Fields:
    """Return a meter: powers in steps of 10 W, energies of 10 Wh."""
    powers = meter.powers(at, produced)
    voltage = grid_voltage(at)
    fields: Fields = {
        "type": 1 if meter.spec.phases == 1 else 3,
        "serial": meter.spec.serial,
        "power_total": round(sum(powers) / 10),
        "power_factor_total": _power_factor(sum(powers)),
        "energy_export_total": int(sum(meter.exported) / 10),
        "energy_import_total": int(sum(meter.imported) / 10),
    }
    for phase, power in zip(_PHASES, powers, strict=False):
        factor = _power_factor(power)
        apparent = abs(power) * 1000 / abs(factor)
        n = _PHASES.index(phase)
        fields |= {
            f"power_{phase}": round(power / 10),
            f"energy_export_{phase}": int(meter.exported[n] / 10),
            f"energy_import_{phase}": int(meter.imported[n] / 10),
            f"voltage_{phase}": round(100 * voltage),
            f"current_{phase}": round(100 * apparent / voltage),
            f"power_factor_{phase}": factor,
        }
    return fields


def _power_factor(power: float) -> int:
    return -983 if power < 0 else 983


def _old_pages(dtu: SimulatedDtu, at: datetime) -> list[Fields]:
    pages: list[Fields] = [
        {
            "panels": [
                fields
                for record in records
                for fields in _old_panels(dtu, record.inverter, record.ports, at)
            ]
        }
        for records in _record_pages(dtu)
    ]
    produced = sum(
        inverter.grid(at).active_power
        for inverter in dtu.inverters.values()
        if inverter.is_reachable(at)
    )
    pages[-1]["meters"] = [
        _old_meter(_meter(meter, at, produced / 10)) for meter in dtu.meters
    ]
    return pages


def _old_panels(
    dtu: SimulatedDtu, inverter: SimulatedInverter, ports: range, at: datetime
) -> list[Fields]:
    panels = _panels(inverter, ports, at)
    if not inverter.is_reachable(at):
        return panels
    grid = inverter.grid(at)
    for fields in panels:
        del fields["status_code"]
        fields |= {
            "grid_voltage": grid.voltage,
            "grid_voltage_max": 2645,
            "grid_frequency": grid.frequency,
            "active_power": grid.active_power,
            "reactive_power": grid.reactive_power,
            "grid_current": grid.current,
            "power_factor": grid.power_factor,
            "temperature": grid.temperature,
            "run_status": 3,
            "warning_count": inverter.warning_count,
            "link": 1,
            "packets_sent": 1,
            "packets_received": 1,
            "sample_time": dtu.unix_time(at),
            "link_quality": 85,
        }
    return panels


def _old_meter(fields: Fields) -> Fields:
    """Return a meter as older DTUs give it, from how newer ones do."""
    kept = ("serial", "power_", "energy_")
    old: Fields = {
        name: value for name, value in fields.items() if name.startswith(kept)
    }
    for name in [name for name in old if name.startswith("power_factor")]:
        del old[name]
    return old | {
        "device_kind": _METER,
        "power_factor": fields["power_factor_total"],
    }


def upload_pages(dtu: SimulatedDtu) -> list[Fields]:
    """Return the values of now as the cloud gets them."""
    sample = dtu.sample()
    return [
        {
            **page,
            "dtu_serial": dtu.serial.encode(),
            "time": dtu.unix_time(sample.at),
            "page_count": len(sample.pages),
            "page_index": index,
            "format_version": 1,
        }
        for index, page in enumerate(sample.pages)
    ]
