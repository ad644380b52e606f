"""A host for the tests: the client's half of the device link, computed from the formulas with plain pow().

Nothing here is imported from the module under test but its generated messages.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import struct
import termios
import tty
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

from cobs import cobs
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ucm_sim.messages import protocomm_pb2 as proto
from ucm_sim.messages import ucm_link_pb2 as pb

# RFC 3526, group 15.
N = int(
    """
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD
    EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F
    83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B
    E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510
    15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7
    ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C
    BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF
    """.replace("\n", "").replace(" ", ""),
    16,
)
G = 5

REPLY_TIMEOUT_S = 5.0


class Refused(Exception):  # noqa: N818 - reads as a sentence in pytest.raises
    """The module answered an esp_err instead of a body."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status:#x}")
        self.status = status


def sha512(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).digest()


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def padded(value: int) -> bytes:
    return value.to_bytes(384, "big")


def minimal(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


class SrpClient:
    """The client's half of one handshake."""

    def __init__(self, username: str, pop: str) -> None:
        self._username, self._pop = username, pop
        self._a = secrets.randbits(256)
        self.public_key = padded(pow(G, self._a, N))
        self.key = b""
        self.proof = b""

    def receive(self, salt: bytes, device_key: bytes) -> None:
        inner = sha512(f"{self._username}:{self._pop}".encode())
        self.receive_with(number(sha512(salt, inner)), salt, device_key)

    def receive_with(self, x: int, salt: bytes, device_key: bytes) -> None:
        k = number(sha512(padded(N), padded(G)))
        u = number(sha512(self.public_key, device_key.rjust(384, b"\0")))
        secret = pow(number(device_key) - k * pow(G, x, N), self._a + u * x, N)
        self.key = sha512(minimal(secret))
        group = bytes(p ^ q for p, q in zip(sha512(padded(N)), sha512(padded(G)), strict=True))
        name = sha512(self._username.encode())
        self.proof = sha512(group, name, salt, self.public_key, device_key, self.key)

    def expected_device_proof(self) -> bytes:
        return sha512(self.public_key, self.proof, self.key)


def request_frame(session: int, seq: int, endpoint: str, body: bytes) -> bytes:
    head = struct.pack("<BBBIHB", 1, 1, seq, session, 0, len(endpoint))
    block = head + endpoint.encode() + body
    return b"\0" + bytes(cobs.encode(block + struct.pack("<I", zlib.crc32(block)))) + b"\0"


def parse_response(encoded: bytes) -> tuple[int, int, int, bytes] | None:
    """Session, seq, status and body of a response, or None where the bytes are not one."""
    try:
        block = bytes(cobs.decode(encoded))
    except cobs.DecodeError:
        return None
    if len(block) < 14 or zlib.crc32(block[:-4]) != struct.unpack("<I", block[-4:])[0]:
        return None
    version, kind, seq, session, status, length = struct.unpack("<BBBIHB", block[:10])
    assert (version, kind, length) == (1, 2, 0)
    return session, seq, status, block[10:-4]


class Port:
    """The host's end of the terminal, opened as a serial program would."""

    def __init__(self, link: Path) -> None:
        self._descriptor = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        with contextlib.suppress(termios.error):
            tty.setraw(self._descriptor)
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self.seen = bytearray()
        self.hung_up = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.seen += data
            self._chunks.put_nowait(data)
        else:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self.hung_up.set()

    def write(self, data: bytes) -> None:
        assert os.write(self._descriptor, data) == len(data)

    async def read(self) -> bytes:
        return await self._chunks.get()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)


class Secured:
    """Handshake and encrypted calls, over whatever carries a plain call."""

    def __init__(self) -> None:
        self._cipher: AESGCM | None = None
        self._nonce = b""
        self._counter = 0

    async def call(self, endpoint: str, body: bytes) -> bytes:
        """One plain endpoint call."""
        raise NotImplementedError

    async def shake_hands(self, pop: str, username: str = "wifiprov") -> None:
        client = SrpClient(username, pop)
        first = proto.S2SessionCmd0(client_username=username.encode(), client_pubkey=client.public_key)
        answer = await self.step(proto.Sec2Payload(msg=proto.S2Session_Command0, sc0=first))
        assert answer.msg == proto.S2Session_Response0
        client.receive(answer.sr0.device_salt, answer.sr0.device_pubkey)
        await self.prove(client)

    async def prove(self, client: SrpClient) -> None:
        second = proto.S2SessionCmd1(client_proof=client.proof)
        answer = await self.step(proto.Sec2Payload(msg=proto.S2Session_Command1, sc1=second))
        assert answer.msg == proto.S2Session_Response1
        assert answer.sr1.device_proof == client.expected_device_proof()
        assert len(answer.sr1.device_nonce) == 12
        self._cipher = AESGCM(client.key[:32])
        self._nonce, self._counter = answer.sr1.device_nonce[:8], number(answer.sr1.device_nonce[8:])
        assert self._counter == 1

    async def step(self, payload: proto.Sec2Payload) -> proto.Sec2Payload:
        message = proto.SessionData(sec_ver=proto.SecScheme2, sec2=payload)
        reply = await self.call("prov-session", message.SerializeToString())
        return proto.SessionData.FromString(reply).sec2

    def seal(self, plaintext: bytes) -> bytes:
        assert self._cipher is not None
        sealed = self._cipher.encrypt(self._nonce + struct.pack(">I", self._counter), plaintext, None)
        self._counter += 1
        return sealed

    def unseal(self, body: bytes) -> bytes:
        assert self._cipher is not None
        plaintext = self._cipher.decrypt(self._nonce + struct.pack(">I", self._counter), body, None)
        self._counter += 1
        return plaintext

    async def secure(self, endpoint: str, plaintext: bytes) -> bytes:
        return self.unseal(await self.call(endpoint, self.seal(plaintext)))

    async def info(self) -> pb.Info:
        request = pb.InfoRequest(version=1).SerializeToString()
        return pb.Info.FromString(await self.secure("ucm-info", request))

    async def link(self) -> pb.LinkState:
        request = pb.LinkRequest(version=1).SerializeToString()
        return pb.LinkState.FromString(await self.secure("ucm-link", request))

    async def config(self, **request: object) -> pb.ConfigReply:
        """One `ucm-config` request, given as `reserve=pb.Reserve(...)` and so on."""
        message = pb.ConfigRequest(**request)  # type: ignore[arg-type]  # the oneof case is the caller's
        return pb.ConfigReply.FromString(await self.secure("ucm-config", message.SerializeToString()))

    async def reserve(self, owner: str = "box-1", seconds: int = 120) -> pb.ConfigReply:
        return await self.config(reserve=pb.Reserve(owner=owner, seconds=seconds))

    async def push(
        self, config: pb.ModuleConfig, *, base: int = 0, trial_s: int = 30, **terms: object
    ) -> tuple[bytes, int]:
        """Reserve, begin, chunks, commit; return transaction and generation."""
        blob, transaction = config.SerializeToString(), secrets.token_bytes(16)
        assert (await self.reserve()).status == pb.OK
        begin = pb.Begin(
            transaction=transaction,
            total=len(blob),
            sha256=hashlib.sha256(blob).digest(),
            base_generation=base,
        )
        assert (await self.config(begin=begin)).status == pb.OK
        for offset in range(0, len(blob), 2048):
            piece = pb.Chunk(transaction=transaction, offset=offset, payload=blob[offset : offset + 2048])
            assert (await self.config(chunk=piece)).status == pb.OK
        terms = {"confirm_by": pb.MODULE_ONLINE, **terms}
        commit = pb.Commit(transaction=transaction, trial_s=trial_s, **terms)  # type: ignore[arg-type]
        reply = await self.config(commit=commit)
        assert reply.status == pb.OK, reply
        return transaction, reply.generation


class Host(Secured):
    """One session over a port: requests with retransmission, handshake, encrypted calls."""

    def __init__(self, port: Port) -> None:
        super().__init__()
        self.port = port
        self.session = secrets.randbelow(0x7FFFFFFE) + 1
        self.seq = 0
        self._received = bytearray()

    async def exchange(self, frame: bytes, seq: int, timeout_s: float = REPLY_TIMEOUT_S) -> bytes:
        """Send a frame, again every quarter of a second, and return the body of its response."""
        async with asyncio.timeout(timeout_s):
            while True:
                self.port.write(frame)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.25):
                        return await self._response(seq)

    async def _response(self, seq: int) -> bytes:
        while True:
            *closed, rest = bytes(self._received).split(b"\0")
            for index, piece in enumerate(closed):
                response = parse_response(piece) if piece else None
                if response and response[:2] == (self.session, seq):
                    self._received = bytearray(b"\0".join([*closed[index + 1 :], rest]))
                    if response[2]:
                        raise Refused(response[2])
                    return response[3]
            self._received = bytearray(rest)
            self._received += await self.port.read()

    async def call(self, endpoint: str, body: bytes) -> bytes:
        """One plain endpoint call."""
        seq, self.seq = self.seq, (self.seq + 1) % 256
        return await self.exchange(request_frame(self.session, seq, endpoint, body), seq)


@contextlib.asynccontextmanager
async def opened(link: Path) -> AsyncIterator[Host]:
    port = Port(link)
    try:
        yield Host(port)
    finally:
        port.close()


@contextlib.asynccontextmanager
async def secured(link: Path, pop: str) -> AsyncIterator[Host]:
    async with opened(link) as host:
        await host.shake_hands(pop)
        yield host
