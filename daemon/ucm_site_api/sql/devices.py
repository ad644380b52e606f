"""Devices: looked up, listed, changed and deleted."""

import sqlite3
from datetime import datetime, timedelta

from ucm_site_api.errors import ApiError, not_found
from ucm_site_api.records import Device, Page
from ucm_site_api.sql.credentials import end_credentials
from ucm_site_api.sql.sites import is_only_site
from ucm_site_api.timestamps import from_text, to_text

# SQLite itself would walk the table for a list of all.
_OF_ALL = "device INDEXED BY device_by_position WHERE TRUE"
_OF_SITE = "device INDEXED BY device_of_site WHERE site_id = ?"


def device(db: sqlite3.Connection, reference: str, site_id: str | None = None) -> Device | None:
    """A device by id, else by slug; of one site, or of any."""
    by_id = device_where(db, "id = ? AND (?2 IS NULL OR site_id = ?2)", reference, site_id)
    return by_id or device_where(db, "slug = ? AND (?2 IS NULL OR site_id = ?2)", reference, site_id)


def device_where(db: sqlite3.Connection, condition: str, *values: str | None) -> Device | None:
    """The oldest device for which a condition holds; `condition` is a literal of this package."""
    row = db.execute(f"SELECT * FROM device WHERE {condition} ORDER BY position LIMIT 1", values).fetchone()  # noqa: S608
    return _device(row) if row else None


def devices(db: sqlite3.Connection, site_id: str | None, offset: int, limit: int) -> Page[Device]:
    """One page of a site's devices, or of all, oldest first."""
    # What lies before the page is stepped over and what lies behind it is counted: one pass over a small index.
    chosen, values = _chosen(db, site_id)
    first = f"SELECT position FROM {chosen} ORDER BY position LIMIT 1 OFFSET ?"  # noqa: S608 -- a literal
    found = db.execute(first, (*values, offset)).fetchone()
    if found is None:
        return Page([], _count(db, chosen, *values))
    rest, values = f"{chosen} AND position >= ?", [*values, *found]
    rows = db.execute(f"SELECT * FROM {rest} ORDER BY position LIMIT ?", (*values, limit))  # noqa: S608 -- a literal
    return Page([_device(row) for row in rows], offset + _count(db, rest, *values))


def _chosen(db: sqlite3.Connection, site_id: str | None) -> tuple[str, list[str | int]]:
    # The index of all has nothing but positions, so it is the faster one for a server with one site, too.
    if site_id is None or is_only_site(db, site_id):
        return _OF_ALL, []
    return _OF_SITE, [site_id]


def _count(db: sqlite3.Connection, chosen: str, *values: str | int) -> int:
    (count,) = db.execute(f"SELECT count(*) FROM {chosen}", values).fetchone()  # noqa: S608 -- a literal of this module
    return int(count)


def change_device(db: sqlite3.Connection, device_id: str, name: str | None, slug: str | None, now: datetime) -> Device:
    """Change name and slug, those that are not None.

    Raises:
        ApiError: 404 it is gone, 409 another device of its site has the slug.
    """
    known = require_device(db, device_id)
    if slug is not None and slug != known.slug:
        require_free(db, known.site_id, slug)
    db.execute(
        "UPDATE device SET name = coalesce(?, name), slug = coalesce(?, slug), updated_at = ? WHERE id = ?",
        (name, slug, to_text(after(known.updated_at, now)), device_id),
    )
    return require_device(db, device_id)


def assign_blueprint(db: sqlite3.Connection, device_id: str, blueprint_id: str, now: datetime) -> Device:
    """Give a device another blueprint.

    Raises:
        ApiError: 404 it is gone.
    """
    known = require_device(db, device_id)
    db.execute(
        "UPDATE device SET blueprint_id = ?, updated_at = ? WHERE id = ?",
        (blueprint_id, to_text(after(known.updated_at, now)), device_id),
    )
    return require_device(db, device_id)


def delete_device(db: sqlite3.Connection, device_id: str, now: datetime) -> None:
    """Delete a device and end its credentials.

    Raises:
        ApiError: 404 it is gone, 422 others run on it.
    """
    require_device(db, device_id)
    if db.execute("SELECT 1 FROM device WHERE upstream_id = ? LIMIT 1", (device_id,)).fetchone():
        message = "Other devices run on this one or speak through it. Delete them first."
        raise ApiError(422, "unprocessable_entity", message)
    end_credentials(db, device_id, now)
    db.execute("DELETE FROM device WHERE id = ?", (device_id,))


def require_device(db: sqlite3.Connection, device_id: str) -> Device:
    """A device by id.

    Raises:
        ApiError: 404.
    """
    known = device_where(db, "id = ?", device_id)
    if known is None:
        raise not_found("device", device_id)
    return known


def require_free(db: sqlite3.Connection, site_id: str, slug: str) -> None:
    """See that no device of a site has a slug.

    Raises:
        ApiError: 409.
    """
    if device_where(db, "site_id = ? AND slug = ?", site_id, slug):
        raise ApiError(409, "already_exists", f"A device of this site has the slug {slug!r}.", {"path": "$.slug"})


def after(previous: datetime, now: datetime) -> datetime:
    """Now, but later than before: clients tell a change by its time, which has to move even with a clock set back."""
    return max(now, previous + timedelta(microseconds=1))


def _device(row: sqlite3.Row) -> Device:
    columns = dict(row)
    del columns["position"]
    for name in ("created_at", "updated_at"):
        columns[name] = from_text(columns[name])
    columns["needs_reprovisioning"] = bool(columns["needs_reprovisioning"])
    return Device(**columns)
