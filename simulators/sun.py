"""A plant that lives: sun, house, battery and grid drive a dataset's registers.

All powers of one moment belong together: what the strings and the battery give,
less what charges the battery and what conversion costs, is the output; output and
import are load and export. Powers are kept in tenths of a watt, as registers have
them, so the sum is exact. Energy is the integral of power.

Which register shows what follows from the rows of the integration's register maps;
their codecs put the values in. This module therefore brings Home Assistant along and
is imported only where something is to live.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
import math
import re
from typing import Final

from custom_components.local_solar.growatt.energy_history import ROWS
from custom_components.local_solar.modbus.codecs import U32, Bits, Clock, Integer, Raw
from custom_components.local_solar.modbus.image import Space
from custom_components.local_solar.modbus.register import Register

from .clock import SimulatedClock
from .datasets import Table
from .energy_lists import Past, remembered
from .growatt_rules import REMOTE, remote_power

EFFICIENCY: Final = 0.97
"""Of the inverter, from DC to AC."""

_BATTERY_EFFICIENCY: Final = 0.96
"""Of the battery, on the way in."""

_LATITUDE: Final = math.radians(40)
_SOLAR_NOON: Final = 13.0
_HOUR: Final = timedelta(hours=1)
_STEP: Final = timedelta(seconds=60)
_MOST_STEPS: Final = 3000
_CHARGE_RATE: Final = 0.25
"""Share of its capacity that a battery takes or gives in an hour."""

_TAPER: Final = 15.0
"""So many percent below full, a battery begins to take less."""

_DAYLIGHT: Final = 0.01
"""Share of full sun from which on strings give power."""

_TABLES: Final[Mapping[Space, Table]] = {
    Space.HOLDING: Table.HOLDING,
    Space.INPUT: Table.INPUT,
}
_COUNTER: Final = re.compile(
    r"(?:base_|vpp_)?(?:(?P<flow>\w+)_)?energy_(?P<span>today|total)"
)
_SAME_FLOW: Final[Mapping[str, str]] = {
    "storage_charge": "battery_charge",
    "storage_discharge": "battery_discharge",
}
"""Registers that show another's energy once more."""

OUTPUT: Final = ""
"""The name of the inverter's output among the flows."""

type Shown = float | bool | str | tuple[str, ...] | datetime
"""A value for a register. Of several options, the first one that the row has."""


def sunshine(at: datetime) -> float:
    """Return the share of full sun, 0 at night to 1, for a clear sky at 40 degrees north."""
    day = at.timetuple().tm_yday
    declination = math.radians(-23.44) * math.cos(2 * math.pi * (day + 10) / 365.25)
    hour = at.hour + at.minute / 60 + at.second / 3600
    angle = math.pi * (hour - _SOLAR_NOON) / 12
    height = math.sin(_LATITUDE) * math.sin(declination) + math.cos(
        _LATITUDE
    ) * math.cos(declination) * math.cos(angle)
    share = max(0.0, height) ** 1.15
    return share if share >= _DAYLIGHT else 0.0


def clouds(at: datetime, place: int) -> float:
    """Return the share of the sun that gets through, 0.55 to 1, the same in every run."""
    minutes = at.toordinal() * 1440 + at.hour * 60 + at.minute + at.second / 60
    wave = math.sin(minutes / 47 + place / 5) + math.sin(minutes / 13.1 + place / 3)
    return min(1.0, 0.9 + 0.15 * wave + 0.05 * math.sin(minutes / 2.3))


def house_load(at: datetime) -> float:
    """Return what a house draws, in watts: base, morning, evening, things that switch."""
    hour = at.hour + at.minute / 60 + at.second / 3600
    humps = 900 * math.exp(-((hour - 7.5) ** 2) / 2) + 1600 * math.exp(
        -((hour - 19) ** 2) / 6
    )
    fridge = 110 if at.minute % 30 < 11 else 0
    kettle = 1900 if at.hour in (7, 12, 16, 19) and 20 <= at.minute < 24 else 0
    return 280 + humps + fridge + kettle + 15 * math.sin(at.second / 9.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a plant consists of.

    ``strings`` are the voltages of the PV strings at work; powers in watts, the
    battery's capacity in watt-hours (0: none). Without a meter nobody knows load,
    import and export.
    """

    strings: tuple[float, ...]
    rated_power: float
    battery_capacity: float = 0
    battery_power: float = 0
    battery_voltage: float = 0
    metered: bool = True
    grid_voltage: float = 230
    grid_frequency: float = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """The powers of one moment, in tenths of a watt."""

    strings: tuple[int, ...]
    charge: int = 0
    discharge: int = 0
    output: int = 0
    load: int = 0
    grid_import: int = 0
    grid_export: int = 0

    @property
    def pv(self) -> int:
        """What all strings give."""
        return sum(self.strings)

    @property
    def direct(self) -> int:
        """What reaches the inverter's DC side."""
        return self.pv + self.discharge - self.charge

    def by_name(self) -> dict[str, int]:
        """Return the flows by the front part of their registers' keys; "" is the output."""
        return {
            OUTPUT: self.output,
            "pv": self.pv,
            **{f"pv{n}": power for n, power in enumerate(self.strings, 1)},
            "system": self.direct,
            "battery_charge": self.charge,
            "battery_discharge": self.discharge,
            "ac_charge": max(0, -self.direct),
            "grid_import": self.grid_import,
            "grid_export": self.grid_export,
            "load": self.load,
            "self_use": max(0, self.output - self.grid_export),
        }


@dataclass(slots=True, kw_only=True)
class Settings:
    """What an owner can set and the plant obeys."""

    on: bool = True
    power_limit: float = 1.0
    """Share of the rated power."""
    lowest_charge: float = 10
    highest_charge: float = 100
    remote_power: float | None = None
    """What the battery is told, as a share of the rated power: + charges, - discharges."""
    clock_offset: timedelta = timedelta()
    """How far the device's clock is ahead; its days begin by it."""


@dataclass(slots=True)
class Plant:
    """Strings, battery, house and grid, moving on in time.

    ``grown`` are watt-hours since the midnight before the start, by the names of
    ``Flows.by_name``; ``midnight`` is what they were at the last midnight, ``hours`` what the
    output was at each full hour of the device's clock. ``soc`` is in percent.
    """

    size: Size
    now: datetime
    soc: float = 50
    settings: Settings = field(default_factory=Settings)
    grown: dict[str, float] = field(default_factory=dict)
    midnight: dict[str, float] = field(default_factory=dict)
    hours: dict[datetime, float] = field(default_factory=dict)
    run_time: float = 0
    """Seconds at work."""
    _date: date = field(init=False)

    def __post_init__(self) -> None:
        """Start at the midnight before, so that the day's counters are those of a day."""
        start, self.now = self.now, datetime.combine(self.now.date(), time())
        self._date = self.device_time.date()
        self._begin()
        self.advance(start)

    @property
    def device_time(self) -> datetime:
        """What the device's own clock shows."""
        return self.now + self.settings.clock_offset

    @property
    def today(self) -> dict[str, float]:
        """Watt-hours of the day so far."""
        return {
            name: energy - self.midnight.get(name, 0.0)
            for name, energy in self.grown.items()
        }

    @property
    def asleep(self) -> bool:
        """Whether there is nothing to live on: no battery and no sun."""
        return not self.size.battery_capacity and not sunshine(self.now)

    def advance(self, to: datetime) -> None:
        """Move on in time. Nothing happens if ``to`` is not ahead."""
        longest = max(_STEP, (to - self.now) / _MOST_STEPS)
        while self.now < to:
            step = min(longest, to - self.now, self._until_next(longest))
            self._pass(self.flows(self.now + step / 2), step / _HOUR)
            self.now += step
            self._begin()

    def _until_next(self, longest: timedelta) -> timedelta:
        """Return the time to the next full hour, or to midnight if steps are long."""
        if longest < _HOUR:
            return self._hour() + _HOUR - self.device_time
        return self._hour().replace(hour=0) + timedelta(days=1) - self.device_time

    def _hour(self) -> datetime:
        """Return when the running hour of the device's clock began."""
        return self.device_time.replace(minute=0, second=0, microsecond=0)

    def _begin(self) -> None:
        """Note where counters stand when an hour or a day begins."""
        self.hours.setdefault(self._hour(), self.grown.get(OUTPUT, 0.0))
        if (today := self.device_time.date()) != self._date:
            self._date = today
            self.midnight = self.grown.copy()

    def set_clock(self, shown: datetime) -> None:
        """Set the device's clock."""
        self.settings.clock_offset = shown - self.now
        self._begin()

    def _pass(self, flows: Flows, hours: float) -> None:
        for name, power in flows.by_name().items():
            energy = max(0, power) / 10 * hours  # output is negative while charging
            self.grown[name] = self.grown.get(name, 0) + energy
        if self.size.battery_capacity:
            stored = (flows.charge * _BATTERY_EFFICIENCY - flows.discharge) / 10 * hours
            soc = self.soc + 100 * stored / self.size.battery_capacity
            self.soc = min(100.0, max(0.0, soc))
        if not self.asleep:
            self.run_time += hours * 3600

    def flows(self, at: datetime | None = None) -> Flows:
        """Return the powers of a moment, by default of now, with the battery as it is."""
        at = at or self.now
        size, settings = self.size, self.settings
        load = round(10 * house_load(at)) if size.metered else 0
        if not settings.on or self.asleep:
            return Flows(strings=(0,) * len(size.strings), load=load, grid_import=load)
        sun = sunshine(at)
        peak = 10 * size.rated_power * 1.1 / max(1, len(size.strings))
        strings = tuple(
            int(peak * sun * clouds(at, place) * (1 - 0.06 * place))
            for place in range(len(size.strings))
        )
        most = int(10 * size.rated_power * settings.power_limit)
        charge = discharge = 0
        if size.battery_capacity:
            spare = sum(strings) - math.ceil(load / EFFICIENCY)
            if settings.remote_power is not None:
                spare = round(10 * size.rated_power * settings.remote_power)
            power = int(10 * size.battery_power)
            if spare > 0 and self.soc < settings.highest_charge:
                full_in = (settings.highest_charge - self.soc) / _TAPER
                charge = min(spare, int(power * min(1.0, max(0.1, full_in))))
            elif spare < 0 and self.soc > settings.lowest_charge:
                discharge = min(-spare, power)
        too_much = sum(strings) + discharge - charge - math.floor(most / EFFICIENCY)
        if too_much > 0:
            cut, discharge = max(0, too_much - discharge), max(0, discharge - too_much)
            strings = _less(strings, cut)
        direct = sum(strings) + discharge - charge
        converted = direct * EFFICIENCY if direct > 0 else direct / EFFICIENCY
        output = min(most, int(converted))
        return Flows(
            strings=strings,
            charge=charge,
            discharge=discharge,
            output=output,
            load=load,
            grid_import=max(0, load - output) if size.metered else 0,
            grid_export=max(0, output - load) if size.metered else 0,
        )

    def values(self) -> dict[str, Shown]:
        """Return what registers show now, by key, apart from the counters."""
        size, flows = self.size, self.flows()
        output = flows.output / 10
        running = bool(flows.pv or flows.discharge or flows.output)
        voltage = size.grid_voltage * (1 + 0.008 * math.sin(self.now.minute / 4.1))
        warm = output / size.rated_power if size.rated_power else 0
        bus = 380.0 if running else 0.0
        values: dict[str, Shown] = {
            "status": ("normal",) if running else ("standby", "waiting"),
            "pv_power": flows.pv / 10,
            "ac_power": output,
            "system_power": flows.direct / 10,
            "grid_import_power": flows.grid_import / 10,
            "grid_export_power": flows.grid_export / 10,
            "load_power": flows.load / 10,
            "self_use_power": flows.by_name()["self_use"] / 10,
            "grid_frequency": size.grid_frequency
            + 0.02 * math.sin(self.now.second / 7 + self.now.minute),
            "grid_l1_voltage": voltage,
            "grid_l1_current": output / voltage,
            "grid_l1_power": output,
            "apparent_power": output,
            "reactive_power": 0,
            "power_factor": 1,
            "output_power_percent": 100 * warm,
            "inverter_temperature": 27 + 24 * warm,
            "ipm_temperature": 28 + 28 * warm,
            "boost_temperature": 27 + 22 * warm,
            "communication_board_temperature": 30 + 12 * warm,
            "bus_voltage": bus,
            "bus_voltage_p": bus,
            "standby_flags": 0 if running else 2,
            "standby_pv_low": not running,
            "run_time": self.run_time,
            "clock": self.device_time,
            "clock_weekday": self.device_time.isoweekday() % 7,
        }
        for n, (nominal, power) in enumerate(
            zip(size.strings, flows.strings, strict=True), 1
        ):
            at_work = nominal * (0.97 + 0.03 * math.sin(self.now.minute / 5 + n))
            values[f"pv{n}_power"] = power / 10
            values[f"pv{n}_voltage"] = at_work if power else 0
            values[f"pv{n}_current"] = power / 10 / at_work
        if size.battery_capacity:
            values |= self._battery_values(flows)
        return values

    def _battery_values(self, flows: Flows) -> dict[str, Shown]:
        volts = self.size.battery_voltage * (0.975 + 0.0006 * self.soc)
        net = (flows.discharge - flows.charge) / 10
        cells = volts / self.size.battery_voltage * 3.2
        capacity = self.size.battery_capacity / self.size.battery_voltage
        return {
            "status_mode": ("pv_battery_online",) if flows.pv else ("battery_online",),
            "battery_state": _battery_state(flows),
            "bms_status": _battery_state(flows),
            "battery_soc": self.soc,
            "bms_soc": self.soc,
            "battery_charge_power": flows.charge / 10,
            "battery_discharge_power": flows.discharge / 10,
            "battery_power": -net,
            "battery_voltage": volts,
            "bms_voltage": volts,
            "battery_load_voltage": volts,
            "battery_current": net / volts,
            "bms_current": -net / volts,
            "vpp_battery_current": -net / volts,
            "bms_full_capacity": capacity,
            "bms_remaining_capacity": capacity * self.soc / 100,
            "bms_cell_voltage_max": cells + 0.003,
            "bms_cell_voltage_min": cells - 0.002,
            "bms_temperature": 22 + abs(net) / 500,
        }


def tenths(watt_hours: float) -> int:
    """Return an energy in 0.1 kWh, rounded down: a counter must not run ahead and fall back."""
    return math.floor(watt_hours / 100 + 1e-9)


class Mutation:
    """Keeps the words of a unit in step with a plant."""

    def __init__(
        self,
        words: Mapping[Table, dict[int, int]],
        rows: Iterable[Register],
        clock: SimulatedClock,
    ) -> None:
        """Size the plant by what the words say, and start it at the clock's time.

        ``rows`` are those that the unit has.
        """
        self._words = words
        self._clock = clock
        self._rows = tuple(rows)
        self._by_key = {row.key: row for row in reversed(self._rows)}
        self._counters = {
            id(row): found for row in self._rows if (found := _counter(row))
        }
        self.plant: Final = Plant(
            self._size(), clock.now(), self._number("battery_soc", 50), self._settings()
        )
        self._midnight = {
            id(row): self._at_midnight(row)
            for row in self._rows
            if id(row) in self._counters
        }
        self._run_time = self._number("run_time", 0)
        self._commanded_until = clock.now()
        self._lists = tuple(
            (row, span)
            for span, key in ROWS.items()
            if (row := self._by_key.get(key)) is not None
        )
        self._past = Past(
            self.plant.now,
            self._counted,
            self.plant.size.rated_power,
            sunshine,
        )
        self._shown: datetime | None = None
        self.update()

    def update(self) -> None:
        """Bring all registers to the clock's time, once per second of it."""
        now = self._clock.now().replace(microsecond=0)
        if now == self._shown:
            return
        self._shown = now
        self._obey()
        if self.plant.settings.remote_power is not None:
            self.plant.advance(min(now, self._commanded_until))
            self._obey()
        self.plant.advance(now)
        self._show()

    def written(self, address: int, count: int) -> None:
        """Take note that a client wrote holding registers, such as the clock's."""
        if any(address <= place < address + count for place in REMOTE):
            self._take_command()
        row = self._by_key.get("clock")
        if row is not None and address < row.end and address + count > row.address:
            shown = row.decode(self._words_of(row))
            if isinstance(shown, datetime):
                self.plant.set_clock(shown)
        self._obey()
        self._show()

    def _take_command(self) -> None:
        """Begin with the time of a command to the battery; 0 minutes have no end."""
        command = remote_power(self._words[Table.HOLDING])
        minutes = timedelta(minutes=command[0]) if command else timedelta()
        has_no_end = command is not None and not minutes
        self._commanded_until = datetime.max if has_no_end else self.plant.now + minutes

    def _remote_power(self) -> float | None:
        """Return what the battery is told for now, as a share of the rated power.

        When the time is over, the registers stay as they are.
        """
        command = remote_power(self._words[Table.HOLDING])
        if command is None or self.plant.now >= self._commanded_until:
            return None
        return command[1] / 100

    def _obey(self) -> None:
        """Take over what was set in the registers."""
        offset = self.plant.settings.clock_offset
        self.plant.settings = self._settings()
        self.plant.settings.remote_power = self._remote_power()
        self.plant.settings.clock_offset = offset

    def _settings(self) -> Settings:
        limit = self._number("active_power_limit", 100)
        return Settings(
            on=self._number("on_off", 1) != 0,
            power_limit=limit / 100 if limit <= 100 else 1.0,
            lowest_charge=self._number("on_grid_discharge_stop_soc", 10),
            highest_charge=self._number("charge_stop_soc", 0) or 100,
        )

    def _show(self) -> None:
        values = self.plant.values()
        run_time = self._run_time + self.plant.run_time
        values["run_time"] = run_time
        for row in self._rows:
            if (counter := self._counters.get(id(row))) is not None:
                self._show_counter(row, *counter)
            elif (value := values.get(row.key, values.get(_same(row)))) is not None:
                self._put(row, value)
        self._show_lists()

    def _show_counter(self, row: Register, flow: str, span: str) -> None:
        if flow not in self.plant.grown:
            return
        if span == "total":
            base = self._midnight[id(row)]
        else:
            base = -tenths(self.plant.midnight.get(flow, 0))
        self._put(row, (base + tenths(self.plant.grown[flow])) / 10)

    @property
    def _counted(self) -> int:
        """What the lifetime counter showed at the midnight before the start, in 0.1 kWh."""
        row = self._by_key.get("energy_total")
        return self._midnight[id(row)] if row is not None else 0

    def _show_lists(self) -> None:
        """Show what was counted by hour, day, month and year, from the very counter shown."""
        if not self._lists:
            return
        counted, plant = self._counted, self.plant
        hours = {at: counted + tenths(grown) for at, grown in plant.hours.items()}
        shown = counted + tenths(plant.grown.get(OUTPUT, 0))
        for row, span in self._lists:
            entries = remembered(
                span, row.words // 2, plant.device_time, shown, self._past, hours
            )
            self._words[_TABLES[row.space]].update(
                enumerate(
                    (word for entry in entries for word in U32.encode(max(0, entry))),
                    row.address,
                )
            )

    def _at_midnight(self, row: Register) -> int:
        """Return a counter without what the dataset's day added to it, in 0.1 kWh."""
        flow, _ = self._counters[id(row)]
        spent = next(
            (
                self._value(today)
                for today in self._rows
                if self._counters.get(id(today)) == (flow, "today")
            ),
            0.0,
        )
        return max(0, round(10 * (self._value(row) - spent)))

    def _size(self) -> Size:
        strings = int(self._number("tracker_count", 2)) or 2
        rated = self._number("rated_apparent_power", 0) or 5000.0
        battery_voltage = self._number("battery_voltage", 0)
        battery = 0.0
        if battery_voltage:
            capacity = self._number("bms_full_capacity", 0) or 50.0
            battery = capacity * battery_voltage
        return Size(
            strings=tuple(
                self._number(f"pv{n}_voltage", 0) or 360.0
                for n in range(1, strings + 1)
            ),
            rated_power=rated,
            battery_capacity=battery,
            battery_power=min(rated, battery * _CHARGE_RATE),
            battery_voltage=battery_voltage,
            metered=bool(battery) or self._number("meter_link", 0) != 0,
            grid_voltage=self._number("grid_l1_voltage", 0) or 230.0,
            grid_frequency=round(self._number("grid_frequency", 50) / 10) * 10 or 50,
        )

    def _words_of(self, row: Register) -> list[int]:
        words = self._words[_TABLES[row.space]]
        return [words.get(address, 0) for address in range(row.address, row.end)]

    def _number(self, key: str, default: float) -> float:
        """Return the number a register holds, ``default`` if there is none."""
        row = self._by_key.get(key) or self._by_key.get(f"base_{key}")
        if row is None:
            return default
        if row.options is not None:
            return _as_number(row.codec.decode(self._words_of(row)), default)
        return self._value(row, default)

    def _value(self, row: Register, default: float = 0.0) -> float:
        return _as_number(row.decode(self._words_of(row)), default)

    def _put(self, row: Register, value: Shown) -> None:
        """Put a value into a row's words, as near as they can hold it."""
        raw = _raw(row, value)
        if raw is None:
            return
        words = self._words[_TABLES[row.space]]
        if isinstance(row.codec, Bits):
            mask = ((1 << row.codec.width) - 1) << row.codec.shift
            assert isinstance(raw, int)
            kept = words.get(row.address, 0) & ~mask
            words[row.address] = kept | ((raw << row.codec.shift) & mask)
            return
        encoded = row.codec.encode(raw)
        if isinstance(raw, datetime):
            # Written with two digits, a year is read with four.
            encoded = (raw.year, *encoded[1:])
        words.update(enumerate(encoded, row.address))


def _counter(row: Register) -> tuple[str, str] | None:
    """Return the flow that a row counts and "today" or "total"; ``None`` if it counts none."""
    if (found := _COUNTER.fullmatch(row.key)) is None:
        return None
    flow = found["flow"] or ""
    return _SAME_FLOW.get(flow, flow), found["span"]


def _same(row: Register) -> str:
    """Return the key of the row that shows the same in the family's own block."""
    return row.key.removeprefix("base_").removeprefix("vpp_")


def _battery_state(flows: Flows) -> tuple[str, ...]:
    if flows.charge:
        return ("charging",)
    if flows.discharge:
        return ("discharging",)
    return ("idle", "free", "standby")


def _less(strings: tuple[int, ...], cut: int) -> tuple[int, ...]:
    """Return the powers of the strings with ``cut`` taken away in proportion."""
    total = sum(strings)
    if cut >= total:
        return (0,) * len(strings)
    return tuple(power * (total - cut) // total for power in strings)


def _raw(row: Register, value: Shown) -> Raw | None:
    """Return the raw number, time or text for a row, ``None`` if it cannot show it."""
    if row.options is not None:
        wanted = value if isinstance(value, tuple) else (value,)
        for option in wanted:
            for raw, name in row.options.items():
                if name == option and isinstance(name, bool) == isinstance(
                    option, bool
                ):
                    return raw
        return None
    if isinstance(row.codec, Clock):
        return value if isinstance(value, datetime) else None
    if not isinstance(value, int | float) or not isinstance(row.codec, Integer | Bits):
        return None
    raw = round(value * row.divisor / row.numerator - row.offset)
    if isinstance(row.codec, Integer):
        raw = min(row.codec.maximum, max(row.codec.minimum, raw))
    return raw


def _as_number(value: object, default: float = 0.0) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return float(value)
