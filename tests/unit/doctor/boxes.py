"""Boxes to look at: a folder as the machine's root, a daemon that says what the test wants, commands likewise."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.doctor.box import Box
from ucm_provision.wire import API_VERSION, ApiView, PauseView, StatusView

NOBODY = 65534
UNIT_FILE = "/lib/systemd/system/ucm-provisiond.service"


def status(**changes: Any) -> StatusView:
    """What a daemon without a care says."""
    view = StatusView(
        version="0.1.0",
        api_version=API_VERSION,
        box_id="box-a",
        started_at=time.time(),
        api=ApiView(url="https://192.0.2.1", site_id="site-1"),
        witness="connected",
        wifi=["plant"],
        box_wifi=None,
        campaign=None,
        outdated=0,
        paused=None,
        modules={},
        orders={},
    )
    view.update(changes)  # type: ignore[typeddict-item]
    return view


def paused(code: Code) -> PauseView:
    return PauseView(code=code.value, message=str(UcmError(code)), until=0.0)


def box_at(
    folder: Path,
    toml: str | None = "",
    *,
    says: StatusView | UcmError | None = None,
    modules: list[dict[str, Any]] | None = None,
    commands: dict[str, str] | None = None,
    control: str = "",
) -> Box:
    """A machine below ``folder``, whose daemon says ``says``; None: it is not there.

    ``commands``: what programs print, by their names.
    """
    config = folder / "etc/ucm-provision/ucm-provision.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    if toml is not None:
        config.write_text(f'[box]\nid = "box-a"\n[state]\ndir = "{folder}/state"\n{toml}')

    def ask(_: str, what: str) -> Any:
        if isinstance(says, UcmError):
            raise says
        if says is None:
            raise UcmError(Code.DAEMON_UNREACHABLE, "nobody") from FileNotFoundError()
        return says if what == "status" else {"modules": modules or []}

    def run(name: str, *_: str) -> str | None:
        return (commands or {}).get(name)

    (folder / "proc").mkdir(exist_ok=True)
    return Box(config, ask, control=control, root=folder, run=run)


def with_systemd(folder: Path) -> None:
    put(folder, "/run/systemd/system/.keep", "")


def put(folder: Path, name: str, text: str) -> Path:
    """A file of that machine."""
    path = folder / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def process(folder: Path, pid: int, name: str, **files: str) -> Path:
    """A process of that machine, as its /proc has it."""
    for file, text in {"comm": f"{name}\n", **files}.items():
        put(folder, f"/proc/{pid}/{file}", text)
    return folder / "proc" / str(pid)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Rights count in here, even where the tests run as root."""
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)
