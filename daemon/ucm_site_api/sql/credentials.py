"""Credentials for the broker: which there are, and until when each is accepted."""

import sqlite3
from datetime import datetime, timedelta

from ucm_site_api.records import Credential, CredentialDraft, EndedCertificate, Issue
from ucm_site_api.timestamps import from_text, to_text


def next_number(db: sqlite3.Connection, subject: str) -> int:
    """What the next credential of a subject is numbered."""
    (last,) = db.execute("SELECT max(number) FROM credential WHERE subject = ?", (subject,)).fetchone()
    return int(last or 0) + 1


def add_credential(db: sqlite3.Connection, subject: str, device_id: str | None, issue: Issue) -> None:
    """Keep a credential; those before it that had no end yet get one."""
    db.execute(
        "UPDATE credential SET valid_until = ? WHERE subject = ? AND valid_until IS NULL",
        (to_text(issue.at + issue.grace), subject),
    )
    draft = issue.draft
    row = (draft.serial, draft.password_digest, to_text(issue.at), draft.not_after and to_text(draft.not_after))
    db.execute(
        "INSERT INTO credential (subject, number, device_id, protocol, serial, password_digest, issued_at, not_after)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (subject, issue.number, device_id, draft.protocol, *row),
    )


def add_witness(db: sqlite3.Connection, subject: str, draft: CredentialDraft, now: datetime, grace: timedelta) -> int:
    """Number and keep a credential that belongs to no device."""
    number = next_number(db, subject)
    add_credential(db, subject, None, Issue(number, draft, now, grace))
    return number


def end_credentials(db: sqlite3.Connection, device_id: str, now: datetime) -> None:
    """End all of a device and part them from it: their rows stay, so that revocation lists keep naming them."""
    db.execute(
        "UPDATE credential SET device_id = NULL, valid_until = min(coalesce(valid_until, ?1), ?1) WHERE device_id = ?2",
        (to_text(now), device_id),
    )


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
        "SELECT subject, serial, valid_until FROM credential"
        " WHERE serial IS NOT NULL AND valid_until <= ?1 AND not_after > ?1 ORDER BY serial",
        (to_text(now),),
    )
    return [EndedCertificate(subject, serial, from_text(end)) for subject, serial, end in rows]


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


def _credential(row: sqlite3.Row) -> Credential:
    columns = dict(row)
    for name in ("issued_at", "not_after", "valid_until"):
        columns[name] = from_text(columns[name]) if columns[name] else None
    return Credential(**columns)
