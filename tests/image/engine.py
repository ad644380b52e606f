"""A container engine of the tests' own: podman, whose storage and settings are below .image/ and nowhere else."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = REPOSITORY / "Dockerfile"
IMAGE = "localhost/ucm-provisiond"
INSTALL = "apt-get install --no-install-recommends podman runc mmdebstrap"
DEADLINE = 30.0
BUILD_DEADLINE = 240.0
# Authorities that a site trusts beside Debian's, as ca-certificates takes them up.
_SITE_AUTHORITIES = Path("/usr/local/share/ca-certificates")
# As in Docker's image.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
# Without systemd as its parent podman cannot ask it for control groups, and no more than a container needs may be asked
# for where the tests run in a container themselves.
_SETTINGS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
runtime = "runc"
"""
# Docker's format: the other one has no health check.
_BUILD = ("--format=docker", "--isolation=chroot", "--pull=never", "--network=host")


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


class Engine:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.base, self._suite = _base()

    def prepare(self) -> None:
        """Makes what podman needs, and forgets what a run that was killed has left behind."""
        for tool in ("podman", "runc", "mmdebstrap"):
            if shutil.which(tool) is None:
                pytest.fail(f"{tool} is missing: {INSTALL}")
        if os.geteuid() != 0:
            pytest.fail("only root may make device rules: sudo make test-image")
        (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
        (self._folder / "containers.conf").write_text(_SETTINGS)
        self._podman("rm", "--force", "--all", "--time", "0")
        shutil.rmtree(self._folder / "run", ignore_errors=True)  # podman takes this for a boot, and starts afresh
        self.clean()
        self._do("image", "prune", "--force", "--filter", "until=168h")

    def clean(self) -> None:
        self._do("rm", "--force", "--all", "--time", "0", "--volumes")
        self._do("volume", "rm", "--force", "--all")

    def build(self) -> None:
        """The image, from the repository's Dockerfile as it is, on a stand-in for the image that it begins with."""
        if self._podman("image", "exists", self.base).returncode:
            self._stand_in()
        self.build_from(REPOSITORY, IMAGE)

    def build_from(self, context: Path, tag: str) -> None:
        self._do("build", *_BUILD, f"--tag={tag}", str(context))

    def _stand_in(self) -> None:
        """The same packages as in Docker's image of that name, made as that one is from Debian's archive.

        What it has more is this machine's own authorities: behind a proxy with one, pip would find no index.
        """
        tar = self._folder / "base.tar"
        options = [f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT]
        if _SITE_AUTHORITIES.is_dir():
            options.append(f"--customize-hook=copy-in {_SITE_AUTHORITIES} {_SITE_AUTHORITIES.parent}")
        _checked(_run("mmdebstrap", "--quiet", "--variant=minbase", *options, self._suite, str(tar)))
        self._do("import", str(tar), self.base)
        tar.unlink()

    def mount(self, image: str) -> Path:
        """Where the image's files are to be seen until :meth:`unmount`."""
        return Path(self._do("image", "mount", image).strip())

    def unmount(self, image: str) -> None:
        self._do("image", "unmount", image)

    def inspect(self, image: str) -> Any:
        (told,) = json.loads(self._do("image", "inspect", image))
        return told

    async def ask(self, *arguments: str) -> Answer:
        """What podman answers, whatever it is."""
        command, environment = self._command(*arguments)
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Answer(process.returncode, out.decode(), err.decode())

    def _do(self, *arguments: str) -> str:
        return _checked(self._podman(*arguments))

    def _podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command, environment = self._command(*arguments)
        return _run(*command, env=environment)

    def _command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        folder = self._folder
        places = {"--root": "storage", "--runroot": "run/storage", "--tmpdir": "run/engine"}
        own = {"CONTAINERS_CONF": f"{folder}/containers.conf", "TMPDIR": f"{folder}/tmp"}
        options = [f"{option}={folder / place}" for option, place in places.items()]
        return ["podman", *options, *arguments], os.environ | own


def _base() -> tuple[str, str]:
    """What the Dockerfile begins with, and which Debian that is."""
    named = re.search(r"^ARG BASE=(\S+/debian:([a-z]+)-slim)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert named, "the Dockerfile begins with something that has no stand-in"
    return named[1], named[2]


def _run(*command: str, **options: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_DEADLINE, **options)


def _checked(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"{' '.join(done.args)}:\n{done.stdout}{done.stderr}"
    return done.stdout
