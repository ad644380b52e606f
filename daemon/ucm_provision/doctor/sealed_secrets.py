"""Does the key open what is sealed in the state folder? Nothing of either is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ucm_provision.core.errors import Code
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem, skipped
from ucm_provision.host.config import Configuration
from ucm_provision.store.sealing import NotOpenedError, derive_key, unseal

_CHECK = "secrets"
_BRING_BACK = (
    "Bring back the key that sealed them, or key and secrets together from a backup. Without the key they are lost: "
    "move them away, and give networks, manifest and proofs of possession again."
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """
    Attributes:
        key: The key's file; the state folder's own where there is no other. None: there is no key at all.
        is_own: The key lies beside what it seals.
        trouble: Why the key does not open it; empty if it does, or if nothing is sealed yet.
    """

    path: Path
    exists: bool
    key: Path | None
    is_own: bool
    trouble: str = ""


def check(box: Box) -> Iterator[Finding]:
    try:
        yield judge(observe(box.settings))
    except PermissionError:
        yield skipped(_CHECK, "Key and secrets are closed to you, as they should be.", needs_root=True)


def observe(settings: Configuration) -> Sealed:
    """Raises PermissionError where we may not look."""
    folder = settings.file(settings.values.state.dir)
    path, own = folder / "secrets.sealed", folder / "secrets.key"
    outside = settings.key_file()
    keys = [key for key in (outside, own if own.exists() else None) if key]
    exists = path.exists()
    if not keys:
        return Sealed(path, exists, None, is_own=True)
    # With a key from outside the folder's own still opens what was sealed before; the next start seals it anew.
    troubles = [_trouble(key, path if exists else None) for key in keys]
    return Sealed(path, exists, keys[0], is_own=outside is None, trouble="" if "" in troubles else troubles[0])


def _trouble(key: Path, sealed: Path | None) -> str:
    try:
        material = derive_key(key.read_bytes())
        if sealed:
            unseal(material, sealed.read_bytes())
    except PermissionError:
        raise
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except NotOpenedError as error:
        return str(error)
    return ""


def judge(sealed: Sealed) -> Finding:
    if sealed.trouble:
        what = (
            f"The key {sealed.key} does not open {sealed.path}" if sealed.exists else f"The key {sealed.key} is no key"
        )
        return problem(_CHECK, f"{what}: {sealed.trouble}.", _BRING_BACK, code=Code.SECRETS_UNREADABLE)
    if sealed.key is None and sealed.exists:
        return problem(
            _CHECK,
            f"The key of {sealed.path} is missing: no credential journal-key, no state.key_file, no secrets.key.",
            _BRING_BACK,
            code=Code.SECRETS_UNREADABLE,
        )
    if sealed.key is None:
        return ok(_CHECK, "Nothing is sealed yet; the daemon makes a key when it starts.")
    if not sealed.exists:
        return ok(_CHECK, f"Nothing is sealed yet; the key for it is {sealed.key}.")
    beside = ", which lies beside it: a copy of the folder is a copy of the secrets" if sealed.is_own else ""
    return ok(_CHECK, f"{sealed.path} opens with its key{beside}.")
