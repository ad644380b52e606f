"""What the server needs of the broker that its modules connect to, whichever broker that is."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol as Interface

from ucm_site_api.authority import Authority
from ucm_site_api.messages import CertificateCredentials, PasswordCredentials, Protocol
from ucm_site_api.registry import Registry

MqttCredentials = PasswordCredentials | CertificateCredentials


@dataclass(frozen=True)
class BrokerServices:
    """What a broker is given: who is known, who signs, what time it is, and who wants to know of messages.

    `observe` is called with topic and payload of every message under `v1/from/`.
    """

    registry: Registry
    authority: Authority
    now: Callable[[], datetime] = field(repr=False)
    observe: Callable[[str, bytes], None] = field(repr=False)


class Broker(Interface):
    """The embedded broker, or mosquitto."""

    attention: asyncio.Event
    """Set when `enforce_ends` is wanted before its time."""

    @property
    def ports(self) -> dict[Protocol, int]:
        """Where modules connect, known before the broker serves."""

    def serving(self, services: BrokerServices) -> AbstractAsyncContextManager[None]:
        """Serve inside the block.

        Raises:
            SiteStartError: it cannot.
        """

    def admitted(self, hardware_id: str, credentials: MqttCredentials) -> AbstractAsyncContextManager[None]:
        """Let a module in with credentials that the block writes to the registry.

        If the block fails the credentials are worth nothing.

        Raises:
            BrokerUnavailableError: on entering; nothing was changed.
        """

    async def enforce_ends(self) -> None:
        """Let nobody in whose credential has ended, and end the sessions that came with it.

        Other sessions of the same subject may end with them; a client whose credential is accepted gets in again.
        Done again and again: what fails now succeeds later.
        """
