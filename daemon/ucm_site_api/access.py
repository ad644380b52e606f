"""Who may connect to the broker, and what each may say and hear."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ucm_site_api.random_secrets import matches
from ucm_site_api.records import Credential
from ucm_site_api.registry import Registry

# Lower case and short: no hardware id can read like it.
WITNESS = "witness"

# One form for each number (no leading zeros), and none that SQLite cannot hold.
_CREDENTIAL_NUMBER = re.compile("[1-9][0-9]{0,17}")


class AccessRefusedError(Exception):
    """A connection that the broker turns away; the text is the reason, for the log."""


@dataclass(frozen=True)
class Identity:
    """Who a session is, by the credential it came with.

    `publish_under` and `hear_under` are topic prefixes that end in `/`; None means nothing at all.
    """

    name: str
    credential: int
    publish_under: str | None
    hear_under: str | None

    @classmethod
    def of(cls, credential: Credential) -> Self:
        """A module speaks and hears under its own id (as the platform's devices do); the witness hears all."""
        name = credential.subject
        if name == WITNESS:
            return cls(name, credential.number, None, "v1/from/")
        return cls(name, credential.number, f"v1/from/{name}/", f"v1/to/{name}/")

    def may_publish(self, topic: str) -> bool:
        """Whether a message with this topic is passed on."""
        return self.publish_under is not None and topic.startswith(self.publish_under)

    def may_hear(self, topic_filter: str) -> bool:
        """Whether a subscription, or a message, is within its rights. A filter is judged by its fixed beginning."""
        return self.hear_under is not None and topic_filter.startswith(self.hear_under)


class AccessControl:
    """Looks credentials up in the registry; `now` decides which of them have ended."""

    def __init__(self, registry: Registry, now: Callable[[], datetime]) -> None:
        self._registry = registry
        self._now = now

    async def by_certificate(self, peer: Mapping[str, Any] | None) -> Identity:
        """Identify a TLS client.

        Args:
            peer: the verified certificate as `ssl.SSLObject.getpeercert()` gives it.

        Raises:
            AccessRefusedError: it was not issued here for a client, or has ended.
        """
        if not peer:
            raise AccessRefusedError("no client certificate")
        serial = f"{int(peer['serialNumber'], 16):x}"
        credential = await self._registry.credential_by_serial(serial)
        if credential is None or credential.subject != _common_name(peer):
            raise AccessRefusedError("the certificate was not issued by this registry")
        return self._accept(credential)

    async def by_password(self, username: str | None, password: str | None) -> Identity:
        """Identify a client of the plaintext listener; the user name is `<hardware id>.<number>`.

        Raises:
            AccessRefusedError: unknown user, wrong password, or ended.
        """
        subject, _, number = (username or "").rpartition(".")
        if not subject or not _CREDENTIAL_NUMBER.fullmatch(number):
            raise AccessRefusedError("no user of this form")
        credential = await self._registry.credential(subject, int(number))
        if credential is None or credential.password_digest is None:
            raise AccessRefusedError("unknown user")
        if not matches(password or "", credential.password_digest):
            raise AccessRefusedError("wrong password")
        return self._accept(credential)

    async def still_accepted(self, identity: Identity) -> bool:
        """Whether the credential behind a session has not ended meanwhile."""
        credential = await self._registry.credential(identity.name, identity.credential)
        return credential is not None and credential.accepted_at(self._now())

    def _accept(self, credential: Credential) -> Identity:
        if not credential.accepted_at(self._now()):
            raise AccessRefusedError(f"credential {credential.number} of {credential.subject} has ended")
        return Identity.of(credential)


def _common_name(peer: Mapping[str, Any]) -> str | None:
    names = [value for relative in peer["subject"] for key, value in relative if key == "commonName"]
    return names[0] if len(names) == 1 else None
