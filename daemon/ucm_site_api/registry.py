"""Sites, tokens, devices and credentials in SQLite, on one thread of its own.

Each public call is one transaction: a call that was cut short by a crash, or by a client that went away,
leaves the old state or the new one.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

from ucm_site_api import statements
from ucm_site_api.errors import SiteStartError
from ucm_site_api.records import Credential, CredentialDraft, Device, EndedCertificate, Enrolment, Page, Role, Site
from ucm_site_api.schema import migrate

REGISTRY_FILE = "registry.sqlite"

P = ParamSpec("P")
R = TypeVar("R")

# `token create` may write while a server does; either waits this long for the other.
_BUSY_SECONDS = 5.0


class Registry:
    """The one writer of the database. All times are aware."""

    def __init__(self, db: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._db = db
        self._thread = thread

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or create the database.

        Raises:
            SiteStartError: it is not ours, too new, damaged or not writable.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry")
        try:
            db = await asyncio.get_running_loop().run_in_executor(thread, _connect, path)
        except (sqlite3.Error, OSError, ValueError) as cause:
            thread.shutdown(wait=False)
            raise SiteStartError(f"The registry {path} cannot be opened: {cause}.") from cause
        return cls(db, thread)

    async def close(self) -> None:
        """Finish what was begun, then close."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()

    async def only_site(self) -> Site | None:
        """The site of this server; None before its first start."""
        return await self._call(statements.first_site)

    async def site(self, site_id: str) -> Site | None:
        """One site by id."""
        return await self._call(statements.site, site_id)

    async def found(self, site: Site, token_digest: bytes, role: Role, now: datetime) -> None:
        """The first start: the site and its first token, both or neither."""
        await self._call(statements.found, site, token_digest, role, now)

    async def add_token(self, digest: bytes, role: Role, now: datetime) -> None:
        """Accept one more token, of which only the digest is known here."""
        await self._call(statements.add_token, digest, role, now)

    async def role_of(self, token_digest: bytes) -> Role | None:
        """The role of a token; None for a token that was never issued."""
        return await self._call(statements.role_of, token_digest)

    async def next_number(self, subject: str) -> int:
        """The number of a subject's next credential; of use to a caller who alone gives this subject any."""
        return await self._call(statements.next_number, subject)

    async def enrol(self, enrolment: Enrolment, number: int, now: datetime, grace: timedelta) -> Device:
        """Record a module, new or known, with a fresh credential of this number.

        A known module on the same site keeps its id, slug and name. Earlier credentials end `grace` after
        the first newer one was issued, however many follow.

        Raises:
            ApiError: 409 the hardware id belongs elsewhere, 422 there is no such site.
            sqlite3.IntegrityError: the number is taken.
        """
        return await self._call(statements.enrol, enrolment, number, now, grace)

    async def add_witness(self, subject: str, draft: CredentialDraft, now: datetime, grace: timedelta) -> int:
        """Record a credential that belongs to no device."""
        return await self._call(statements.add_witness, subject, draft, now, grace)

    async def device(self, reference: str) -> Device | None:
        """A device by id or slug; an id goes before a slug that reads the same."""
        return await self._call(statements.device, reference)

    async def devices(self, site_id: str | None, offset: int, limit: int) -> Page:
        """Devices of one site, or of all, oldest first."""
        return await self._call(statements.devices, site_id, offset, limit)

    async def credential_by_serial(self, serial: str) -> Credential | None:
        """The credential of a certificate; `serial` in lower-case hexadecimal."""
        return await self._call(statements.credential_by_serial, serial)

    async def credential(self, subject: str, number: int) -> Credential | None:
        """One credential of a subject."""
        return await self._call(statements.credential, subject, number)

    async def credentials(self, subject: str) -> list[Credential]:
        """All credentials of a subject, oldest first."""
        return await self._call(statements.credentials, subject)

    async def revoke(self, subject: str, number: int, now: datetime) -> None:
        """End a credential at once."""
        await self._call(statements.revoke, subject, number, now)

    async def next_end(self, now: datetime) -> datetime | None:
        """When the next credential leaves its grace; None while none is in one."""
        return await self._call(statements.next_end, now)

    async def ended_certificates(self, now: datetime) -> list[EndedCertificate]:
        """What a revocation list has to hold: ended, and not expired."""
        return await self._call(statements.ended_certificates, now)

    async def accepted_passwords(self, now: datetime) -> set[tuple[str, int]]:
        """Subject and number of every password credential that has not ended."""
        return await self._call(statements.accepted_passwords, now)

    async def mark_lost(self, lost: set[tuple[str, int]]) -> list[str]:
        """Mark exactly the devices whose newest credential is among these as needing to be provisioned again.

        Returns:
            hardware ids of devices that were not marked before.
        """
        return await self._call(statements.mark_lost, lost)

    async def _call(
        self,
        statement: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        def run() -> R:
            with _transaction(self._db):
                return statement(self._db, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)


def _connect(path: Path) -> sqlite3.Connection:
    # SQLite gives its journal files the mode of the database.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        migrate(db)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    # Immediate: a transaction that reads first and then wants to write could meet "busy" without a wait.
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
