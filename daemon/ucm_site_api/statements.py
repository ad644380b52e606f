"""The registry's SQL. Every function runs inside a transaction that its caller opened."""

import sqlite3
import uuid
from datetime import datetime, timedelta

from ucm_site_api.errors import ApiError
from ucm_site_api.identifiers import slug_candidates
from ucm_site_api.records import (
    Credential,
    CredentialDraft,
    Device,
    EndedCertificate,
    Enrolment,
    Page,
    Role,
    Site,
)
from ucm_site_api.timestamps import from_text, to_text


def first_site(db: sqlite3.Connection) -> Site | None:
    """The oldest site."""
    row = db.execute("SELECT id, name, timezone FROM site ORDER BY rowid LIMIT 1").fetchone()
    return Site(*row) if row else None


def site(db: sqlite3.Connection, site_id: str) -> Site | None:
    """One site by id."""
    row = db.execute("SELECT id, name, timezone FROM site WHERE id = ?", (site_id,)).fetchone()
    return Site(*row) if row else None


def found(db: sqlite3.Connection, new: Site, token_digest: bytes, role: Role, now: datetime) -> None:
    """The site and its first token."""
    db.execute("INSERT INTO site VALUES (?, ?, ?, ?)", (new.id, new.name, new.timezone, to_text(now)))
    add_token(db, token_digest, role, now)


def add_token(db: sqlite3.Connection, digest: bytes, role: Role, now: datetime) -> None:
    """One more token."""
    db.execute("INSERT INTO token VALUES (?, ?, ?)", (digest, role, to_text(now)))


def role_of(db: sqlite3.Connection, token_digest: bytes) -> Role | None:
    """The role that a token has."""
    row = db.execute("SELECT role FROM token WHERE digest = ?", (token_digest,)).fetchone()
    return row["role"] if row else None


def enrol(db: sqlite3.Connection, wish: Enrolment, number: int, now: datetime, grace: timedelta) -> Device:
    """A device, new or known, with one more credential."""
    home = _require_site(db, wish.site_id)
    known = _device_where(db, "hardware_id = ?", wish.hardware_id)
    if known is None:
        device_id = _insert_device(db, wish, home, now)
    else:
        _require_same(known, wish, home)
        device_id = known.id
        db.execute(
            "UPDATE device SET protocol = ?, updated_at = ?, needs_reprovisioning = 0 WHERE id = ?",
            (wish.credential.protocol, to_text(_after(known.updated_at, now)), device_id),
        )
    _add_credential(db, wish.hardware_id, number, device_id, wish.credential, now=now, grace=grace)
    enrolled = _device_where(db, "id = ?", device_id)
    assert enrolled is not None  # this transaction wrote it
    return enrolled


def add_witness(db: sqlite3.Connection, subject: str, draft: CredentialDraft, now: datetime, grace: timedelta) -> int:
    """Number and keep a credential that belongs to no device."""
    number = next_number(db, subject)
    _add_credential(db, subject, number, None, draft, now=now, grace=grace)
    return number


def next_number(db: sqlite3.Connection, subject: str) -> int:
    """What the next credential of a subject is numbered."""
    (last,) = db.execute("SELECT max(number) FROM credential WHERE subject = ?", (subject,)).fetchone()
    return int(last or 0) + 1


def _add_credential(
    db: sqlite3.Connection,
    subject: str,
    number: int,
    device_id: str | None,
    draft: CredentialDraft,
    *,
    now: datetime,
    grace: timedelta,
) -> None:
    """Keep a credential; those before it that had no end yet get one."""
    db.execute(
        "UPDATE credential SET valid_until = ? WHERE subject = ? AND valid_until IS NULL",
        (to_text(now + grace), subject),
    )
    row = (draft.serial, draft.password_digest, to_text(now), draft.not_after and to_text(draft.not_after))
    db.execute(
        "INSERT INTO credential (subject, number, device_id, protocol, serial, password_digest, issued_at, not_after)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (subject, number, device_id, draft.protocol, *row),
    )


def device(db: sqlite3.Connection, reference: str) -> Device | None:
    """A device by id, else by slug."""
    by_id = _device_where(db, "id = ?", reference)
    return by_id or _device_where(db, "slug = ?", reference)


def devices(db: sqlite3.Connection, site_id: str | None, offset: int, limit: int) -> Page:
    """One page, oldest first."""
    everywhere = site_id is None
    (total,) = db.execute("SELECT count(*) FROM device WHERE ? OR site_id = ?", (everywhere, site_id)).fetchone()
    rows = db.execute(
        "SELECT * FROM device WHERE ? OR site_id = ? ORDER BY rowid LIMIT ? OFFSET ?",
        (everywhere, site_id, limit, offset),
    )
    return Page([_device(row) for row in rows], int(total))


def credential_by_serial(db: sqlite3.Connection, serial: str) -> Credential | None:
    """The credential that a certificate is."""
    row = db.execute("SELECT * FROM credential WHERE serial = ?", (serial,)).fetchone()
    return _credential(row) if row else None


def credential(db: sqlite3.Connection, subject: str, number: int) -> Credential | None:
    """One credential."""
    row = db.execute("SELECT * FROM credential WHERE subject = ? AND number = ?", (subject, number)).fetchone()
    return _credential(row) if row else None


def credentials(db: sqlite3.Connection, subject: str) -> list[Credential]:
    """All of a subject, oldest first."""
    rows = db.execute("SELECT * FROM credential WHERE subject = ? ORDER BY number", (subject,))
    return [_credential(row) for row in rows]


def revoke(db: sqlite3.Connection, subject: str, number: int, now: datetime) -> None:
    """End one credential now."""
    db.execute(
        "UPDATE credential SET valid_until = ? WHERE subject = ? AND number = ?", (to_text(now), subject, number)
    )


def next_end(db: sqlite3.Connection, now: datetime) -> datetime | None:
    """When the next credential leaves its grace."""
    (end,) = db.execute("SELECT min(valid_until) FROM credential WHERE valid_until > ?", (to_text(now),)).fetchone()
    return from_text(end) if end else None


def ended_certificates(db: sqlite3.Connection, now: datetime) -> list[EndedCertificate]:
    """Certificates that have ended before the date that is written in them."""
    rows = db.execute(
        "SELECT serial, valid_until FROM credential WHERE serial IS NOT NULL AND valid_until <= ?1 AND not_after > ?1"
        " ORDER BY serial",
        (to_text(now),),
    )
    return [EndedCertificate(serial, from_text(end)) for serial, end in rows]


def accepted_passwords(db: sqlite3.Connection, now: datetime) -> set[tuple[str, int]]:
    """Subject and number of every password that has not ended."""
    rows = db.execute(
        "SELECT subject, number FROM credential"
        " WHERE password_digest IS NOT NULL AND (valid_until IS NULL OR valid_until > ?)",
        (to_text(now),),
    )
    return {(subject, number) for subject, number in rows}


def mark_lost(db: sqlite3.Connection, lost: set[tuple[str, int]]) -> list[str]:
    """Keep which devices have lost their newest credential; returns those that were not known to have."""
    needing = {subject for subject, number in lost if number + 1 == next_number(db, subject)}
    rows = db.execute("SELECT hardware_id FROM device WHERE needs_reprovisioning")
    known = {row["hardware_id"] for row in rows}
    changes = [(True, subject) for subject in needing - known] + [(False, subject) for subject in known - needing]
    db.executemany("UPDATE device SET needs_reprovisioning = ? WHERE hardware_id = ?", changes)
    return sorted(needing - known)


def _require_site(db: sqlite3.Connection, site_id: str | None) -> str:
    home = first_site(db) if site_id is None else site(db, site_id)
    if home is None:
        # Not 404: that would read as "no such call", and the call exists.
        message = f"There is no site {site_id!r} on this server."
        raise ApiError(422, "unprocessable_entity", message, {"path": "$.site_id"})
    return home.id


def _require_same(known: Device, wish: Enrolment, home: str) -> None:
    if known.site_id != home:
        raise _conflict("The hardware id is provisioned on another site.")
    if known.type != wish.type:
        raise _conflict("The hardware id is provisioned as another kind of device.")


def _conflict(message: str) -> ApiError:
    return ApiError(409, "already_exists", message, {"path": "$.hardware_id"})


def _insert_device(db: sqlite3.Connection, wish: Enrolment, home: str, now: datetime) -> str:
    device_id = str(uuid.uuid4())
    for slug in slug_candidates(wish.name):
        added = db.execute(
            "INSERT INTO device"
            " (id, site_id, type, hardware_id, channel_id, name, slug, protocol, created_at, updated_at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) ON CONFLICT (site_id, slug) DO NOTHING",
            (
                device_id,
                home,
                wish.type,
                wish.hardware_id,
                wish.channel_id,
                wish.name,
                slug,
                wish.credential.protocol,
                to_text(now),
            ),
        )
        if added.rowcount:
            break
    return device_id


def _after(previous: datetime, now: datetime) -> datetime:
    # Clients tell "provisioned again" by this time, so it moves even when the clock was set back.
    return max(now, previous + timedelta(microseconds=1))


def _device_where(db: sqlite3.Connection, condition: str, value: str) -> Device | None:
    # `condition` is one of this module's own literals.
    query = f"SELECT * FROM device WHERE {condition} ORDER BY rowid LIMIT 1"  # noqa: S608
    row = db.execute(query, (value,)).fetchone()
    return _device(row) if row else None


def _device(row: sqlite3.Row) -> Device:
    columns = dict(row)
    for name in ("created_at", "updated_at"):
        columns[name] = from_text(columns[name])
    columns["needs_reprovisioning"] = bool(columns["needs_reprovisioning"])
    return Device(**columns)


def _credential(row: sqlite3.Row) -> Credential:
    columns = dict(row)
    for name in ("issued_at", "not_after", "valid_until"):
        columns[name] = from_text(columns[name]) if columns[name] else None
    return Credential(**columns)
