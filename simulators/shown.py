"""What registers show of a plant, by key.

Keys and units are those of the integration's register maps. A row that a unit lacks is
left out where the values are put into registers, so nothing here asks for the family.
Counters are not here: they follow from the plant's energies.
"""

from collections.abc import Mapping
from datetime import datetime
import math
from typing import Final

from .sun import Flows, Plant, Size

type Shown = float | bool | str | tuple[str, ...] | datetime
"""A value for a register. Of several options, the first one that the row has."""

type Values = dict[str, Shown]

_UNBALANCE: Final[Mapping[int, float]] = {1: 1.0, 2: 1.004, 3: 0.997}
"""Voltages of the three phases, as shares of the first."""

_BUS_VOLTAGE: Final = 380.0


def shown_of(plant: Plant) -> Values:
    """Return what registers show now."""
    size, flows = plant.size, plant.flows()
    running = bool(flows.pv or flows.discharge or flows.output)
    minute = plant.now.minute
    voltage = size.grid_voltage * (1 + 0.008 * math.sin(minute / 4.1))
    frequency = size.grid_frequency + 0.02 * math.sin(plant.now.second / 7 + minute)
    values = {
        **_states(size, flows, running=running),
        **_powers(size, flows),
        **_temperatures(abs(flows.output) / 10 / (size.rated_power or 1)),
        **_phases(size, flows, voltage),
        **_strings(size, flows, minute),
        **_off_grid(size, flows, voltage, frequency),
        "grid_frequency": frequency,
        "power_factor": 1,
        "bus_voltage": _BUS_VOLTAGE * running,
        "bus_voltage_p": _BUS_VOLTAGE * running,
        "run_time": plant.run_time,
        "clock": plant.device_time,
        "clock_weekday": plant.device_time.isoweekday() % 7,
    }
    if size.battery_capacity:
        values |= _battery(size, flows, plant.soc)
    return values


def _states(size: Size, flows: Flows, *, running: bool) -> Values:
    states: Values = {
        "status": ("normal",) if running else ("standby", "waiting"),
        "system_work_mode": ("waiting",),
        "vpp_status": ("standby",),
        "standby_flags": 0 if running else 2,
        "standby_pv_low": not running,
    }
    if running:
        work = "pv_battery_online" if flows.pv else "battery_online"
        states["system_work_mode"] = (work,)
        states["vpp_status"] = ("battery_online_on_grid",)
    if size.off_grid:
        states["status"] = (_off_grid_status(flows),)
    return states


def _off_grid_status(flows: Flows) -> str:
    """Return the state of an off-grid inverter: what feeds the loads, and the battery."""
    if flows.discharge:
        return "pv_battery_discharging" if flows.pv else "battery_discharging"
    return "pv_charging_and_loads" if flows.pv else "grid_bypass"


def _powers(size: Size, flows: Flows) -> Values:
    output = flows.output / 10
    return {
        "pv_power": flows.pv / 10,
        "ac_power": output,
        "system_power": flows.direct / 10,
        "grid_import_power": flows.grid_import / 10,
        "grid_export_power": flows.grid_export / 10,
        "load_power": flows.load / 10,
        "self_use_power": flows.by_name()["self_use"] / 10,
        "extra_pv_power": flows.external / 10,
        "extra_pv_power_2": flows.external / 10,
        "ac_charge_power": max(0, -flows.direct) / 10,
        "apparent_power": output,
        "reactive_power": 0,
        "output_power_percent": 100 * output / size.rated_power
        if size.rated_power
        else 0,
        # Export is positive in the one, import in the other.
        "vpp_active_power": output,
        "vpp_meter_power": (flows.grid_import - flows.grid_export) / 10,
    }


def _temperatures(warm: float) -> Values:
    """Return temperatures for a share of the rated power."""
    return {
        "inverter_temperature": 27 + 24 * warm,
        "ipm_temperature": 28 + 28 * warm,
        "boost_temperature": 27 + 22 * warm,
        "dcdc_temperature": 28 + 22 * warm,
        "communication_board_temperature": 30 + 12 * warm,
    }


def _phases(size: Size, flows: Flows, voltage: float) -> Values:
    count = size.phases
    shared = {
        "grid_import": flows.grid_import / 10,
        "grid_export": flows.grid_export / 10,
        "load": flows.load / 10,
    }
    output = flows.output / 10 / count
    values: Values = {"vpp_grid_voltage": voltage}
    for n in range(1, count + 1):
        volts = voltage * _UNBALANCE[n]
        values |= {
            f"grid_l{n}_voltage": volts,
            f"grid_l{n}_current": output / volts,
            f"grid_l{n}_power": output,
            f"grid_port_l{n}_voltage": volts,
            f"load_l{n}_current": shared["load"] / count / volts,
            f"vpp_grid_current_l{n}": output / volts,
            **{f"{name}_power_l{n}": power / count for name, power in shared.items()},
        }
    if count > 1:
        between = voltage * math.sqrt(3)
        for pair in ("grid_l1_l2", "grid_l2_l3", "grid_l3_l1"):
            values[f"{pair}_voltage"] = between
    return values


def _strings(size: Size, flows: Flows, minute: int) -> Values:
    values: Values = {}
    for n, (nominal, power) in enumerate(
        zip(size.strings, flows.strings, strict=True), 1
    ):
        at_work = nominal * (0.97 + 0.03 * math.sin(minute / 5 + n))
        values[f"pv{n}_power"] = power / 10
        values[f"pv{n}_voltage"] = at_work if power else 0
        values[f"pv{n}_current"] = power / 10 / at_work
        # Two strings behind each input, of one length.
        for monitored in (2 * n - 1, 2 * n):
            values[f"string{monitored}_voltage"] = at_work if power else 0
            values[f"string{monitored}_current"] = power / 20 / at_work
    return values


def _off_grid(size: Size, flows: Flows, voltage: float, frequency: float) -> Values:
    """Return what an off-grid inverter shows of its output and its AC input."""
    if not size.off_grid:
        return {}
    load, grid = flows.load / 10, flows.grid_import / 10
    return {
        "ac_output_power": load,
        "ac_output_apparent_power": load,
        "ac_output_voltage": voltage,
        "ac_output_frequency": frequency,
        "ac_output_current": load / voltage,
        "inverter_current": load / voltage,
        "load_percent": 100 * load / size.rated_power if size.rated_power else 0,
        "ac_discharge_power": flows.discharge / 10,
        "ac_input_voltage": voltage,
        "ac_input_frequency": frequency,
        "ac_input_power": grid,
        "ac_input_apparent_power": grid,
    }


def _battery(size: Size, flows: Flows, soc: float) -> Values:
    volts = size.battery_voltage * (0.975 + 0.0006 * soc)
    net = (flows.discharge - flows.charge) / 10
    cells = volts / size.battery_voltage * 3.2
    capacity = size.battery_capacity / size.battery_voltage
    return {
        "status_mode": ("pv_battery_online",) if flows.pv else ("battery_online",),
        "battery_state": _battery_state(flows),
        "bms_status": _battery_state(flows),
        "battery_soc": soc,
        "bms_soc": soc,
        "battery_charge_power": flows.charge / 10,
        "battery_discharge_power": flows.discharge / 10,
        "battery_power": -net,
        "battery_charge_current": max(0.0, -net) / volts,
        "battery_discharge_current": max(0.0, net) / volts,
        "battery_voltage": volts,
        "battery_voltage_dc": volts,
        "battery_voltage_dsp": volts,
        "bms_voltage": volts,
        "battery_load_voltage": volts,
        "battery_current": net / volts,
        "bms_current": -net / volts,
        "vpp_battery_current": -net / volts,
        "bms_full_capacity": capacity,
        "bms_remaining_capacity": capacity * soc / 100,
        "bms_cell_voltage_max": cells + 0.003,
        "bms_cell_voltage_min": cells - 0.002,
        "bms_temperature": 22 + abs(net) / 500,
        "battery_pack_temperature": 22 + abs(net) / 500,
    }


def _battery_state(flows: Flows) -> tuple[str, ...]:
    if flows.charge:
        return ("charging",)
    if flows.discharge:
        return ("discharging",)
    return ("idle", "free", "standby")
