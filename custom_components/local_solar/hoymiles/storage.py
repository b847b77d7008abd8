"""Polls one storage gateway and the hybrid inverters behind it.

A gateway (DTS-WIFI-G1) takes other requests than a DTU, in frames that carry its serial
number. It is asked for that first: only this request may leave it out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
import time
from typing import Any, Final, Self

from ..points import CONNECTED, Device, DeviceIdentity, Point, PointId, Value
from . import models, storage_points as points
from .client import DtuClient, Session
from .commands import GATEWAY_INFO, STORAGE_DATA, STORAGE_REGISTRY
from .devices import MANUFACTURER
from .dtu import INFO_INTERVAL, Poll
from .errors import MessageError, SilentError, UnsupportedError, WrongDtuError
from .frame import Extension
from .inventory import GONE_AFTER, MAX_INPUTS
from .messages import Field
from .points import SIGNAL
from .serial_number import as_printed, as_text
from .storage_records import (
    HYBRID_INVERTER,
    GatewayInfo,
    HybridInfo,
    StorageData,
    StorageRegistry,
    gateway_info,
    joined_data,
    joined_info,
    joined_registry,
    storage_data,
    storage_registry,
)

KIND: Final = "storage"
"""What tells a stored inventory of a gateway from one of a DTU."""

_GATEWAY: Final = 255
_STORAGE: Final = 1
"""Who a frame is for: the gateway itself, or what is behind it."""

_ANY_GATEWAY: Final = Extension(gateway=0, number=_GATEWAY)
"""Answered by whichever gateway there is, so that one that was swapped is noticed."""

MAX_SILENT: Final = 2
"""Inverters that may be silent before the others are not asked any more: each
takes as long as a request may, and the session has an end."""

_PHASES: Final = (1, 2, 3)
_THREE_PHASE_MODELS: Final = ("HYT", "HAT")


# -- what there is ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridInverter:
    """A hybrid inverter behind a gateway, and its battery."""

    serial: int
    model_name: str = ""
    software: str = ""
    hardware: str = ""
    panel_count: int = 0
    inputs: tuple[int, ...] = ()
    """Numbers of its DC inputs: those that the gateway counts, and those with values."""
    phases: tuple[int, ...] = (1,)
    has_battery: bool = False
    battery_serial: str = ""
    battery_software: str = ""
    battery_hardware: str = ""
    battery_capacity: int = 0

    @property
    def id(self) -> str:
        """The serial number as text."""
        return as_text(self.serial)

    @property
    def battery_id(self) -> str:
        """Id of the battery as a device."""
        return f"{self.id}_battery"

    @property
    def model(self) -> str:
        """What it is, as far as it is known."""
        if self.model_name:
            return self.model_name
        digits = self.id[:4]
        prefix = models.PREFIXES.get(digits)
        if prefix is not None and prefix.kind is models.Kind.STORAGE:
            return prefix.family
        return f"Hybrid inverter ({digits})"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageInventory:
    """A gateway and the hybrid inverters behind it."""

    serial: str = ""
    """12 hex digits; empty as long as the gateway was not asked."""
    software: int = 0
    hardware: int = 0
    inverters: tuple[HybridInverter, ...] = ()

    @property
    def is_integrated(self) -> bool:
        """Whether it is fed by the panels: a gateway is not, it stays at night."""
        return False

    def to_json(self) -> dict[str, Any]:
        """Return it in a form that a config entry can keep."""
        return {
            **asdict(self),
            "kind": KIND,
            "inverters": [
                {
                    **asdict(inverter),
                    "inputs": list(inverter.inputs),
                    "phases": list(inverter.phases),
                }
                for inverter in self.inverters
            ],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return what was stored."""
        return cls(
            serial=stored["serial"],
            software=stored["software"],
            hardware=stored["hardware"],
            inverters=tuple(
                HybridInverter(
                    **{
                        **inverter,
                        "inputs": tuple(inverter["inputs"]),
                        "phases": tuple(inverter["phases"]),
                    }
                )
                for inverter in stored["inverters"]
            ),
        )


def is_storage(stored: Mapping[str, Any]) -> bool:
    """Return whether a stored inventory is one of a gateway."""
    return stored.get("kind") == KIND


def gateway_id(inventory: StorageInventory) -> str:
    """Return the id of the gateway as a device."""
    return f"gateway_{inventory.serial}"


@dataclass(slots=True)
class _Stocktaking:
    """Keeps an inventory up to date with what the gateway says."""

    known: StorageInventory
    _missing: dict[int, int] = field(default_factory=dict)
    """Serial number -> lists in a row that left it out."""
    _wired: frozenset[int] = frozenset()
    """What the gateway said last that is wired to it."""

    def take_info(self, info: GatewayInfo, serial: str) -> None:
        """Take in what the gateway says of itself and of what is wired to it."""
        self._wired = frozenset(
            device.serial
            for device in info.devices
            if device.type == HYBRID_INVERTER and device.serial
        )
        self.known = replace(
            self.known,
            serial=serial,
            software=info.software_version or self.known.software,
            hardware=info.hardware_version or self.known.hardware,
        )
        known = self._inverters()
        self._keep({n: HybridInverter(serial=n) for n in self._wired} | known)

    def take_registry(self, registry: StorageRegistry) -> None:
        """Take in the list of inverters; what it leaves out stays."""
        listed = {info.serial: info for info in registry.inverters if info.serial}
        known = self._inverters()
        if listed:
            self._forget_gone(known, self._wired.union(listed))
        for serial, info in listed.items():
            inverter = known.get(serial, HybridInverter(serial=serial))
            known[serial] = _with_info(inverter, info)
        self._keep(known)

    def _forget_gone(
        self, inverters: dict[int, HybridInverter], there: frozenset[int]
    ) -> None:
        """Forget what several lists in a row have left out."""
        for serial in tuple(inverters):
            missing = 0 if serial in there else self._missing.get(serial, 0) + 1
            self._missing[serial] = missing
            if missing >= GONE_AFTER:
                del inverters[serial], self._missing[serial]

    def take_data(self, data: StorageData) -> None:
        """Take in what an inverter has values of."""
        known = self._inverters()
        known[data.serial] = _with_data(known[data.serial], data)
        self._keep(known)

    def _inverters(self) -> dict[int, HybridInverter]:
        return {inverter.serial: inverter for inverter in self.known.inverters}

    def _keep(self, inverters: Mapping[int, HybridInverter]) -> None:
        self.known = replace(
            self.known,
            inverters=tuple(inverters[serial] for serial in sorted(inverters)),
        )


def _with_info(inverter: HybridInverter, info: HybridInfo) -> HybridInverter:
    """Return the inverter with what the list says; what it leaves out stays."""
    model = info.model_name or inverter.model_name
    panels = min(info.panel_count, MAX_INPUTS) or inverter.panel_count
    phases = _PHASES if model.startswith(_THREE_PHASE_MODELS) else inverter.phases
    return replace(
        inverter,
        model_name=model,
        software=info.main_software or inverter.software,
        hardware=info.hardware_version or inverter.hardware,
        panel_count=panels,
        inputs=_together(inverter.inputs, range(1, panels + 1)),
        phases=phases,
        has_battery=inverter.has_battery
        or bool(info.battery_serial or info.battery_capacity > 0),
        battery_serial=info.battery_serial or inverter.battery_serial,
        battery_software=info.battery_software or inverter.battery_software,
        battery_hardware=info.battery_hardware or inverter.battery_hardware,
        battery_capacity=info.battery_capacity or inverter.battery_capacity,
    )


def _with_data(inverter: HybridInverter, data: StorageData) -> HybridInverter:
    """Return the inverter with the inputs, phases and battery that have values."""
    inputs = {panel.input for panel in data.panels if 1 <= panel.input <= MAX_INPUTS}
    grid = data.grid.phases if data.grid is not None else ()
    phases = {phase.phase for phase in grid if phase.phase in _PHASES}
    return replace(
        inverter,
        inputs=_together(inverter.inputs, inputs),
        phases=_together(inverter.phases, phases),
        has_battery=inverter.has_battery
        or (data.battery is not None and data.battery.is_there),
    )


def _together(*numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({number for some in numbers for number in some}))


# -- polling ----------------------------------------------------------------------------


class StorageGateway:
    """One gateway and what is behind it."""

    def __init__(self, client: DtuClient, inventory: StorageInventory) -> None:
        """Poll through ``client``; ``inventory`` is what was known of it before."""
        self.client = client
        self.failed: dict[str, str] = {}
        self._stock = _Stocktaking(inventory)
        self._info: GatewayInfo | None = None
        self._info_due = 0.0
        self._registry_due = 0.0
        self._data: dict[int, StorageData] = {}
        """The values of the last poll by serial number."""
        self._silent: set[int] = set()
        """Inverters that were asked in the last poll, and did not answer."""

    @property
    def inventory(self) -> StorageInventory:
        """What is behind the gateway."""
        return self._stock.known

    @property
    def devices(self) -> tuple[Device, ...]:
        """The gateway and all that is behind it."""
        return devices(self.inventory)

    @property
    def id(self) -> str:
        """Id of the gateway as a device."""
        return gateway_id(self.inventory)

    @property
    def upload_interval(self) -> int | None:
        """Minutes between reports to the vendor's cloud: a gateway does not say."""
        return None

    async def async_poll(self, wanted: Iterable[PointId]) -> Poll:
        """Return the values of now. Raises ``DtuError``.

        All values of an inverter come in one answer, whichever are ``wanted``.
        """
        await self.client.async_in_session(self._async_cycle, with_key=False)
        return Poll(
            snapshot=self.snapshot(),
            failed=dict(self.failed),
        )

    async def async_identify(self) -> StorageInventory:
        """Ask what it is and what is behind it. Raises ``DtuError``."""

        async def ask(session: Session) -> None:
            await self._async_info(session)
            await self._async_registry(session)

        await self.client.async_in_session(ask, with_key=False)
        return self.inventory

    def snapshot(self) -> dict[str, dict[str, Value | None]]:
        """Return the values of all devices as far as they are known."""
        signal = self._info.signal if self._info is not None else 0
        values: dict[str, dict[str, Value | None]] = {
            self.id: {SIGNAL.key: signal} if signal else {}
        }
        for inverter in self.inventory.inverters:
            data = self._data.get(inverter.serial)
            is_linked = data is not None and data.is_linked
            values[inverter.id] = {CONNECTED.key: is_linked}
            if data is not None and is_linked:
                values[inverter.id] |= points.inverter_values(data)
                if inverter.has_battery:
                    values[inverter.battery_id] = points.battery_values(data)
        return values

    # -- one session --------------------------------------------------------------

    async def _async_cycle(self, session: Session) -> None:
        """Ask for all that is due."""
        if asked := time.monotonic() >= self._info_due:
            await self._async_info(session)
        if time.monotonic() >= self._registry_due:
            await self._async_registry(session)
        self._data = await self._async_values(session)
        if not self._silent or self._data:
            return
        if not asked:
            # Only its inverters are silent, or the gateway itself is, or is another one.
            await self._async_info(session)
        if self._info is not None and self._info.encrypts:
            raise UnsupportedError(
                "it wants encrypted requests, of a kind that is not known"
            )

    async def _async_info(self, session: Session) -> None:
        """Ask what the gateway is, which must be the right one."""

        def request(page: int) -> Mapping[str, Field]:
            return {**self.client.clock(), "page_index": page}

        info = joined_info(
            await session.async_pages(GATEWAY_INFO, gateway_info, request, _ANY_GATEWAY)
        )
        self._stock.take_info(info, self._checked(info))
        self._info, self._info_due = info, time.monotonic() + INFO_INTERVAL

    def _checked(self, info: GatewayInfo) -> str:
        """Return the gateway's serial number. Raises ``WrongDtuError``."""
        if not info.serial:
            raise MessageError("the gateway does not say which one it is")
        found, known = as_text(info.serial), self.inventory.serial
        self.client.check_serial(found)
        if known and known != found:
            raise WrongDtuError(known, found)
        return found

    async def _async_registry(self, session: Session) -> None:
        """Ask what is behind the gateway, which may fail without harm to the rest."""
        try:
            pages = await session.async_pages(
                STORAGE_REGISTRY, storage_registry, self._request, self._extension
            )
        except (SilentError, MessageError) as err:
            self.failed["registry"] = str(err)
        else:
            self.failed.pop("registry", None)
            self._stock.take_registry(joined_registry(pages))
        self._registry_due = time.monotonic() + INFO_INTERVAL

    async def _async_values(self, session: Session) -> dict[int, StorageData]:
        """Return the values of the inverters that give some.

        Those that were silent the last time are asked last.
        """
        found: dict[int, StorageData] = {}
        failed: dict[str, str] = {}
        silent: set[int] = set()
        for inverter in sorted(
            self.inventory.inverters, key=lambda item: item.serial in self._silent
        ):
            if len(silent) >= MAX_SILENT:
                failed[inverter.id] = "not asked, as others are silent"
                continue
            try:
                data = await self._async_data(session, inverter)
            except SilentError as err:
                silent.add(inverter.serial)
                failed[inverter.id] = str(err)
            except MessageError as err:
                failed[inverter.id] = str(err)
            else:
                found[inverter.serial] = data
                self._stock.take_data(data)
        registry = self.failed.get("registry")
        self.failed = failed if registry is None else {**failed, "registry": registry}
        self._silent = silent
        return found

    async def _async_data(
        self, session: Session, inverter: HybridInverter
    ) -> StorageData:
        """Ask for the values of an inverter: all pages of them, or none."""

        def request(page: int) -> Mapping[str, Field]:
            return {**self._request(page), "serial": inverter.serial}

        def read(payload: bytes) -> StorageData:
            page = storage_data(payload)
            if page.serial != inverter.serial:
                raise MessageError(
                    f"values of {as_text(page.serial)} instead of {inverter.id}"
                )
            return page

        return joined_data(
            await session.async_pages(STORAGE_DATA, read, request, self._extension)
        )

    @property
    def _extension(self) -> Extension:
        return Extension(gateway=int(self.inventory.serial, 16), number=_STORAGE)

    def _request(self, page: int) -> Mapping[str, Field]:
        return {**self.client.clock(), **self.client.clock_text(), "page_index": page}


# -- devices ----------------------------------------------------------------------------


def devices(inventory: StorageInventory) -> tuple[Device, ...]:
    """Return all devices, the gateway first."""
    return (_gateway(inventory), *_behind(inventory))


def _gateway(inventory: StorageInventory) -> Device:
    return Device(
        identity=DeviceIdentity(
            id=gateway_id(inventory),
            kind="gateway",
            manufacturer=MANUFACTURER,
            model=models.dtu_model(inventory.serial).name,
            serial_number=inventory.serial,
            firmware=models.dtu_version(inventory.software),
            hardware=models.dtu_version(inventory.hardware),
        ),
        points=(CONNECTED, SIGNAL),
    )


def _behind(inventory: StorageInventory) -> Iterator[Device]:
    for inverter in inventory.inverters:
        yield _inverter(inventory, inverter)
        if inverter.has_battery:
            yield _battery(inverter)


def _inverter(inventory: StorageInventory, inverter: HybridInverter) -> Device:
    return Device(
        identity=DeviceIdentity(
            id=inverter.id,
            kind="inverter",
            manufacturer=MANUFACTURER,
            model=inverter.model,
            serial_number=as_printed(inverter.serial),
            firmware=inverter.software or None,
            hardware=inverter.hardware or None,
            via=gateway_id(inventory),
        ),
        points=tuple(_inverter_points(inverter)),
    )


def _inverter_points(inverter: HybridInverter) -> Iterator[Point]:
    rows = points.inverter_rows(inverter.inputs, inverter.phases)
    yield from (row.point for row in rows)
    yield CONNECTED


def _battery(inverter: HybridInverter) -> Device:
    return Device(
        identity=DeviceIdentity(
            id=inverter.battery_id,
            kind="battery",
            manufacturer=MANUFACTURER,
            model="battery",
            serial_number=inverter.battery_serial or None,
            firmware=inverter.battery_software or None,
            hardware=inverter.battery_hardware or None,
            via=inverter.id,
        ),
        points=tuple(row.point for row in points.battery_rows()),
    )
