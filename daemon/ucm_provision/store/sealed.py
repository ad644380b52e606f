"""The secrets that outlive the daemon: one sealed file in the state folder, and the key that opens it."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import ProofOfPossession, WifiNetwork
from ucm_provision.core.secret import Secret
from ucm_provision.private_file import remove_private, write_private
from ucm_provision.store.sealing import MATERIAL_SHORTEST, NotOpenedError, derive_key, seal, unseal

Key = Secret[bytes]


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sealed. A change of its shape is another version of the file's header."""

    networks: tuple[WifiNetwork, ...] | None = None
    proofs: dict[str, ProofOfPossession] = {}
    manifest: Secret[str] = msgspec.field(default_factory=lambda: Secret(""))


class SealedStore:
    """Every change is on disk, whole, before anybody sees it; one that fails has changed nothing.

    Changes raise UcmError(secrets_not_kept) when the file cannot be written.
    """

    def __init__(self, path: Path, key: Key, content: _Content) -> None:
        self._path = path
        self._key = key
        self._content = content
        self._changing = threading.Lock()

    @classmethod
    async def open(cls, folder: Path, key_file: Path | None) -> SealedStore:
        """The store of a state folder.

        Args:
            key_file: The key from outside of the state folder; None: one that the folder holds itself, made
                when there is nothing to open yet.

        Raises:
            UcmError: secrets_unreadable, and nothing was changed.
        """
        return await asyncio.to_thread(_open, folder, key_file)

    @property
    def networks(self) -> tuple[WifiNetwork, ...] | None:
        """The Wi-Fi networks that operators chose; None: they never did."""
        return self._content.networks

    @property
    def proofs(self) -> Mapping[str, ProofOfPossession]:
        """The proofs of possession that operators typed, by hardware id, or by session while that is unknown."""
        return self._content.proofs

    @property
    def manifest(self) -> Secret[str]:
        """The imported manifest as CSV; empty: none was imported."""
        return self._content.manifest

    async def keep_networks(self, networks: tuple[WifiNetwork, ...] | None) -> None:
        await self._change(lambda content: msgspec.structs.replace(content, networks=networks))

    async def change_proofs(self, changes: Mapping[str, ProofOfPossession | None]) -> None:
        """Keeps these proofs, and forgets those of None."""
        await self._change(
            lambda content: msgspec.structs.replace(content, proofs=_with_changes(content.proofs, changes))
        )

    async def keep_manifest(self, csv: Secret[str]) -> None:
        await self._change(lambda content: msgspec.structs.replace(content, manifest=csv))

    async def _change(self, change: Callable[[_Content], _Content]) -> None:
        await asyncio.to_thread(self._apply, change)

    def _apply(self, change: Callable[[_Content], _Content]) -> None:
        """In one thread from beginning to end, so that whoever stops waiting for it leaves disk and memory alike."""
        with self._changing:
            content = change(self._content)
            _write(self._path, seal(self._key, _encoded(content)))
            self._content = content


def check_key(file: Path) -> None:
    """Raises UcmError(secrets_unreadable) when the file does not hold a key."""
    _key(file)


def _with_changes(
    proofs: Mapping[str, ProofOfPossession], changes: Mapping[str, ProofOfPossession | None]
) -> dict[str, ProofOfPossession]:
    """The newest last; there is room for no end of modules, but not of sessions that came to nothing."""
    others = {of: proof for of, proof in proofs.items() if of not in changes}
    together = others | {of: proof for of, proof in changes.items() if proof is not None}
    return dict(list(together.items())[-policy.TYPED_PROOFS_KEPT :])


# ---- the file ------------------------------------------------------------------------------------


def _encoded(content: _Content) -> bytes:
    return msgspec.json.encode(content, enc_hook=_reveal)


def _reveal(value: Any) -> str:
    if isinstance(value, Secret):
        return str(value.reveal())
    raise NotImplementedError(type(value).__name__)


def _wrapped(_: type, value: Any) -> Secret[str]:
    if not isinstance(value, str):
        raise TypeError("a secret is text")
    return Secret(value)


def _decoded(plain: bytes) -> _Content:
    try:
        return msgspec.json.decode(plain, type=_Content, dec_hook=_wrapped)
    except (msgspec.DecodeError, UnicodeDecodeError):  # their words may hold a secret
        raise NotOpenedError("its content is not what this version of the daemon seals") from None


def _write(path: Path, content: str | bytes) -> None:
    try:
        write_private(path, content)
    except OSError as error:
        raise UcmError(Code.SECRETS_NOT_KEPT, f"{path}: {error.strerror}") from error


# ---- opening it ----------------------------------------------------------------------------------


def _open(folder: Path, key_file: Path | None) -> SealedStore:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, own = folder / "secrets.sealed", folder / "secrets.key"
    if key_file is None:
        key = _own_key(own, path)
        return SealedStore(path, key, _content(path, key))
    key = _key(key_file)
    if path.exists() and own.exists():
        _hand_over(path, own, key)
    return SealedStore(path, key, _content(path, key))


def _own_key(own: Path, path: Path) -> Key:
    if not own.exists():
        if path.exists():
            places = f"no credential journal-key, no state.key_file, no {own}"
            raise UcmError(Code.SECRETS_UNREADABLE, f"{path}: its key is missing ({places})")
        _write(own, secrets.token_hex(MATERIAL_SHORTEST) + "\n")
    return _key(own)


def _hand_over(path: Path, own: Path, key: Key) -> None:
    """Seals anew, with the key from outside, what the folder's own key still opens; that key is gone then."""
    try:
        _content(path, key)
    except UcmError:
        content = _content(path, _key(own))
        _write(path, seal(key, _encoded(content)))
    remove_private(own)


def _key(file: Path) -> Key:
    try:
        return derive_key(file.read_bytes())
    except (OSError, NotOpenedError) as error:
        raise _unreadable(file, error) from error


def _content(path: Path, key: Key) -> _Content:
    try:
        return _decoded(unseal(key, path.read_bytes()))
    except FileNotFoundError:
        return _Content()
    except (OSError, NotOpenedError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | NotOpenedError) -> UcmError:
    why = error.strerror if isinstance(error, OSError) else error
    return UcmError(Code.SECRETS_UNREADABLE, f"{path}: {why}")
