"""The client's side of SRP-6a as ESP-IDF's protocomm security version 2 has it.

3072-bit group of RFC 5054, g = 5, SHA-512. Where protocomm differs from RFC 5054, protocomm wins:
A is sent and hashed with leading zeros, B is hashed as it was received, and the session key is the
hash of the shared secret without leading zeros (esp_srp.c in ESP-IDF's components/protocomm).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum

import gmpy2

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.secret import Secret

GROUP_BYTES = 384
PROOF_BYTES = 64
_PRIVATE_BITS = 256

_N = gmpy2.mpz(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D"
    "670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7D"
    "B3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    16,
)
_G = 5


class Form(StrEnum):
    """How a verifier may have been derived from the password.

    Some generators slip where a hash or a salt has a leading zero byte, or cut the salt (one in 256
    each); a module with such a verifier refuses the standard proof of the right password.
    """

    STANDARD = "standard"
    INNER_HASH_STRIPPED = "inner-hash-stripped"
    SALT_STRIPPED = "salt-stripped"
    BOTH_STRIPPED = "both-stripped"
    SALT_WITHOUT_LAST_BYTE = "salt-without-last-byte"


@dataclass(frozen=True, slots=True)
class Proofs:
    """What one exchange comes to: our proof, the one that the module owes us, and the key behind both."""

    client: bytes
    device: Secret[bytes]
    session_key: Secret[bytes]

    def accepts(self, device_proof: bytes) -> bool:
        """Whether the module has proved that it knows the verifier."""
        return hmac.compare_digest(device_proof, self.device.reveal())


class SrpClient:
    """One exchange, used once: a fresh private exponent each time.

    Args:
        username: What the verifier was made with.
        password: The proof of possession.
        private: The private exponent; only for known-answer tests.

    Attributes:
        public: A, exactly 384 bytes.
    """

    def __init__(self, username: str, password: Secret[str], *, private: int | None = None) -> None:
        self._username = username.encode()
        self._inner_hash = _hash(self._username, b":", password.reveal().encode())
        self._private = secrets.randbelow(2**_PRIVATE_BITS - 1) + 1 if private is None else private
        self.public = _padded(_power(_G, self._private))

    def forms(self, salt: bytes) -> list[Form]:
        """The forms of the verifier that can differ for this password and ``salt``, the standard one first."""
        forms: dict[bytes, Form] = {}
        for form in Form:
            forms.setdefault(self._in_exponent(salt, form), form)
        return list(forms.values())

    def prove(self, salt: bytes, device_public: bytes, form: Form = Form.STANDARD) -> Proofs:
        """Both proofs for the module's ``salt`` and public value B. Takes some milliseconds of CPU.

        Raises:
            UcmError: ``link_broken`` if B is one with which the key would not depend on the password.
        """
        b_public = _number(device_public)
        scrambler = _number(_hash(self.public, _padded(b_public)))
        if b_public % _N == 0 or scrambler == 0:
            raise UcmError(Code.LINK_BROKEN, "the module's public value is not acceptable")
        exponent = _number(_hash(self._in_exponent(salt, form)))
        base = (b_public - _MULTIPLIER * _power(_G, exponent)) % _N
        key = _hash(_minimal(_power(base, self._private + scrambler * exponent)))
        client = _hash(_GROUP_HASH, _hash(self._username), salt, self.public, device_public, key)
        return Proofs(client, Secret(_hash(self.public, client, key)), Secret(key))

    def _in_exponent(self, salt: bytes, form: Form) -> bytes:
        inner_hash = self._inner_hash
        if form in (Form.INNER_HASH_STRIPPED, Form.BOTH_STRIPPED):
            inner_hash = inner_hash.lstrip(b"\0")
        if form in (Form.SALT_STRIPPED, Form.BOTH_STRIPPED):
            salt = salt.lstrip(b"\0")
        return (salt[:-1] if form is Form.SALT_WITHOUT_LAST_BYTE else salt) + inner_hash


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).digest()


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _padded(number: int) -> bytes:
    return int(number).to_bytes(GROUP_BYTES, "big")


def _power(base: int, exponent: int) -> int:
    # The exponents are secret, and this is gmpy2's only exponentiation whose time does not tell them.
    return int(gmpy2.powmod_sec(base, exponent, _N))


_MULTIPLIER = _number(_hash(_padded(_N), _padded(_G)))
_GROUP_HASH = bytes(n ^ g for n, g in zip(_hash(_padded(_N)), _hash(_padded(_G)), strict=True))
