"""One protocomm instance: endpoints, and the one session that a carrier can have at a time."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ucm_sim.faults import EndpointError, EspErr
from ucm_sim.frames import Request, RequestScanner, encode_response
from ucm_sim.security2 import Security2

CAPABILITIES = ("config", "trial", "scan", "identify")


@dataclass(slots=True)
class Session:
    """A client's session: its cipher, and the owner for whom it has made the reservation."""

    id: int
    security: Security2 = field(repr=False)
    owner: str = ""


Endpoint = Callable[[Session, bytes], bytes]


def version_json(hardware_id: str, max_frame: int) -> bytes:
    """The answer of `proto-ver`: plaintext, and therefore no more than a hint to the client."""
    module = {"ver": "1.0", "cap": CAPABILITIES, "max_frame": max_frame, "id": hardware_id}
    security = {"ver": "netprov-v1.2", "sec_ver": 2, "sec_patch_ver": 1, "cap": []}
    return json.dumps({"ucm": module, "prov": security}, separators=(",", ":")).encode()


class Protocomm:
    """Dispatches endpoint calls. `new_security` makes the cipher state of a fresh session."""

    def __init__(
        self, version: bytes, endpoints: Mapping[str, Endpoint], new_security: Callable[[], Security2]
    ) -> None:
        self._version = version
        self._endpoints = endpoints
        self._new_security = new_security
        self._session: Session | None = None

    def close_session(self) -> None:
        """Forget the session; nothing happens where there is none."""
        self._session = None

    def call(self, session_id: int, endpoint: str, body: bytes) -> bytes:
        """Run one endpoint call; raises EndpointError with the number that the client gets instead."""
        session = self._in_session(session_id)
        if endpoint == "proto-ver":
            return self._version
        if endpoint == "prov-session":
            return session.security.shake_hands(body)
        if endpoint not in self._endpoints:
            raise EndpointError(EspErr.NOT_FOUND, "no such endpoint")
        return session.security.encrypt(self._endpoints[endpoint](session, session.security.decrypt(body)))

    def _in_session(self, session_id: int) -> Session:
        if self._session is None or self._session.id != session_id:
            self._session = Session(session_id, self._new_security())
        return self._session


class FramedProtocomm:
    """The serial carrier: requests out of a byte stream, and the cache that makes retransmission safe."""

    def __init__(self, protocomm: Protocomm, max_frame: int, note_fault: Callable[[EndpointError], None]) -> None:
        self._protocomm = protocomm
        self._scanner = RequestScanner(max_frame)
        self._note_fault = note_fault
        self._answered: tuple[int, int] | None = None
        self._response = b""

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes from the wire and return the response frames that they cause."""
        return [self._answer(request) for request in self._scanner.feed(data)]

    def _answer(self, request: Request) -> bytes:
        asked = (request.session, request.seq)
        if asked != self._answered:
            self._response = self._run(request)
            self._answered = asked
        return self._response

    def _run(self, request: Request) -> bytes:
        try:
            body, status = self._protocomm.call(request.session, request.endpoint, request.body), 0
        except EndpointError as fault:
            self._note_fault(fault)
            body, status = b"", fault.code
        return encode_response(request.session, request.seq, status, body)
