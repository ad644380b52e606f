"""The modules that the site expects: what the configured manifest says, and over it what was imported."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.plan import ExpectedModule
from ucm_provision.site import manifest


class ExpectedModules(Mapping[str, ExpectedModule]):
    """By hardware id; a change is on disk before anybody sees it.

    Args:
        configured: The lines of the configuration's manifest.
        path: Where imported lines are kept. The file holds proofs of possession: its mode is 0600.

    Raises:
        UcmError: manifest_invalid, if the file is there and cannot be read.
    """

    def __init__(self, configured: Mapping[str, ExpectedModule], path: Path) -> None:
        self._configured = configured
        self._path = path
        self._imported: manifest.Modules = manifest.load(path) if path.exists() else {}
        self._all: dict[str, ExpectedModule] = {**configured, **self._imported}
        self._changing = asyncio.Lock()

    def __getitem__(self, hardware_id: str) -> ExpectedModule:
        return self._all[hardware_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    async def take_over(self, modules: Mapping[str, ExpectedModule]) -> None:
        """These lines in place of everything that was imported before."""
        async with self._changing:
            await self._keep(dict(modules))

    async def put(self, *modules: ExpectedModule) -> None:
        """These lines in place of what the manifest said of the same modules."""
        async with self._changing:
            await self._keep(self._imported | {module.hardware_id: module for module in modules})

    async def _keep(self, imported: manifest.Modules) -> None:
        text = manifest.render(imported.values())
        try:
            await asyncio.to_thread(_write_private, self._path, text)
        except OSError as error:
            raise UcmError(Code.JOURNAL_UNUSABLE, f"{self._path}: {error.strerror}") from error
        self._imported = imported
        self._all = {**self._configured, **imported}


def _write_private(path: Path, text: str) -> None:
    """All of it or nothing, even if the power fails now; readable by its owner only from the first byte on."""
    new = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
