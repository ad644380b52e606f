"""The seams of the daemon: what the engine asks of the outside, and nothing about how it is done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ucm_provision.core.model import (
    Arrival,
    Connection,
    Device,
    Endpoint,
    HeardNetwork,
    LinkState,
    ModuleConfiguration,
    ModuleInfo,
    ProofOfPossession,
    ProvisionArguments,
    Provisioned,
    Reservation,
)

# Which proof of possession to try for the hardware id that a module announces (None: it announces none).
# The announcement is only a hint. Returns None when no proof is known.
PopLookup = Callable[[str | None], ProofOfPossession | None]


class DeviceLink(Protocol):
    """One secure session with one module. Used once; any failure ends it.

    Every call raises :class:`~ucm_provision.core.errors.UcmError`: ``device_gone`` when the carrier
    vanished, ``link_silent``, ``link_garbage``, ``link_broken`` or ``link_lost`` when the conversation
    failed, ``module_busy``, ``module_conflict`` or ``module_refused`` when the module said no.
    """

    @property
    def roams(self) -> bool:
        """Whether the module leaves this session at Commit and has to be found again.

        If so, each call after a successful :meth:`commit` looks for the module where it is by then, unless an
        earlier one has found it, and raises what came of that attempt: ``link_silent`` while it is away, or
        ``identity_mismatch`` when somebody else answers. The call after it tries anew. The link itself never
        waits between attempts.
        """

    @property
    def announced_id(self) -> str | None:
        """The hardware id that the module announced before the handshake: a hint, not a proof."""

    async def info(self) -> ModuleInfo: ...

    def pack(self, configuration: ModuleConfiguration) -> bytes:
        """The bytes that are staged on the module for this configuration. They hold secrets."""

    async def reserve(self, owner: str, seconds: int) -> Reservation:
        """Makes or renews this box's reservation (0 seconds releases it)."""

    async def begin(self, transaction: bytes, payload: bytes, base_generation: int) -> int:
        """Starts or resumes staging ``payload``.

        Returns the offset to go on from: ``len(payload)`` when all of it is there already, be it
        staged, on trial or active.
        """

    async def chunk(self, transaction: bytes, payload: bytes, offset: int) -> int:
        """Sends the next piece of ``payload`` from ``offset``; returns the module's next offset."""

    async def commit(
        self, transaction: bytes, *, trial_s: int, now_unix_ms: int, ssid: str = "", by_host: bool = False
    ) -> int:
        """Puts the staged configuration on trial, confirmed by the module itself once online, or ``by_host``.

        ``ssid``: the network of the configuration that is tried alone while on trial; empty: all of them.
        ``now_unix_ms`` sets a clock that was never set; 0 when this box's own clock is not to be
        trusted. Returns the new generation.
        """

    async def confirm(self, generation: int) -> None:
        """The module keeps the configuration that is on trial, whether it gets online with it or not. Idempotent."""

    async def abort(self, transaction: bytes) -> None: ...

    async def reset(self) -> None:
        """The module forgets every configuration and its Wi-Fi. Needs the reservation, which ends with it. Idempotent.

        Identity, proof of possession and the generation counter stay. It happens a moment after the answer.
        """

    async def state(self) -> LinkState: ...

    async def identify(self, seconds: int) -> None:
        """Makes the module blink, 1 to 60 s."""

    async def scan(self) -> tuple[HeardNetwork, ...]:
        """The Wi-Fi networks that the module hears, the strongest first; takes some seconds."""


class DeviceLinks(Protocol):
    """Opens device links. A product's own firmware joins as another one of these."""

    def dial(self, endpoint: Endpoint, pop_for: PopLookup) -> AbstractAsyncContextManager[DeviceLink]:
        """Opens the endpoint, proves both sides to each other, and closes everything at the end.

        Raises:
            UcmError: ``port_busy``, ``port_denied``, ``port_unusable``, ``device_gone``,
                ``link_silent``, ``link_garbage``, ``link_broken``, ``link_lost``, ``link_insecure``,
                ``pop_missing`` or ``pop_wrong``.
        """


class ProvisioningApi(Protocol):
    """The platform's provisioning API. Raises UcmError with an ``api_…`` code."""

    @property
    def origin(self) -> str:
        """Scheme, host and port: what the token and every device's record belong to."""

    async def site_id(self) -> str:
        """The one site of this API (a Gateway has exactly one)."""

    async def provision(self, arguments: ProvisionArguments) -> Provisioned:
        """Adds or re-adds a device. Idempotent for kinds with a hardware id: fresh credentials each time."""

    async def device(self, device_id: str) -> Device | None:
        """The record of a device by its id or slug, or None when the API does not know it."""

    async def rename(self, device_id: str, *, name: str | None = None, slug: str | None = None) -> Device:
        """Gives a device another name or slug; None leaves it as it is. Idempotent.

        A token that may provision but not rename is ``api_rejected`` here: it is still good for the rest.
        """


class BrokerCheck(Protocol):
    """Tries a module's new connection from this box, before the module gets it."""

    async def check(self, connection: Connection) -> list[str]:
        """Raises UcmError (``broker_…``, ``mqtt_…``, ``time_source_failed``); returns warnings, a sentence each."""


class Witness(Protocol):
    """Sees modules arrive at the broker, with credentials of its own."""

    def watch(self, hardware_id: str) -> AbstractAsyncContextManager[AsyncIterator[Arrival]]:
        """The messages that the module publishes from now on.

        Entering subscribes (and waits, bounded, for the broker's grant where it is connected).
        The iterator never ends by itself. A witness without a broker yields nothing and raises nothing.
        """


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Seconds since some fixed point, never going back."""

    def synchronized(self) -> bool:
        """Whether the wall clock may be handed to a module."""

    async def sleep(self, seconds: float) -> None: ...


class BoxNetwork(Protocol):
    """Tells which Wi-Fi network this box itself is on."""

    async def watch(self, changed: Callable[[str | None], Awaitable[None]]) -> None:
        """For ever: calls ``changed`` with the SSID of the box's Wi-Fi connection, None when it has none.

        First with what there is, as soon as that can be told (never, where nobody manages the network), then
        with each change that has lasted for a settle time. One call at a time; what it raises ends the watch.
        """


class EndpointCalls(Protocol):
    """The HTTP side of one module on the LAN: one connection, and on it one protocomm session at a time."""

    @property
    def remote(self) -> str:
        """``host:port`` of the route that is connected, or of the last one tried."""

    @property
    def session(self) -> str | None:
        """The number that the module gave the session, None before its first answer.

        A module changes it in one case only: the session was gone, and the request has opened another.
        """

    async def call(self, endpoint: str, body: bytes, seconds: float) -> bytes:
        """The body of the module's answer to ``POST /endpoint``. Never repeated by itself.

        Raises:
            UcmError: ``link_silent`` when nothing answers within ``seconds`` (connecting included),
                ``link_garbage`` when what answers is no protocomm server, ``link_lost`` when the
                connection broke after the request was sent: nobody knows then whether it ran.
            ValueError: the body is empty, or larger than any module takes.
        """

    async def fresh_session(self) -> None:
        """Forgets cookie and connection: the next call opens a session of its own, where the last one was."""

    async def close(self) -> None:
        """Forgets everything: a call after it looks for the module anew. May be repeated; never raises UcmError."""


class ByteStream(Protocol):
    """An open serial line. Opening it is the transport's, what the bytes mean the device link's.

    Reading and writing raise :class:`~ucm_provision.core.errors.UcmError` ``device_gone`` once the
    line has vanished, whatever the operating system calls that.
    """

    @property
    def bits_per_second(self) -> int:
        """The line's rate. A byte takes ten bits (8N1), so this tells when a written byte has left."""

    async def read(self) -> bytes:
        """The bytes that came in, at least one. A cancelled read loses none.

        What nobody reads is kept up to a bound; beyond it the oldest bytes are lost, as in a UART.
        """

    async def write(self, data: bytes) -> None:
        """Returns when the operating system has taken all of ``data``, which may be before it left."""

    async def close(self) -> None:
        """Gives the line back. May be called twice; never raises ``device_gone``."""
