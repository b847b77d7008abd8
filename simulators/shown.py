"""What the registers of a family show of a plant, beside what all families show.

Keys and units are those of the integration's register maps. A row that a unit lacks is
left out where the values are put into registers, so nothing here asks for the family.
"""

from collections.abc import Mapping
import math
from typing import Final

PHASES: Final = (1, 2, 3)
_UNBALANCE: Final[Mapping[int, float]] = {1: 1.0, 2: 1.004, 3: 0.997}
"""Voltages of the three phases, as shares of the first."""

CHARGING_AT: Final = 50.0
"""Watts from which on a battery counts as charging or discharging."""


def phase_values(
    count: int, voltage: float, output: float, powers: Mapping[str, float]
) -> dict[str, float]:
    """Return what each grid phase shows. ``powers`` are what is metered, by name."""
    values: dict[str, float] = {}
    for n in PHASES[:count]:
        volts = voltage * _UNBALANCE[n]
        values[f"grid_l{n}_voltage"] = volts
        values[f"grid_port_l{n}_voltage"] = volts
        values[f"grid_l{n}_power"] = output / count
        values[f"grid_l{n}_current"] = output / count / volts
        values[f"load_l{n}_current"] = powers["load"] / count / volts
        for name, power in powers.items():
            values[f"{name}_power_l{n}"] = power / count
    if count == len(PHASES):
        for pair in ("l1_l2", "l2_l3", "l3_l1"):
            values[f"grid_{pair}_voltage"] = voltage * math.sqrt(3)
    return values


def off_grid_values(
    voltage: float, frequency: float, rated: float, load: float, grid_import: float
) -> dict[str, float]:
    """Return what an off-grid inverter shows of its output and its AC input."""
    return {
        "ac_output_power": load,
        "ac_output_apparent_power": load,
        "ac_output_voltage": voltage,
        "ac_output_frequency": frequency,
        "ac_output_current": load / voltage,
        "inverter_current": load / voltage,
        "load_percent": 100 * load / rated if rated else 0.0,
        "ac_input_voltage": voltage,
        "ac_input_frequency": frequency,
        "ac_input_power": grid_import,
        "ac_input_apparent_power": grid_import,
    }


def vpp_values(
    output: float, grid: float, pv: float, battery: float, soc: float, volts: float
) -> dict[str, float]:
    """Return what the VPP registers show: export, import and charging are positive."""
    return {
        "vpp_active_power": output,
        "vpp_meter_power": grid,
        "vpp_pv_power": pv,
        "vpp_battery_power": battery,
        "vpp_battery_soc": soc,
        "vpp_battery_voltage": volts,
        "vpp_battery_current": battery / volts if volts else 0.0,
    }


def state_values(
    *, running: bool, pv: bool, charging: float, off_grid: bool
) -> dict[str, tuple[str, ...]]:
    """Return the states that families tell in their own words."""
    if not running:
        return {"system_work_mode": ("waiting",)}
    work = "pv_battery_online" if pv else "battery_online"
    states = {"system_work_mode": (work,), "vpp_status": ("battery_online_on_grid",)}
    if off_grid:
        states["status"] = (_off_grid_status(pv=pv, charging=charging),)
    return states


def _off_grid_status(*, pv: bool, charging: float) -> str:
    if not pv:
        return "battery_discharging" if charging < -CHARGING_AT else "grid_bypass"
    if charging < -CHARGING_AT:
        return "pv_battery_discharging"
    return "pv_charging_and_loads"
