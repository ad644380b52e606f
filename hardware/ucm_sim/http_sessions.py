"""Which HTTP request belongs to which protocomm session: the rules of ESP-IDF's protocomm_httpd.c.

There is one session. Any request that does not belong to it closes it and opens its own, whatever it asks for
and however it ends.
"""

from collections import Counter
from collections.abc import Callable

from ucm_sim.faults import EndpointError
from ucm_sim.httpd import LONGEST_BODY, Answer, Head, RefusedError
from ucm_sim.protocomm import Protocomm

# A longer header does not fit protocomm's buffer and counts as none.
_LONGEST_COOKIE = 19


class HttpSessions:
    """The session of one protocomm instance over HTTP. `entropy(n)` returns n random bytes.

    `counts` has what happened: posts, sessions-opened, sessions-replaced; `changed()` is called after each request.
    """

    def __init__(
        self,
        protocomm: Protocomm,
        entropy: Callable[[int], bytes],
        counts: Counter[str],
        note_fault: Callable[[EndpointError], None],
        changed: Callable[[], None],
    ) -> None:
        self._protocomm = protocomm
        self._entropy = entropy
        self._counts = counts
        self._note_fault = note_fault
        self._changed = changed
        self._id: int | None = None
        self._socket: object | None = None

    def answer(self, socket: object, head: Head, body: bytes) -> Answer:
        """Run one request; raises RefusedError where the socket just closes."""
        try:
            return self._answer(socket, head, body)
        finally:
            self._changed()

    def close(self) -> None:
        """End the session, as the server does when it stops."""
        self._protocomm.close_session()
        self._id = self._socket = None

    def _answer(self, socket: object, head: Head, body: bytes) -> Answer:
        is_new = not self._belongs(socket, head.cookie)
        session = self._open(socket) if is_new or self._id is None else self._id
        if not 1 <= head.length <= LONGEST_BODY:
            raise RefusedError("a body of 1 to 4096 bytes is wanted")
        try:
            reply = self._protocomm.call(session, head.endpoint, body)
        except EndpointError as fault:
            self._note_fault(fault)
            raise RefusedError(fault.reason) from fault
        self._counts["posts"] += 1
        return Answer(reply, _cookie(session) if is_new else None)

    def _belongs(self, socket: object, cookie: str | None) -> bool:
        if cookie is None or len(cookie) > _LONGEST_COOKIE:
            return socket is self._socket
        if self._id is None or cookie != _cookie(self._id):
            return False
        # A client that does cookies is known by them from now on, and no more by its socket.
        self._socket = None
        return True

    def _open(self, socket: object) -> int:
        self._counts["sessions-replaced"] += self._id is not None
        self._counts["sessions-opened"] += 1
        self.close()
        self._socket = socket
        self._id = int.from_bytes(self._entropy(4), "big")
        return self._id


def _cookie(session: int) -> str:
    return f"session={session}"
