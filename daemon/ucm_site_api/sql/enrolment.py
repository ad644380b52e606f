"""Enrolment: what a provisioning call makes of the devices that are there."""

import sqlite3
import uuid
from datetime import datetime

from ucm_site_api.errors import ApiError
from ucm_site_api.identifiers import slug_candidates
from ucm_site_api.records import Device, DeviceDraft, Issue, Site
from ucm_site_api.sql.credentials import add_credential
from ucm_site_api.sql.devices import after, device_where, require_device, require_free
from ucm_site_api.sql.sites import ensure_site, require_site
from ucm_site_api.timestamps import to_text


def enrol(db: sqlite3.Connection, draft: DeviceDraft, now: datetime) -> Device:
    """A device, new or known by its hardware id. A known one keeps id, name and slug.

    Raises:
        ApiError: 409 hardware id or slug belong to another device, 422 there is no such site or upstream device.
    """
    home = require_site(db, draft.site_id)
    known = device_where(db, "hardware_id = ?", draft.hardware_id) if draft.hardware_id else None
    upstream = _require_upstream(db, draft, home)
    if known is None:
        return require_device(db, _insert(db, draft, home, upstream, now))
    _require_same(known, draft, home)
    db.execute(
        "UPDATE device SET upstream_id = ?, updated_at = ? WHERE id = ?",
        (upstream, to_text(after(known.updated_at, now)), known.id),
    )
    return require_device(db, known.id)


def enrol_with_credential(db: sqlite3.Connection, draft: DeviceDraft, issue: Issue, founded: Site | None) -> Device:
    """The same with one more credential; `founded` is the device's site, made first if it is not there."""
    if founded is not None:
        ensure_site(db, founded, issue.at)
    return _with_credential(db, enrol(db, draft, issue.at), issue)


def renew(db: sqlite3.Connection, device_id: str, issue: Issue) -> Device:
    """One more credential for a device that is there.

    Raises:
        ApiError: 404 it is gone.
    """
    return _with_credential(db, require_device(db, device_id), issue)


def enrol_lua(db: sqlite3.Connection, draft: DeviceDraft, now: datetime) -> Device:
    """A Lua device on the site of its runtime, always a new one.

    Raises:
        ApiError: 409 another device has the slug, 422 it is there already, or its runtime is not.
    """
    runtime = device_where(db, "id = ? AND type != 'LUA'", draft.upstream_id)
    if runtime is None or draft.site_id not in {None, runtime.site_id}:
        raise _unprocessable(f"There is no device {draft.upstream_id!r} that runs Lua.", "$.runtime_id")
    same = device_where(db, "type = 'LUA' AND upstream_id = ? AND slug = ?", runtime.id, draft.slug)
    if same is not None:
        message = (
            "A Lua device cannot be reprovisioned, and there is one of this slug on this runtime. Delete it first."
        )
        raise _unprocessable(message, "$.slug")
    return require_device(db, _insert(db, draft, runtime.site_id, runtime.id, now))


def _with_credential(db: sqlite3.Connection, device: Device, issue: Issue) -> Device:
    assert device.hardware_id is not None  # nobody issues a credential without a subject
    db.execute(
        "UPDATE device SET protocol = ?, updated_at = ?, needs_reprovisioning = 0 WHERE id = ?",
        (issue.draft.protocol, to_text(after(device.updated_at, issue.at)), device.id),
    )
    add_credential(db, device.hardware_id, device.id, issue)
    return require_device(db, device.id)


def _require_upstream(db: sqlite3.Connection, draft: DeviceDraft, home: str) -> str | None:
    if draft.upstream_id is None:
        return None
    master = device_where(db, "id = ? AND site_id = ? AND type = 'LINK_MASTER_UCM'", draft.upstream_id, home)
    if master is None:
        raise _unprocessable(f"There is no LINK master {draft.upstream_id!r} on this site.", "$.master_device_id")
    return master.id


def _require_same(known: Device, draft: DeviceDraft, home: str) -> None:
    if known.site_id != home:
        raise _conflict("The hardware id is provisioned on another site.")
    if (known.type, known.embedded_type) != (draft.type, draft.embedded_type):
        raise _conflict("The hardware id is provisioned as another kind of device.")


def _conflict(message: str) -> ApiError:
    return ApiError(409, "already_exists", message, {"path": "$.hardware_id"})


def _unprocessable(message: str, path: str) -> ApiError:
    return ApiError(422, "unprocessable_entity", message, {"path": path})


def _insert(db: sqlite3.Connection, draft: DeviceDraft, home: str, upstream: str | None, now: datetime) -> str:
    if draft.slug:
        require_free(db, home, draft.slug)
    device_id = str(uuid.uuid4())
    for slug in [draft.slug] if draft.slug else slug_candidates(draft.name):
        added = db.execute(
            "INSERT INTO device (id, site_id, type, hardware_id, channel_id, name, slug, embedded_type, upstream_id,"
            " blueprint_id, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)"
            " ON CONFLICT (site_id, slug) DO NOTHING",
            (
                device_id,
                home,
                draft.type,
                draft.hardware_id,
                draft.channel_id,
                draft.name,
                slug,
                draft.embedded_type,
                upstream,
                draft.blueprint_id,
                to_text(now),
            ),
        )
        if added.rowcount:
            break
    return device_id
