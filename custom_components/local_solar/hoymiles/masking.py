"""What an owner may give away of what a DTU said: values, but nothing that names it."""

from collections.abc import Mapping, Sequence
from typing import Final

from . import messages
from .dataset import Json, to_json
from .errors import MessageError
from .messages import Field, Fields

HEARD: Final = (
    "AppInfoReply",
    "RealDataReply",
    "OldRealDataReply",
    "ConfigReply",
    "NetworkInfoReply",
    "AlarmReply",
    "GatewayInfoReply",
    "StorageRegistryReply",
    "StorageDataReply",
)
"""Replies that are of use to somebody who looks for a fault, and to the simulator."""

_SERIALS: Final = frozenset(
    {"serial", "dtu_serial", "device_serial", "battery_serial", "pv_serial"}
)

_SAFE_CONFIG: Final = frozenset(
    {
        "utc_offset",
        "time",
        "power_limit",
        "zero_export_enable",
        "network_mode",
        "channel_select",
        "upload_interval",
        "wifi_signal",
        "inverter_type",
        "access_mode",
        "dhcp_enable",
        "meter_kind",
    }
)
"""The others are passwords, addresses and names of the owner's network."""

_SECRETS: Final = frozenset({"encryption_seed", "sim_number", "imei"})


def masked_dataset(heard: Mapping[str, Sequence[bytes]]) -> dict[str, Json]:
    """Return what was heard last as a dataset that the simulator can serve.

    ``heard`` holds the payloads of a reply's pages by its name. Serial numbers keep their
    type and their order; what does not decode is left out.
    """
    mask = _Mask()
    found: dict[str, Json] = {}
    for name in HEARD:
        try:
            pages = [messages.decode(name, page) for page in heard.get(name, ())]
        except MessageError:
            continue
        if pages:
            found[name] = to_json(mask.message(name, _joined(pages)))
    return {"messages": found}


def _joined(pages: Sequence[Fields]) -> Fields:
    """Return one message with the lists of all pages."""
    whole: Fields = {}
    for page in pages:
        for name, value in page.items():
            known = whole.get(name)
            if isinstance(known, list) and isinstance(value, list):
                whole[name] = [*known, *value]
            elif name not in whole:
                whole[name] = value
    for name in ("page_count", "page_index"):
        whole.pop(name, None)
    return whole


class _Mask:
    """Gives each serial number another one, the same wherever it stands."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def message(self, name: str, fields: Fields) -> Fields:
        if name == "ConfigReply":
            fields = {
                field: value
                for field, value in fields.items()
                if field in _SAFE_CONFIG | _SERIALS
            }
        return self._fields(fields)

    def _fields(self, fields: Fields) -> Fields:
        return {
            name: self._field(name, value)
            for name, value in fields.items()
            if name not in _SECRETS
        }

    def _field(self, name: str, value: Field) -> Field:
        if name in _SERIALS:
            return self._serial(value)
        if isinstance(value, dict):
            return self._fields(value)
        if isinstance(value, list):
            return [
                self._fields(item) if isinstance(item, dict) else item for item in value
            ]  # type: ignore[return-value]
        return value

    def _serial(self, serial: Field) -> Field:
        """Return a number in the place of a serial number: its type, and a count."""
        if isinstance(serial, bytes):
            return self._masked(serial.decode("utf-8", "replace")).encode()
        if isinstance(serial, int):
            return int(self._masked(f"{serial:012X}"), 16)
        return b""

    def _masked(self, text: str) -> str:
        if text not in self._given:
            number = len(self._given) + 1
            masked = f"{text[:4]}{number:08d}"
            # A serial number may happen to be just that.
            self._given[text] = masked if masked != text else f"{text[:4]}9{number:07d}"
        return self._given[text]
