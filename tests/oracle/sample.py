"""The module that the tests are about, and proofs of possession and salts for it."""

import hashlib
import random
import string

from tests.oracle.espressif import USERNAME

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
POP = "a7Kf-93Qp-Lm2x"
SALT = bytes.fromhex("5b1d0e7c92a34f6881d3c5b7096ae214")
# One in 256 is like these: a proof whose inner hash begins with a zero byte, and a salt that does.
INNER_ZERO = "pw00493"
ZERO_SALT = b"\0" + SALT[1:]

_ALPHABET = string.ascii_letters + string.digits + string.punctuation + " äß€"


def inner_hash(pop: str) -> bytes:
    return hashlib.sha512(f"{USERNAME}:{pop}".encode()).digest()


def ordinary_label(seed: int) -> tuple[str, bytes]:
    """A proof of possession and a salt, as good makers of verifiers draw them: no leading zero byte in either."""
    chance = random.Random(seed)
    while True:
        pop = "".join(chance.choices(_ALPHABET, k=chance.randint(1, 32)))
        salt = chance.randbytes(16)
        if inner_hash(pop)[0] and salt[0]:
            return pop, salt
