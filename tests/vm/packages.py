"""The packages that `make deb` has built, as the guest gets them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

_DIST = Path(__file__).parents[2] / "dist"


def built(name: str) -> Path:
    """The newest package of that name."""
    packages = sorted(_DIST.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
    if not packages:
        pytest.fail(f"there is no package {name} in {_DIST}: make deb")
    return packages[-1]


async def bumped(package: Path, version: str, folder: Path, *, appended: Mapping[str, str] | None = None) -> Path:
    """The same package as a later version, in ``folder``; with some text at the end of some of its files."""
    tree, later = folder / "tree", folder / f"{package.name.partition('_')[0]}_{version}.deb"
    await _run("dpkg-deb", "--raw-extract", package, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub("(?m)^Version: .*", f"Version: {version}", control.read_text()))
    for path, text in (appended or {}).items():
        with (tree / path.lstrip("/")).open("a") as file:
            file.write(text)
    await _run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, later)
    return later


async def _run(*command: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0, command
