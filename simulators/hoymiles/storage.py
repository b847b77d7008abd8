"""A storage gateway with a hybrid inverter and a battery, all driven by sun and house.

The powers come from the plant that simulated Growatt inverters have, too. Scales of
some of these messages are not certain: few real ones were ever seen.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Self

from custom_components.local_solar.hoymiles.messages import Fields
from simulators.clock import SimulatedClock
from simulators.sun import Flows, Plant, Size

from .faults import Trouble
from .fields import integer, many
from .inventory import Inventory, StorageSpec
from .replies import Handler

if TYPE_CHECKING:
    from .dtu import SimulatedDtu

_INVERTER: Final = 6
"""Kind of device: a hybrid inverter."""

_PANEL_VOLTAGE: Final = 360.0
_BATTERY_VOLTAGE: Final = 51.2
_GRID_VOLTAGE: Final = 231.0


class SimulatedStorage:
    """The hybrid inverter's plant."""

    def __init__(self, spec: StorageSpec, clock: SimulatedClock) -> None:
        """Start with the day so far."""
        self.spec = spec
        self._clock = clock
        size = Size(
            strings=(_PANEL_VOLTAGE, _PANEL_VOLTAGE),
            rated_power=spec.rated_power,
            battery_capacity=spec.battery_capacity,
            battery_power=2500,
            battery_voltage=_BATTERY_VOLTAGE,
        )
        self.plant = Plant(size, clock.now())

    @classmethod
    def of(cls, inventory: Inventory, clock: SimulatedClock) -> Self | None:
        """Return that of an inventory, ``None`` if it has none."""
        return cls(inventory.storage, clock) if inventory.storage else None

    def update(self) -> None:
        """Bring it to the clock's time."""
        self.plant.advance(self._clock.now())

    @property
    def flows(self) -> Flows:
        """The powers of now, in tenths of a watt."""
        return self.plant.flows()

    def energy(self, name: str) -> int:
        """Return today's energy of a flow, in steps of 0.1 kWh."""
        return int(self.plant.today.get(name, 0.0) / 100)


def _stamp(dtu: SimulatedDtu, trouble: Trouble) -> int:
    return dtu.unix_time(trouble=trouble) & 0xFFFFFFFF


def _storage(dtu: SimulatedDtu) -> SimulatedStorage:
    assert dtu.storage is not None
    return dtu.storage


def gateway_info(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Tell what the gateway is and what is behind it. Empty texts are sent, too."""
    return {
        "serial": int(dtu.serial, 16),
        "time": _stamp(dtu, trouble),
        "page_count": 1,
        "gateways": many(
            {
                "model": 1,
                "software_version": dtu.firmware,
                "hardware_version": 45313,
                "access_mode": 1,
                "wifi_version": b"2.3.0.0-dev",
                "rule_id": 21,
            }
        ),
        "devices": many(
            {"serial": _storage(dtu).spec.inverter, "type": _INVERTER, "address": 1}
        ),
    }


def gateway_network(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Tell how the gateway is connected."""
    return {
        "serial": int(dtu.serial, 16),
        "time": _stamp(dtu, trouble),
        "set_mode": 1,
        "work_mode": 1,
        "signal": 78,
        "work_state": 1,
    }


def registry(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """List the hybrid inverters and batteries."""
    spec = _storage(dtu).spec
    return {
        "type": 1,
        "meter": {"serial": b"10C093100008"},
        "inverters": many(
            {
                "serial": spec.inverter,
                "type": 1,
                "hardware_version": b"H01",
                "main_software": b"1.0.0",
                "slave_software": b"1.0.1",
                "battery_serial": spec.battery.encode(),
                "battery_capacity": spec.battery_capacity * 10 // 512,
                "panel_count": 2,
                "address": 1,
                "model_name": spec.model.encode(),
            }
        ),
        "time": _stamp(dtu, trouble),
        "utc_offset": dtu.utc_offset,
    }


def data(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields | None:
    """Give the values of the hybrid inverter that is named."""
    storage = _storage(dtu)
    if request.get("serial", 0) not in (0, storage.spec.inverter):
        return None
    return {
        "serial": storage.spec.inverter,
        "time": _stamp(dtu, trouble),
        "utc_offset": dtu.utc_offset,
        "page_count": 1,
        **_energies(storage),
        "panels": _panels(storage),
        "battery": _battery(storage),
        **_grid_and_load(storage),
        "inverter": _inverter(storage),
        "flow": _flow(storage),
    }


def _energies(storage: SimulatedStorage) -> Fields:
    charged = storage.energy("battery_charge")
    exported = storage.energy("grid_export")
    return {
        "production": {
            "to_load": max(0, storage.energy("pv") - charged - exported),
            "to_battery": charged,
            "to_grid": exported,
        },
        "consumption": {
            "from_pv": storage.energy("self_use"),
            "from_battery": storage.energy("battery_discharge"),
            "from_grid": storage.energy("grid_import"),
        },
    }


def _panels(storage: SimulatedStorage) -> list[Fields]:
    return [
        {
            "input": n,
            "voltage": round(10 * _PANEL_VOLTAGE) if power else 0,
            "current": round(100 * power / 10 / _PANEL_VOLTAGE),
            "power": round(power / 10),
            "energy": storage.energy(f"pv{n}"),
        }
        for n, power in enumerate(storage.flows.strings, 1)
    ]


def _battery(storage: SimulatedStorage) -> Fields:
    """Return the battery; what charges it is negative."""
    flows, soc = storage.flows, storage.plant.soc
    voltage = _BATTERY_VOLTAGE * (0.975 + 0.0006 * soc)
    power = (flows.discharge - flows.charge) / 10
    return {
        "type": 1,
        "status": 1 if power < 0 else 2 if power > 0 else 0,
        "soc": round(soc),
        "soh": 99,
        "voltage": round(10 * voltage),
        "current": round(10 * power / voltage),
        "power": round(power),
        "max_charge_current": 500,
        "max_discharge_current": 500,
        "charge_cutoff_voltage": 560,
        "discharge_cutoff_voltage": 480,
        "cell_temperature_max": 231,
        "cell_temperature_min": 224,
        "energy_charged": storage.energy("battery_charge"),
        "energy_discharged": storage.energy("battery_discharge"),
        "cell_voltage_max": round(1000 * voltage / 16) + 3,
        "cell_voltage_min": round(1000 * voltage / 16) - 2,
    }


def _grid_and_load(storage: SimulatedStorage) -> Fields:
    flows = storage.flows
    net = (flows.grid_import - flows.grid_export) / 10
    voltage = round(10 * _GRID_VOLTAGE)
    return {
        "grid": {
            "parameters": {
                "status": 1,
                "frequency": 5001,
                "power_flow_direction": 1 if net < 0 else 0,
            },
            "phases": many(
                {
                    "phase": 1,
                    "voltage": voltage,
                    "current": round(100 * abs(net) / _GRID_VOLTAGE),
                    "active_power": round(net),
                    "power_factor": 99,
                    "energy_export": storage.energy("grid_export"),
                    "energy_import": storage.energy("grid_import"),
                }
            ),
        },
        "load": {
            "parameters": {"status": 1, "frequency": 5001},
            "phases": many(
                {
                    "phase": 1,
                    "voltage": voltage,
                    "active_power": round(flows.load / 10),
                    "energy": storage.energy("load"),
                }
            ),
        },
    }


def _inverter(storage: SimulatedStorage) -> Fields:
    flows, soc = storage.flows, storage.plant.soc
    battery = (flows.discharge - flows.charge) / 10
    battery_voltage = _BATTERY_VOLTAGE * (0.975 + 0.0006 * soc)
    output = flows.output / 10
    return {
        "parameters": {
            "status": 2,
            "frequency": 5001,
            "insulation_resistance": 3210,
            "temperature_inside": 310,
            "bus_voltage": 3800,
            "battery_voltage": round(10 * battery_voltage),
            "battery_current": round(10 * battery / battery_voltage),
            "battery_power": round(battery),
        },
        "phases": many(
            {
                "phase": 1,
                "voltage": round(10 * _GRID_VOLTAGE),
                "current": round(100 * output / _GRID_VOLTAGE),
                "active_power": round(output),
            }
        ),
    }


def _flow(storage: SimulatedStorage) -> Fields:
    flows = storage.flows
    from_battery = min(flows.discharge, flows.load)
    return {
        "pv_to_load": max(0, flows.pv - flows.charge - flows.grid_export) // 10,
        "pv_to_battery": flows.charge // 10,
        "pv_to_grid": flows.grid_export // 10,
        "battery_to_load": from_battery // 10,
        "grid_to_load": flows.grid_import // 10,
        "soc": round(storage.plant.soc),
    }


def set_working_mode(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields:
    """Take a working mode, which is noted and changes nothing."""
    dtu.desk.note(0xC308, dtu.clock.now(), f"mode {integer(request, 'mode')}")
    return {
        "time": _stamp(dtu, trouble),
        "transaction_id": request.get("transaction_id", 0),
        "serial": _storage(dtu).spec.inverter,
    }


HANDLERS: Final[Mapping[int, Handler]] = {
    0xDB01: Handler("GatewayInfoRequest", "GatewayInfoReply", gateway_info),
    0xDB06: Handler("GatewayNetworkRequest", "GatewayNetworkReply", gateway_network),
    0xC302: Handler("StorageRegistryRequest", "StorageRegistryReply", registry),
    0xC303: Handler("StorageDataRequest", "StorageDataReply", data),
    0xC308: Handler("StorageUserSetRequest", "StorageUserSetReply", set_working_mode),
}
"""Id of a request -> how it is answered. Others are met with silence."""
