"""The API's token: is it there, may the daemon read it, may anybody else? It is never shown."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from shlex import quote

from ucm_provision.core.errors import Code
from ucm_provision.doctor.account import Account, group_name, ownership
from ucm_provision.doctor.box import SERVICE_USER, Box
from ucm_provision.doctor.finding import Finding, ok, problem, skipped, warn

_CHECK = "token"
_CREDENTIAL = "api-token"
TYPE_IT = "The command reads what you type or paste: the token, Enter, Ctrl-D."


class Content(Enum):
    MISSING = auto()
    HIDDEN = auto()  # from us
    EMPTY = auto()
    ODD = auto()
    TOKEN = auto()


@dataclass(frozen=True, slots=True)
class TokenFile:
    """
    Attributes:
        by_systemd: systemd reads it as root and hands a copy to the service; otherwise the daemon does itself.
        obstacle: What keeps the daemon's user from it.
    """

    path: Path
    by_systemd: bool
    content: Content
    node: os.stat_result | None = None
    obstacle: Path | None = None


def check(box: Box) -> Iterator[Finding]:
    if box.settings.values.api.url == "gateway":
        yield ok(_CHECK, "The Gateway's token came with ucmctl api accept, and is kept with the Gateway's address.")
    elif (token := _find(box)) is None:
        yield problem(
            _CHECK,
            f"Nothing says where the API's token is: {box.path} has no api.token_file, and no service is installed.",
            mend=f"sudoedit {quote(str(box.path))}",
            code=Code.TOKEN_MISSING,
        )
    else:
        yield judge(token, box.account, box.then_restart)


def _find(box: Box) -> TokenFile | None:
    if own := box.settings.values.api.token_file:
        return observe(box.settings.file(own), box.account, by_systemd=False)
    if source := box.credential_sources.get(_CREDENTIAL):
        return observe(source, None, by_systemd=True)
    if box.handed_over:
        return observe(box.handed_over / _CREDENTIAL, box.account, by_systemd=False)
    return None


def observe(path: Path, account: Account | None, *, by_systemd: bool) -> TokenFile:
    """``account``: who must be able to read it."""
    try:
        node = path.stat()
        obstacle = account.obstacle(path) if account else None
        line = path.read_bytes().partition(b"\n")[0].strip()
    except FileNotFoundError:
        return TokenFile(path, by_systemd, Content.MISSING)
    except OSError:
        return TokenFile(path, by_systemd, Content.HIDDEN)
    text = line.decode("ascii", errors="replace")
    content = Content.EMPTY if not text else Content.TOKEN if text.isascii() and text.isprintable() else Content.ODD
    return TokenFile(path, by_systemd, content, node, obstacle)


def judge(token: TokenFile, account: Account | None, then_restart: Callable[[str], str]) -> Finding:
    put = _put(token, account, then_restart)
    match token.content:
        case Content.HIDDEN:
            return skipped(_CHECK, f"{token.path} is closed to you, as it should be.", needs_root=True)
        case Content.MISSING:
            return _unusable(put, f"There is no token for the provisioning API: {token.path} is missing.")
        case Content.EMPTY:
            return _unusable(put, f"The first line of {token.path} is empty; the API's token belongs there.")
        case Content.ODD:
            return _unusable(put, f"{token.path} holds characters that no token has.")
    assert token.node is not None, "who could read it has seen it"
    if token.obstacle and account:
        return _closed(token, account.name, token.obstacle)
    if is_open(token.node):
        return warn(
            _CHECK,
            f"Others than the daemon can read the token: {token.path} is {ownership(token.node)}.",
            mend=f"sudo chmod 600 {quote(str(token.path))}",
        )
    return ok(_CHECK, f"The token is in {token.path}, which nobody else can read.")


def replacing(box: Box) -> str:
    """The command that puts another token in the place of the present one; empty where that is not known."""
    token = _find(box)
    return _put(token, box.account, box.then_restart) if token else ""


def _put(token: TokenFile, account: Account | None, then_restart: Callable[[str], str]) -> str:
    owner = "" if token.by_systemd or account is None else f"-o {account.name} "
    return then_restart(f"sudo install -D {owner}-m 600 /dev/stdin {quote(str(token.path))}")


def _unusable(put: str, summary: str) -> Finding:
    return problem(_CHECK, summary, TYPE_IT, mend=put, code=Code.TOKEN_MISSING)


def _closed(token: TokenFile, user: str, obstacle: Path) -> Finding:
    mend = f"sudo chown {user} {quote(str(token.path))}" if obstacle == token.path.resolve() else ""
    return problem(
        _CHECK,
        f"The daemon's user {user} may not read the token in {token.path}.",
        f"{obstacle} is {ownership(obstacle.stat())}.",
        mend=mend or f"sudo chmod o+x {quote(str(obstacle))}",
        code=Code.TOKEN_MISSING,
    )


def is_open(node: os.stat_result) -> bool:
    """Whether somebody beside the owner, root and the daemon's group can read or write the file."""
    trusted = group_name(node.st_gid) in {"root", SERVICE_USER}
    return bool(node.st_mode & (stat.S_IRWXO if trusted else stat.S_IRWXO | stat.S_IRWXG))
