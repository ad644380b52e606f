"""The device link's formulas in plain Python: read it beside SPEC.md.

A third implementation that the golden vectors are made with, next to the daemon's and the simulated
module's, which are tested against them. It is written to be read, not to be used: its exponentiation is
not constant-time and nothing here checks what a peer sends. Only AES-GCM comes from a library.
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# RFC 5054, appendix A, the 3072-bit group. g = 5.
N = int(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd"
    "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed"
    "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f"
    "83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b"
    "e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510"
    "15728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7"
    "abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200c"
    "bbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a93ad2caffffffffffffffff",
    16,
)
G = 5
GROUP_BYTES = 384


# ---- serial frames ------------------------------------------------------------------------------


def cobs(data: bytes) -> bytes:
    """Consistent overhead byte stuffing: `data` without a zero byte, in its shortest form."""
    out = bytearray()
    for block in data.split(b"\0"):
        whole, rest = divmod(len(block), 254)
        for start in range(0, whole * 254, 254):
            out += b"\xff" + block[start : start + 254]
        out += bytes([rest + 1]) + block[len(block) - rest :]
    # A full block implies no zero, so a code for the nothing after the last one can be left out.
    ends_full = len(data) >= 254 and len(data.rsplit(b"\0", 1)[-1]) % 254 == 0 and data[-1] != 0
    return bytes(out[:-1] if ends_full else out)


@dataclass(frozen=True)
class Frame:
    """One frame of the serial carrier. `type`: 1 request, 2 response; `status`: low 16 bits of esp_err_t."""

    type: int
    seq: int
    session: int
    endpoint: bytes = b""
    body: bytes = b""
    status: int = 0
    version: int = 1

    def decoded(self) -> bytes:
        """What is inside the COBS block, checksum included."""
        head = struct.pack("<BBBIHB", self.version, self.type, self.seq, self.session, self.status, len(self.endpoint))
        covered = head + self.endpoint + self.body
        return covered + struct.pack("<I", zlib.crc32(covered))

    def wire(self) -> bytes:
        """The bytes on the line, both delimiters included."""
        return delimited(self.decoded())


def delimited(decoded: bytes) -> bytes:
    """A COBS block between its two zero bytes."""
    return b"\0" + cobs(decoded) + b"\0"


# ---- security 2: SRP-6a -------------------------------------------------------------------------


def sha512(*parts: bytes) -> bytes:
    """H of the parts, one after the other."""
    return hashlib.sha512(b"".join(parts)).digest()


def minimal(number: int) -> bytes:
    """mb(number): big-endian, without leading zero bytes."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def pad(number: int) -> bytes:
    """PAD(number): big-endian, as long as the group's prime."""
    return number.to_bytes(GROUP_BYTES, "big")


def integer(data: bytes) -> int:
    """Big-endian bytes as a number."""
    return int.from_bytes(data, "big")


K_MULTIPLIER = integer(sha512(pad(N), pad(G)))


@dataclass(frozen=True)
class Verifier:
    """What a module stores instead of its proof of possession, and how it was derived.

    `form` is "standard" or one of the slips that verifiers in the field were made with; the salt that is
    sent and proved is the whole `salt` in every form.
    """

    username: bytes
    proof_of_possession: bytes
    salt: bytes
    form: str = "standard"

    @cached_property
    def inner_hash(self) -> bytes:
        """H(user ":" pop), as the form uses it."""
        whole = sha512(self.username + b":" + self.proof_of_possession)
        return whole.lstrip(b"\0") if self.form in ("inner-hash-stripped", "both-stripped") else whole

    @cached_property
    def salt_in_x(self) -> bytes:
        """The salt, as the form uses it inside x."""
        if self.form in ("salt-stripped", "both-stripped"):
            return self.salt.lstrip(b"\0")
        return self.salt[:-1] if self.form == "salt-without-last-byte" else self.salt

    @cached_property
    def x(self) -> int:
        """The private exponent that the password stands for."""
        return integer(sha512(self.salt_in_x, self.inner_hash))

    @cached_property
    def v(self) -> int:
        """g^x, what the module keeps."""
        return pow(G, self.x, N)


@dataclass(frozen=True)
class Handshake:
    """One security 2 exchange, with both sides' secrets a and b known."""

    verifier: Verifier
    a: int
    b: int

    @cached_property
    def client_key(self) -> bytes:
        """A as it is sent and hashed: always 384 bytes."""
        return pad(pow(G, self.a, N))

    @cached_property
    def device_key(self) -> bytes:
        """B as it is sent and hashed: without leading zero bytes."""
        return minimal((K_MULTIPLIER * self.verifier.v + pow(G, self.b, N)) % N)

    @cached_property
    def u(self) -> int:
        """The scrambler: H(PAD(A) | PAD(B)), the one place where B is padded."""
        return integer(sha512(self.client_key, pad(integer(self.device_key))))

    @cached_property
    def secret(self) -> int:
        """S, computed by the client and by the module; both must agree."""
        base = integer(self.device_key) - K_MULTIPLIER * self.verifier.v
        client = pow(base, self.a + self.u * self.verifier.x, N)
        device = pow(integer(self.client_key) * pow(self.verifier.v, self.u, N), self.b, N)
        assert client == device
        return client

    @cached_property
    def session_key(self) -> bytes:
        """K, 64 bytes; the first 32 are the AES key."""
        return sha512(minimal(self.secret))

    @cached_property
    def client_proof(self) -> bytes:
        """M1."""
        group = bytes(n ^ g for n, g in zip(sha512(pad(N)), sha512(pad(G)), strict=True))
        user = sha512(self.verifier.username)
        return sha512(group, user, self.verifier.salt, self.client_key, self.device_key, self.session_key)

    @cached_property
    def device_proof(self) -> bytes:
        """M2."""
        return sha512(self.client_key, self.client_proof, self.session_key)


# ---- security 2: AES-256-GCM --------------------------------------------------------------------


class Channel:
    """The encrypted messages of one session: one nonce counter, moved by every operation of either side."""

    def __init__(self, session_key: bytes, nonce: bytes) -> None:
        self._cipher = AESGCM(session_key[:32])
        self._prefix, self.counter = nonce[:8], integer(nonce[8:])

    @property
    def nonce(self) -> bytes:
        """The nonce of the next message."""
        return self._prefix + struct.pack(">I", self.counter)

    def encrypt(self, plaintext: bytes) -> bytes:
        """Ciphertext and the 16-byte tag, no associated data."""
        sealed = self._cipher.encrypt(self.nonce, plaintext, None)
        self.counter += 1
        return sealed
