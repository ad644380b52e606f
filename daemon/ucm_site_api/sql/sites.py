"""Sites."""

import sqlite3
from datetime import datetime

import msgspec

from ucm_site_api.errors import ApiError, not_found
from ucm_site_api.messages import Location
from ucm_site_api.records import Page, Site, SiteChange
from ucm_site_api.timestamps import to_text

_COLUMNS = "id, name, timezone, location"


def first_site(db: sqlite3.Connection) -> Site | None:
    """The oldest site."""
    row = db.execute(f"SELECT {_COLUMNS} FROM site ORDER BY rowid LIMIT 1").fetchone()  # noqa: S608 -- a literal
    return _site(row) if row else None


def site(db: sqlite3.Connection, site_id: str) -> Site | None:
    """One site by id."""
    row = db.execute(f"SELECT {_COLUMNS} FROM site WHERE id = ?", (site_id,)).fetchone()  # noqa: S608 -- a literal
    return _site(row) if row else None


def is_only_site(db: sqlite3.Connection, site_id: str) -> bool:
    """Whether this is a site, and there is no other."""
    return [row["id"] for row in db.execute("SELECT id FROM site LIMIT 2")] == [site_id]


def sites(db: sqlite3.Connection, name: str | None, offset: int, limit: int) -> Page[Site]:
    """One page, oldest first; only those of this name, if one is given."""
    chosen = "WHERE ?1 IS NULL OR name = ?1"
    (total,) = db.execute(f"SELECT count(*) FROM site {chosen}", (name,)).fetchone()  # noqa: S608 -- a literal
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM site {chosen} ORDER BY rowid LIMIT ?2 OFFSET ?3",  # noqa: S608 -- literals
        (name, limit, offset),
    )
    return Page([_site(row) for row in rows], int(total))


def add_site(db: sqlite3.Connection, new: Site, now: datetime) -> None:
    """One more site.

    Raises:
        ApiError: 409 the id is taken.
    """
    added = db.execute(
        "INSERT INTO site (id, name, timezone, location, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (new.id, new.name, new.timezone, _text(new.location), to_text(now)),
    )
    if not added.rowcount:
        raise ApiError(409, "already_exists", f"There is a site {new.id!r} already.")


def ensure_site(db: sqlite3.Connection, wanted: Site, now: datetime) -> Site:
    """The site of this id as it is, or else as it is wanted."""
    known = site(db, wanted.id)
    if known is None:
        add_site(db, wanted, now)
    return known or wanted


def change_site(db: sqlite3.Connection, site_id: str, change: SiteChange) -> Site:
    """Change what is not None.

    Raises:
        ApiError: 404 it is gone.
    """
    db.execute(
        "UPDATE site SET name = coalesce(?, name), timezone = coalesce(?, timezone), location = coalesce(?, location)"
        " WHERE id = ?",
        (change.name, change.timezone, _text(change.location), site_id),
    )
    changed = site(db, site_id)
    if changed is None:
        raise not_found("site", site_id)
    return changed


def delete_site(db: sqlite3.Connection, site_id: str) -> None:
    """Delete a site that has no devices, and the tokens that are for it alone.

    Raises:
        ApiError: 422 it has devices, or it is the last one.
    """
    if db.execute("SELECT 1 FROM device WHERE site_id = ? LIMIT 1", (site_id,)).fetchone():
        raise ApiError(422, "unprocessable_entity", "The site has devices. Delete them first.")
    (total,) = db.execute("SELECT count(*) FROM site").fetchone()
    if total == 1:
        raise ApiError(422, "unprocessable_entity", "The only site of a server cannot be deleted.")
    db.execute("DELETE FROM site WHERE id = ?", (site_id,))


def require_site(db: sqlite3.Connection, site_id: str | None) -> str:
    """The id of the site that a body names, or of the only one if it names none.

    Raises:
        ApiError: 422. Not 404: that would read as "no such call", and the call exists.
    """
    known = sites(db, None, 0, 2).items if site_id is None else [one for one in [site(db, site_id)] if one]
    if len(known) == 1:
        return known[0].id
    problem = f"There is no site {site_id!r} on this server." if site_id else "Name the site: there are several."
    raise ApiError(422, "unprocessable_entity", problem, {"path": "$.site_id"})


def _text(location: Location | None) -> str | None:
    return msgspec.json.encode(location).decode() if location else None


def _site(row: sqlite3.Row) -> Site:
    text = row["location"]
    location = msgspec.json.decode(text, type=Location) if text else None
    return Site(row["id"], row["name"], row["timezone"], location)
