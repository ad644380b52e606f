"""One whole server: registry, authority, broker and HTTP API over one state folder."""

import asyncio
import sqlite3
import ssl
import time
import uuid
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from ucm_site_api.app import Services, build_application
from ucm_site_api.authority import Authority
from ucm_site_api.brokers import Broker, BrokerServices
from ucm_site_api.errors import ConfigurationError, SiteStartError
from ucm_site_api.issuing import Endpoints, Issuer
from ucm_site_api.limits import RateLimit
from ucm_site_api.mosquitto.broker import MosquittoBroker
from ucm_site_api.presence import Presence
from ucm_site_api.provisioning import Provisioner
from ucm_site_api.random_secrets import digest_of, new_secret
from ucm_site_api.records import Credential, Site
from ucm_site_api.registry import REGISTRY_FILE, Registry
from ucm_site_api.routes import add_routes
from ucm_site_api.serving import served
from ucm_site_api.settings import CertificateFiles, Settings, TimeSource
from ucm_site_api.sockets import bind, local_host, port_of
from ucm_site_api.state import StateFolder, write_private
from ucm_site_api.tls import api_context
from ucm_site_api.upkeep import cancelled, keep_ends
from ucm_site_api.views import device_view
from ucm_site_api.witness import write_witness


class SiteApi:
    """A running server as an async context manager.

    Entering it raises SiteStartError with a sentence for a person when it cannot start, and leaves nothing
    behind then. The same state folder brings back the same devices, tokens and credentials.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._resources = AsyncExitStack()

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
        host = local_host(self._settings.listen[0])
        scheme = "https" if self._settings.tls else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._http_port}"

    @property
    def mqtt_port(self) -> int:
        """The port of the plaintext listener."""
        return self._broker.ports["MQTT"]

    @property
    def mqtts_port(self) -> int:
        """The port of the TLS listener."""
        return self._broker.ports["MQTTS"]

    @property
    def time_source(self) -> TimeSource:
        """Where modules are told to get the time; this server, unless its settings name another."""
        own = TimeSource("HTTP", self._settings.reachable_host, self._http_port)
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
        views = [device_view(device, "INSTALLER", self._presence) for device in everything.items]
        return [msgspec.to_builtins(view) for view in views]

    async def credentials(self, hardware_id: str) -> list[Credential]:
        """The credentials a module was issued, oldest first; no secrets are among them."""
        return await self._registry.credentials(hardware_id)

    async def revoke(self, hardware_id: str, number: int) -> None:
        """End a credential now, and the sessions that came with it."""
        await self._registry.revoke(hardware_id, number, self._settings.now())
        await self._broker.enforce_ends()

    async def enforce_ends(self) -> None:
        """Make the broker refuse credentials that ended meanwhile; done by itself as each ends."""
        await self._broker.enforce_ends()

    async def _start(self, resources: AsyncExitStack) -> None:
        settings = self._settings
        broker = _broker(settings)
        resources.callback(StateFolder(settings.state).close)
        http = resources.enter_context(bind(settings.listen, "HTTP"))
        self._http_port = port_of(http)
        self._broker = resources.enter_context(broker)

        self._registry = await Registry.open(settings.state / REGISTRY_FILE)
        resources.push_async_callback(self._registry.close)
        authority = await _founded(self._registry, settings, self.token_file)
        self._presence = Presence(settings.now, settings.online_within)
        endpoints = self._endpoints()
        await write_witness(self.witness_file, settings, endpoints, self._registry, authority)

        broker_services = BrokerServices(self._registry, authority, settings.now, self._presence.observe)
        await resources.enter_async_context(self._broker.serving(broker_services))
        ends = asyncio.create_task(keep_ends(self._broker, self._registry, settings.now))
        resources.push_async_callback(cancelled, ends)

        issuer = Issuer(settings, endpoints, self._registry, authority, self._broker)
        services = Services(
            self._registry,
            Provisioner(settings, self._registry, issuer),
            self._broker,
            self._presence,
            RateLimit(settings.rate_limit, time.monotonic),
            settings.now,
        )
        tls = await asyncio.to_thread(_api_tls, settings, authority)
        await resources.enter_async_context(served(build_application(services, add_routes), http, tls))

    def _endpoints(self) -> Endpoints:
        return Endpoints(self._settings.reachable_host, self._broker.ports, self.time_source)


def _broker(settings: Settings) -> AbstractContextManager[Broker]:
    if settings.broker != "embedded":
        return nullcontext(MosquittoBroker(settings, settings.broker))
    try:
        from ucm_site_api.embedded import EmbeddedBroker  # noqa: PLC0415 -- a site with mosquitto needs no amqtt
    except ModuleNotFoundError as missing:
        message = (
            "The embedded broker is not installed: pip install 'ucm-provisiond[site]', or take --broker mosquitto."
        )
        raise ConfigurationError(message) from missing
    return EmbeddedBroker.bound(settings)


def _api_tls(settings: Settings, authority: Authority) -> ssl.SSLContext | None:
    match settings.tls:
        case None:
            return None
        case CertificateFiles(certificate, key):
            try:
                return api_context(certificate, key)
            except OSError as cause:
                raise SiteStartError(f"The API cannot use {certificate} with {key}: {cause}.") from cause
    own = settings.state / "api.pem"
    here = ("localhost", "127.0.0.1", local_host(settings.listen[0]))
    issued = authority.issue_server(settings.reachable_host, settings.now(), *here)
    write_private(own, (issued.private_key + issued.certificate).encode())
    return api_context(own)


async def _founded(registry: Registry, settings: Settings, token_file: Path) -> Authority:
    """The authority; at the first start also the site and its first token.

    The site comes last: a start that is cut short before it is a first start again.
    """
    first_start = await registry.first_site() is None
    authority = await asyncio.to_thread(
        Authority.open, settings.state, settings.key, settings.now(), first_start=first_start
    )
    if first_start:
        token = new_secret()
        content = f"{token}\n".encode()
        await asyncio.to_thread(write_private, token_file, content, group_reads=settings.group_reads)
        site = Site(str(uuid.uuid4()), settings.site_name.strip(), settings.site_timezone)
        await registry.found(site, digest_of(token), "INSTALLER", settings.now())
    return authority
