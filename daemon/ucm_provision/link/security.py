"""protocomm's security version 2: the two handshake messages, and the encrypted channel after them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.secret import Secret
from ucm_provision.link.messages import protocomm_pb2 as pb
from ucm_provision.link.srp import GROUP_BYTES, PROOF_BYTES

_SALT_LONGEST = 64
_NONCE = struct.Struct(">8sI")  # random bytes of the session, then the counter
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a module answers to our public value: its own, and the salt of its verifier."""

    public: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a module answers to a proof that it accepts: its own proof, and the first nonce."""

    proof: bytes
    nonce: bytes


def hello(username: str, public: bytes) -> bytes:
    """The first handshake message."""
    command = pb.S2SessionCmd0(client_username=username.encode(), client_pubkey=public)
    return _session_data(pb.Sec2Payload(msg=pb.S2Session_Command0, sc0=command))


def read_challenge(body: bytes) -> Challenge:
    """The answer to :func:`hello`.

    Raises:
        UcmError: ``link_garbage``, or ``link_broken`` when the module refuses to go on.
    """
    answer = _payload(body, pb.S2Session_Response0, "sr0").sr0
    if answer.status != pb.Success:
        raise UcmError(Code.LINK_BROKEN, f"prov-session answered handshake status {answer.status}")
    _check_length("public value", answer.device_pubkey, 1, GROUP_BYTES)
    _check_length("salt", answer.device_salt, 1, _SALT_LONGEST)
    return Challenge(answer.device_pubkey, answer.device_salt)


def proof(client_proof: bytes) -> bytes:
    """The second handshake message."""
    command = pb.S2SessionCmd1(client_proof=client_proof)
    return _session_data(pb.Sec2Payload(msg=pb.S2Session_Command1, sc1=command))


def read_acceptance(body: bytes) -> Acceptance | None:
    """The answer to :func:`proof`, None when the module refuses the proof.

    Raises:
        UcmError: ``link_garbage``.
    """
    answer = _payload(body, pb.S2Session_Response1, "sr1").sr1
    if answer.status != pb.Success:
        return None
    _check_length("proof", answer.device_proof, PROOF_BYTES, PROOF_BYTES)
    _check_length("nonce", answer.device_nonce, _NONCE.size, _NONCE.size)
    return Acceptance(answer.device_proof, answer.device_nonce)


class Channel:
    """AES-256-GCM with one counter for both directions.

    Every message of either side advances it (patch version 1 of security 2), so a message is
    encrypted once and the same bytes are sent again when the answer is late.

    Args:
        session_key: SRP's session key; its first 32 bytes are the AES key.
        nonce: The first nonce, as the module gave it.
    """

    def __init__(self, session_key: Secret[bytes], nonce: bytes) -> None:
        self._cipher = AESGCM(session_key.reveal()[:_KEY_BYTES])
        self._prefix, self._counter = _NONCE.unpack(nonce)

    def encrypt(self, plaintext: bytes) -> bytes:
        return self._cipher.encrypt(self._next_nonce(), plaintext, None)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Raises UcmError ``link_broken`` if the module did not encrypt this as its next message."""
        try:
            return self._cipher.decrypt(self._next_nonce(), ciphertext, None)
        except InvalidTag:
            raise UcmError(Code.LINK_BROKEN, "an answer does not decrypt") from None

    def _next_nonce(self) -> bytes:
        try:
            nonce = _NONCE.pack(self._prefix, self._counter)
        except struct.error:  # a counter that wraps would use a nonce twice
            raise UcmError(Code.LINK_BROKEN, "the session's nonces are used up") from None
        self._counter += 1
        return nonce


def _session_data(payload: pb.Sec2Payload) -> bytes:
    return pb.SessionData(sec_ver=pb.SecScheme2, sec2=payload).SerializeToString()


def _payload(body: bytes, message: pb.Sec2MsgType.ValueType, case: str) -> pb.Sec2Payload:
    try:
        data = pb.SessionData.FromString(body)
    except DecodeError:
        raise UcmError(Code.LINK_GARBAGE, "the answer of prov-session is no message") from None
    # A success is zero in these messages: only type and case prove that an answer is one.
    if data.sec_ver != pb.SecScheme2 or data.sec2.msg != message or data.sec2.WhichOneof("payload") != case:
        raise UcmError(Code.LINK_GARBAGE, "the answer of prov-session is another message than the one due")
    return data.sec2


def _check_length(what: str, value: bytes, least: int, most: int) -> None:
    if not least <= len(value) <= most:
        raise UcmError(Code.LINK_GARBAGE, f"the handshake's {what} has {len(value)} bytes")
