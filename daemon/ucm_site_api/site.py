"""One whole server: registry, authority, broker and HTTP API over one state folder."""

import asyncio
import sqlite3
import ssl
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from ucm_site_api.access import AccessControl
from ucm_site_api.app import Services, build_application
from ucm_site_api.authority import Authority
from ucm_site_api.broker import SiteBroker
from ucm_site_api.errors import SiteStartError
from ucm_site_api.messages import Protocol
from ucm_site_api.presence import Presence
from ucm_site_api.provisioning import Endpoints, Provisioner
from ucm_site_api.random_secrets import digest_of, new_secret
from ucm_site_api.records import Credential, Site
from ucm_site_api.registry import Registry
from ucm_site_api.routes import add_routes, device_view, traffic_views
from ucm_site_api.serving import served
from ucm_site_api.settings import Settings, TimeSource
from ucm_site_api.sockets import bind, port_of
from ucm_site_api.state import StateFolder, write_private
from ucm_site_api.tls import server_context
from ucm_site_api.witness import write_witness

log = structlog.get_logger(__name__)

REGISTRY_FILE = "registry.sqlite"

# How long a session may outlive its credential.
_SWEEP_SECONDS = 60.0


class SiteApi:
    """A running server as an async context manager.

    Entering it raises SiteStartError with a sentence for a person when it cannot start, and leaves nothing
    behind then. The same state folder brings back the same devices, tokens and credentials.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._resources = AsyncExitStack()
        self._ports: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        """Start; when this returns, every listener answers and the files are written."""
        try:
            async with AsyncExitStack() as resources:
                await self._start(resources)
                self._resources = resources.pop_all()
        except (OSError, sqlite3.Error) as cause:
            raise SiteStartError(f"The server cannot start in {self._settings.state}: {cause}.") from cause
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what was started, in the reverse order."""
        await self._resources.aclose()

    @property
    def url(self) -> str:
        """The base of the HTTP API, for a client on this machine."""
        return f"http://{_local_host(self._settings.listen[0])}:{self._ports['http']}"

    @property
    def mqtt_port(self) -> int:
        """The port of the plaintext listener."""
        return self._ports["mqtt"]

    @property
    def mqtts_port(self) -> int:
        """The port of the TLS listener."""
        return self._ports["mqtts"]

    @property
    def time_source(self) -> TimeSource:
        """Where modules are told to get the time; this server, unless its settings name another."""
        own = TimeSource("HTTP", self._settings.reachable_host, self._ports["http"])
        return self._settings.time_sync or own

    @property
    def token_file(self) -> Path:
        """The installer token that the first start made."""
        return self._settings.state / "api-token"

    @property
    def witness_file(self) -> Path:
        """The witness's credentials, under the keys of a device's `config`."""
        return self._settings.state / "witness.json"

    async def devices(self) -> list[dict[str, Any]]:
        """Every device with all that the API can tell of it, as the HTTP API shows it to an installer."""
        everything = await self._registry.devices(None, 0, -1)
        return [
            device_view(device, "INSTALLER") | traffic_views(device, self._presence) for device in everything.devices
        ]

    async def credentials(self, hardware_id: str) -> list[Credential]:
        """The credentials a module was issued, oldest first; no secrets are among them."""
        return await self._registry.credentials(hardware_id)

    async def revoke(self, hardware_id: str, number: int) -> None:
        """End a credential now, and the sessions that came with it."""
        await self._registry.revoke(hardware_id, number, self._settings.now())
        await self.end_sessions_without_credential()

    async def end_sessions_without_credential(self) -> None:
        """Disconnect clients whose credential ended while they were connected; done every minute by itself."""
        await self._broker.end_sessions_without_credential()

    async def _start(self, resources: AsyncExitStack) -> None:
        settings = self._settings
        resources.callback(StateFolder(settings.state).close)
        http = resources.enter_context(bind(settings.listen, "HTTP"))
        plain = resources.enter_context(bind(settings.mqtt_listen, "MQTT"))
        tls = resources.enter_context(bind(settings.mqtts_listen, "MQTT over TLS"))
        self._ports = {"http": port_of(http), "mqtt": port_of(plain), "mqtts": port_of(tls)}

        self._registry = await Registry.open(settings.state / REGISTRY_FILE)
        resources.push_async_callback(self._registry.close)
        authority = await _founded(self._registry, settings, self.token_file)
        self._presence = Presence(settings.now, settings.online_within)
        endpoints = self._endpoints()
        await write_witness(self.witness_file, settings, endpoints, self._registry, authority)

        context = await asyncio.to_thread(_broker_context, settings, authority)
        access = AccessControl(self._registry, settings.now)
        self._broker = SiteBroker(plain, tls, context, access, self._presence.observe)
        await self._broker.start()
        resources.push_async_callback(self._broker.shutdown)
        resources.push_async_callback(_cancelled, asyncio.create_task(_sweep(self._broker)))

        provisioner = Provisioner(settings, endpoints, self._registry, authority)
        services = Services(self._registry, provisioner, self._presence, settings.now)
        await resources.enter_async_context(served(build_application(services, add_routes), http))

    def _endpoints(self) -> Endpoints:
        ports: dict[Protocol, int] = {"MQTT": self.mqtt_port, "MQTTS": self.mqtts_port}
        return Endpoints(self._settings.reachable_host, ports, self.time_source)


async def _founded(registry: Registry, settings: Settings, token_file: Path) -> Authority:
    """The authority; at the first start also the site and its first token.

    The site comes last: a start that is cut short before it is a first start again.
    """
    first_start = await registry.only_site() is None
    authority = await asyncio.to_thread(
        Authority.open, settings.state, settings.key, settings.now(), first_start=first_start
    )
    if first_start:
        token = new_secret()
        await asyncio.to_thread(write_private, token_file, f"{token}\n".encode())
        site = Site(str(uuid.uuid4()), settings.site_name.strip(), settings.site_timezone)
        await registry.found(site, digest_of(token), "INSTALLER", settings.now())
    return authority


def _broker_context(settings: Settings, authority: Authority) -> ssl.SSLContext:
    certificate_file = settings.state / "broker.pem"
    issued = authority.issue_server(settings.reachable_host, settings.now())
    write_private(certificate_file, (issued.private_key + issued.certificate).encode())
    return server_context(certificate_file, authority.certificate)


async def _sweep(broker: SiteBroker) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        try:
            await broker.end_sessions_without_credential()
        except Exception:
            # The next round may succeed, and a server that cannot read its registry says so in every answer.
            log.exception("looking for ended credentials failed")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _local_host(host: str) -> str:
    if host in {"", "0.0.0.0", "::"}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
