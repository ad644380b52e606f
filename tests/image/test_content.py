"""What is in the image, and what is not."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.box import USER
from tests.image.engine import IMAGE, REPOSITORY, Engine

GROUPS = {USER, 20}
# Where its user keeps what it makes, and where everybody may.
OWN = {"/var/lib/ucm-provision", "/run/ucm-provision"}
EVERYBODYS = {"/tmp", "/var/tmp", "/run/lock"}
TOOLS = re.compile(r"(pip|uv|hatch|cc|gcc|c\+\+|g\+\+|ld|as|make)([-.\d]*)")
SECRET = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
# As large as a file with a secret in it might be.
SMALL = 256 * 1024
# The base that stands in for Docker's is larger than that one, so this is about what comes on top.
LARGEST_MB = 120


@pytest.fixture
def root(engine: Engine) -> Iterator[Path]:
    """The image's file system."""
    yield engine.mount(IMAGE)
    engine.unmount(IMAGE)


def contents(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every file and folder, by the name that it has in the image."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            yield f"/{path.relative_to(root)}", path.lstat()


def writable(made: os.stat_result) -> bool:
    """Whether the image's user may write it."""
    mine = made.st_uid == USER and made.st_mode & stat.S_IWUSR
    ours = made.st_gid in GROUPS and made.st_mode & stat.S_IWGRP
    placeless = stat.S_ISLNK(made.st_mode) or stat.S_ISCHR(made.st_mode)  # a device node is a door, not a place
    return not placeless and bool(mine or ours or made.st_mode & stat.S_IWOTH)


def test_its_user_owns_and_writes_nothing_but_its_own_places(root: Path) -> None:
    names = dict(contents(root))
    assert {name for name, made in names.items() if made.st_uid == USER} == OWN
    assert {name for name, made in names.items() if writable(made)} - EVERYBODYS == OWN
    assert {made.st_uid for name, made in names.items() if name.startswith("/opt/")} == {0}


def test_nothing_is_left_of_how_it_was_made(root: Path) -> None:
    names = [name for name, _ in contents(root)]
    programs = {name for name in names if "/bin/" in name or "/sbin/" in name}
    assert "/opt/ucm-provision/bin/ucm-provisiond" in programs
    assert [name for name in programs if TOOLS.fullmatch(name.rpartition("/")[2])] == []
    assert [name for name in names if re.search(r"/(site|dist)-packages/(pip|setuptools|hatchling)/", name)] == []
    assert [name for name in names if name.startswith(("/src", "/wheels", "/opt/build", "/root/.cache"))] == []
    assert [name for name in names if re.match(r"/var/(cache/apt/archives|lib/apt/lists)/.*[._]", name)] == []


def test_no_secret_and_no_machines_name_is_in_it(root: Path) -> None:
    small = [name for name, made in contents(root) if stat.S_ISREG(made.st_mode) and made.st_size < SMALL]
    places = ("/etc/", "/root/", "/home/", "/run/", "/var/", "/srv/", "/tmp/")
    assert [name for name in small if name.startswith(places) and SECRET.search((root / name[1:]).read_bytes())] == []
    assert (root / "etc" / "machine-id").read_text() == ""
    assert list((root / "run" / "secrets").iterdir()) == []


def test_it_starts_without_compiling_anything(root: Path) -> None:
    """On a read-only file system that would happen at each start."""
    package = root / "opt/ucm-provision/lib/python3.11/site-packages/ucm_provision"
    modules = {path.relative_to(package).with_suffix("") for path in package.rglob("*.py")}
    compiled = {
        path.relative_to(package).parent.parent / path.name.partition(".")[0] for path in package.rglob("*.pyc")
    }
    assert len(modules) > 100
    assert modules == compiled


def test_what_the_engine_is_told(engine: Engine) -> None:
    told = engine.inspect(IMAGE)
    config = told["Config"]
    assert config["User"] == "ucm-provision"
    assert (config["Entrypoint"], config.get("Cmd")) == (["ucm-provisiond"], None)
    assert list(config["Volumes"]) == ["/var/lib/ucm-provision"]
    assert {each.partition("=")[0] for each in config["Env"]} == {"PATH", "CREDENTIALS_DIRECTORY"}
    assert told["Healthcheck"]["Test"] == ["CMD", "ucmctl", "status"]


def test_it_is_small(engine: Engine) -> None:
    size, base = (engine.inspect(image)["Size"] for image in (IMAGE, engine.base))
    assert (size - base) / 1e6 < LARGEST_MB


def test_the_context_of_the_build_is_what_it_is_made_of_and_nothing_else(engine: Engine, tmp_path: Path) -> None:
    """Of a folder with everything that a developer may have lying about."""
    wanted = ["README.md", "daemon/ucm_provision/app.py", "hardware/ucm_sim/air.py", "pyproject.toml"]
    wanted += ["requirements/build.txt", "requirements/daemon.txt"]
    lying_about = [
        ".demo/site/api-token",
        ".env",
        ".git/config",
        ".image/storage/file",
        ".venv/bin/python",
        "api-token",
    ]
    lying_about += ["daemon/ucm_provision/__pycache__/app.cpython-311.pyc", "state/secrets.key", "tests/conftest.py"]
    for name in (*wanted, *lying_about):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(REPOSITORY / ".dockerignore", tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    engine.build_from(tmp_path, "localhost/context")
    root = engine.mount("localhost/context")
    copied = [name[1:] for name, made in contents(root) if stat.S_ISREG(made.st_mode)]
    engine.unmount("localhost/context")
    assert sorted(copied) == sorted(wanted)
