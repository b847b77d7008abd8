"""What is behind a DTU, as far as it is known: also at night, and after a restart."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

from . import models
from .models import InverterModel
from .records import AppInfo, InverterInfo, RealData, ThreePhase
from .serial_number import as_text, normalise_dtu

TEMPORARY_LIMIT_SINCE: Final = 0x1101
"""DTU firmware V01.01.01: the first that takes a limit that is not stored."""

GONE_AFTER: Final = 3
"""Lists in a row that must leave a device out before it is believed to be gone."""

MAX_INPUTS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Inverter:
    """A microinverter behind a DTU."""

    serial: int
    part_number: int = 0
    software: int = 0
    hardware: int = 0
    grid_profile: int = 0
    grid_profile_version: int = 0
    three_phase: bool = False
    inputs: tuple[int, ...] = ()
    """Numbers of its DC inputs."""

    @property
    def id(self) -> str:
        """The serial number as text."""
        return as_text(self.serial)

    @property
    def model(self) -> InverterModel:
        """What it is, as far as its numbers tell."""
        return models.inverter_model(self.serial, self.part_number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A DTU, its microinverters and its meters."""

    serial: str
    software: int = 0
    hardware: int = 0
    inverters: tuple[Inverter, ...] = ()
    meters: tuple[int, ...] = ()
    """Serial numbers."""

    @property
    def is_integrated(self) -> bool:
        """Whether the DTU is fed by the panels, and gone at night."""
        return models.dtu_model(self.serial).integrated or any(
            inverter.model.integrated for inverter in self.inverters
        )

    @property
    def takes_temporary_limit(self) -> bool:
        """Whether the firmware knows a limit that is not stored."""
        return self.is_integrated and self.software >= TEMPORARY_LIMIT_SINCE

    @property
    def only_inverter(self) -> Inverter | None:
        """The inverter, if there is just one: what the DTU says of all is true for it."""
        return self.inverters[0] if len(self.inverters) == 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return it in a form that a config entry can keep."""
        return {
            **asdict(self),
            "inverters": [
                {**asdict(inverter), "inputs": list(inverter.inputs)}
                for inverter in self.inverters
            ],
            "meters": list(self.meters),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return what was stored."""
        return cls(
            **{
                **stored,
                "inverters": tuple(
                    Inverter(**{**inverter, "inputs": tuple(inverter["inputs"])})
                    for inverter in stored["inverters"]
                ),
                "meters": tuple(stored["meters"]),
            }
        )


@dataclass(slots=True)
class Stocktaking:
    """Keeps an inventory up to date with what the DTU says."""

    known: Inventory
    _missing: dict[int, int] = field(default_factory=dict)
    """Serial number -> lists in a row that left it out."""

    def take(self, info: AppInfo | None, data: RealData) -> Inventory:
        """Return the inventory after a poll, with the list of the DTU if it was asked."""
        found = {inverter.serial: inverter for inverter in self.known.inverters}
        meters = set(self.known.meters)
        if info is not None:
            self._forget_gone(found, meters, info, data)
            for item in info.inverters:
                found[item.serial] = _with_info(_known(found, item.serial), item)
            meters.update(meter.serial for meter in info.meters)
        for sample in data.inverters:
            found[sample.serial] = replace(
                _known(found, sample.serial),
                three_phase=isinstance(sample, ThreePhase)
                or _known(found, sample.serial).three_phase,
            )
        meters.update(meter.serial for meter in data.meters)
        self.known = replace(
            self.known,
            inverters=tuple(
                _with_inputs(found[serial], data) for serial in sorted(found)
            ),
            meters=tuple(sorted(meters)),
            **({} if info is None else _about_dtu(info, self.known)),
        )
        return self.known

    def _forget_gone(
        self,
        inverters: dict[int, Inverter],
        meters: set[int],
        info: AppInfo,
        data: RealData,
    ) -> None:
        """Forget what several lists in a row have left out, and the values too."""
        if not info.inverters:
            return
        there = {
            *(inverter.serial for inverter in (*info.inverters, *data.inverters)),
            *(meter.serial for meter in info.meters),
            *(meter.serial for meter in data.meters),
        }
        for serial in (*inverters, *meters):
            missing = 0 if serial in there else self._missing.get(serial, 0) + 1
            self._missing[serial] = missing
            if missing >= GONE_AFTER:
                inverters.pop(serial, None)
                meters.discard(serial)
                del self._missing[serial]


def _about_dtu(info: AppInfo, known: Inventory) -> dict[str, Any]:
    """Return what the DTU says of itself; what it leaves out stays."""
    return {
        "serial": normalise_dtu(info.dtu_serial) or known.serial,
        "software": info.dtu.software_version or known.software,
        "hardware": info.dtu.hardware_version or known.hardware,
    }


def _known(inverters: Mapping[int, Inverter], serial: int) -> Inverter:
    if (inverter := inverters.get(serial)) is not None:
        return inverter
    model = models.inverter_model(serial, None)
    return Inverter(serial=serial, three_phase=model.three_phase)


def _with_info(inverter: Inverter, info: InverterInfo) -> Inverter:
    """Return the inverter with what the list says; what it leaves out stays."""
    part_number = info.hardware_part_number or inverter.part_number
    model = models.inverter_model(inverter.serial, part_number)
    return replace(
        inverter,
        part_number=part_number,
        software=info.software_version or inverter.software,
        hardware=info.hardware_version or inverter.hardware,
        grid_profile=info.grid_profile_id or inverter.grid_profile,
        grid_profile_version=info.grid_profile_version or inverter.grid_profile_version,
        three_phase=inverter.three_phase or model.three_phase,
        inputs=_together(inverter.inputs, range(1, (model.inputs or 0) + 1)),
    )


def _with_inputs(inverter: Inverter, data: RealData) -> Inverter:
    """Return the inverter with the inputs that have values."""
    model = models.inverter_model(inverter.serial, inverter.part_number)
    seen = {
        panel.port
        for panel in data.panels
        if panel.serial == inverter.serial and 1 <= panel.port <= MAX_INPUTS
    }
    return replace(
        inverter,
        inputs=_together(inverter.inputs, range(1, (model.inputs or 0) + 1), seen),
    )


def _together(*inputs: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({number for numbers in inputs for number in numbers}))
