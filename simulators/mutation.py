"""A unit whose registers live: a plant drives them, and settings drive the plant.

Which register shows what follows from the rows of the integration's register maps;
their codecs put the values in. This module therefore brings Home Assistant along and
is imported only where something is to live.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
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
from .shown import Shown, shown_of
from .sun import OUTPUT, Plant, Settings, Size, sunshine

_CHARGE_RATE: Final = 0.25
"""Share of its capacity that a battery takes or gives in an hour."""

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

LOWEST_CHARGE: Final = (
    "on_grid_discharge_stop_soc",
    "load_first_min_soc",
    "discharge_stop_soc",
)
"""Settings below which a battery is not discharged, the one that counts first."""

_OFF: Final = (False, "inverter_off", "output_disabled", "standby_output_disabled")


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
            id(row): found for row in self._rows if (found := counted(row))
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
            on=self._is_on(),
            power_limit=limit / 100 if limit <= 100 else 1.0,
            lowest_charge=self._first_number(LOWEST_CHARGE, 10),
            highest_charge=self._number("charge_stop_soc", 0) or 100,
        )

    def _is_on(self) -> bool:
        """Return whether the switch of the inverter, or of its output, is not off."""
        for key in ("on_off", "standby_output"):
            if (row := self._by_key.get(key)) is not None:
                return row.decode(self._words_of(row)) not in _OFF
        return True

    def _first_number(self, keys: Iterable[str], default: float) -> float:
        """Return the number of the first row that has one."""
        return next(
            (number for key in keys if (number := self._number(key, 0))), default
        )

    def _show(self) -> None:
        values = shown_of(self.plant)
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
        rated = self._number("rated_apparent_power", 0) or 5000.0
        battery_voltage = self._number("battery_voltage", 0)
        battery = 0.0
        if battery_voltage:
            capacity = self._number("bms_full_capacity", 0) or 50.0
            battery = capacity * battery_voltage
        strings = self._strings()
        return Size(
            strings=strings,
            rated_power=rated,
            battery_capacity=battery,
            battery_power=min(rated, battery * _CHARGE_RATE),
            battery_voltage=battery_voltage,
            metered=bool(battery) or self._number("meter_link", 0) != 0,
            grid_voltage=self._number("grid_l1_voltage", 0) or 230.0,
            grid_frequency=round(self._number("grid_frequency", 50) / 10) * 10 or 50,
            phases=3 if self._number("phase_count", 1) == 3 else 1,
            external_power=0 if strings else rated,
            off_grid="ac_output_power" in self._by_key,
        )

    def _strings(self) -> tuple[float, ...]:
        """Return the voltages of the PV strings that the unit has rows for."""
        count = int(self._number("tracker_count", 0)) or sum(
            self._number(f"pv{n}_voltage", 0) > 0 for n in (1, 2)
        )
        return tuple(
            self._number(f"pv{n}_voltage", 0) or 360.0
            for n in range(1, count + 1)
            if f"pv{n}_power" in self._by_key or f"base_pv{n}_power" in self._by_key
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
        put(self._words[_TABLES[row.space]], row, value)


def put(words: dict[int, int], row: Register, value: Shown) -> None:
    """Put a value into the words of a row, as near as they can hold it, and nothing else."""
    raw = _raw(row, value)
    if raw is None:
        return
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


def counted(row: Register) -> tuple[str, str] | None:
    """Return the flow that a row counts and "today" or "total"; ``None`` if it counts none."""
    if (found := _COUNTER.fullmatch(row.key)) is None:
        return None
    flow = found["flow"] or ""
    return _SAME_FLOW.get(flow, flow), found["span"]


def _same(row: Register) -> str:
    """Return the key of the row that shows the same in the family's own block."""
    return row.key.removeprefix("base_").removeprefix("vpp_")


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
