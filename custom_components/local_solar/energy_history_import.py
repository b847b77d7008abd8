"""What an inverter counted before Home Assistant knew it, brought into long-term statistics.

It gets a statistic of its own, an external one. Rows before the first one of the sensor's own
statistic would not do: Home Assistant takes the first row of a statistic as growth from 0. Either
the oldest imported row would show the fall of a lifetime, or all sums that exist had to be changed.
Two statistics of the energy dashboard add up, and the second begins with the very reading at which
the first ends.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Final

from homeassistant.components.recorder import DOMAIN as RECORDER, get_instance
from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import (
    async_add_external_statistics,
    get_last_statistics,
    statistics_during_period,
)
from homeassistant.const import Platform, UnitOfEnergy
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util, slugify
from homeassistant.util.hass_dict import HassKey
from homeassistant.util.json import JsonObjectType
from homeassistant.util.unit_conversion import EnergyConverter

from .const import DOMAIN
from .coordinators.base import LocalSolarCoordinator, unique_id
from .coordinators.growatt import GrowattCoordinator
from .growatt.energy_history import (
    ClockError,
    EnergyHistory,
    InconsistentError,
    LeftOut,
    Period,
    chain,
    history_before,
)
from .recorder_queue import async_wait_for_recorder

COUNTER: Final = "energy_total"
"""The counter that the lists tell the past of."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOCK: Final[HassKey[asyncio.Lock]] = HassKey(f"{DOMAIN}_energy_history")
_UNITS: Final = {EnergyConverter.UNIT_CLASS: UnitOfEnergy.KILO_WATT_HOUR}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """The statistic of the sensor that shows the counter."""

    entity_id: str
    begun: datetime
    """The first hour of it, in UTC."""
    counter: int
    """What the sensor showed when it began, in 0.1 kWh."""


async def async_import_energy_history(
    hass: HomeAssistant,
    coordinator: LocalSolarCoordinator,
    device: str,
    *,
    confirm: bool,
) -> JsonObjectType:
    """Say what the inverter counted before its sensor did, and import it if that is confirmed.

    No row that exists is changed: where there has been an import, there is no other.
    Raises ``ServiceValidationError`` where there is nothing to import from or to, and
    ``HomeAssistantError`` if the inverter or the recorder fails.
    """
    if not isinstance(coordinator, GrowattCoordinator) or not (
        coordinator.remembers_energy and device == coordinator.inverter.id
    ):
        raise _refusal("no_energy_history", coordinator)
    if RECORDER not in hass.config.components:
        raise _refusal("no_recorder", coordinator)
    statistic_id = f"{DOMAIN}:energy_history_{slugify(device)}"
    async with hass.data.setdefault(_LOCK, asyncio.Lock()):
        series = await _async_series(hass, coordinator)
        response: JsonObjectType = {
            "entity_id": series.entity_id,
            "begins": _local(series.begun),
            "statistic_id": statistic_id,
            "imported": False,
        }
        if (stored := await _async_stored(hass, statistic_id)) is not None:
            skipped: JsonObjectType = {"reason": "already_imported", "energy": stored}
            return {**response, "energy": 0.0, "periods": [], "skipped": [skipped]}
        history = await _async_history(coordinator, series)
        if confirm and history.periods:
            await _async_store(hass, coordinator, statistic_id, history)
            response["imported"] = True
        return {
            **response,
            "energy": history.energy / 10,
            "periods": [_period(period) for period in history.periods],
            "skipped": [_skipped(part) for part in history.left_out],
        }


async def _async_series(
    hass: HomeAssistant, coordinator: GrowattCoordinator
) -> _Series:
    """Find the statistic of the counter's sensor. Raises ``ServiceValidationError``."""
    registry = er.async_get(hass)
    entity_id = registry.async_get_entity_id(
        Platform.SENSOR, DOMAIN, unique_id((coordinator.inverter.id, COUNTER))
    )
    if entity_id is None or registry.entities[entity_id].disabled:
        raise _refusal("no_energy_sensor", coordinator)
    rows = await get_instance(hass).async_add_executor_job(
        statistics_during_period,
        hass,
        _EPOCH,
        None,
        {entity_id},
        "hour",
        _UNITS,
        {"state", "sum"},
    )
    match rows.get(entity_id):
        case [{"start": start, "state": float(state), "sum": float(total)}, *_]:
            # A sum begins with 0 at the first reading.
            return _Series(
                entity_id=entity_id,
                begun=datetime.fromtimestamp(start, UTC),
                counter=round(10 * (state - total)),
            )
    raise _refusal("no_energy_statistics", coordinator, entity=entity_id)


async def _async_stored(hass: HomeAssistant, statistic_id: str) -> float | None:
    """Return how much was imported in kWh, ``None`` if nothing ever was."""
    rows = await get_instance(hass).async_add_executor_job(
        get_last_statistics, hass, 1, statistic_id, False, {"sum"}
    )
    match rows.get(statistic_id):
        case [{"sum": float(total)}]:
            return round(total, 1)
    return None


async def _async_history(
    coordinator: GrowattCoordinator, series: _Series
) -> EnergyHistory:
    """Ask the inverter. Raises ``HomeAssistantError`` if what it says cannot be right."""
    memory = await coordinator.async_read_energy_memory()
    try:
        found = chain(memory, dt_util.now())
        return history_before(found, series.begun, series.counter)
    except ClockError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="energy_history_clock",
            translation_placeholders={
                "device": coordinator.name,
                "shown": str(err.shown),
                "now": f"{err.now:%Y-%m-%d %H:%M:%S}",
            },
        ) from err
    except InconsistentError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="energy_history_inconsistent",
            translation_placeholders={
                "device": coordinator.name,
                "what": err.what,
                "first": str(err.first / 10),
                "second": str(err.second / 10),
            },
        ) from err


async def _async_store(
    hass: HomeAssistant,
    coordinator: GrowattCoordinator,
    statistic_id: str,
    history: EnergyHistory,
) -> None:
    """Store one row for each period. Raises ``HomeAssistantError`` if they do not get there."""
    sums = accumulate(period.energy for period in history.periods)
    async_add_external_statistics(
        hass,
        StatisticMetaData(
            source=DOMAIN,
            statistic_id=statistic_id,
            name=f"{coordinator.name} output energy before Home Assistant",
            mean_type=StatisticMeanType.NONE,
            has_sum=True,
            unit_class=EnergyConverter.UNIT_CLASS,
            unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
        ),
        [
            StatisticData(start=period.hour, state=period.counter / 10, sum=energy / 10)
            for period, energy in zip(history.periods, sums, strict=True)
        ],
    )
    await async_wait_for_recorder(hass)
    if await _async_stored(hass, statistic_id) != history.energy / 10:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="energy_history_not_stored",
            translation_placeholders={"device": coordinator.name},
        )


def _period(period: Period) -> JsonObjectType:
    return {
        "start": _local(period.start),
        "end": _local(period.end),
        "energy": period.energy / 10,
        "by": period.span,
    }


def _skipped(part: LeftOut) -> JsonObjectType:
    disagreeing: JsonObjectType = {
        f"by_{span}": energy / 10 for span, energy in part.disagreeing.items()
    }
    return {
        "reason": part.doubt,
        "energy": part.energy / 10,
        "before": _local(part.before) if part.before else None,
        **disagreeing,
    }


def _local(at: datetime) -> str:
    return dt_util.as_local(at).isoformat()


def _refusal(
    key: str, coordinator: LocalSolarCoordinator, **placeholders: str
) -> ServiceValidationError:
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key=key,
        translation_placeholders={"device": coordinator.name, **placeholders},
    )
