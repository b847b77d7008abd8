"""What a storage gateway says, as plain records.

As in ``records``: numbers are raw integers, and one that was not sent is 0. Blocks are
another matter, a block that was not sent is ``None``: in one that is there a 0 is a 0.

Not all blocks are here. Of AC coupled inverters, generators, smart loads, chargers, switch
boxes and single packs no message was ever published, so their scales are guesses.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final, NamedTuple

from . import messages
from .records import text

HYBRID_INVERTER: Final = 6
"""Kind of a device behind a gateway."""


# -- the gateway ------------------------------------------------------------------------


class GatewayDevice(NamedTuple):
    """Something that is wired to a gateway."""

    serial: int
    type: int
    address: int
    """On its bus."""


@dataclass(frozen=True, slots=True)
class GatewayInfo:
    """What a gateway says of itself, one page or all of them."""

    serial: int
    time: int
    """Seconds by the gateway's clock."""
    page_count: int
    page_index: int
    software_version: int
    hardware_version: int
    signal: int
    """0 if it does not say."""
    encrypts: bool
    """Whether it gives a seed. No client is known that can talk to such a gateway."""
    devices: tuple[GatewayDevice, ...]


# -- what there is ----------------------------------------------------------------------


class HybridInfo(NamedTuple):
    """A hybrid inverter in the gateway's list, with its battery."""

    serial: int
    model_name: str
    hardware_version: str
    main_software: str
    battery_serial: str
    battery_hardware: str
    battery_software: str
    battery_capacity: int
    """Nobody knows for sure in what; Ah would fit."""
    panel_count: int


@dataclass(frozen=True, slots=True)
class StorageRegistry:
    """The hybrid inverters that a gateway knows, one page or all of them."""

    time: int
    page_count: int
    page_index: int
    meter_serial: str
    pv_meter_serial: str
    inverters: tuple[HybridInfo, ...]


# -- values -----------------------------------------------------------------------------


class Production(NamedTuple):
    """Where the energy of the panels went, in 0.1 kWh."""

    to_load: int
    to_battery: int
    to_grid: int


class Consumption(NamedTuple):
    """Where the energy of the loads came from, in 0.1 kWh."""

    from_pv: int
    from_battery: int
    from_grid: int

    @property
    def total(self) -> int:
        """What the loads took."""
        return _positive_sum(self)


class StoragePanel(NamedTuple):
    """A DC input of a hybrid inverter."""

    input: int
    """Counted from 1."""
    voltage: int
    current: int
    power: int
    energy: int


class Battery(NamedTuple):
    """The battery as its management tells."""

    status: int
    fault: int
    soc: int
    soh: int
    voltage: int
    current: int
    power: int
    max_charge_current: int
    max_discharge_current: int
    charge_cutoff_voltage: int
    discharge_cutoff_voltage: int
    cell_temperature_max: int
    cell_temperature_min: int
    module_temperature_max: int
    module_temperature_min: int
    energy_charged: int
    energy_discharged: int
    cell_voltage_max: int
    cell_voltage_min: int
    module_voltage_max: int
    module_voltage_min: int

    @property
    def is_there(self) -> bool:
        """Whether a battery answers: a block of zeros is sent where there is none."""
        return self.voltage > 0 or self.soc > 0


class GridPhase(NamedTuple):
    """One phase of the grid."""

    phase: int
    voltage: int
    current: int
    active_power: int
    reactive_power: int
    power_factor: int
    energy_export: int
    energy_import: int


class LoadPhase(NamedTuple):
    """One phase of the loads."""

    phase: int
    voltage: int
    active_power: int
    energy: int


class InverterPhase(NamedTuple):
    """One phase of the inverter and of its backup output."""

    phase: int
    voltage: int
    current: int
    active_power: int
    reactive_power: int
    backup_voltage: int
    backup_current: int
    backup_power: int


@dataclass(frozen=True, slots=True)
class Grid:
    """The connection to the grid."""

    status: int
    frequency: int
    phases: tuple[GridPhase, ...]

    @property
    def energy_export(self) -> int:
        """What was fed in. Each phase counts by itself."""
        return _positive_sum(phase.energy_export for phase in self.phases)

    @property
    def energy_import(self) -> int:
        """What was drawn. Each phase counts by itself."""
        return _positive_sum(phase.energy_import for phase in self.phases)


class InverterParameters(NamedTuple):
    """What there is once in an inverter, however many phases it has."""

    status: int
    main_fault: int
    sub_fault: int
    frequency: int
    insulation_resistance: int
    leakage_current: int
    temperature_inside: int
    temperature_pv: int
    temperature_inverter: int
    temperature_battery: int
    bus_voltage: int


@dataclass(frozen=True, slots=True)
class InverterData:
    """The inverter itself."""

    parameters: InverterParameters
    phases: tuple[InverterPhase, ...]

    @property
    def active_power(self) -> int:
        """The power of all phases."""
        return sum(phase.active_power for phase in self.phases)


class Flow(NamedTuple):
    """Who feeds whom, in W.

    The first five are named by both ends and should not be negative; where one is, it is
    not believed to be the flow the other way round. Only the last one is taken to have a
    sign: the message has no field for grid to battery, and batteries do get charged
    from the grid.
    """

    pv_to_load: int
    pv_to_battery: int
    pv_to_grid: int
    battery_to_load: int
    grid_to_load: int
    battery_to_grid: int
    """Negative while the grid charges the battery."""
    soc: int

    @property
    def load(self) -> int:
        """What the loads take."""
        return _positive_sum((self.pv_to_load, self.battery_to_load, self.grid_to_load))

    @property
    def battery_charge(self) -> int:
        """What goes into the battery."""
        return _positive_sum((self.pv_to_battery, -self.battery_to_grid))

    @property
    def battery_discharge(self) -> int:
        """What comes out of the battery."""
        return _positive_sum((self.battery_to_load, self.battery_to_grid))

    @property
    def grid_import(self) -> int:
        """What comes from the grid."""
        return _positive_sum((self.grid_to_load, -self.battery_to_grid))

    @property
    def grid_export(self) -> int:
        """What goes into the grid."""
        return _positive_sum((self.pv_to_grid, self.battery_to_grid))

    @property
    def grid(self) -> int:
        """Power from the grid, negative while it is fed."""
        return self.grid_import - self.grid_export


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageData:
    """The values of one hybrid inverter, one page or all of them."""

    serial: int
    time: int
    page_count: int
    page_index: int
    production: Production | None = None
    consumption: Consumption | None = None
    panels: tuple[StoragePanel, ...] = ()
    battery: Battery | None = None
    grid: Grid | None = None
    load_phases: tuple[LoadPhase, ...] = ()
    inverter: InverterData | None = None
    flow: Flow | None = None

    @property
    def is_linked(self) -> bool:
        """Whether the gateway has reached the inverter.

        Something has a voltage then, or there is a flow. A state of charge alone may be
        an old one.
        """
        return (
            (self.battery is not None and self.battery.is_there)
            or (self.grid is not None and _any_voltage(self.grid.phases))
            or (self.inverter is not None and _any_voltage(self.inverter.phases))
            or _any_voltage(self.panels)
            or (self.flow is not None and any(self.flow[:-1]))
        )

    @property
    def pv_power(self) -> int:
        """The power of all inputs."""
        return sum(panel.power for panel in self.panels)

    @property
    def pv_energy(self) -> int:
        """The energy of all inputs."""
        return _positive_sum(panel.energy for panel in self.panels)


def _positive_sum(numbers: Iterable[int]) -> int:
    """Return the sum of those that are more than 0."""
    return sum(number for number in numbers if number > 0)


def _any_voltage(
    parts: Iterable[StoragePanel] | Iterable[GridPhase] | Iterable[InverterPhase],
) -> bool:
    return any(part.voltage for part in parts)


# -- from messages ----------------------------------------------------------------------


def _reader[Record](
    make: Callable[[Iterable[Any]], Record], names: tuple[str, ...]
) -> Callable[[Any], Record]:
    """Return what makes a record of a message that has fields of its names."""
    values = attrgetter(*names)
    return lambda message: make(values(message))


_gateway_device: Final = _reader(GatewayDevice._make, GatewayDevice._fields)
_production: Final = _reader(Production._make, Production._fields)
_consumption: Final = _reader(Consumption._make, Consumption._fields)
_panel: Final = _reader(StoragePanel._make, StoragePanel._fields)
_battery: Final = _reader(Battery._make, Battery._fields)
_grid_phase: Final = _reader(GridPhase._make, GridPhase._fields)
_load_phase: Final = _reader(LoadPhase._make, LoadPhase._fields)
_inverter_phase: Final = _reader(InverterPhase._make, InverterPhase._fields)
_inverter_parameters: Final = _reader(
    InverterParameters._make, InverterParameters._fields
)
_flow: Final = _reader(Flow._make, Flow._fields)


def gateway_info(payload: bytes) -> GatewayInfo:
    """Return what a gateway says of itself, as all of these: ``MessageError`` if it does not."""
    message = messages.parse("GatewayInfoReply", payload)
    first = next(iter(message.gateways), None)
    return GatewayInfo(
        serial=message.serial,
        time=message.time,
        page_count=message.page_count,
        page_index=message.page_index,
        software_version=first.software_version if first else 0,
        hardware_version=first.hardware_version if first else 0,
        signal=first.signal if first else 0,
        encrypts=any(gateway.encryption_seed for gateway in message.gateways),
        devices=tuple(map(_gateway_device, message.devices)),
    )


def storage_registry(payload: bytes) -> StorageRegistry:
    """Return one page of the list of hybrid inverters."""
    message = messages.parse("StorageRegistryReply", payload)
    return StorageRegistry(
        time=message.time,
        page_count=message.page_count,
        page_index=message.page_index,
        meter_serial=text(message.meter.serial),
        pv_meter_serial=text(message.meter.pv_serial),
        inverters=tuple(map(_hybrid_info, message.inverters)),
    )


def _hybrid_info(message: Any) -> HybridInfo:
    return HybridInfo(
        serial=message.serial,
        model_name=text(message.model_name),
        hardware_version=text(message.hardware_version),
        main_software=text(message.main_software),
        battery_serial=text(message.battery_serial),
        battery_hardware=text(message.battery_hardware),
        battery_software=text(message.battery_software),
        battery_capacity=message.battery_capacity,
        panel_count=message.panel_count,
    )


def storage_data(payload: bytes) -> StorageData:
    """Return one page of the values of a hybrid inverter."""
    message = messages.parse("StorageDataReply", payload)

    def block[Record](name: str, read: Callable[[Any], Record]) -> Record | None:
        return read(getattr(message, name)) if message.HasField(name) else None

    return StorageData(
        serial=message.serial,
        time=message.time,
        page_count=message.page_count,
        page_index=message.page_index,
        production=block("production", _production),
        consumption=block("consumption", _consumption),
        panels=tuple(map(_panel, message.panels)),
        battery=block("battery", _battery),
        grid=block("grid", _grid),
        load_phases=tuple(map(_load_phase, message.load.phases)),
        inverter=block("inverter", _inverter),
        flow=block("flow", _flow),
    )


def _grid(message: Any) -> Grid:
    return Grid(
        status=message.parameters.status,
        frequency=message.parameters.frequency,
        phases=tuple(map(_grid_phase, message.phases)),
    )


def _inverter(message: Any) -> InverterData:
    return InverterData(
        parameters=_inverter_parameters(message.parameters),
        phases=tuple(map(_inverter_phase, message.phases)),
    )


# -- pages ------------------------------------------------------------------------------


def joined_info(pages: Iterable[GatewayInfo]) -> GatewayInfo:
    """Return the pages as one."""
    first, *others = pages
    devices = (device for page in (first, *others) for device in page.devices)
    return replace(first, devices=tuple(devices))


def joined_registry(pages: Iterable[StorageRegistry]) -> StorageRegistry:
    """Return the pages as one."""
    first, *others = pages
    inverters = (item for page in (first, *others) for item in page.inverters)
    return replace(first, inverters=tuple(inverters))


def joined_data(pages: Iterable[StorageData]) -> StorageData:
    """Return the pages as one, each with other blocks of the same inverter.

    Their times need not be the same: whether they are those of the values or of the answer
    is not known, and no value of one inverter can be taken for that of another.
    """
    first, *others = pages
    whole = first
    for page in others:
        whole = replace(
            whole,
            production=whole.production or page.production,
            consumption=whole.consumption or page.consumption,
            panels=(*whole.panels, *page.panels),
            battery=whole.battery or page.battery,
            grid=whole.grid or page.grid,
            load_phases=(*whole.load_phases, *page.load_phases),
            inverter=whole.inverter or page.inverter,
            flow=whole.flow or page.flow,
        )
    return whole
