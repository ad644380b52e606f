"""The modules that the site expects: what the configured manifest says, and over it what was imported."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from ucm_provision.core.model import ProofOfPossession
from ucm_provision.core.plan import ExpectedModule
from ucm_provision.core.secret import Secret
from ucm_provision.site import manifest


class ManifestStore(Protocol):
    """Where imported lines outlive the daemon. They hold proofs of possession."""

    @property
    def manifest(self) -> Secret[str]:
        """CSV; empty: there are none."""

    async def keep_manifest(self, csv: Secret[str], /) -> None:
        """On disk when this returns."""


class ExpectedModules(Mapping[str, ExpectedModule]):
    """By hardware id; a change is on disk before anybody sees it.

    Args:
        configured: The lines of the configuration's manifest.
        store: Where imported lines are kept.

    Raises:
        UcmError: manifest_invalid, if what is kept cannot be understood.
    """

    def __init__(self, configured: Mapping[str, ExpectedModule], store: ManifestStore) -> None:
        self._configured = configured
        self._store = store
        self._imported = _modules(store.manifest)
        self._all: dict[str, ExpectedModule] = {**configured, **self._imported}
        self._changing = asyncio.Lock()

    def __getitem__(self, hardware_id: str) -> ExpectedModule:
        return self._all[hardware_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    async def take_over(self, modules: Mapping[str, ExpectedModule]) -> Collection[str]:
        """These lines in place of everything that was imported before.

        Returns the hardware ids of which they bring another proof of possession.
        """
        async with self._changing:
            before = self._imported
            await self._keep(dict(modules))
        return [of for of, module in modules.items() if module.pop and module.pop != _pop(before.get(of))]

    async def put(self, *modules: ExpectedModule) -> None:
        """These lines in place of what the manifest said of the same modules."""
        async with self._changing:
            await self._keep(self._imported | {module.hardware_id: module for module in modules})

    async def _keep(self, imported: manifest.Modules) -> None:
        await self._store.keep_manifest(Secret(manifest.render(imported.values())))
        self._imported = imported
        self._all = {**self._configured, **imported}


def _pop(module: ExpectedModule | None) -> ProofOfPossession | None:
    return module.pop if module else None


def _modules(kept: Secret[str]) -> manifest.Modules:
    return manifest.understood(kept.reveal(), "the imported manifest") if kept else {}
