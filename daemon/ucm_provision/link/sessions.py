"""What the handshake and the calls after it need of a carrier: protocomm sessions, one at a time."""

from __future__ import annotations

from typing import Protocol

from ucm_provision.link.announcement import Announcement

VERSION_ENDPOINT = "proto-ver"
VERSION_REQUEST = b"-"  # protocomm ignores it, but an empty body fails there


class Sessions(Protocol):
    """The sessions that one carrier has with one module. Every method raises UcmError, as the carrier does."""

    @property
    def chunk_largest(self) -> int:
        """The most bytes of a configuration in one message. Known once the module has announced itself."""

    async def first_session(self) -> Announcement:
        """Opens a session, with a module that may still be booting."""

    async def fresh_session(self) -> Announcement:
        """Leaves the session and opens another, with a module that is known to be there."""

    async def call(self, endpoint: str, body: bytes, seconds: float) -> bytes:
        """The body of the module's answer in this session, awaited for ``seconds``."""

    async def offer(self, endpoint: str, body: bytes, seconds: float) -> bytes | None:
        """As :meth:`call`, but None when the module has refused ``body``, and has done so in this very session."""
