"""Encryption of payloads, which newer DTU firmware asks for.

AES-128-GCM with a tag of 16 bytes. Key and nonce derive from a seed that the DTU gives
in plain text and renews at each restart, and from the command and sequence number of the
frame, which are authenticated too. Facts: hoymiles-wifi (since July 2025), in use with
DTU-WLite-S V01.01.00 and integrated DTUs V01.01.01.
"""

from hashlib import sha256
from struct import pack
from typing import Final

from .errors import FrameError

SEED_LENGTH: Final = 16
TAG_LENGTH: Final = 16

_KEY_LENGTH: Final = 16
_NONCE_LENGTH: Final = 12


def _hash(data: bytes) -> bytes:
    for _ in range(3):
        data = sha256(data).digest()
    return data


class Cipher:
    """Encrypts and decrypts the payloads of one DTU until its next restart."""

    def __init__(self, seed: bytes) -> None:
        """Use the DTU's seed (16 bytes). Raises ``FrameError`` if it is no seed."""
        if len(seed) != SEED_LENGTH:
            raise FrameError(f"an encryption seed of {len(seed)} bytes instead of 16")
        # Most DTUs encrypt nothing: their owners need not load all of it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        self.seed = seed
        self._aes = AESGCM(_hash(seed)[:_KEY_LENGTH])

    def encrypt(
        self, command: int, sequence: int, payload: bytes
    ) -> tuple[bytes, bytes]:
        """Return the encrypted payload and its tag."""
        bound = pack("<HH", command, sequence)
        sealed = self._aes.encrypt(self._nonce(bound), payload, bound)
        return sealed[:-TAG_LENGTH], sealed[-TAG_LENGTH:]

    def decrypt(
        self, command: int, sequence: int, encrypted: bytes, tag: bytes
    ) -> bytes:
        """Return the payload. Raises ``FrameError`` if the key or the frame is not right."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        bound = pack("<HH", command, sequence)
        try:
            return self._aes.decrypt(self._nonce(bound), encrypted + tag, bound)
        except InvalidTag as err:
            raise FrameError(
                f"{command:04X} cannot be decrypted: the DTU has restarted, or the frame"
                " was changed on its way"
            ) from err

    def _nonce(self, bound: bytes) -> bytes:
        return _hash(bound + self.seed)[-_NONCE_LENGTH:]
