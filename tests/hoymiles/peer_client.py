"""Runs an independent client, hoymiles-wifi, in an environment of its own.

    .env/peer/bin/python tests/hoymiles/peer_client.py calls < job.json
    .env/peer/bin/python tests/hoymiles/peer_client.py captures FILE

Prints JSON. Messages are given by field number, because the client has other names:
texts and bytes as hexadecimal digits, numbers as they are.
"""

import asyncio
import json
from pathlib import Path
import sys
from types import ModuleType
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hoymiles_wifi.dtu import DTU  # type: ignore[import-not-found]
from hoymiles_wifi.hoymiles import BMSWorkingMode  # type: ignore[import-not-found]

ROOT = Path(__file__).parents[2]


class Client(DTU):  # type: ignore[misc]
    """The client, at any port and without its pause of two seconds."""

    def __init__(self, host: str, port: int, seed: bytes) -> None:
        """Talk to a DTU; ``seed`` is that of its encryption, if it has any."""
        super().__init__(host, is_encrypted=bool(seed), enc_rand=seed, timeout=5)
        self.port = port

    async def async_send_request(self, *arguments: Any, **options: Any) -> Any:
        """Send a request and return the reply, as the client understands it."""
        self.last_request_time = 0
        return await super().async_send_request(
            *arguments, dtu_port=self.port, **options
        )


def numbered(message: Any) -> dict[str, Any]:
    """Return the fields of a message that are set, by number."""
    return {
        str(field.number): _value(field, value) for field, value in message.ListFields()
    }


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return numbered(value)
    if isinstance(value, str):
        return value.encode().hex()
    return value.hex() if isinstance(value, bytes) else value


def known(descriptor: Descriptor) -> dict[str, Any]:
    """Return the numbers of the fields that the client knows, as a tree."""
    return {
        str(field.number): known(field.message_type) if field.message_type else None
        for field in descriptor.fields
    }


async def perform(job: dict[str, Any]) -> dict[str, Any]:
    """Make all calls of a job, one after the other."""
    client = Client(job["host"], job["port"], bytes.fromhex(job["seed"]))
    results = {}
    for name, *arguments in job["calls"]:
        if name.endswith("working_mode"):
            arguments[-1] = BMSWorkingMode[arguments[-1]]
        first = client.sequence + 1
        reply = await getattr(client, f"async_{name}")(*arguments)
        results[name] = {
            "sequences": [first, client.sequence],
            "reply": None if reply is None else numbered(reply),
            "known": None if reply is None else known(reply.DESCRIPTOR),
        }
    return results


def parse_captures(path: Path) -> dict[str, Any]:
    """Read recorded frames with the integration's messages, beside the client's own."""
    _make_importable()
    from custom_components.local_solar.hoymiles import messages  # noqa: PLC0415
    from custom_components.local_solar.hoymiles.cipher import Cipher  # noqa: PLC0415
    from custom_components.local_solar.hoymiles.dataset import to_json  # noqa: PLC0415
    from custom_components.local_solar.hoymiles.frame import FrameReader  # noqa: PLC0415

    read, wrong = 0, []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if record["expect"] != "ok":
            continue
        decoded = record["decoded"]
        seed = decoded.get("enc_rand")
        reader = FrameReader(Cipher(bytes.fromhex(seed)) if seed else None)
        (frame,) = reader.feed(bytes.fromhex(record["hex"]))
        found = to_json(messages.decode(decoded["message"], frame.payload))
        read += 1
        if _without_empty(found) != _without_empty(decoded["fields"]):
            wrong.append(record["id"])
    return {"read": read, "wrong": wrong}


def _without_empty(node: Any) -> Any:
    """Leave out what a device sends although there is nothing in it."""
    if isinstance(node, dict):
        return {
            name: _without_empty(value)
            for name, value in node.items()
            if value not in ("", 0)
        }
    return [_without_empty(item) for item in node] if isinstance(node, list) else node


def _make_importable() -> None:
    """Make the protocol importable without the integration around it."""
    sys.path.insert(0, str(ROOT))
    package = ModuleType("custom_components.local_solar")
    package.__path__ = [str(ROOT / "custom_components" / "local_solar")]
    sys.modules[package.__name__] = package


def main() -> None:
    """Do what the arguments say."""
    if sys.argv[1] == "calls":
        result = asyncio.run(perform(json.load(sys.stdin)))
    else:
        result = parse_captures(Path(sys.argv[2]))
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
