"""Access tokens, of which only digests are kept."""

import sqlite3
from datetime import datetime

from ucm_site_api.errors import ApiError
from ucm_site_api.messages import Role
from ucm_site_api.records import Site, Token
from ucm_site_api.sql.sites import add_site, site
from ucm_site_api.timestamps import from_text, to_text

# Enough of a digest to tell a server's tokens apart, and to type.
_ID_LENGTH = 12


def token_id(digest: bytes) -> str:
    """What a token is called where it must not be shown."""
    return digest.hex()[:_ID_LENGTH]


def found(db: sqlite3.Connection, new: Site, token_digest: bytes, role: Role, now: datetime) -> None:
    """The first start: the site and its first token."""
    add_site(db, new, now)
    add_token(db, token_digest, role, now, name="first start", site_id=None)


def add_token(
    db: sqlite3.Connection, digest: bytes, role: Role, now: datetime, *, name: str, site_id: str | None
) -> Token:
    """One more token.

    Raises:
        ApiError: 422 it is for a site that is not here.
    """
    if site_id is not None and site(db, site_id) is None:
        raise ApiError(422, "unprocessable_entity", f"There is no site {site_id!r} on this server.")
    db.execute(
        "INSERT INTO token (digest, role, name, site_id, created_at) VALUES (?, ?, ?, ?, ?)",
        (digest, role, name, site_id, to_text(now)),
    )
    return Token(token_id(digest), role, name, site_id, now)


def token(db: sqlite3.Connection, digest: bytes) -> Token | None:
    """The token with this digest."""
    row = db.execute("SELECT * FROM token WHERE digest = ?", (digest,)).fetchone()
    return _token(row) if row else None


def tokens(db: sqlite3.Connection) -> list[Token]:
    """All tokens, oldest first."""
    return [_token(row) for row in db.execute("SELECT * FROM token ORDER BY created_at, digest")]


def revoke_token(db: sqlite3.Connection, wanted_id: str) -> Token | None:
    """Forget the token of this id; None if there is none."""
    for row in db.execute("SELECT * FROM token").fetchall():
        if token_id(row["digest"]) == wanted_id:
            db.execute("DELETE FROM token WHERE digest = ?", (row["digest"],))
            return _token(row)
    return None


def _token(row: sqlite3.Row) -> Token:
    return Token(token_id(row["digest"]), row["role"], row["name"], row["site_id"], from_text(row["created_at"]))
