"""The witness: a client of the broker that hears every module and may say nothing."""

import asyncio
from datetime import timedelta
from pathlib import Path

import msgspec

from ucm_site_api.access import WITNESS
from ucm_site_api.authority import Authority, serial_of
from ucm_site_api.issuing import Endpoints, certificate_credential
from ucm_site_api.messages import CertificateCredentials, WitnessConfig
from ucm_site_api.registry import Registry
from ucm_site_api.settings import Settings
from ucm_site_api.state import write_private

# A witness reads its file once, at its own start: nothing renews it, so it lasts as long as the authority does.
_VALIDITY = timedelta(days=100 * 365)


async def write_witness(
    path: Path, settings: Settings, endpoints: Endpoints, registry: Registry, authority: Authority
) -> None:
    """Write what a witness needs where this machine's daemon reads it, readable for its owner, or as settings say.

    The credentials of the last start are kept, so that a witness which runs meanwhile keeps its access. Without
    the file, or with one that the broker would not accept, there are new ones.
    """
    kept = await _accepted(path, settings, registry)
    credentials = kept or await _issue(settings, registry, authority)
    config = WitnessConfig(endpoints.mqtt_host, endpoints.mqtt_ports["MQTTS"], "MQTTS", credentials)
    content = msgspec.json.encode(config)
    await asyncio.to_thread(write_private, path, content, group_reads=settings.group_reads)


async def _accepted(path: Path, settings: Settings, registry: Registry) -> CertificateCredentials | None:
    try:
        credentials = msgspec.json.decode(await asyncio.to_thread(path.read_bytes), type=WitnessConfig).mqtt_credentials
        known = await registry.credential_by_serial(serial_of(credentials.certificate))
    except (FileNotFoundError, ValueError):
        return None
    usable = known is not None and known.valid_until is None and known.accepted_at(settings.now())
    return credentials if usable else None


async def _issue(settings: Settings, registry: Registry, authority: Authority) -> CertificateCredentials:
    now = settings.now()
    fresh = await certificate_credential(authority, WITNESS, now, _VALIDITY)
    number = await registry.add_witness(WITNESS, fresh.draft, now, settings.rotation_grace)
    credentials = fresh.reveal(number)
    assert isinstance(credentials, CertificateCredentials)  # the TLS listener has no others
    return credentials
