"""Files that hold secrets: complete or not there, and readable by their owner only from the first byte on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_private(path: Path, content: str | bytes) -> None:
    """All of it or nothing, even if the power fails now.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    new = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(descriptor)
    put_private(new, path)


def put_private(new: Path, path: Path) -> None:
    """A finished and synchronised file takes the place of ``path``, even if the power fails now.

    Raises:
        OSError: it cannot; what was there before still is.
    """
    new.replace(path)
    _sync_folder(path)


def remove_private(path: Path) -> None:
    """The file is gone for good, even if the power fails now.

    Raises:
        OSError: it cannot be removed.
    """
    path.unlink()
    _sync_folder(path)


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
