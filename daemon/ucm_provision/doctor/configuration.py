"""Would the daemon understand its configuration, and may its user read the files that it names?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import msgspec

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.doctor.account import Account, ownership
from ucm_provision.doctor.box import RESTART, Box
from ucm_provision.doctor.finding import Finding, ok, problem, skipped
from ucm_provision.host.config import Configuration
from ucm_provision.parts import problems

_CHECK = "configuration"
_OWN = (Code.CONFIG_INVALID, Code.MANIFEST_INVALID)


def check(box: Box) -> Iterator[Finding]:
    if box.unsettled:
        yield unusable(box, box.unsettled)
        return
    closed: list[Finding] = []
    hidden = False
    for key, file in named_files(box.settings).items():
        try:
            if box.account and (obstacle := box.account.obstacle(file)):
                closed.append(closed_to(box.account, key, file, obstacle))
            file.open("rb").close()
        except PermissionError:
            hidden = True
        except OSError:  # what is not there is told in the daemon's own words below
            continue
    closed += [missing(each) for each in _missing_credentials(box)]
    yield from closed
    if not hidden:
        yield from _whole(box, box.settings, closed)
    else:
        yield skipped(_CHECK, f"{box.path} is well-formed; the files that it names are secret.", needs_root=True)


def unusable(box: Box, error: UcmError) -> Finding:
    """The finding for a file that could not be loaded."""
    path = box.path
    if isinstance(error.__cause__, FileNotFoundError):
        return problem(
            _CHECK,
            f"There is no configuration: {path} is missing.",
            "An empty file will do: it means every option's default, as for what is looked at below.",
            mend=f"sudo install -D -m 644 /dev/null {quote(str(path))}",
            code=Code.CONFIG_INVALID,
        )
    if isinstance(error.__cause__, PermissionError):
        return skipped(_CHECK, f"{path} is closed to you.", needs_root=True)
    return wrong(box, error, "Until it is mended, what follows is looked at with every option's default.")


def wrong(box: Box, error: UcmError, *details: str) -> Finding:
    """The finding for what the daemon does not start with, in its own words."""
    manifest = box.settings.file(box.settings.values.site.manifest)
    file = manifest if error.code is Code.MANIFEST_INVALID else box.path
    return problem(
        _CHECK,
        f"The daemon does not start with this: {error.detail}.",
        *details,
        mend=box.then_restart(f"sudoedit {quote(str(file))}"),
        code=error.code,
    )


def named_files(settings: Configuration) -> dict[str, Path]:
    """The files that the daemon reads with its own rights, by the option that names them; token and key apart."""
    values = settings.values
    named = {
        "site.manifest": values.site.manifest,
        "api.ca_file": values.api.ca_file,
        "broker.witness": values.broker.witness,
        "link.site_pop_file": values.link.site_pop_file,
        **{f"wifi.passphrase_file of {each.ssid}": each.passphrase_file for each in values.wifi},
    }
    return {key: settings.file(name) for key, name in named.items() if name}


def closed_to(account: Account, key: str, file: Path, obstacle: Path) -> Finding:
    """The finding for a file that the daemon's user cannot read because of ``obstacle``."""
    right = "g+x" if obstacle.is_dir() else "640"
    return problem(
        _CHECK,
        f"{key}: the daemon's user {account.name} may not read {file}.",
        f"{obstacle} is {ownership(obstacle.stat())}.",
        mend=f"sudo chgrp {account.name} {quote(str(obstacle))} && sudo chmod {right} {quote(str(obstacle))}",
    )


def _missing_credentials(box: Box) -> set[str]:
    """The passphrases that systemd is to hand over, and that the service's unit does not know of."""
    wanted = {network.passphrase_credential for network in box.settings.values.wifi} - {""}
    return wanted - box.credential_names if box.unit.get("LoadState") == "loaded" else set()


def missing(credential: str) -> Finding:
    """The finding for a credential that the configuration names and the service does not have."""
    return problem(
        _CHECK,
        f'wifi.passphrase_credential: the service has no credential "{credential}".',
        f"In the editor that opens, write [Service] and below it LoadCredentialEncrypted={credential}:FILE; "
        "docs/OPERATIONS.md says how FILE is made (look for passphrase_credential).",
        mend=f"sudo systemctl edit ucm-provisiond && {RESTART}",
        code=Code.CONFIG_INVALID,
    )


def _whole(box: Box, settings: Configuration, closed: list[Finding]) -> Iterator[Finding]:
    """The daemon's own judgement, but of token and secrets, which have checks of their own."""
    seen = settings if box.has_credentials else without_credentials(settings)
    found = [wrong(box, each) for each in asyncio.run(problems(seen)) if each.code in _OWN]
    yield from found
    if not found and not closed:
        yield ok(_CHECK, f"{box.path} is understood.")


def without_credentials(settings: Configuration) -> Configuration:
    """But for the networks whose passphrase is with systemd, which hands it to the service and nobody else."""
    networks = [network for network in settings.values.wifi if not network.passphrase_credential]
    return settings.of(msgspec.structs.replace(settings.values, wifi=networks))
