"""From what a DTU says to the values of its devices' points.

The protocol does not send zeros, so that a value that is 0 and one that is not there look
the same. An inverter that the DTU reaches has all values; of one that it does not reach
only counters count. Day counters are never taken for 0: they are 0 only until the first
watt-hour, and a gap in between would look like a reset.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
import re
from typing import Final

from ..points import ALARMS, CONNECTED, PROBLEM, Value
from . import models, points
from .commands import Action
from .event_log import EventLog
from .grid_profiles import grid_profile
from .inventory import Inventory, Inverter
from .records import (
    AppInfo,
    Config,
    InverterSample,
    Meter,
    NetworkInfo,
    Panel,
    RealData,
    SinglePhase,
)
from .serial_number import as_text

type Values = dict[str, Value | None]

_LIMIT: Final = re.compile(r"A:(\d+)")
"""Where the text of a limit names the share of all or the first group, in 0.1 %."""

_OF_A_PHASE: Final = frozenset(
    f"{what}_{phase}" for what in ("voltage", "current") for phase in "abc"
)
"""Fields of a meter that only mean something where there is a voltage."""

_QUALITY_DBM: Final = range(-120, 0)
_QUALITY_PERCENT: Final = range(1, 101)
"""What a link quality can be; some firmware sends two counters of packets instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was heard of a DTU last. The times at which that was differ."""

    inventory: Inventory
    data: RealData
    info: AppInfo | None = None
    config: Config | None = None
    network: NetworkInfo | None = None
    events: Mapping[int, EventLog] = field(default_factory=dict)
    energy_totals: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """Lifetime energy in Wh by serial number and input, also of those that are silent now."""
    energy_today: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """Energy of the day in the same way."""
    meter_factor: float = 1.0
    """What the readings of meters are multiplied with: some come in other steps."""

    def sample(self, serial: int) -> InverterSample | None:
        """Return the values of an inverter that the DTU reaches and has asked."""
        for sample in self.data.inverters:
            if sample.serial == serial and sample.is_linked and _was_asked(sample):
                return sample
        return None

    def panels(self, inverter: Inverter) -> tuple[Panel, ...]:
        """Return the values of an inverter's inputs, each once, as far as there are some."""
        found = {
            panel.port: panel
            for panel in self.data.panels
            if panel.serial == inverter.serial and panel.port in inverter.inputs
        }
        return tuple(found.values())


def dtu_id(inventory: Inventory) -> str:
    """Return the id of the DTU: an integrated one has the number of its inverter."""
    return f"dtu_{inventory.serial}"


def snapshot(known: Known) -> dict[str, Values]:
    """Return the values of all devices."""
    values = {dtu_id(known.inventory): _dtu(known)}
    for inverter in known.inventory.inverters:
        values[inverter.id] = _inverter(known, inverter)
    for serial in known.inventory.meters:
        values[as_text(serial)] = {CONNECTED.key: False}
    for meter in known.data.meters:
        values[as_text(meter.serial)] = _meter(meter, known.meter_factor)
    return values


def _was_asked(sample: InverterSample) -> bool:
    """Return whether an inverter's values are real: no grid has 0 V, 0 Hz and 0 degrees."""
    voltage = sample.voltage if isinstance(sample, SinglePhase) else sample.voltage_a
    return any((voltage, sample.frequency, sample.temperature, sample.active_power))


# -- the DTU ----------------------------------------------------------------------------


def _dtu(known: Known) -> Values:
    values: Values = {points.AC_POWER.key: _total_power(known)}
    if (energy := _total_today(known)) is not None:
        values[points.ENERGY_TODAY.key] = energy
    _add_total(values, known, known.inventory.inverters)
    if (known.info is not None and (signal := known.info.dtu.signal_strength)) or (
        known.config is not None and (signal := known.config.wifi_signal)
    ):
        values[points.SIGNAL.key] = signal
    if known.network is not None:
        values[points.CLOUD_CONNECTED.key] = known.network.work_state == 1
    if known.config is not None and (minutes := known.config.upload_interval):
        values[points.UPLOAD_INTERVAL.key] = minutes
    return values


def _total_power(known: Known) -> float:
    """Return the power of all inverters in W; older firmware leaves the sum to us."""
    if known.data.dtu_power:
        return known.data.dtu_power / 10
    samples = (known.sample(inverter.serial) for inverter in known.inventory.inverters)
    return sum(sample.active_power for sample in samples if sample) / 10


def _total_today(known: Known) -> float | None:
    """Return the energy of the day in kWh, ``None`` as long as there is none.

    Some firmware leaves the sum to us, or forgets inverters that went to sleep.
    """
    inputs = sum(
        known.energy_today.get((inverter.serial, port), 0)
        for inverter in known.inventory.inverters
        for port in inverter.inputs
    )
    energy = max(known.data.dtu_energy_today, inputs)
    return energy / 1000 if energy > 0 else None


def _add_total(values: Values, known: Known, inverters: Iterable[Inverter]) -> None:
    """Add the lifetime energy, if that of every input is known: a part would be a fall."""
    inputs = [
        (inverter.serial, port) for inverter in inverters for port in inverter.inputs
    ]
    totals = [known.energy_totals.get(place) for place in inputs]
    if None not in totals and (total := sum(filter(None, totals))) > 0:
        values[points.ENERGY_TOTAL.key] = total / 1000


# -- inverters --------------------------------------------------------------------------


def _inverter(known: Known, inverter: Inverter) -> Values:
    sample = known.sample(inverter.serial)
    values: Values = {CONNECTED.key: sample is not None}
    panels = known.panels(inverter)
    for panel in panels:
        values |= _input(panel, is_linked=sample is not None)
    _add_total(values, known, (inverter,))
    if sample is not None:
        _add_sample(values, sample, panels, inverter)
    limit = active_limit(known, inverter)
    values[points.ACTIVE_LIMIT.key] = limit
    values[points.STORED_LIMIT.key] = stored_limit(known)
    rated = inverter.model.rated_power
    if (
        known.inventory.takes_temporary_limit
        and limit is not None
        and rated is not None
    ):
        values[points.TEMPORARY_LIMIT] = round(rated * limit / 100, 1)
    values[points.ON_OFF.key] = is_on(known, inverter)
    values[points.GRID_PROFILE.key] = grid_profile(
        inverter.grid_profile, inverter.grid_profile_version
    )
    events = known.events.get(inverter.serial)
    if events is not None and events.is_known:
        values[points.LAST_EVENT.key] = events.last
        values[PROBLEM.key] = events.has_fault
        values[ALARMS.key] = events.alarms()
    return values


def _add_sample(
    values: Values,
    sample: InverterSample,
    panels: Iterable[Panel],
    inverter: Inverter,
) -> None:
    """Add what an inverter says that the DTU reaches."""
    rows = (
        points.SINGLE_PHASE if isinstance(sample, SinglePhase) else points.THREE_PHASE
    )
    for row in rows:
        values[row.point.key] = row.value(getattr(sample, row.field))
    quality = sample.link_quality
    if quality in _QUALITY_DBM or quality in _QUALITY_PERCENT:
        values[points.LINK_QUALITY.key] = quality
    values[points.PV_POWER.key] = sum(panel.power for panel in panels) / 10
    today = [panel.energy_today for panel in panels]
    if len(today) >= len(inverter.inputs) and sum(today) > 0:
        values[points.ENERGY_TODAY.key] = sum(today) / 1000


def _input(panel: Panel, *, is_linked: bool) -> Values:
    """Return the values of a DC input; counters only as long as they are not 0."""
    values: Values = {}
    for row in points.input_rows(panel.port):
        raw: int = getattr(panel, row.field)
        if row.reads(raw) and (is_linked or row.point.quantity.is_counter):
            values[row.point.key] = row.value(raw)
    return values


def active_limit(known: Known, inverter: Inverter) -> float | None:
    """Return the limit in force in percent, by the best of three places that may hold it."""
    sample = known.sample(inverter.serial)
    if isinstance(sample, SinglePhase) and sample.power_limit > 0:
        return sample.power_limit / 10
    return stored_limit(known)


def stored_limit(known: Known) -> float | None:
    """Return the limit that is kept, in percent, as far as the DTU tells it.

    It says one for all inverters, which is sure only where there is one. Newer firmware
    leaves it out of the configuration.
    """
    if known.inventory.only_inverter is None:
        return None
    features = known.info.features if known.info is not None else {}
    found = _LIMIT.search(features.get(int(Action.STORED_LIMIT), ""))
    if found and int(found[1]) > 0:
        return int(found[1]) / 10
    if known.config is not None and known.config.power_limit > 0:
        return known.config.power_limit / 10
    return None


def is_on(known: Known, inverter: Inverter) -> bool | None:
    """Return whether an inverter is switched on, ``None`` if nothing tells."""
    sample = known.sample(inverter.serial)
    if sample is not None and sample.active_power > 0:
        return True
    events = known.events.get(inverter.serial)
    if events is None or not events.is_known:
        return None
    return not events.is_switched_off


# -- meters -----------------------------------------------------------------------------


def _meter(meter: Meter, factor: float) -> Values:
    values: Values = {CONNECTED.key: True}
    three_phase = models.is_three_phase_meter(meter.serial)
    for row in points.meter_rows(three_phase=three_phase):
        raw: int = getattr(meter, row.field)
        if row.field in _OF_A_PHASE and not getattr(meter, f"voltage_{row.field[-1]}"):
            continue  # a phase that is not wired, or an old DTU, which tells no voltages
        if row.reads(raw):
            is_scaled = row.times > 1 or row.point.quantity.is_counter
            values[row.point.key] = row.value(raw) * (factor if is_scaled else 1)
    power = values[points.GRID_POWER.point.key]
    assert isinstance(power, int | float)
    values[points.GRID_IMPORT_POWER.key] = max(0.0, power)
    values[points.GRID_EXPORT_POWER.key] = max(0.0, -power)
    return values
