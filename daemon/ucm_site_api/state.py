"""The state folder: one server at a time, and files that are whole, private and durable."""

import fcntl
import os
import tempfile
from pathlib import Path

from ucm_site_api.errors import SiteStartError

AUTHORITY_KEY = "ca.key"
AUTHORITY_CERTIFICATE = "ca.crt"

_PRIVATE = 0o600
_SHARED = 0o640


class StateFolder:
    """The folder that one server owns while it runs; released by `close`, or by the end of the process.

    Raises:
        SiteStartError: the folder cannot be used, or another server uses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        except OSError as cause:
            raise SiteStartError(f"The state folder {path} cannot be used: {cause.strerror}.") from cause
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            os.close(self._lock)
            raise SiteStartError(f"Another ucm-site-api uses the state folder {path}.") from cause

    def close(self) -> None:
        """Let the next server have the folder."""
        os.close(self._lock)


def write_private(path: Path, content: bytes, *, group_reads: bool = False) -> None:
    """Replace a file as a whole, readable by its owner alone, or by its group too, on disk before this returns."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # created with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), _SHARED if group_reads else _PRIVATE)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
