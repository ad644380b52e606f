"""A file that only its owner reads, complete or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import click


class PrivateFile:
    """Made with mode 0600 beside its place when the context begins; put there by :meth:`keep`, else removed.

    Raises:
        click.FileError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(f".{path.name}.{os.getpid()}.new")
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            self._descriptor = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise click.FileError(str(self._path), error.strerror) from error
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        self._new.unlink(missing_ok=True)

    def keep(self, content: object) -> None:
        """Writes text as it is, anything else as JSON."""
        text = content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"
        with open(self._descriptor, "w", encoding="utf-8", closefd=False) as file:
            file.write(text)
            file.flush()
            os.fsync(self._descriptor)
        self._new.replace(self._path)
