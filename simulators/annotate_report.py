"""What a recording says of an inverter's registers, held against the register maps.

Serial numbers are masked, so that a report can be shown to others.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Final

from modbus_connection import ModbusError

from custom_components.local_solar.growatt.datalogger.records import Block
from custom_components.local_solar.growatt.datalogger.unit import RecordedUnit
from custom_components.local_solar.growatt.identify import IdentificationError, identify
from custom_components.local_solar.growatt.masking import mask_serial_numbers, mask_text
from custom_components.local_solar.growatt.models import (
    DEVICE_TYPE_CODES,
    NARROW,
    Certainty,
    Family,
)
from custom_components.local_solar.growatt.probe import DEVICE_TYPE_CODE, VPP_VERSION
from custom_components.local_solar.growatt.profiles.catalogue import (
    PROFILES,
    profile_of,
)
from custom_components.local_solar.growatt.profiles.meter import METER
from custom_components.local_solar.growatt.profiles.profile import Profile
from custom_components.local_solar.growatt.profiles.vpp import OVERLAY
from custom_components.local_solar.modbus.image import RegisterImage, Space
from custom_components.local_solar.points import Value

from .annotate_histories import (
    Histories,
    Movement,
    Place,
    histories_of,
    movements_of,
    text_of,
    text_runs,
)
from .annotate_traffic import (
    ClientTraffic,
    Failure,
    Written,
    failures_of,
    traffic_of,
    writes_of,
)
from .datasets import Dataset, Table
from .errors import SimulatorError
from .exchanges import STAND_INS
from .wire_log import Recording

_VPP_VERSIONS: Final = range(200, 300)

_TABLES: Final[Mapping[Space, Table]] = {
    Space.HOLDING: Table.HOLDING,
    Space.INPUT: Table.INPUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A row of the register map, and what was seen of it."""

    table: Table
    address: int
    key: str
    name: str
    unit: str | None
    first: Value | None
    last: Value | None
    is_whole: bool
    """Whether all of its words were read; without them there is no value."""
    readers: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A register that the map does not know, and how it moved."""

    table: Table
    address: int
    first: int
    last: int
    minimum: int
    maximum: int
    changes: int
    movement: Movement
    text: str | None
    """At the first register of a text: the text, all but its first characters masked."""
    elsewhere: tuple[str, ...]
    """Rows of other maps at this address: ``sph.battery_power``. Empty: no map knows it."""
    readers: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a recording says of one unit."""

    name: str
    unit: int
    exchanges: int
    seconds: float | None
    dropped: int
    profile: str
    because: str
    """Why this map."""
    clients: tuple[ClientTraffic, ...]
    failures: tuple[Failure, ...]
    writes: tuple[Written, ...]
    known: tuple[Known, ...]
    unknown: tuple[Unknown, ...]
    registers: int
    """How many were read."""
    dataset: Dataset
    """The words seen last, with serial numbers masked."""

    @property
    def strangers(self) -> list[Unknown]:
        """Registers that no map knows."""
        return [register for register in self.unknown if not register.elsewhere]

    @property
    def of_others(self) -> list[Unknown]:
        """Registers that only maps of other families know."""
        return [register for register in self.unknown if register.elsewhere]


async def annotate(
    recording: Recording, *, unit: int | None = None, profile: str | None = None
) -> Report:
    """Explain a recording of one unit, or of the one that ``unit`` says.

    ``profile`` is the register map to use; without it, it is found.
    Raises ``SimulatorError`` if there are no words, or if there is no such map.
    """
    dataset = Dataset.of_exchanges(recording.exchanges, recording.name, unit)
    number = _unit_of(recording, dataset, unit)
    exchanges = [
        exchange
        for exchange in recording.exchanges
        if exchange.device in (number, *STAND_INS)
    ]
    answered = [exchange for exchange in exchanges if exchange.device == number]
    chosen, because = await _map_of(dataset, profile)
    histories = histories_of(answered)
    known = set(_places_of(chosen))
    strange = {
        place: history for place, history in histories.items() if place not in known
    }
    runs = {run[0]: run for run in text_runs(strange)}
    masked = _masked(histories, strange, runs.values(), chosen)
    times = [exchange.at for exchange in exchanges if exchange.at is not None]
    return Report(
        name=recording.name,
        unit=number,
        exchanges=len(exchanges),
        seconds=(max(times) - min(times)).total_seconds() if times else None,
        dropped=recording.dropped,
        profile=chosen.key,
        because=because,
        clients=tuple(traffic_of(exchanges, recording.garbage)),
        failures=tuple(failures_of(exchanges)),
        writes=tuple(writes_of(exchanges)),
        known=tuple(chain(_known(chosen, histories, masked), _meter(histories))),
        unknown=tuple(_unknown(strange, runs)),
        registers=len(histories),
        dataset=_dataset_of(histories, masked[1], dataset.name),
    )


def _unit_of(recording: Recording, dataset: Dataset, unit: int | None) -> int:
    """Return the unit whose words a dataset has."""
    heard = {each.device for each in recording.exchanges if each.words}
    heard = heard.difference(STAND_INS) or heard
    if unit is None:
        (unit,) = heard
    if unit not in heard:
        (only,) = heard
        raise SimulatorError(f"{dataset.name}: is of unit {only}: not unit {unit}")
    return unit


# -- which map ------------------------------------------------------------------------


async def _map_of(dataset: Dataset, wanted: str | None) -> tuple[Profile, str]:
    """Return a register map, and why it is this one."""
    if wanted is not None:
        if wanted not in PROFILES:
            raise SimulatorError(f"{wanted!r} is no profile: {', '.join(PROFILES)}")
        return _with_vpp(wanted, dataset), "chosen"
    try:
        found = await identify(
            RecordedUnit(
                _blocks(dataset.words[Table.HOLDING]),
                _blocks(dataset.words[Table.INPUT]),
            )
        )
    except IdentificationError, ModbusError:
        found = None
    if found is not None and found.certainty > Certainty.GUESSED:
        return _with_vpp(found.profile, dataset), f"identified as {found.model}"
    code = dataset.words[Table.HOLDING].get(DEVICE_TYPE_CODE, 0)
    if (model := DEVICE_TYPE_CODES.get(code)) is not None:
        return _with_vpp(model.family, dataset), f"device type code {code} (holding 43)"
    read = {
        (table, address)
        for table, words in dataset.words.items()
        for address in words
        if table is not Table.METER
    }
    explained = {
        key: len(read & set(_places_of(_with_vpp(key, dataset)))) for key in PROFILES
    }
    best = max(explained, key=explained.__getitem__)
    return _with_vpp(best, dataset), (
        f"not identified, so compared with all maps: this one explains most,"
        f" {explained[best]} of {len(read)} registers"
    )


def _with_vpp(key: str, dataset: Dataset) -> Profile:
    """Return a map, with what the VPP protocol adds if the recording shows it."""
    version = dataset.words[Table.HOLDING].get(VPP_VERSION)
    return profile_of(key, vpp=version in _VPP_VERSIONS and Family(key) not in NARROW)


def _blocks(words: Mapping[int, int]) -> Iterator[Block]:
    """Yield runs of registers."""
    run: list[int] = []
    for address in sorted(words):
        if run and address != run[-1] + 1:
            yield Block(run[0], tuple(words[place] for place in run))
            run = []
        run.append(address)
    if run:
        yield Block(run[0], tuple(words[place] for place in run))


def _places_of(profile: Profile) -> Iterator[Place]:
    """Yield the registers that a map knows; all maps share the meter block."""
    for row in profile:
        for address in range(row.address, row.end):
            yield _TABLES[row.space], address
    for entry in METER:
        for address in range(entry.address, entry.end):
            yield Table.METER, address


@cache
def _rows_of_all() -> Mapping[Place, tuple[str, ...]]:
    """Return the rows of all maps at each register: ``sph.battery_power``."""
    found: dict[Place, list[str]] = defaultdict(list)
    named = [(key, tuple(profile)) for key, profile in PROFILES.items()]
    named += [("vpp", section.rows) for section in OVERLAY]
    for key, rows in named:
        for row in rows:
            for address in range(row.address, row.end):
                found[_TABLES[row.space], address].append(f"{key}.{row.key}")
    return {place: tuple(names) for place, names in found.items()}


# -- what is known --------------------------------------------------------------------

type _Images = tuple[RegisterImage, RegisterImage]
"""The words seen first, and those seen last, without serial numbers."""


def _masked(
    histories: Histories,
    strange: Histories,
    runs: Iterable[Iterable[Place]],
    profile: Profile,
) -> _Images:
    """Return the words seen first and last; mask serial numbers in them and in histories.

    What serves as one is known to the map, or is among the texts that it does not know.
    """
    for run in runs:
        places = list(run)
        text = "".join(
            strange[place].first.to_bytes(2).decode("latin-1") for place in places
        )
        octets = mask_text(text).encode("latin-1")
        for number, place in enumerate(places):
            history = strange[place]
            word = int.from_bytes(octets[2 * number : 2 * number + 2])
            history.steps = [history.steps[0]._replace(word=word)]
            history.minimum = history.maximum = word
    images = RegisterImage(), RegisterImage()
    for space, table in _TABLES.items():
        for (of_table, address), history in histories.items():
            if of_table is table:
                images[0].store(space, address, [history.first], 0.0)
                images[1].store(space, address, [history.last], 0.0)
    for image in images:
        mask_serial_numbers(image, profile)
    return images


def _known(profile: Profile, histories: Histories, images: _Images) -> Iterator[Known]:
    """Yield the rows of a map of which something was read."""
    for row in sorted(
        profile, key=lambda row: (list(Space).index(row.space), row.address)
    ):
        table = _TABLES[row.space]
        seen = [
            histories[table, address]
            for address in range(row.address, row.end)
            if (table, address) in histories
        ]
        if not seen:
            continue
        first, last = (image.get(row.space, row.address, row.words) for image in images)
        yield Known(
            table=table,
            address=row.address,
            key=row.key,
            name=row.point.name,
            unit=row.point.unit,
            first=row.decode(first) if first else None,
            last=row.decode(last) if last else None,
            is_whole=first is not None,
            readers=dict(seen[0].readers),
        )


def _meter(histories: Histories) -> Iterator[Known]:
    """Yield the rows of the meter block."""
    meter = {
        address: history
        for (table, address), history in histories.items()
        if table is Table.METER
    }
    first = {address: history.first for address, history in meter.items()}
    last = {address: history.last for address, history in meter.items()}
    for row in METER:
        if all(address in meter for address in range(row.address, row.end)):
            yield Known(
                table=Table.METER,
                address=row.address,
                key=row.point.key,
                name=row.point.name,
                unit=row.point.unit,
                first=row.decode(first),
                last=row.decode(last),
                is_whole=True,
                readers=dict(meter[row.address].readers),
            )


def _unknown(
    strange: Histories, runs: Mapping[Place, Iterable[Place]]
) -> Iterator[Unknown]:
    """Yield the registers that a map does not know."""
    movements = movements_of(strange)
    for place, history in strange.items():
        yield Unknown(
            table=place[0],
            address=place[1],
            first=history.first,
            last=history.last,
            minimum=history.minimum,
            maximum=history.maximum,
            changes=history.changes,
            movement=movements[place],
            text=text_of(runs[place], strange) if place in runs else None,
            elsewhere=_rows_of_all().get(place, ()),
            readers=dict(history.readers),
        )


def _dataset_of(histories: Histories, last: RegisterImage, name: str) -> Dataset:
    """Return the words seen last as a dataset."""
    dataset = Dataset(name)
    for space, table in _TABLES.items():
        dataset.words[table] = dict(last.words[space])
    dataset.words[Table.METER] = {
        address: history.last
        for (table, address), history in histories.items()
        if table is Table.METER
    }
    return dataset
