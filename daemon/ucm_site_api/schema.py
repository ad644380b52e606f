"""The registry's tables, one script for each version that was released."""

import sqlite3

# Times are fixed-width RFC 3339 texts in UTC, so they compare as texts. A credential's `subject` is the name
# that the broker sees (a hardware id, or the witness); `valid_until` is set when a newer one was issued.
_MIGRATIONS = (
    """
    CREATE TABLE site (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        timezone TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE token (
        digest BLOB PRIMARY KEY,
        role TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE device (
        id TEXT PRIMARY KEY,
        site_id TEXT NOT NULL REFERENCES site (id),
        type TEXT NOT NULL,
        hardware_id TEXT NOT NULL UNIQUE,
        channel_id TEXT NOT NULL,
        name TEXT NOT NULL,
        slug TEXT NOT NULL,
        protocol TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        UNIQUE (site_id, slug)
    ) STRICT;
    CREATE TABLE credential (
        subject TEXT NOT NULL,
        number INTEGER NOT NULL,
        device_id TEXT REFERENCES device (id) ON DELETE CASCADE,
        protocol TEXT NOT NULL,
        serial TEXT UNIQUE,
        password_digest BLOB,
        issued_at TEXT NOT NULL,
        not_after TEXT,
        valid_until TEXT,
        PRIMARY KEY (subject, number)
    ) STRICT;
    CREATE INDEX credential_of_device ON credential (device_id);
    """,
    """
    ALTER TABLE device ADD COLUMN needs_reprovisioning INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX credential_end ON credential (valid_until);
    """,
    # The device table is built anew: devices without a hardware id are among them from here on. Its key has to be
    # a column of its own to be the order of lists: VACUUM may renumber any other.
    """
    CREATE TABLE new_device (
        position INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        site_id TEXT NOT NULL REFERENCES site (id),
        type TEXT NOT NULL,
        hardware_id TEXT UNIQUE,
        channel_id TEXT,
        name TEXT NOT NULL,
        slug TEXT NOT NULL,
        protocol TEXT,
        embedded_type TEXT,
        upstream_id TEXT REFERENCES device (id),
        blueprint_id TEXT,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        needs_reprovisioning INTEGER NOT NULL DEFAULT 0,
        UNIQUE (site_id, slug)
    ) STRICT;
    INSERT INTO new_device
        (position, id, site_id, type, hardware_id, channel_id, name, slug, protocol, created_at, updated_at,
         needs_reprovisioning)
        SELECT rowid, id, site_id, type, hardware_id, channel_id, name, slug, protocol, created_at, updated_at,
            needs_reprovisioning
        FROM device;
    DROP TABLE device;
    ALTER TABLE new_device RENAME TO device;
    CREATE INDEX device_of_site ON device (site_id, position);
    CREATE INDEX device_by_slug ON device (slug);
    CREATE INDEX device_of_upstream ON device (upstream_id);
    ALTER TABLE site ADD COLUMN location TEXT;
    ALTER TABLE token ADD COLUMN name TEXT NOT NULL DEFAULT '';
    ALTER TABLE token ADD COLUMN site_id TEXT REFERENCES site (id) ON DELETE CASCADE;
    """,
    # Pages of the list of all devices are found here, without walking over the rows before them.
    """
    CREATE INDEX device_by_position ON device (position);
    """,
)


def migrate(db: sqlite3.Connection) -> None:
    """Bring a database to this version, in one transaction.

    The connection is in autocommit mode and does not enforce foreign keys yet: dropping a table that is built anew
    would delete what refers to it.

    Raises:
        ValueError: a newer version wrote it.
    """
    db.execute("BEGIN IMMEDIATE")  # before the version is read: `token create` may run beside a starting server
    try:
        for statement in "".join(_MIGRATIONS[_version(db) :]).split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise ValueError(f"a newer version of ucm-site-api wrote it (schema {version})")
    return int(version)
