"""The certificate revocation list: the only thing that mosquitto is told of certificates."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509

from ucm_site_api.authority import Authority
from ucm_site_api.mosquitto.reload import Reload, ReloadError
from ucm_site_api.records import EndedCertificate
from ucm_site_api.registry import Registry
from ucm_site_api.state import write_private

log = structlog.get_logger(__name__)

# An expired list locks every module out, so this is how long a server may be away.
VALIDITY = timedelta(days=30)

_RENEWAL = timedelta(hours=1)


async def write_revocations(file: Path, authority: Authority, ended: list[EndedCertificate], now: datetime) -> None:
    """Replace the list as a whole; a mosquitto that starts meanwhile reads the old one or the new one."""

    def write() -> None:
        write_private(file, authority.revocation_list(ended, now, VALIDITY))

    await asyncio.to_thread(write)


class Revocations:
    """Keeps the list true: rewritten when a certificate ends, and every hour; read by mosquitto after each time."""

    def __init__(
        self, file: Path, authority: Authority, registry: Registry, now: Callable[[], datetime], reload: Reload
    ) -> None:
        self._file = file
        self._authority = authority
        self._registry = registry
        self._now = now
        self._reload = reload
        self._written: list[EndedCertificate] | None = None
        self._enforced: set[str] | None = None
        self._written_at = now()
        self._unread = True
        self._complaint = ""

    async def refresh(self) -> None:
        """Write the list if it is due, and have it read if it was not; one that was not is tried again next time."""
        now = self._now()
        if self._enforced is None:  # what an earlier server has listed, it has enforced
            self._enforced = await asyncio.to_thread(_serials_in, self._file)
        ended = await self._registry.ended_certificates(now)
        # Also when the clock was set back: the list would begin in the future.
        fresh = timedelta(0) <= now - self._written_at < _RENEWAL
        if ended != self._written or not fresh:
            await write_revocations(self._file, self._authority, ended, now)
            self._written, self._written_at, self._unread = ended, now, True
        if self._unread:
            await self._have_it_read()

    @property
    def to_be_enforced(self) -> list[EndedCertificate]:
        """Certificates that mosquitto refuses by now, and whose sessions may still go on."""
        enforced = self._enforced or set()
        return [] if self._unread else [one for one in self._written or () if one.serial not in enforced]

    def enforced(self, ended: list[EndedCertificate]) -> None:
        """No session of these is left."""
        self._enforced = (self._enforced or set()) | {certificate.serial for certificate in ended}

    async def _have_it_read(self) -> None:
        try:
            await self._reload()
        except ReloadError as failure:
            if str(failure) != self._complaint:
                log.warning("mosquitto does not read the revocation list", reason=str(failure))
            self._complaint = str(failure)
        else:
            self._unread, self._complaint = False, ""


def _serials_in(file: Path) -> set[str]:
    try:
        return {f"{entry.serial_number:x}" for entry in x509.load_pem_x509_crl(file.read_bytes())}
    except (OSError, ValueError):  # it is about to be written anew, and every session to be judged
        return set()
