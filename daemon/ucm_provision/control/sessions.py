"""Who has signed in to the page. In memory only: a restart of the daemon signs everybody out."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.secret import Secret

# 256 bits: nobody guesses them, however often they try.
_BYTES = 32


@dataclass(frozen=True, slots=True)
class PageSession:
    """``who``: whose command line signed the browser in."""

    who: str
    until: float

    @property
    def actor(self) -> str:
        """As the journal names them."""
        return f"page:{self.who}"


class PageSessions:
    """Tokens that sign in once, and the sessions that came of them.

    Only digests are kept, and looked up by: how long that takes says nothing about a secret.

    Args:
        monotonic: Seconds that no change of the clock makes longer or shorter.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._tokens: dict[bytes, PageSession] = {}
        self._sessions: dict[bytes, PageSession] = {}

    def invite(self, who: str) -> Secret[str]:
        """A token with which a browser may sign in as ``who``, once and soon. The oldest gives way to it."""
        self._forget_ended()
        while len(self._tokens) >= policy.SIGN_INS_OPEN:
            del self._tokens[next(iter(self._tokens))]
        token = secrets.token_urlsafe(_BYTES)
        self._tokens[_digest(token)] = PageSession(who, self._monotonic() + policy.SIGN_IN_LIFETIME)
        return Secret(token)

    def sign_in(self, token: str) -> tuple[PageSession, Secret[str]]:
        """The session that the token begins, and the cookie that stands for it.

        Raises:
            UcmError: sign_in_invalid, for a token that was used, is too old, or never was one.
        """
        self._forget_ended()
        invited = self._tokens.pop(_digest(token), None)
        if invited is None:
            raise UcmError(Code.SIGN_IN_INVALID)
        while len(self._sessions) >= policy.PAGE_SESSIONS_OPEN:
            del self._sessions[next(iter(self._sessions))]
        cookie = secrets.token_urlsafe(_BYTES)
        session = PageSession(invited.who, self._monotonic() + policy.PAGE_SESSION_LIFETIME)
        self._sessions[_digest(cookie)] = session
        return session, Secret(cookie)

    def find(self, cookie: str) -> PageSession | None:
        """The session that a cookie stands for, as long as it lasts."""
        session = self._sessions.get(_digest(cookie))
        return session if session and session.until > self._monotonic() else None

    def sign_out(self, cookie: str) -> None:
        self._sessions.pop(_digest(cookie), None)

    def _forget_ended(self) -> None:
        now = self._monotonic()
        self._tokens = {digest: each for digest, each in self._tokens.items() if each.until > now}
        self._sessions = {digest: each for digest, each in self._sessions.items() if each.until > now}


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
