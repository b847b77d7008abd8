"""A plant that lives: sun, house, battery and grid.

All powers of one moment belong together: what the strings and the battery give,
less what charges the battery and what conversion costs, is the output; output and
import are load and export. Powers are kept in tenths of a watt, as registers have
them, so the sum is exact. Energy is the integral of power.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
import math
from typing import Final

EFFICIENCY: Final = 0.97
"""Of the inverter, from DC to AC."""

_BATTERY_EFFICIENCY: Final = 0.96
"""Of the battery, on the way in."""

_LATITUDE: Final = math.radians(40)
_SOLAR_NOON: Final = 13.0
_HOUR: Final = timedelta(hours=1)
_STEP: Final = timedelta(seconds=60)
_MOST_STEPS: Final = 3000
_TAPER: Final = 15.0
"""So many percent below full, a battery begins to take less."""

_DAYLIGHT: Final = 0.01
"""Share of full sun from which on strings give power."""

OUTPUT: Final = ""
"""The name of the inverter's output among the flows."""


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
    import and export. ``external_power`` is that of another inverter in the house.
    ``off_grid``: the grid is a source alone, nothing goes there.
    """

    strings: tuple[float, ...]
    rated_power: float
    battery_capacity: float = 0
    battery_power: float = 0
    battery_voltage: float = 0
    metered: bool = True
    grid_voltage: float = 230
    grid_frequency: float = 50
    phases: int = 1
    external_power: float = 0
    off_grid: bool = False


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
    external: int = 0

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
            "extra_pv": self.external,
            "ac_output": self.load,
            "ac_discharge": self.discharge,
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
        external = int(10 * size.external_power * sun * clouds(at, 0))
        wanted = load - external
        peak = 10 * size.rated_power * 1.1 / max(1, len(size.strings))
        strings = tuple(
            int(peak * sun * clouds(at, place) * (1 - 0.06 * place))
            for place in range(len(size.strings))
        )
        most = int(10 * size.rated_power * settings.power_limit)
        if size.off_grid:
            most = min(most, load)
        charge = discharge = 0
        if size.battery_capacity:
            spare = sum(strings) - _direct_for(wanted)
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
            grid_import=max(0, wanted - output) if size.metered else 0,
            grid_export=max(0, output - wanted) if size.metered else 0,
            external=external,
        )


def _direct_for(output: int) -> int:
    """Return what the DC side must give for an output, or gets of what is fed to it."""
    if output < 0:
        return math.floor(output * EFFICIENCY)
    return math.ceil(output / EFFICIENCY)


def _less(strings: tuple[int, ...], cut: int) -> tuple[int, ...]:
    """Return the powers of the strings with ``cut`` taken away in proportion."""
    total = sum(strings)
    if cut >= total:
        return (0,) * len(strings)
    return tuple(power * (total - cut) // total for power in strings)
