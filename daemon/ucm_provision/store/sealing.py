"""How secrets are sealed: AES-256-GCM with a key derived from whatever key material the site has.

A sealed file is a header that names format and version, the nonce, and the ciphertext with its tag. The header
is authenticated too, so no byte of the file can change unnoticed.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ucm_provision.core.secret import Secret

_FORMAT = b"ucm-sealed "
HEADER = _FORMAT + b"1\n"
_NONCE_BYTES = 12
_KEY_BYTES = 32
# HKDF stretches nothing: what it is given must be as hard to guess as the key itself.
MATERIAL_SHORTEST = 32


class NotOpenedError(Exception):
    """Why something sealed could not be opened, in words for a person."""


def derive_key(material: bytes) -> Secret[bytes]:
    """The key that follows from the bytes of a key file or a credential.

    Raises:
        NotOpenedError: they are too few to be a key.
    """
    if len(material) < MATERIAL_SHORTEST:
        raise NotOpenedError(f"a key has at least {MATERIAL_SHORTEST} bytes")
    kdf = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"ucm-provisiond sealed secrets")
    return Secret(kdf.derive(material))


def seal(key: Secret[bytes], plain: bytes) -> bytes:
    """Never the same twice: each has a nonce of its own, and random ones are good for 2**32 of them."""
    nonce = os.urandom(_NONCE_BYTES)
    return HEADER + nonce + AESGCM(key.reveal()).encrypt(nonce, plain, HEADER)


def unseal(key: Secret[bytes], sealed: bytes) -> bytes:
    """What was sealed with this key.

    Raises:
        NotOpenedError: with another key, or it is not as it was sealed.
    """
    if not sealed.startswith(HEADER):
        newer = sealed.startswith(_FORMAT)
        raise NotOpenedError("another version of the daemon sealed it" if newer else "it holds no sealed secrets")
    nonce, rest = sealed[len(HEADER) :][:_NONCE_BYTES], sealed[len(HEADER) + _NONCE_BYTES :]
    try:
        return AESGCM(key.reveal()).decrypt(nonce, rest, HEADER)
    except (InvalidTag, ValueError):  # ValueError: it ends within the nonce
        raise NotOpenedError("another key sealed it, or it was damaged") from None
