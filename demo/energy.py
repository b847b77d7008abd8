"""Sets up the energy dashboard with what Local Solar offers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .client import Client, Device, Entity, Json, State
from .errors import DemoError
from .waiting import until

READY_WITHIN: Final = 30.0


IMPORTED: Final = ("grid_import_energy_total", "grid_import_energy_today")
EXPORTED: Final = ("grid_export_energy_total", "grid_export_energy_today")
CHARGED: Final = ("battery_charge_energy_total", "battery_charge_energy_today")
DISCHARGED: Final = (
    "battery_discharge_energy_total",
    "battery_discharge_energy_today",
)
"""Counters, the best first: those of the day begin anew each day, which statistics know."""


class Meters:
    """The entities of one device by key, for the statistics of the energy dashboard."""

    def __init__(
        self,
        device: Device,
        entities: Sequence[Entity],
        states: Mapping[str, State],
    ) -> None:
        """Take the sensors of ``device`` that are enabled."""
        self.id = device.id
        self.via_id = device.via_id
        self.name = device.name
        self._ids = {
            entity.key: entity.id
            for entity in entities
            if entity.device_id == device.id and entity.id in states
        }
        self._states = states
        self._of_the_day = {
            entity for key, entity in self._ids.items() if key.endswith("_today")
        }

    def first(self, *keys: str) -> str | None:
        """Return the entity of the first of ``keys`` that there is."""
        return next((self._ids[key] for key in keys if key in self._ids), None)

    @property
    def production(self) -> str | None:
        """The entity that counts what the sun gives.

        Of a system that counts the grid by the day only, the day's counter is the finer
        one: charge controllers count their life in whole kilowatt-hours.
        """
        if self.first(*IMPORTED) in self._of_the_day:
            return self.first("pv_energy_today")
        return self.first("pv_energy_total", "energy_total")

    @property
    def grid(self) -> tuple[str, str | None] | None:
        """The entities that count what came from the grid, and what went there.

        ``None`` if there is no meter: one that is not there has never counted. Counters of
        the day may stand at 0.
        """
        imported = self.first(*IMPORTED)
        if imported is None or (
            imported not in self._of_the_day
            and float(self._states[imported].value) <= 0
        ):
            return None
        return imported, self.first(*EXPORTED)


def sources(
    devices: Sequence[Device], entities: Sequence[Entity], states: Mapping[str, State]
) -> list[Json]:
    """Return the dashboard's sources: production, the first meter, every battery."""
    meters = [Meters(device, entities, states) for device in devices]
    return [
        *_solar(meters),
        *[*_grids(meters)][:1],
        *(source for meter in meters if (source := _battery(meter))),
    ]


def _solar(all_meters: Sequence[Meters]) -> Iterator[Json]:
    """Yield what produces; what a device counts for those behind it counts once."""
    producers = {meters.id for meters in all_meters if meters.production}
    for meters in all_meters:
        if meters.id not in producers or meters.via_id in producers:
            continue
        yield _without_nothing(
            type="solar",
            name=meters.name,
            stat_energy_from=meters.production,
            stat_rate=meters.first("pv_power", "ac_power"),
        ) | {"config_entry_solar_forecast": None}


def _grids(all_meters: Sequence[Meters]) -> Iterator[Json]:
    """Yield meters at the grid, but none that a device in front of it sums up."""
    metering = {meters.id for meters in all_meters if meters.grid}
    for meters in all_meters:
        if meters.grid is None or meters.via_id in metering:
            continue
        imported, exported = meters.grid
        yield _without_nothing(
            type="grid",
            name="Grid",
            stat_energy_from=imported,
            stat_energy_to=exported,
            power_config=_two_ways(meters, "grid_import_power", "grid_export_power")
            or _one_way(meters, "grid_power"),
            cost_adjustment_day=0,
        )


def _battery(meters: Meters) -> Json | None:
    charged = meters.first(*CHARGED)
    discharged = meters.first(*DISCHARGED)
    if charged is None or discharged is None:
        return None
    return _without_nothing(
        type="battery",
        name=meters.name,
        stat_energy_from=discharged,
        stat_energy_to=charged,
        power_config=_two_ways(
            meters, "battery_discharge_power", "battery_charge_power"
        ),
        stat_soc=meters.first("battery_soc"),
    )


def _two_ways(meters: Meters, outwards: str, inwards: str) -> Json | None:
    first, second = meters.first(outwards), meters.first(inwards)
    if first is None or second is None:
        return None
    return {"stat_rate_from": first, "stat_rate_to": second}


def _one_way(meters: Meters, signed: str) -> Json | None:
    """Return a power that is negative inwards, or into the grid."""
    entity = meters.first(signed)
    return None if entity is None else {"stat_rate": entity}


def _without_nothing(**fields: object) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value is not None}


async def set_up(client: Client, wanted: Sequence[Json]) -> None:
    """Give the energy dashboard its sources and wait until it has nothing to object to.

    Raises ``DemoError`` if it still has after some time.
    """
    saved = await client.command("energy/save_prefs", energy_sources=wanted)
    unknown = {*_statistics(saved["energy_sources"])}

    async def is_valid() -> bool | None:
        await _make_known(client, unknown)
        return None if await objections(client) else True

    try:
        await until(is_valid, READY_WITHIN, "the energy dashboard objects")
    except DemoError as err:
        raise DemoError(f"{err}: {'; '.join(await objections(client))}") from None


async def objections(client: Client) -> list[str]:
    """Return what the energy dashboard says is wrong with its sources."""
    answer = await client.command("energy/validate")
    return [
        f"{issue['type']} ({', '.join(entity for entity, _ in issue['affected_entities'])})"
        for issues in answer["energy_sources"]
        for issue in issues
    ]


def _statistics(sources: Sequence[Json]) -> Iterator[str]:
    """Yield the statistics that sources are made of."""
    for source in sources:
        yield from (
            value
            for key, value in source.items()
            if key.startswith("stat_") and value is not None
        )


async def _make_known(client: Client, unknown: set[str]) -> None:
    """Let the recorder know statistics now instead of at its next round of five minutes.

    It says itself what it is going to record of an entity; that is handed back to it
    without a single value. Those it knows are taken out of ``unknown``.
    """
    if not unknown:
        return
    for statistic in await client.command("recorder/list_statistic_ids"):
        if statistic["statistic_id"] not in unknown:
            continue
        unknown.discard(statistic["statistic_id"])
        await client.command(
            "recorder/import_statistics",
            metadata={
                "statistic_id": statistic["statistic_id"],
                "source": statistic["source"],
                "name": statistic["name"],
                "mean_type": statistic["mean_type"],
                "has_sum": statistic["has_sum"],
                "unit_class": statistic["unit_class"],
                "unit_of_measurement": statistic["statistics_unit_of_measurement"],
            },
            stats=[],
        )
