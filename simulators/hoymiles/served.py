"""Recorded messages that a simulated DTU gives in the place of its own.

A dataset is ``{"_source": "...", "messages": {"AppInfoReply": {...}, ...}}`` with the raw
fields of each message, or a list of them: one for each page. It may stand inside a
diagnostics download of Home Assistant, at ``data.dataset``.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
import json
from pathlib import Path
from typing import Final, Self

from custom_components.local_solar.hoymiles import messages
from custom_components.local_solar.hoymiles.dataset import from_json
from custom_components.local_solar.hoymiles.errors import MessageError
from custom_components.local_solar.hoymiles.messages import Fields
from simulators.errors import SimulatorError
from simulators.text_file import read_text

from .fields import integer
from .inventory import INVENTORIES, Inventory, InverterModel, InverterSpec
from .replies import ENCRYPTS

_REDACTED: Final = "**REDACTED**"
"""What Home Assistant puts in the place of a private value in diagnostics."""

_OWN: Final = frozenset({"CommandAck", "CommandStatusReply", "HeartbeatFromDtu"})
"""Replies that a simulator gives itself, whatever was recorded."""

_TIMES: Final = frozenset(
    {"start_time", "end_time", "sample_time", "absolute_start", "long_term_start"}
)
"""Fields that tell when something was, and stay as long ago as they were."""

_INVENTED_SERIAL: Final = "414393100001"


@dataclass(frozen=True, slots=True)
class ServedMessages:
    """Messages by name, each as its pages."""

    name: str
    pages: Mapping[str, list[Fields]]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file. Raises ``SimulatorError``."""
        try:
            document = json.loads(read_text(path))
        except (json.JSONDecodeError, RecursionError) as err:
            raise SimulatorError(f"{path}: is not JSON: {err}") from None
        return cls.parse(document, str(path))

    @classmethod
    def parse(cls, document: object, name: str = "dataset") -> Self:
        """Read what is already decoded from JSON. Raises ``SimulatorError``."""
        found = _messages_in(document)
        if not found:
            raise SimulatorError(f"{name}: holds no messages of a DTU")
        return cls(
            name,
            {
                message: _pages(message, content, name)
                for message, content in found.items()
                if not message.startswith("_")
            },
        )

    @property
    def serial(self) -> str:
        """The DTU's serial number, an invented one if the dataset does not tell it."""
        for pages in self.pages.values():
            serial = pages[0].get("dtu_serial")
            if isinstance(serial, bytes) and serial:
                return serial.decode("latin-1")
        return _INVENTED_SERIAL

    def adapted(self, inventory: Inventory) -> Inventory:
        """Return an inventory with the serial numbers that were recorded.

        It is awake at night: what was recorded can be looked at at any time.
        """
        gateway = self._first("GatewayInfoReply")
        if gateway is not None:
            base = INVENTORIES["storage"]
            assert base.storage is not None
            devices = gateway.get("devices")
            first = devices[0] if isinstance(devices, list) and devices else {}
            serial = integer(first, "serial") if isinstance(first, dict) else 0
            spec = replace(base.storage, inverter=serial or base.storage.inverter)
            dtu = f"{integer(gateway, 'serial') or int(base.dtu, 16):012X}"
            return replace(base, dtu=dtu, storage=spec)
        inverters = self._inverters() or inventory.inverters
        return replace(
            inventory, dtu=self.serial, integrated=False, inverters=inverters
        )

    def _first(self, name: str) -> Fields | None:
        pages = self.pages.get(name)
        return pages[0] if pages else None

    def _inverters(self) -> tuple[InverterSpec, ...]:
        """Return the inverters that values were recorded of."""
        pages = self.pages.get("RealDataReply", [])
        panels = Counter(_serials(pages, "panels"))
        phases = dict.fromkeys(panels, 1)
        phases |= dict.fromkeys(_serials(pages, "single_phase"), 1)
        phases |= dict.fromkeys(_serials(pages, "three_phase"), 3)
        return tuple(
            InverterSpec(
                serial,
                InverterModel(
                    name=f"{serial >> 32:04X}",
                    prefix=serial >> 32,
                    inputs=panels[serial] or 1,
                    rated_power=500 * (panels[serial] or 1),
                    part_number=0,
                    phases=count,
                ),
            )
            for serial, count in phases.items()
        )

    def instead_of(self, name: str, own: Fields, request: Fields) -> Fields | None:
        """Return what to give in the place of the simulator's own reply.

        Times become those of the own reply. ``None`` if there is no such message.
        """
        if name in _OWN:
            return own
        pages = self.pages.get(name)
        if pages is None:
            return None
        index = integer(request, "page_index")
        fields: Fields = {"page_count": len(pages), "page_index": index}
        if index < len(pages):
            fields = {**pages[index]}
        for paged in ("page_count", "page_index"):
            if paged in own:
                fields[paged] = len(pages) if paged == "page_count" else index
            else:
                fields.pop(paged, None)
        time = integer(own, "time")
        if recorded := integer(fields, "time"):
            fields = _moved(fields, time - recorded)
        if name == "AppInfoReply":
            fields = _encrypting(fields, own)
        return {**fields, "time": time}


def _serials(pages: list[Fields], name: str) -> list[int]:
    """Return the serial numbers in a repeated field of all pages."""
    found: list[int] = []
    for page in pages:
        items = page.get(name, [])
        if isinstance(items, list):
            found += [
                integer(item, "serial") for item in items if isinstance(item, dict)
            ]
    return found


def _moved(fields: Fields, seconds: int) -> Fields:
    """Return a message with all times in it so many seconds later."""
    moved: Fields = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            moved[name] = _moved(value, seconds)
        elif isinstance(value, list):
            inside = [_moved(item, seconds) for item in value if isinstance(item, dict)]
            moved[name] = inside or value
        elif name in _TIMES and isinstance(value, int) and value:
            moved[name] = value + seconds
        else:
            moved[name] = value
    return moved


def _encrypting(fields: Fields, own: Fields) -> Fields:
    """Return what the DTU is, with the encryption of this run instead of the recorded."""
    dtu, own_dtu = fields.get("dtu"), own.get("dtu")
    if not isinstance(dtu, dict) or not isinstance(own_dtu, dict):
        return fields
    flags = integer(dtu, "feature_flags") & ~ENCRYPTS
    flags |= integer(own_dtu, "feature_flags") & ENCRYPTS
    seed = own_dtu.get("encryption_seed", b"")
    return {**fields, "dtu": {**dtu, "feature_flags": flags, "encryption_seed": seed}}


def _messages_in(document: object) -> Mapping[str, object]:
    """Return the messages of a dataset, wherever in a document it stands."""
    if not isinstance(document, dict):
        return {}
    found = document.get("messages")
    if isinstance(found, dict) and any(name in messages.NAMES for name in found):
        return found
    for child in document.values():
        if inside := _messages_in(child):
            return inside
    return {}


def _pages(message: str, content: object, name: str) -> list[Fields]:
    """Return the pages of a message. Raises ``SimulatorError`` if they are no good."""
    if message not in messages.NAMES:
        raise SimulatorError(f"{name}: {message!r} is not the name of a message")
    listed = content if isinstance(content, list) else [content]
    pages = []
    for page in listed:
        if not isinstance(page, dict):
            raise SimulatorError(f"{name}: {message} is not an object of fields")
        try:
            fields = from_json(_kept(page))
            messages.encode(message, fields)
        except MessageError as err:
            raise SimulatorError(f"{name}: {message}: {err}") from None
        pages.append(fields)
    return pages or [{}]


def _kept(node: Mapping[str, object]) -> dict[str, object]:
    """Leave out what was redacted, and remarks."""
    return {
        name: _kept_value(value)
        for name, value in node.items()
        if value not in (_REDACTED, None) and not name.startswith("_")
    }


def _kept_value(value: object) -> object:
    if isinstance(value, dict):
        return _kept(value)
    if isinstance(value, list):
        return [_kept_value(item) for item in value]
    return value
