"""Writes what clients ask and are answered into a file, one JSON object per line."""

from typing import Protocol

from .clients import Client


class Recorder(Protocol):
    """Is told what goes through a gateway. Must return at once and never raise."""

    def request(self, client: Client, unit: int, pdu: bytes) -> None:
        """Take note of a request, as it came."""

    def answer(
        self, client: Client, unit: int, request: bytes, answer: bytes | None
    ) -> None:
        """Take note of the answer to a request, ``None`` if it gets none."""

    def garbage(self, client: Client, octets: bytes) -> None:
        """Take note of what is no request: a wrong checksum, or nothing known."""
