"""Encryption: known answers, and nothing that was changed is decrypted."""

from hashlib import sha256

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.hoymiles.cipher import (
    SEED_LENGTH,
    TAG_LENGTH,
    Cipher,
)
from custom_components.local_solar.hoymiles.errors import FrameError

SEED = bytes(range(16))
KEY = bytes.fromhex("e5477bfc94b8a12bb7655873908fd2c2")
"""Of that seed, as the facts have it from two implementations."""
NONCES = {
    (0xA311, 2): ("11a30200", "a185cdc3583ff58d291cf93c"),
    (0xA211, 2): ("11a20200", "ee6ff6beb918a9d28146b6f7"),
}
"""Command and sequence number -> what is authenticated besides, nonce."""

numbers = st.integers(0, 0xFFFF)
seeds = st.binary(min_size=SEED_LENGTH, max_size=SEED_LENGTH)
payloads = st.binary(max_size=100)


@pytest.mark.parametrize(("command", "sequence"), sorted(NONCES))
def test_key_and_nonce_are_those_of_the_known_answers(
    command: int, sequence: int
) -> None:
    bound, nonce = map(bytes.fromhex, NONCES[command, sequence])
    sealed = AESGCM(KEY).encrypt(nonce, b"some payload", bound)
    encrypted, tag = Cipher(SEED).encrypt(command, sequence, b"some payload")
    assert encrypted + tag == sealed
    assert Cipher(SEED).decrypt(command, sequence, encrypted, tag) == b"some payload"


@given(seeds, numbers, numbers, payloads)
def test_it_is_aes_gcm_with_a_key_and_a_nonce_hashed_three_times(
    seed: bytes, command: int, sequence: int, payload: bytes
) -> None:
    def hashed(data: bytes) -> bytes:
        for _ in range(3):
            data = sha256(data).digest()
        return data

    # Little endian, though the header of the same frame is big endian.
    bound = command.to_bytes(2, "little") + sequence.to_bytes(2, "little")
    nonce = hashed(bound + seed)[20:]
    encrypted, tag = Cipher(seed).encrypt(command, sequence, payload)
    assert encrypted + tag == AESGCM(hashed(seed)[:16]).encrypt(nonce, payload, bound)


@given(seeds, numbers, numbers, payloads)
def test_what_is_encrypted_is_decrypted_again(
    seed: bytes, command: int, sequence: int, payload: bytes
) -> None:
    encrypted, tag = Cipher(seed).encrypt(command, sequence, payload)
    assert (len(encrypted), len(tag)) == (len(payload), TAG_LENGTH)
    assert Cipher(seed).decrypt(command, sequence, encrypted, tag) == payload


@given(numbers, numbers, payloads, st.data())
def test_a_flipped_bit_in_payload_or_tag_is_noticed(
    command: int, sequence: int, payload: bytes, data: st.DataObject
) -> None:
    encrypted, tag = Cipher(SEED).encrypt(command, sequence, payload)
    sealed = bytearray(encrypted + tag)
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameError, match=f"{command:04X} cannot be decrypted"):
        Cipher(SEED).decrypt(
            command, sequence, bytes(sealed[:-TAG_LENGTH]), bytes(sealed[-TAG_LENGTH:])
        )


@given(
    payloads,
    st.tuples(seeds, numbers, numbers),
    st.tuples(seeds, numbers, numbers),
)
def test_only_the_same_seed_command_and_sequence_number_decrypt(
    payload: bytes, ours: tuple[bytes, int, int], other: tuple[bytes, int, int]
) -> None:
    encrypted, tag = Cipher(ours[0]).encrypt(*ours[1:], payload)
    candidates = {
        (other[0], *ours[1:]),
        (ours[0], other[1], ours[2]),
        (*ours[:2], other[2]),
        other,
    }
    for seed, command, sequence in sorted(candidates - {ours}):
        with pytest.raises(FrameError):
            Cipher(seed).decrypt(command, sequence, encrypted, tag)


@pytest.mark.parametrize("length", [0, 1, 15, 17, 32])
def test_a_seed_of_another_length_is_none(length: int) -> None:
    with pytest.raises(FrameError, match=f"seed of {length} bytes instead of 16"):
        Cipher(bytes(length))


def test_a_cipher_does_not_show_its_seed() -> None:
    text = repr(Cipher(SEED))
    assert str(SEED) not in text
    assert SEED.hex() not in text
