"""A module that does what a test tells it, on a real pseudo-terminal.

Small and obedient where the simulated module is complete and honest: it can lose frames, answer
nonsense and die in the middle. It has its own device side of the handshake, in plain arithmetic.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import struct
import tty
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cobs import cobs
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ucm_provision.link.messages import protocomm_pb2 as pb

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
POP = "a7Kf-93Qp-Lm2x"
USERNAME = "wifiprov"
N = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D"
    "670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7D"
    "B3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    16,
)


@dataclass(frozen=True)
class Request:
    seq: int
    session: int
    endpoint: str
    body: bytes
    block: bytes  # as it was on the wire


def response(request: Request, body: bytes = b"", status: int = 0) -> bytes:
    """The frame that answers ``request``, delimiters included."""
    return response_frame(request.seq, request.session, body, status)


def response_frame(seq: int, session: int, body: bytes = b"", status: int = 0) -> bytes:
    covered = struct.pack("<BBBIHB", 1, 2, seq, session, status, 0) + body
    return b"\0" + cobs.encode(covered + struct.pack("<I", zlib.crc32(covered))) + b"\0"


def proto_ver(**changes: object) -> bytes:
    """The answer to ``proto-ver``; ``changes`` replace fields of its two parts."""
    ucm = {"ver": "1.0", "cap": ["config", "trial", "identify"], "max_frame": 2304, "id": HARDWARE_ID}
    prov = {"ver": "netprov-v1.2", "sec_ver": 2, "sec_patch_ver": 1, "cap": []}
    parts = {"ucm": ucm, "prov": prov}
    for part in parts.values():
        part.update({key: value for key, value in changes.items() if key in part})
    return json.dumps(parts).encode()


class ScriptedLine:
    """The module's end of a pseudo-terminal.

    ``answer`` is called with every request that arrives whole and returns the pieces to send back.
    """

    def __init__(self, answer: Callable[[Request], Iterator[bytes] | list[bytes]]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)  # kept open: without any opener the master reads as hung up
        self.path = os.ttyname(self._slave)
        self._block = b""
        self._heard = asyncio.Event()
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._on_readable)

    def print(self, data: bytes) -> None:
        os.write(self._master, data)

    def stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)

    def unplug(self) -> None:
        if self._master >= 0:
            self.stop_reading()
            os.close(self._master)
            os.close(self._slave)
            self._master = -1

    async def heard(self, count: int) -> None:
        """Waits until ``count`` requests have arrived in all, repetitions included."""
        async with asyncio.timeout(5):
            while len(self.requests) < count:
                self._heard.clear()
                await self._heard.wait()

    def _on_readable(self) -> None:
        *blocks, self._block = (self._block + os.read(self._master, 4096)).split(b"\0")
        for block in filter(None, blocks):
            request = _request(block)
            self.requests.append(request)
            self._heard.set()
            for piece in self.answer(request):
                if self._master >= 0:
                    self.print(piece)


def _request(block: bytes) -> Request:
    frame = cobs.decode(block)
    covered = frame[:-4]
    assert zlib.crc32(covered) == struct.unpack("<I", frame[-4:])[0]
    version, kind, seq, session, status, length = struct.unpack_from("<BBBIHB", covered)
    assert (version, kind, status) == (1, 1, 0)
    return Request(seq, session, covered[10 : 10 + length].decode(), covered[10 + length :], block)


class ScriptedModule:
    """The device side of security 2, with its endpoints in ``endpoints``: plaintext in, plaintext out.

    Attributes:
        refuse_proofs: How many proofs to refuse although they are right.
        sessions: The sessions that were opened, in order.
        proofs: How many proofs were presented.
    """

    def __init__(
        self,
        *,
        pop: str = POP,
        username: str = USERNAME,
        salt: bytes = b"0123456789abcdef",
        in_exponent: Callable[[bytes, bytes], bytes] = lambda salt, inner: salt + inner,
        version: bytes | None = None,
        refuse_proofs: int = 0,
    ) -> None:
        self.endpoints: dict[str, Callable[[bytes], bytes]] = {}
        self.refuse_proofs = refuse_proofs
        self.sessions: list[int] = []
        self.proofs = 0
        self.runs: list[str] = []
        self._version = version or proto_ver()
        self._username, self._salt = username.encode(), salt
        inner = _hash(self._username, b":", pop.encode())
        self._verifier = pow(5, int.from_bytes(_hash(in_exponent(salt, inner)), "big"), N)
        self._answered: tuple[tuple[int, int], bytes] | None = None

    def answer(self, request: Request) -> list[bytes]:
        """One run for each new request, the same bytes again for a repeated one."""
        key = (request.session, request.seq)
        if self._answered is None or self._answered[0] != key:
            self._answered = key, self._run(request)
        return [self._answered[1]]

    def _run(self, request: Request) -> bytes:
        if request.session not in self.sessions:
            self.sessions.append(request.session)
        self.runs.append(request.endpoint)
        if request.endpoint == "proto-ver":
            return response(request, self._version)
        if request.endpoint == "prov-session":
            return self._handshake(request)
        if request.endpoint not in self.endpoints:
            return response(request, status=0x105)
        answer = self.endpoints[request.endpoint](self._decrypt(request.body))
        return response(request, self._encrypt(answer))

    def _handshake(self, request: Request) -> bytes:
        payload = pb.SessionData.FromString(request.body).sec2
        if payload.msg == pb.S2Session_Command0:
            return response(request, self._challenge(payload.sc0.client_pubkey))
        self.proofs += 1
        if self.refuse_proofs or payload.sc1.client_proof != self._expected:
            self.refuse_proofs = max(0, self.refuse_proofs - 1)
            return response(request, status=0xFFFF)
        self._gcm, self._counter = AESGCM(self._key[:32]), 1
        reply = pb.S2SessionResp1(device_proof=_hash(self._a, self._expected, self._key), device_nonce=self._nonce())
        data = pb.SessionData(sec_ver=pb.SecScheme2, sec2=pb.Sec2Payload(msg=pb.S2Session_Response1, sr1=reply))
        return response(request, data.SerializeToString())

    def _challenge(self, a: bytes) -> bytes:
        private = int.from_bytes(os.urandom(32), "big")
        k = int.from_bytes(_hash(_pad(N), _pad(5)), "big")
        b = (k * self._verifier + pow(5, private, N)) % N
        public = b.to_bytes((b.bit_length() + 7) // 8, "big")
        u = int.from_bytes(_hash(a, _pad(b)), "big")
        secret = pow(int.from_bytes(a, "big") * pow(self._verifier, u, N), private, N)
        self._a, self._key = a, _hash(secret.to_bytes((secret.bit_length() + 7) // 8, "big"))
        group = bytes(x ^ y for x, y in zip(_hash(_pad(N)), _hash(_pad(5)), strict=True))
        self._expected = _hash(group, _hash(self._username), self._salt, a, public, self._key)
        reply = pb.S2SessionResp0(device_pubkey=public, device_salt=self._salt)
        data = pb.SessionData(sec_ver=pb.SecScheme2, sec2=pb.Sec2Payload(msg=pb.S2Session_Response0, sr0=reply))
        return data.SerializeToString()

    def _nonce(self) -> bytes:
        return b"8 random" + self._counter.to_bytes(4, "big")

    def _encrypt(self, plaintext: bytes) -> bytes:
        sealed = self._gcm.encrypt(self._nonce(), plaintext, None)
        self._counter += 1
        return sealed

    def _decrypt(self, ciphertext: bytes) -> bytes:
        plaintext = self._gcm.decrypt(self._nonce(), ciphertext, None)
        self._counter += 1
        return plaintext


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).digest()


def _pad(number: int) -> bytes:
    return number.to_bytes(384, "big")
