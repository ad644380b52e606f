"""What the Debian packages are made of, as far as it can be said without building them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEBIAN = ROOT / "packaging" / "debian"
SCRIPTS = [
    *DEBIAN.glob("*.p*[tm]"),
    *DEBIAN.glob("*.config"),
    *(ROOT / "packaging" / name for name in ("build-deb", "environments", "join", "tell")),
]


def recipe() -> str:
    return "\n".join(path.read_text() for path in (DEBIAN / "rules", *DEBIAN.glob("*.install")))


@pytest.mark.parametrize(
    "file", [*(ROOT / "systemd").iterdir(), *(ROOT / "hardware" / "udev").glob("*.rules")], ids=str
)
def test_whatever_the_system_needs_is_in_a_package(file: Path) -> None:
    assert str(file.relative_to(ROOT)) in recipe()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_shell_understands_the_scripts(script: Path) -> None:
    verdict = subprocess.run(["/bin/sh", "-n", script], capture_output=True, text=True, check=False)
    assert (verdict.returncode, verdict.stderr) == (0, "")
