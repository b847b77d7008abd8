"""Keeps the registers of a simulated OutBack gateway in step with a home that lives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Final

from .chain import (
    CHARGE_CONTROLLER,
    FLEXNET_DC,
    FLEXNET_DC_CONFIG,
    GATEWAY,
    SPLIT_PHASE,
    Block,
    Chain,
    HubDevice,
)
from .commands import INVERTERS, Commands, Mode, Phase, Status
from .home import Controls, Equipment, Flows, Home
from .registers import number, reads, show, show_pair

_STEP: Final = timedelta(seconds=60)
_MOST_STEPS: Final = 3000
_HOUR: Final = timedelta(hours=1)
_LONGEST: Final = timedelta(days=60)
_OPEN_VOLTAGE: Final = 1.25
"""Open-circuit voltage of an array, in multiples of its voltage at work."""


@dataclass(slots=True)
class Counters:
    """What a device has counted: today, and since the simulation began. Wh and Ah.

    ``volts`` and ``soc`` are the least and the most of today, with the time of each.
    """

    day: date
    today: dict[str, float] = field(default_factory=dict)
    grown: dict[str, float] = field(default_factory=dict)
    volts: list[tuple[float, datetime]] = field(default_factory=list)
    soc: list[float] = field(default_factory=list)
    voc: float = 0

    def add(self, name: str, amount: float) -> None:
        """Count."""
        self.today[name] = self.today.get(name, 0) + amount
        self.grown[name] = self.grown.get(name, 0) + amount

    def see(self, volts: float, soc: float, at: datetime) -> None:
        """Keep the least and the most of the day."""
        seen = [*self.volts, (volts, at)]
        self.volts = [
            min(seen, key=lambda one: one[0]),
            max(seen, key=lambda one: one[0]),
        ]
        self.soc = [min([*self.soc, soc]), max([*self.soc, soc])]

    def begin(self, day: date) -> None:
        """Begin a day."""
        self.day = day
        self.today.clear()
        self.volts.clear()
        self.soc.clear()
        self.voc = 0


class LiveValues:
    """Drives the registers of a chain by the gateway's local time.

    Counters of the day begin anew at midnight of that time, or ``late`` seconds after it
    for a device whose port is named there.
    """

    def __init__(
        self, chain: Chain, commands: Commands, now: Callable[[], datetime]
    ) -> None:
        """Size the home by what is on the HUB and start at the midnight before."""
        self._chain = chain
        self._commands = commands
        self._now = now
        self.late: dict[int, float] = {}
        """Port -> seconds by which a device is late with a new day."""
        # By the block, which stays the same when its device changes ports.
        self._counters: dict[Block, Counters] = {}
        self._lifetime: dict[Block, tuple[float, float]] = {}
        start = now()
        self._at = datetime.combine(start.date(), time())
        self.home: Final = Home(self._equipment(), self._first_soc())
        self._advance(start)
        for counters in self._counters.values():
            counters.grown.clear()  # the registers have that already
        self.show()

    # --- what there is ---

    def _equipment(self) -> Equipment:
        gateway = self._chain.block(GATEWAY)
        volts = number(gateway, "system_voltage") or 48.0
        peaks = []
        for device in self._devices(CHARGE_CONTROLLER):
            limit = number(device.config, "bulk_current") if device.config else None
            # An array rarely brings its controller to the limit.
            peaks.append((limit or 60) * volts * 0.9)
        monitor = self._chain.find(FLEXNET_DC_CONFIG)
        capacity = number(monitor, "battery_capacity") if monitor is not None else None
        return Equipment(
            peaks=tuple(peaks),
            capacity=(capacity or 400) * volts,
            nominal_voltage=volts,
            charger_power=1500.0 * max(1, len(self._inverters())),
        )

    def _first_soc(self) -> float:
        monitor = self._chain.find(FLEXNET_DC)
        soc = number(monitor, "state_of_charge") if monitor is not None else None
        return 70.0 if soc is None else soc

    def _devices(self, did: int) -> list[HubDevice]:
        return [device for device in self._chain.devices() if device.did == did]

    def _inverters(self) -> list[HubDevice]:
        return [device for device in self._chain.devices() if device.did in INVERTERS]

    def _controls(self) -> Controls:
        status = self._commands.status
        return Controls(
            inverting=bool(status & Status.INVERTER_ON) and bool(self._inverters()),
            ac_use=bool(status & Status.AC_USE),
            grid_tie=bool(status & Status.GRID_TIE),
            charger=not status & Status.CHARGER_OFF,
            forced=self._commands.forced,
        )

    def _of(self, device: HubDevice) -> Counters:
        if device.live not in self._counters:
            self._counters[device.live] = Counters(self._at.date())
        return self._counters[device.live]

    # --- time ---

    def update(self) -> None:
        """Bring all registers to the gateway's time, once per second of it."""
        now = self._now().replace(microsecond=0)
        if now == self._at:
            return
        if not timedelta() < now - self._at <= _LONGEST:
            self._at = now  # the clock was set
        self.home.equipment = self._equipment()
        self._advance(now)
        self.show()

    def _advance(self, to: datetime) -> None:
        longest = max(_STEP, (to - self._at) / _MOST_STEPS)
        self._begin_days(self._at)
        while self._at < to:
            midnight = datetime.combine(self._at.date() + timedelta(days=1), time())
            step = min(longest, to - self._at, midnight - self._at)
            self._pass(self.home.flows(self._at + step / 2, self._controls()), step)
            self._at += step
            self._begin_days(self._at)

    def _begin_days(self, at: datetime) -> None:
        if at.time() == time():
            self._commands.forced = None
        for device in self._chain.devices():
            late = timedelta(seconds=self.late.get(device.port, 0))
            counters = self._of(device)
            if (day := (at - late).date()) != counters.day:
                counters.begin(day)

    def reset_day(self, device: HubDevice) -> None:
        """Let a device begin a day, whatever the time."""
        self._of(device).begin(self._of(device).day)

    def _pass(self, flows: Flows, step: timedelta) -> None:
        """Count what flows for a time."""
        hours = step / _HOUR
        self.home.charge(flows.battery, step)
        volts = self.home.voltage(flows, self.home.phase(flows, self._commands.forced))
        controllers = self._devices(CHARGE_CONTROLLER)
        for device, power in zip(controllers, flows.pv, strict=False):
            counters = self._of(device)
            counters.add("wh", power * hours)
            counters.add("ah", power / volts * hours)
            counters.see(volts, self.home.soc, self._at)
            if power:
                counters.voc = max(counters.voc, self._array(device)[1])
        inverters = self._inverters()
        for device in inverters:
            for name in ("output", "buy", "sell", "charge"):
                share = getattr(flows, name) / len(inverters)
                self._of(device).add(name, share * hours)
        for device in self._devices(FLEXNET_DC):
            counters = self._of(device)
            side = "in" if flows.battery > 0 else "out"
            counters.add(f"{side}_wh", abs(flows.battery) * hours)
            counters.add(f"{side}_ah", abs(flows.battery) / volts * hours)
            counters.see(volts, self.home.soc, self._at)

    # --- registers ---

    def show(self) -> None:
        """Bring the registers in line with the home and what it is told to do."""
        flows = self.home.flows(self._at, self._controls())
        phase = self.home.phase(flows, self._commands.forced)
        volts = round(self.home.voltage(flows, phase), 1)
        if phase is not None or self._commands.forced is None:
            self._commands.show_phase(phase)
        gateway = self._chain.block(GATEWAY)
        show(gateway, "measured_system_voltage", volts)
        pv = self._show_controllers(flows, phase, volts)
        self._show_inverters(flows, phase, volts)
        for device in self._devices(FLEXNET_DC):
            self._show_monitor(device, pv, round(flows.inverters / volts, 1), volts)

    def _array(self, device: HubDevice) -> tuple[float, float]:
        """Return the voltages of an array: at work, and open."""
        model = device.config.words[81:90] if device.config else []
        wide = b"300V" in b"".join(word.to_bytes(2) for word in model)
        at_work = 240.0 if wide else 88.0
        return at_work, at_work * _OPEN_VOLTAGE

    def _show_controllers(
        self, flows: Flows, phase: Phase | None, volts: float
    ) -> float:
        """Show what charge controllers do, and return the sum of their currents (A)."""
        total = 0.0
        controllers = self._devices(CHARGE_CONTROLLER)
        for device, power in zip(controllers, flows.pv, strict=False):
            block, counters = device.live, self._of(device)
            current = round(power / volts, 1)
            total += current
            watts = current * volts
            at_work, voc = self._array(device)
            state = (phase or Phase.BULK) if power else Phase.SILENT
            show(block, "battery_voltage", volts)
            show(block, "battery_current", current)
            show(block, "watts", watts)
            show(block, "charger_state", state)
            show(block, "array_voltage", at_work if power else 0)
            show(block, "array_current", watts / 0.97 / at_work)
            show(block, "voc", voc if power else 0)
            show(block, "todays_peak_voc", counters.voc)
            show(block, "todays_kwh", counters.today.get("wh", 0) / 1000)
            show(block, "todays_ah", counters.today.get("ah", 0))
            if counters.volts:
                (least, _), (most, _) = counters.volts
                show(block, "todays_min_battery_volts", least)
                show(block, "todays_max_battery_volts", most)
            self._show_lifetime(device, counters.grown)
        return total

    def _show_lifetime(self, device: HubDevice, grown: Mapping[str, float]) -> None:
        if device.live not in self._lifetime:
            self._lifetime[device.live] = (
                number(device.live, "lifetime_kwh_hours") or 0,
                number(device.live, "lifetime_k_amp_hours") or 0,
            )
        energy, charge = self._lifetime[device.live]
        show(device.live, "lifetime_kwh_hours", int(energy + grown.get("wh", 0) / 1000))
        show(device.live, "lifetime_k_amp_hours", charge + grown.get("ah", 0) / 1000)

    def _mode(self, flows: Flows, phase: Phase | None) -> Mode:
        status = self._commands.status
        if status & Status.INVERTER_OFF:
            return Mode.OFF
        if status & Status.INVERTER_SEARCH:
            return Mode.SEARCHING
        if not status & Status.AC_USE:
            return Mode.INVERTING
        if flows.charge:
            return Mode.EQUALIZE if phase is Phase.EQUALIZE else Mode.CHARGING
        if flows.sell:
            return Mode.SELLING
        if flows.output:
            return Mode.OFFSETTING
        return Mode.PASS_THROUGH

    def _show_inverters(self, flows: Flows, phase: Phase | None, volts: float) -> None:
        inverters = self._inverters()
        if not inverters:
            return
        mode = self._mode(flows, phase)
        used = bool(self._commands.status & Status.AC_USE)
        # Registers have tenths of a kilowatt: what they show must add up as well.
        shares = {
            name: _shares(round(getattr(flows, name) / 100), len(inverters))
            for name in ("output", "buy", "sell", "charge")
        }
        for place, device in enumerate(inverters):
            tenths = {name: share[place] for name, share in shares.items()}
            self._show_inverter(device, tenths, mode, volts, used=used)
        self._commands.show_aggregate(mode)
        self._show_aggregate(inverters[0], sum(shares["output"]), volts)

    def _show_inverter(
        self,
        device: HubDevice,
        tenths: Mapping[str, int],
        mode: Mode,
        volts: float,
        *,
        used: bool,
    ) -> None:
        """Show what an inverter does; ``tenths`` are its powers in 100 W."""
        block, counters = device.live, self._of(device)
        legs = ("l1_", "l2_") if block.did == SPLIT_PHASE else ("",)
        ac = self._ac_voltage(device)
        for name, power in tenths.items():
            show(block, f"{name}_kw", power / 10)
            for leg in legs:
                current = power * 100 / ac / len(legs)
                show(block, f"{leg}inverter_{name}_current", current)
        load = tenths["output"] + tenths["buy"] - tenths["sell"] - tenths["charge"]
        show(block, "load_kw", load / 10)
        show(block, "inverter_operating_mode", mode)
        show(block, "ac_input_state", used)
        show(block, "battery_voltage", volts)
        alive = mode is not Mode.OFF or used
        hertz = 50 if ac > 200 else 60
        show(block, "ac_input_frequency", hertz if used else 0)
        show(block, "ac_input_voltage", ac * len(legs) + 1 if used else 0)
        for leg in legs:
            show(block, f"{leg}output_ac_voltage", ac if alive else 0)
            show(block, f"{leg}grid_input_ac_voltage", ac + 1 if used else 0)
        show(block, "output_ac_voltage", ac if alive else 0)
        warm = max(tenths["output"], tenths["charge"]) / 4
        for part, degrees in (("transformer", 31), ("capacitor", 29), ("fet", 30)):
            for module in ("", "l_module_", "r_module_"):
                show(block, f"{module}{part}_temperature", degrees + warm)
        self._show_day(block, counters.today, legs)

    def _show_day(
        self, block: Block, today: Mapping[str, float], legs: tuple[str, ...]
    ) -> None:
        """Show the energies of a day. What is bought or sold goes through the first input."""
        for leg in legs:
            share = 1000 * len(legs)
            show(block, f"{leg}output_kwh", today.get("output", 0) / share)
            for name in ("buy", "sell"):
                energy = today.get(name, 0) / share
                show(block, f"ac1_{leg}{name}_kwh", energy)
                show(block, f"ac2_{leg}{name}_kwh", 0)
                show(block, f"{leg}{name}_kwh", energy)
        show(block, "charger_kwh", today.get("charge", 0) / 1000)

    def _ac_voltage(self, device: HubDevice) -> float:
        """Return the voltage between a leg and neutral that an inverter is set to."""
        volts = number(device.config, "ac_output_voltage") if device.config else None
        return volts or 120.0

    def _show_aggregate(self, device: HubDevice, output: int, volts: float) -> None:
        ac = self._ac_voltage(device)
        for block in self._chain.blocks:
            if block.did in (101, 102, 103):
                split = 2 if block.did == 102 else 1
                show(block, "ac_current", output * 100 / ac)
                show(block, "ac_current_a", output * 100 / ac / split)
                show(block, "ac_voltage_an", ac)
                show(block, "ac_power", output / 10)
                show(block, "ac_va", output / 10)
                show(block, "dc_voltage", volts)

    def _show_monitor(
        self, device: HubDevice, pv: float, drawn: float, volts: float
    ) -> None:
        """Show the battery; ``pv`` and ``drawn`` are the currents of shunts A and B (A)."""
        block, counters = device.live, self._of(device)
        shunts = (round(pv, 1), round(-drawn, 1), 0.0)
        current = round(sum(shunts), 1)
        inward = round(sum(shunt for shunt in shunts if shunt > 0), 1)
        outward = round(-sum(shunt for shunt in shunts if shunt < 0), 1)
        for letter, shunt in zip("abc", shunts, strict=True):
            show(block, f"shunt_{letter}_current", shunt)
        show(block, "battery_current", current)
        show(block, "battery_voltage", volts)
        show(block, "input_current", inward)
        show(block, "output_current", outward)
        show(block, "input_kw", inward * volts / 1000)
        show(block, "output_kw", outward * volts / 1000)
        show(block, "net_kw", current * volts / 1000)
        show(block, "state_of_charge", self.home.soc)
        today = counters.today
        for unit, share in (("ah", 1), ("kwh", 1000)):
            counted = unit.replace("kwh", "wh")
            inside = today.get(f"in_{counted}", 0) / share
            outside = today.get(f"out_{counted}", 0) / share
            show(block, f"todays_net_input_{unit}", inside)
            show(block, f"todays_net_output_{unit}", outside)
            show(block, f"todays_net_battery_{unit}", inside - outside)
        if counters.volts:
            self._show_extremes(block, counters)

    def _show_extremes(self, block: Block, counters: Counters) -> None:
        gateway = self._chain.block(GATEWAY)
        zone = timedelta(hours=number(gateway, "set_time_zone") or 0)
        least, most = counters.volts
        for name, (volts, at) in (("minimum", least), ("maximum", most)):
            show(block, f"todays_{name}_battery_voltage", volts)
            seconds = (at - zone - datetime(1970, 1, 1)).total_seconds()
            show_pair(block, f"todays_{name}_battery_time", int(seconds))
        show(block, "todays_minimum_soc", counters.soc[0])
        show(block, "todays_maximum_soc", counters.soc[1])
        flags = reads(block, "status_flags") or 0
        full = 2 if self.home.soc >= 98 else 0
        show(block, "status_flags", flags & ~2 | full)


def _shares(total: int, count: int) -> list[int]:
    """Split a whole number into shares that differ by 1 at most."""
    share, rest = divmod(total, count)
    return [share + (place < rest) for place in range(count)]
