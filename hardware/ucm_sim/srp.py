"""The device's half of SRP-6a with the 3072-bit group of RFC 5054 and SHA-512, as ESP-IDF computes it.

One place differs from textbook SRP: in the proof, the hash of g is taken over g padded to 384 bytes.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import gmpy2

PUBLIC_KEY_LENGTH = 384
SALT_LENGTH = 16
PROOF_LENGTH = 64
_EXPONENT_LENGTH = 32

# RFC 3526 section 4 gives the prime of RFC 5054's 3072-bit group as this formula; pi comes from gmpy2.
with gmpy2.context(precision=3200):
    _PI_PART = int(gmpy2.floor(gmpy2.const_pi() * gmpy2.mpfr(2) ** 2942))
N = 2**3072 - 2**3008 - 1 + 2**64 * (_PI_PART + 1690314)
G = 5


class SrpError(Exception):
    """The client's values cannot lead to a session."""


class VerifierForm(Enum):
    """How the verifier was made: real generators differ where a leading byte is zero."""

    STANDARD = "standard"
    INNER_HASH_STRIPPED = "inner-hash-stripped"  # of its leading zero bytes
    SALT_STRIPPED = "salt-stripped"  # likewise
    BOTH_STRIPPED = "both-stripped"
    SALT_WITHOUT_LAST_BYTE = "salt-without-last-byte"


@dataclass(frozen=True, slots=True)
class Verifier:
    """What the module stores instead of its proof of possession."""

    salt: bytes
    value: bytes = field(repr=False)


def make_verifier(username: str, pop: str, salt: bytes, form: VerifierForm) -> Verifier:
    """Derive what the module stores from the proof of possession on its label."""
    inner = _sha512(f"{username}:{pop}".encode())
    hashed_salt = salt
    if form in (VerifierForm.INNER_HASH_STRIPPED, VerifierForm.BOTH_STRIPPED):
        inner = inner.lstrip(b"\0")
    if form in (VerifierForm.SALT_STRIPPED, VerifierForm.BOTH_STRIPPED):
        hashed_salt = salt.lstrip(b"\0")
    if form is VerifierForm.SALT_WITHOUT_LAST_BYTE:
        hashed_salt = salt[:-1]
    x = int.from_bytes(_sha512(hashed_salt, inner), "big")
    return Verifier(salt, _minimal(int(gmpy2.powmod_sec(G, x, N))))


class ServerExchange:
    """One handshake. `entropy(n)` returns n random bytes and is a parameter only for golden vectors."""

    def __init__(self, verifier: Verifier, entropy: Callable[[int], bytes]) -> None:
        self._salt = verifier.salt
        self._v = int.from_bytes(verifier.value, "big")
        self._b = int.from_bytes(entropy(_EXPONENT_LENGTH), "big")
        self.public_key = _minimal((_K * self._v + int(gmpy2.powmod_sec(G, self._b, N))) % N)
        self._client_key = b""
        self._session_key = b""

    @property
    def encryption_key(self) -> bytes:
        """The 32 bytes of the session key that AES-256-GCM takes."""
        return self._session_key[:32]

    def receive(self, client_key: bytes) -> None:
        """Take the client's public key as it came over the wire; raises SrpError if it is unusable."""
        if len(client_key) != PUBLIC_KEY_LENGTH:
            raise SrpError("the client's public key has the wrong length")
        a = int.from_bytes(client_key, "big")
        if a % N == 0:
            # It would force a session key that depends on no secret at all (RFC 5054 section 2.5.4).
            raise SrpError("the client's public key is a multiple of N")
        u = int.from_bytes(_sha512(client_key, _padded(self.public_key)), "big")
        secret = int(gmpy2.powmod_sec(a * gmpy2.powmod(self._v, u, N) % N, self._b, N))
        self._client_key = client_key
        self._session_key = _sha512(_minimal(secret))

    def prove(self, username: bytes, client_proof: bytes) -> bytes:
        """Check the client's proof and return the device's; raises SrpError if it is wrong."""
        exchanged = self._client_key + self.public_key
        expected = _sha512(_GROUP, _sha512(username), self._salt, exchanged, self._session_key)
        if not hmac.compare_digest(expected, client_proof):
            raise SrpError("the client's proof is wrong")
        return _sha512(self._client_key, client_proof, self._session_key)


def _sha512(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).digest()


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _padded(number: bytes) -> bytes:
    return number.rjust(PUBLIC_KEY_LENGTH, b"\0")


def _exclusive_or(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


_N_BYTES = _minimal(N)
_PADDED_G = _padded(_minimal(G))
_K = int.from_bytes(_sha512(_N_BYTES, _PADDED_G), "big")
_GROUP = _exclusive_or(_sha512(_N_BYTES), _sha512(_PADDED_G))
