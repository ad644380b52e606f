"""The modules that the site expects: what the configured manifest says, and over it what was imported."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.plan import ExpectedModule
from ucm_provision.private_file import write_private
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
            await asyncio.to_thread(write_private, self._path, text)
        except OSError as error:
            raise UcmError(Code.JOURNAL_UNUSABLE, f"{self._path}: {error.strerror}") from error
        self._imported = imported
        self._all = {**self._configured, **imported}
