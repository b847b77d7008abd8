"""The points of a hybrid inverter and its battery.

What is known of the scales comes from schemas of the vendor's app, and from two
installations whose owners published what their gateways said, in
suaveolent/ha-hoymiles-wifi#88. Sure are voltages of 0.1 V, cells of 1 mV, powers of 1 W
and energies of 0.1 kWh; next to the vendor's cloud, one owner saw the same battery voltage,
leakage current and insulation resistance. What is offered rather than shown is less sure,
or of less use.

All energies are those of the day. In one installation the inputs had 7.9 kWh in the
afternoon and their shares made 8.0 kWh; in the other, which was a year old, the battery
had given more than it had taken, which no lifetime counter can show. There are none.

Left out:

- the battery's own power, and that of the battery as the inverter sees it: whether it is
  negative while charging or discharging is not known, and the flows tell both;
- power factors, for whose step of 0.01 there is the word of one owner, and the flag that
  may be the direction of the grid's power;
- states of the inverter, the battery and the loads: numbers that nobody has explained;
- blocks that ``storage_records`` leaves out.
"""

from collections.abc import Iterator
from typing import Final

from ..points import Point, Quantity, Rhythm, Value, Visibility
from .points import (
    Row,
    code,
    current,
    energy,
    frequency,
    numbered,
    power,
    reactive_power,
    temperature,
    voltage,
)
from .storage_records import StorageData

_SHOWN: Final = Visibility.SHOWN
_OFFERED: Final = Visibility.OFFERED


# -- quantities in the steps of a gateway -------------------------------------------------


def _power(key: str, name: str, field: str, visibility: Visibility = _OFFERED) -> Row:
    return power(key, name, field, visibility, per_unit=1)


def _energy(key: str, name: str, field: str, visibility: Visibility = _OFFERED) -> Row:
    return energy(key, name, field, visibility, per_unit=10)


# -- who feeds whom ---------------------------------------------------------------------

FLOW: Final = (
    _power("load_power", "Load power", "load", _SHOWN),
    _power("grid_import_power", "Grid import power", "grid_import", _SHOWN),
    _power("grid_export_power", "Grid export power", "grid_export", _SHOWN),
    _power("grid_power", "Grid power", "grid"),
    _power("pv_to_load_power", "PV to load power", "pv_to_load"),
    _power("pv_to_battery_power", "PV to battery power", "pv_to_battery"),
    _power("pv_to_grid_power", "PV to grid power", "pv_to_grid"),
    _power("battery_to_load_power", "Battery to load power", "battery_to_load"),
    _power("grid_to_load_power", "Grid to load power", "grid_to_load"),
    _power("battery_to_grid_power", "Battery to grid power", "battery_to_grid"),
)
"""Trusted for directions, which the names of the fields tell and no sign has to. The four
sums balance by construction. The single flows are as the gateway sends them; that from
the battery to the grid is negative while the grid charges the battery, so it is assumed:
no message with such a value was ever published."""

BATTERY_FLOW: Final = (
    _power("battery_charge_power", "Charge power", "battery_charge", _SHOWN),
    _power("battery_discharge_power", "Discharge power", "battery_discharge", _SHOWN),
)

# -- panels -----------------------------------------------------------------------------

PV: Final = (
    _power("pv_power", "PV power", "pv_power", _SHOWN),
    _energy("pv_energy_today", "PV energy today", "pv_energy", _SHOWN),
)
"""Sums of the inputs: what is wired to this inverter, and no other."""

_INPUT: Final = (
    _power("pv{n}_power", "PV{n} power", "power", _SHOWN),
    voltage("pv{n}_voltage", "PV{n} voltage", "voltage"),
    current("pv{n}_current", "PV{n} current", "current"),
    _energy("pv{n}_energy_today", "PV{n} energy today", "energy"),
)
"""Currents are offered only: in the one sample there is, voltage times current is half as
much again as the power."""


def input_rows(number: int) -> Iterator[Row]:
    """Go through the rows of one DC input, counted from 1."""
    return numbered(_INPUT, number)


# -- energies by where they go ----------------------------------------------------------

CONSUMPTION: Final = (
    _energy("load_energy_today", "Load energy today", "total", _SHOWN),
    _energy(
        "battery_to_load_energy_today", "Battery to load energy today", "from_battery"
    ),
    _energy("grid_to_load_energy_today", "Grid to load energy today", "from_grid"),
)

PRODUCTION: Final = (
    _energy("pv_to_load_energy_today", "PV to load energy today", "to_load"),
    _energy("pv_to_battery_energy_today", "PV to battery energy today", "to_battery"),
    _energy("pv_to_grid_energy_today", "PV to grid energy today", "to_grid"),
)

# -- grid -------------------------------------------------------------------------------

GRID: Final = (
    _energy(
        "grid_import_energy_today", "Grid import energy today", "energy_import", _SHOWN
    ),
    _energy(
        "grid_export_energy_today", "Grid export energy today", "energy_export", _SHOWN
    ),
    frequency(never_zero=True),
)
"""The energies are sums of the phases, each of which counts by itself: with three of them
both can grow at the same time, where a meter of the grid operator may take the balance."""


def grid_rows(phase: int, *, alone: bool) -> tuple[Row, ...]:
    """Return the rows of one phase of the grid, counted from 1.

    Currents and powers are offered only: in the one sample they do not fit each other,
    and which sign means export is not known. A phase ``alone`` has the sums' energies.
    """
    key, name = f"grid_l{phase}", f"Grid L{phase}"
    rows = (
        voltage(f"{key}_voltage", f"{name} voltage", "voltage", _SHOWN),
        current(f"{key}_current", f"{name} current", "current"),
        _power(f"{key}_active_power", f"{name} power", "active_power"),
        reactive_power(f"{key}_reactive_power", f"{name} reactive power", per_unit=1),
    )
    if alone:
        return rows
    return (
        *rows,
        _energy(
            f"{key}_import_energy_today", f"{name} import energy today", "energy_import"
        ),
        _energy(
            f"{key}_export_energy_today", f"{name} export energy today", "energy_export"
        ),
    )


# -- loads and backup output ------------------------------------------------------------


def load_rows(phase: int) -> tuple[Row, ...]:
    """Return the rows of one phase of the loads, counted from 1.

    Offered only: whether these are all loads or those at the backup output is not known.
    """
    return (_power(f"load_l{phase}_power", f"Load L{phase} power", "active_power"),)


def eps_rows(phase: int) -> tuple[Row, ...]:
    """Return the rows of one phase of the backup output, counted from 1."""
    key, name = f"eps_l{phase}", f"EPS L{phase}"
    return (
        voltage(f"{key}_voltage", f"{name} voltage", "backup_voltage"),
        current(f"{key}_current", f"{name} current", "backup_current"),
        _power(f"{key}_active_power", f"{name} power", "backup_power"),
    )


# -- the inverter itself ----------------------------------------------------------------

OUTPUT: Final = (_power("ac_power", "Output power", "active_power"),)
"""Offered only: its sign while the grid charges the battery is not known."""

INVERTER: Final = (
    # Scale assumed, and older firmware leaves it out.
    temperature(
        "inverter_temperature",
        "Inverter temperature",
        "temperature_inside",
        never_zero=True,
    ),
    voltage("bus_voltage", "Bus voltage", "bus_voltage", never_zero=True),
    Row(
        point=Point(
            key="pv_isolation",
            name="PV insulation resistance",
            quantity=Quantity.RESISTANCE,
            unit="kΩ",
            visibility=_OFFERED,
        ),
        field="insulation_resistance",
        never_zero=True,
    ),
    current(
        "leakage_current",
        "Leakage current",
        "leakage_current",
        unit="mA",
        per_unit=1,
    ),
    code("fault_bits", "Fault bits", "main_fault"),
    code("secondary_fault_bits", "Secondary fault bits", "sub_fault"),
)

# -- battery ----------------------------------------------------------------------------

BATTERY_SOC: Final = Row(
    point=Point(
        key="battery_soc",
        name="State of charge",
        quantity=Quantity.STATE_OF_CHARGE,
        unit="%",
        visibility=_SHOWN,
    ),
    field="soc",
)

BATTERY: Final = (
    BATTERY_SOC,
    Row(
        point=Point(
            key="battery_soh",
            name="State of health",
            quantity=Quantity.PERCENT,
            unit="%",
            visibility=_OFFERED,
            rhythm=Rhythm.ENERGY,
        ),
        field="soh",
        never_zero=True,
    ),
    _energy(
        "battery_charge_energy_today", "Charge energy today", "energy_charged", _SHOWN
    ),
    _energy(
        "battery_discharge_energy_today",
        "Discharge energy today",
        "energy_discharged",
        _SHOWN,
    ),
    voltage("battery_voltage", "Voltage", "voltage"),
    # Scale assumed; which sign means charging is not known.
    current("battery_current", "Current", "current", per_unit=10),
    current(
        "bms_charge_current_limit",
        "Charge current limit",
        "max_charge_current",
        per_unit=10,
    ),
    current(
        "bms_discharge_current_limit",
        "Discharge current limit",
        "max_discharge_current",
        per_unit=10,
    ),
    voltage(
        "bms_charge_voltage_limit",
        "Charge voltage limit",
        "charge_cutoff_voltage",
        never_zero=True,
    ),
    voltage(
        "bms_discharge_voltage_limit",
        "Discharge voltage limit",
        "discharge_cutoff_voltage",
        never_zero=True,
    ),
    voltage(
        "bms_cell_voltage_max",
        "Highest cell voltage",
        "cell_voltage_max",
        per_unit=1000,
        never_zero=True,
    ),
    voltage(
        "bms_cell_voltage_min",
        "Lowest cell voltage",
        "cell_voltage_min",
        per_unit=1000,
        never_zero=True,
    ),
    voltage(
        "bms_module_voltage_max",
        "Highest module voltage",
        "module_voltage_max",
        per_unit=100,
        never_zero=True,
    ),
    voltage(
        "bms_module_voltage_min",
        "Lowest module voltage",
        "module_voltage_min",
        per_unit=100,
        never_zero=True,
    ),
    temperature(
        "bms_max_cell_temperature", "Highest cell temperature", "cell_temperature_max"
    ),
    temperature(
        "bms_min_cell_temperature", "Lowest cell temperature", "cell_temperature_min"
    ),
    temperature(
        "bms_max_module_temperature",
        "Highest module temperature",
        "module_temperature_max",
    ),
    temperature(
        "bms_min_module_temperature",
        "Lowest module temperature",
        "module_temperature_min",
    ),
    code("bms_fault", "BMS fault bits", "fault"),
)

# -- all of them ------------------------------------------------------------------------


def inverter_rows(inputs: tuple[int, ...], phases: tuple[int, ...]) -> Iterator[Row]:
    """Go through the rows of a hybrid inverter with these inputs and phases."""
    yield from (*PV, *FLOW, *CONSUMPTION, *PRODUCTION, *GRID)
    for number in inputs:
        yield from input_rows(number)
    for phase in phases:
        yield from grid_rows(phase, alone=len(phases) == 1)
        yield from load_rows(phase)
        yield from eps_rows(phase)
    yield from (*OUTPUT, *INVERTER)


def battery_rows() -> tuple[Row, ...]:
    """Return the rows of a battery."""
    return (*BATTERY, *BATTERY_FLOW)


# -- values -----------------------------------------------------------------------------

type _Values = dict[str, Value | None]


def inverter_values(data: StorageData) -> _Values:
    """Return the values of a hybrid inverter, of the blocks that there are."""
    values: _Values = {}
    if data.panels:
        values |= _values(PV, data)
    for panel in data.panels:
        values |= _values(input_rows(panel.input), panel)
    for block, rows in (
        (data.flow, FLOW),
        (data.consumption, CONSUMPTION),
        (data.production, PRODUCTION),
        (data.grid, GRID),
    ):
        if block is not None:
            values |= _values(rows, block)
    if data.grid is not None:
        for grid in data.grid.phases:
            values |= _values(grid_rows(grid.phase, alone=False), grid)
    for load in data.load_phases:
        values |= _values(load_rows(load.phase), load)
    if data.inverter is not None:
        values |= _values(INVERTER, data.inverter.parameters)
        if data.inverter.phases:
            values |= _values(OUTPUT, data.inverter)
        for phase in data.inverter.phases:
            values |= _values(eps_rows(phase.phase), phase)
    return values


def battery_values(data: StorageData) -> _Values:
    """Return the values of a battery, none if it does not answer the inverter."""
    values: _Values = {}
    if data.battery is not None and data.battery.is_there:
        values |= _values(BATTERY, data.battery)
    elif data.flow is not None and data.flow.soc > 0:
        values |= _values((BATTERY_SOC,), data.flow)
    if data.flow is not None:
        values |= _values(BATTERY_FLOW, data.flow)
    return values


def _values(rows: Iterator[Row] | tuple[Row, ...], block: object) -> _Values:
    values: _Values = {}
    for row in rows:
        raw: int = getattr(block, row.field)
        if row.reads(raw):
            values[row.point.key] = row.value(raw)
    return values
