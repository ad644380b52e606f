"""protocomm's security version 2 at patch version 1, the device's side of one session.

States, error codes and the moments at which the nonce counter moves follow security2.c of ESP-IDF v5.5.5.
"""

import struct
from collections.abc import Callable
from enum import Enum, auto

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError

from ucm_sim.faults import EndpointError, EspErr
from ucm_sim.messages import protocomm_pb2 as pb
from ucm_sim.srp import PROOF_LENGTH, ServerExchange, SrpError, Verifier

TAG_LENGTH = 16
_NONCE_PREFIX_LENGTH = 8


class _State(Enum):
    COMMAND0 = auto()
    COMMAND1 = auto()
    DONE = auto()


class Security2:
    """Handshake and cipher of one session. `verifier()` is asked for at a handshake, `entropy(n)` is n random bytes."""

    def __init__(self, verifier: Callable[[], Verifier], entropy: Callable[[int], bytes]) -> None:
        self._verifier = verifier
        self._entropy = entropy
        self._state = _State.COMMAND0
        self._username = b""
        self._exchange: ServerExchange | None = None
        self._cipher: AESGCM | None = None
        self._nonce_prefix = b""
        self._counter = 0

    @property
    def established(self) -> bool:
        return self._state is _State.DONE

    def shake_hands(self, body: bytes) -> bytes:
        """Answer one `prov-session` request; raises EndpointError where the device refuses it."""
        payload = _parse(body)
        try:
            reply = self._step(payload)
        except SrpError as refusal:
            # sec2_req_handler reports every failed step as ESP_FAIL, whatever its cause.
            raise EndpointError(EspErr.FAIL, str(refusal)) from refusal
        return pb.SessionData(sec_ver=pb.SecScheme2, sec2=reply).SerializeToString()

    def _step(self, payload: pb.Sec2Payload) -> pb.Sec2Payload:
        if payload.msg == pb.S2Session_Command0 and payload.HasField("sc0"):
            return self._command0(payload.sc0)
        if payload.msg == pb.S2Session_Command1 and payload.HasField("sc1"):
            return self._command1(payload.sc1)
        raise SrpError("the message type and the payload do not fit")

    def decrypt(self, body: bytes) -> bytes:
        """Decrypt a request and move the counter; a failure leaves the counter where it was."""
        cipher = self._established_cipher()
        if len(body) <= TAG_LENGTH:
            raise EndpointError(EspErr.NO_MEM, "no memory for an empty plaintext")
        try:
            plaintext = cipher.decrypt(self._nonce(), body, None)
        except InvalidTag as failure:
            raise EndpointError(EspErr.FAIL, "the request does not decrypt") from failure
        self._counter += 1
        return plaintext

    def encrypt(self, plaintext: bytes) -> bytes:
        """Encrypt a reply and move the counter."""
        body = self._established_cipher().encrypt(self._nonce(), plaintext, None)
        self._counter += 1
        return body

    def _command0(self, command: pb.S2SessionCmd0) -> pb.Sec2Payload:
        if not command.client_username:
            raise SrpError("the user name is empty")
        # A first step in any later state starts the session over.
        self._state, self._cipher = _State.COMMAND0, None
        verifier = self._verifier()
        exchange = ServerExchange(verifier, self._entropy)
        exchange.receive(command.client_pubkey)
        self._exchange, self._username = exchange, command.client_username
        self._state = _State.COMMAND1
        reply = pb.S2SessionResp0(device_pubkey=exchange.public_key, device_salt=verifier.salt)
        return pb.Sec2Payload(msg=pb.S2Session_Response0, sr0=reply)

    def _command1(self, command: pb.S2SessionCmd1) -> pb.Sec2Payload:
        if self._state is not _State.COMMAND1 or self._exchange is None:
            raise SrpError("a proof without a first step")
        if len(command.client_proof) != PROOF_LENGTH:
            raise SrpError("the client's proof has the wrong length")
        proof = self._exchange.prove(self._username, command.client_proof)
        self._cipher = AESGCM(self._exchange.encryption_key)
        self._nonce_prefix, self._counter = self._entropy(_NONCE_PREFIX_LENGTH), 1
        self._state = _State.DONE
        reply = pb.S2SessionResp1(device_proof=proof, device_nonce=self._nonce())
        return pb.Sec2Payload(msg=pb.S2Session_Response1, sr1=reply)

    def _established_cipher(self) -> AESGCM:
        if self._cipher is None:
            raise EndpointError(EspErr.INVALID_STATE, "no secure session is established")
        return self._cipher

    def _nonce(self) -> bytes:
        return self._nonce_prefix + struct.pack(">I", self._counter)


def _parse(body: bytes) -> pb.Sec2Payload:
    try:
        message = pb.SessionData.FromString(body)
    except DecodeError as failure:
        raise EndpointError(EspErr.INVALID_ARG, "the session message does not parse") from failure
    if message.sec_ver != pb.SecScheme2 or not message.HasField("sec2"):
        raise EndpointError(EspErr.INVALID_ARG, "another security scheme was asked for")
    return message.sec2
