"""The daemon's adapters, made as the configuration says."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from ucm_provision.broker.check import ConnectionCheck
from ucm_provision.broker.witness import BrokerWitness, NoWitness
from ucm_provision.cloud.gateway import GatewayApi
from ucm_provision.cloud.provisioning import HttpProvisioningApi
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import Carrier, Endpoint, Overrides
from ucm_provision.core.plan import SitePlan
from ucm_provision.core.ports import Clock, DeviceLinks, ProvisioningApi
from ucm_provision.core.secret import Secret
from ucm_provision.engine.upkeep import Schedule
from ucm_provision.host.config import Configuration
from ucm_provision.host.web_certificate import tls_context
from ucm_provision.link.client import EndpointLinks, HttpLinks, SerialLinks
from ucm_provision.link.drivers import LinkDrivers
from ucm_provision.link.drivers import load as load_driver
from ucm_provision.link.timing import HTTP_TIMING, Timing
from ucm_provision.private_file import remove_private
from ucm_provision.site import manifest
from ucm_provision.site.expected import ExpectedModules
from ucm_provision.site.wifi import Profiles
from ucm_provision.store.sealed import SealedStore, check_key
from ucm_provision.transports.http import HttpCalls
from ucm_provision.transports.serial import open_port

AnyWitness = BrokerWitness | NoWitness


class Routes:
    """The present addresses of modules on the LAN, by the key of their endpoints; the daemon keeps them up to date."""

    def __init__(self) -> None:
        self.present: dict[str, Endpoint] = {}

    def of(self, endpoint: Endpoint) -> tuple[str, ...]:
        return self.present.get(endpoint.key, endpoint).routes


@dataclass(frozen=True, slots=True)
class Api:
    """The provisioning API, and the choice of a Gateway where the configuration leaves that to an operator."""

    client: ProvisioningApi
    gateway: GatewayApi | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What operators told the daemon, sealed at rest, over what the configuration says."""

    expected: ExpectedModules
    profiles: Profiles
    proofs: SealedStore


async def kept(settings: Configuration) -> Kept:
    """Raises UcmError: secrets_unreadable, manifest_invalid or config_invalid, with disposition FATAL."""
    folder, configured = settings.file(settings.values.state.dir), settings.values.site.manifest
    modules, networks = manifest.load(settings.file(configured)) if configured else {}, settings.wifi()
    store = await SealedStore.open(folder, settings.key_file())
    expected = ExpectedModules(modules, store)
    await _seal_plain_manifest(folder / "manifest.csv", expected)
    return Kept(expected, Profiles(networks, store), store)


async def _seal_plain_manifest(path: Path, expected: ExpectedModules) -> None:
    """Versions before the sealed store kept the imported manifest in the clear."""
    if await asyncio.to_thread(path.exists):
        await expected.take_over(manifest.load(path))
        await asyncio.to_thread(remove_private, path)


def site_plan(settings: Configuration, kept: Kept) -> SitePlan:
    values = settings.values
    return SitePlan(
        box_id=settings.box_id(),
        site_id=values.site.id or None,
        protocol=values.policy.protocol,
        profiles=kept.profiles,
        trial_s=values.policy.trial_s,
        site_pop=settings.site_pop(),
        verify_later=values.policy.verify == "later",
        lan_site_pop=values.link.lan_site_pop,
        usb=values.policy.usb,
        lan=values.policy.lan,
        expected=kept.expected,
    )


def device_links(settings: Configuration, timing: Timing | None, routes: Routes) -> EndpointLinks:
    baud, driver = settings.values.usb.baud, settings.values.link.driver
    links: dict[Carrier, DeviceLinks] = {
        Carrier.SERIAL: SerialLinks(open_port, baud, timing),
        Carrier.HTTP: HttpLinks(HttpCalls, routes.of, timing or HTTP_TIMING),
    }
    _check_driver(settings)
    return EndpointLinks(links, LinkDrivers(open_port, baud).get, driver)


def _check_driver(settings: Configuration) -> None:
    """A driver that the configuration names and nobody brings is said at once, not at the first module."""
    if name := settings.values.link.driver:
        try:
            load_driver(name)
        except UcmError as error:
            settings.reject("$.link.driver", error.detail)


async def provisioning_api(settings: Configuration, stack: AsyncExitStack) -> Api:
    """Raises UcmError: token_missing or config_invalid, with disposition FATAL."""
    if settings.values.api.url == "gateway":
        gateway = await stack.enter_async_context(_gateway_api(settings))
        return Api(gateway, gateway)
    return Api(await stack.enter_async_context(_configured_api(settings)))


def _configured_api(settings: Configuration) -> HttpProvisioningApi:
    values = settings.values.api
    token_file = settings.token_file()
    _read_token(token_file, Code.TOKEN_MISSING)  # a site without a token is told so at once, not at the first module

    async def token() -> Secret[str]:
        return await asyncio.to_thread(_read_token, token_file, Code.API_UNAUTHORIZED)

    return HttpProvisioningApi(
        values.url,
        token,
        user=values.user or None,
        allow_http=values.allow_http,
        ca_file=settings.file(values.ca_file) if values.ca_file else None,
        overrides=_overrides(settings),
    )


def _gateway_api(settings: Configuration) -> GatewayApi:
    values = settings.values.api

    def connect(url: str, secret: Secret[str], ca: str) -> HttpProvisioningApi:
        async def token() -> Secret[str]:
            return secret

        return HttpProvisioningApi(
            url, token, user=values.user or None, allow_http=values.allow_http, ca=ca, overrides=_overrides(settings)
        )

    return GatewayApi(settings.file(settings.values.state.dir) / "gateway.json", connect, allow_http=values.allow_http)


def _overrides(settings: Configuration) -> Overrides:
    override = settings.values.override
    return Overrides(override.mqtt_host, override.mqtt_port, settings.time_source())


def _read_token(path: Path, missing: Code) -> Secret[str]:
    """Read anew for every call, so that a replaced token takes effect at once."""
    try:
        token = path.read_text(encoding="ascii").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not plain text"
        raise UcmError(missing, f"{path}: {why}") from error
    if not token:
        raise UcmError(missing, f"{path}: its first line is empty")
    return Secret(token)


def schedule(settings: Configuration) -> Schedule:
    return Schedule(
        window=settings.maintenance(),
        rotate_before=settings.rotate_before(),
        rotate_at_once=settings.values.policy.rotate_at_once,
        verify_every=settings.verify_every(),
    )


def broker_check(settings: Configuration) -> ConnectionCheck:
    overridden = settings.values.override.time_sync is not None
    policy = settings.values.policy
    mode = "warn" if policy.verify == "later" else policy.check
    return ConnectionCheck(time_source_overridden=overridden, mode=mode)


def broker_witness(settings: Configuration, clock: Clock) -> AnyWitness:
    file = settings.values.broker.witness
    return BrokerWitness(settings.file(file), clock) if file else NoWitness()


def web_tls(settings: Configuration, chain: Path, key: Path | None = None) -> ssl.SSLContext:
    """Raises UcmError: config_invalid, where the files are not a certificate with its key."""
    try:
        return tls_context(chain, key)
    except (OSError, ssl.SSLError) as error:
        settings.reject("$.web.cert_file", f"expected a certificate with its key, as PEM, but {chain}: {error}")


async def problems(settings: Configuration) -> list[UcmError]:
    """Everything that would keep the daemon from starting with the configuration. Touches neither state nor network."""
    found = []
    for check in (_check_lists, _check_policy, _check_fleet, _check_manifest, _check_secrets, _check_web, _check_api):
        try:
            await check(settings)
        except UcmError as error:
            found.append(error)
    return found


async def _check_lists(settings: Configuration) -> None:
    settings.lan_addresses()
    settings.wifi()
    _check_driver(settings)


async def _check_policy(settings: Configuration) -> None:
    settings.box_id()
    schedule(settings)


async def _check_fleet(settings: Configuration) -> None:
    if settings.values.fleet.mqtt:
        settings.fleet_name()


async def _check_manifest(settings: Configuration) -> None:
    if configured := settings.values.site.manifest:
        await asyncio.to_thread(manifest.load, settings.file(configured))


async def _check_secrets(settings: Configuration) -> None:
    settings.site_pop()
    if key_file := settings.key_file():
        await asyncio.to_thread(check_key, key_file)


async def _check_web(settings: Configuration) -> None:
    settings.web_listen()
    if given := settings.web_certificate():
        await asyncio.to_thread(web_tls, settings, *given)


async def _check_api(settings: Configuration) -> None:
    async with AsyncExitStack() as stack:
        await provisioning_api(settings, stack)
