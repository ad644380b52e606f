"""Sites, tokens, devices and credentials in SQLite.

Each public call is atomic: one that was cut short by a crash, or by a client that went away, leaves the old state
or the new one. Writes share commits; reads have a connection of their own, and see every write that was answered.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

from ucm_site_api.commits import GroupCommit
from ucm_site_api.errors import SiteStartError
from ucm_site_api.messages import Role
from ucm_site_api.records import (
    Credential,
    CredentialDraft,
    Device,
    DeviceDraft,
    EndedCertificate,
    Issue,
    Page,
    Site,
    SiteChange,
    Token,
)
from ucm_site_api.schema import migrate
from ucm_site_api.sql import credentials, devices, enrolment, sites, tokens

REGISTRY_FILE = "registry.sqlite"

P = ParamSpec("P")
R = TypeVar("R")

# `token create` may write while a server does; either waits this long for the other.
_BUSY_SECONDS = 5.0

# Holds the index that a page of a hundred thousand devices is found in; SQLite's own 2 MB do not.
_READER_CACHE_KIBIBYTES = 8 * 1024


class Registry:
    """The database of one server. All times are aware."""

    def __init__(self, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self._writer = writer
        self._reader = reader
        self._write_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry-writer")
        self._read_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry-reader")
        self._commits = GroupCommit(writer, self._write_thread)

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or create the database.

        Raises:
            SiteStartError: it is not ours, too new, damaged or not writable.
        """
        try:
            return cls(*await asyncio.to_thread(_connections, path))
        except (sqlite3.Error, OSError, ValueError) as cause:
            raise SiteStartError(f"The registry {path} cannot be opened: {cause}.") from cause

    async def close(self) -> None:
        """Finish what was begun, then close."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._read_thread, self._reader.close)
        await loop.run_in_executor(self._write_thread, self._writer.close)
        self._read_thread.shutdown()
        self._write_thread.shutdown()

    async def first_site(self) -> Site | None:
        """The site that the first start made; None before."""
        return await self._read(sites.first_site)

    async def site(self, site_id: str) -> Site | None:
        """One site by id."""
        return await self._read(sites.site, site_id)

    async def sites(self, name: str | None, offset: int, limit: int) -> Page[Site]:
        """Sites, or those of one name, oldest first."""
        return await self._read(sites.sites, name, offset, limit)

    async def add_site(self, site: Site, now: datetime) -> None:
        """One more site; 409 (ApiError) if the id is taken."""
        await self._write(sites.add_site, site, now)

    async def change_site(self, site_id: str, change: SiteChange) -> Site:
        """Change a site; 404 (ApiError) if it is gone."""
        return await self._write(sites.change_site, site_id, change)

    async def delete_site(self, site_id: str) -> None:
        """Delete a site; 422 (ApiError) if it has devices or is the last one."""
        await self._write(sites.delete_site, site_id)

    async def found(self, site: Site, token_digest: bytes, role: Role, now: datetime) -> None:
        """The first start: the site and its first token, both or neither."""
        await self._write(tokens.found, site, token_digest, role, now)

    async def add_token(
        self, digest: bytes, role: Role, now: datetime, *, name: str = "", site_id: str | None = None
    ) -> Token:
        """Accept one more token, of which only the digest is known here; 422 (ApiError) if there is no such site."""
        return await self._write(tokens.add_token, digest, role, now, name=name, site_id=site_id)

    async def token(self, digest: bytes) -> Token | None:
        """The token of this digest; None for one that was never issued, or was revoked."""
        return await self._read(tokens.token, digest)

    async def tokens(self) -> list[Token]:
        """All tokens, oldest first."""
        return await self._read(tokens.tokens)

    async def revoke_token(self, token_id: str) -> Token | None:
        """Accept a token no longer; None if there is no such token."""
        return await self._write(tokens.revoke_token, token_id)

    async def next_number(self, subject: str) -> int:
        """The number of a subject's next credential; of use to a caller who alone gives this subject any."""
        return await self._read(credentials.next_number, subject)

    async def enrol(self, draft: DeviceDraft, now: datetime) -> Device:
        """Record a device that gets no credential, new or known.

        Raises:
            ApiError: 409 hardware id or slug belong to another device, 422 there is no such site or upstream device.
        """
        return await self._write(enrolment.enrol, draft, now)

    async def enrol_lua(self, draft: DeviceDraft, now: datetime) -> Device:
        """Record a new Lua device.

        Raises:
            ApiError: 409 the slug is taken, 422 it is there already, or its runtime is not.
        """
        return await self._write(enrolment.enrol_lua, draft, now)

    async def enrol_with_credential(self, draft: DeviceDraft, issue: Issue, founded: Site | None = None) -> Device:
        """Record a device, new or known, with a fresh credential; and its site, if `founded` is not there yet.

        A known device on the same site keeps its id, slug and name. Earlier credentials end after the grace that
        began when the first newer one was issued, however many follow.

        Raises:
            ApiError: 409 the hardware id belongs elsewhere, 422 there is no such site.
            sqlite3.IntegrityError: the credential's number is taken.
        """
        return await self._write(enrolment.enrol_with_credential, draft, issue, founded)

    async def renew(self, device_id: str, issue: Issue) -> Device:
        """Record a fresh credential of a known device; 404 (ApiError) if it is gone."""
        return await self._write(enrolment.renew, device_id, issue)

    async def add_witness(self, subject: str, draft: CredentialDraft, now: datetime, grace: timedelta) -> int:
        """Record a credential that belongs to no device."""
        return await self._write(credentials.add_witness, subject, draft, now, grace)

    async def device(self, reference: str, site_id: str | None = None) -> Device | None:
        """A device by id or slug, of one site or of any; an id goes before a slug that reads the same."""
        return await self._read(devices.device, reference, site_id)

    async def devices(self, site_id: str | None, offset: int, limit: int) -> Page[Device]:
        """Devices of one site, or of all, oldest first."""
        return await self._read(devices.devices, site_id, offset, limit)

    async def change_device(self, device_id: str, name: str | None, slug: str | None, now: datetime) -> Device:
        """Change what is not None; ApiError: 404 it is gone, 409 the slug is taken."""
        return await self._write(devices.change_device, device_id, name, slug, now)

    async def assign_blueprint(self, device_id: str, blueprint_id: str, now: datetime) -> Device:
        """Give a device another blueprint; 404 (ApiError) if it is gone."""
        return await self._write(devices.assign_blueprint, device_id, blueprint_id, now)

    async def delete_device(self, device_id: str, now: datetime) -> None:
        """Delete a device and end its credentials; ApiError: 404 it is gone, 422 others run on it."""
        await self._write(devices.delete_device, device_id, now)

    async def credential_by_serial(self, serial: str) -> Credential | None:
        """The credential of a certificate; `serial` in lower-case hexadecimal."""
        return await self._read(credentials.credential_by_serial, serial)

    async def credential(self, subject: str, number: int) -> Credential | None:
        """One credential of a subject."""
        return await self._read(credentials.credential, subject, number)

    async def credentials(self, subject: str) -> list[Credential]:
        """All credentials of a subject, oldest first."""
        return await self._read(credentials.credentials, subject)

    async def revoke(self, subject: str, number: int, now: datetime) -> None:
        """End a credential at once."""
        await self._write(credentials.revoke, subject, number, now)

    async def next_end(self, now: datetime) -> datetime | None:
        """When the next credential leaves its grace; None while none is in one."""
        return await self._read(credentials.next_end, now)

    async def ended_certificates(self, now: datetime) -> list[EndedCertificate]:
        """What a revocation list has to hold: ended, and not expired."""
        return await self._read(credentials.ended_certificates, now)

    async def accepted_passwords(self, now: datetime) -> set[tuple[str, int]]:
        """Subject and number of every password credential that has not ended."""
        return await self._read(credentials.accepted_passwords, now)

    async def mark_lost(self, lost: set[tuple[str, int]]) -> list[str]:
        """Mark exactly the devices whose newest credential is among these as needing to be provisioned again.

        Returns:
            hardware ids of devices that were not marked before.
        """
        return await self._write(credentials.mark_lost, lost)

    async def _write(
        self, statement: Callable[Concatenate[sqlite3.Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return await self._commits.run(lambda db: statement(db, *args, **kwargs))

    async def _read(
        self, statement: Callable[Concatenate[sqlite3.Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        run = partial(_looked_up, self._reader, lambda db: statement(db, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._read_thread, run)


def _looked_up(db: sqlite3.Connection, statement: Callable[[sqlite3.Connection], R]) -> R:
    # One transaction, so that a count and the page that it goes with are of the same moment.
    db.execute("BEGIN")
    try:
        return statement(db)
    finally:
        db.execute("ROLLBACK")


def _connections(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    # SQLite gives its journal files the mode of the database.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    writer = _connected(path, _prepare_writer)
    try:
        return writer, _connected(path, _prepare_reader)
    except BaseException:
        writer.close()
        raise


def _connected(path: Path, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.row_factory = sqlite3.Row
        prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare_writer(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    migrate(db)
    db.execute("PRAGMA foreign_keys = ON")


def _prepare_reader(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA query_only = ON")
    db.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIBIBYTES}")
