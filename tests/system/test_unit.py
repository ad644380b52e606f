"""The systemd units and the system users, judged by systemd's own tools."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "ucm-provisiond.service"
COMMAND = "/usr/bin/ucm-provisiond"
# Tenths of systemd's exposure level: 2.0.
EXPOSURE_LIMIT = 20


def run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which(tool) is None:
        pytest.fail(f"{tool} is missing: apt-get install --no-install-recommends systemd")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False, timeout=30)


def complaints(unit: Path) -> str:
    """What verify says. It exits with 0 on an unknown setting, so its words count and not its exit status."""
    verdict = run("systemd-analyze", "--man=no", "verify", unit)
    return verdict.stdout + verdict.stderr + ("" if verdict.returncode == 0 else f"exit status {verdict.returncode}")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units' folder, with executables that exist, because the packages need not be installed here."""
    executable = tmp_path / "executable"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    for each in (*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.socket")):
        (tmp_path / each.name).write_text(
            re.sub(r"(?m)^ExecStart=/usr/bin/\S+", f"ExecStart={executable}", each.read_text())
        )
    return tmp_path


@pytest.fixture
def unit(units: Path) -> Path:
    return units / UNIT.name


@pytest.mark.parametrize("name", [each.name for each in SYSTEMD.iterdir() if each.suffix in (".service", ".socket")])
def test_systemd_has_nothing_to_complain_about(units: Path, name: str) -> None:
    assert complaints(units / name) == ""


@pytest.mark.parametrize("mistake", ["RestartPreventExitStati=78", "Restart=sometimes", "DeviceAllow=char-188 rwx"])
def test_a_mistake_would_show(unit: Path, mistake: str) -> None:
    unit.write_text(unit.read_text().replace("[Service]", f"[Service]\n{mistake}"))
    assert complaints(unit) != ""


def exposure(unit: Path) -> subprocess.CompletedProcess[str]:
    return run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_LIMIT}", unit)


@pytest.mark.parametrize("name", [each.name for each in SYSTEMD.glob("*.service")])
def test_the_services_are_confined(units: Path, name: str) -> None:
    verdict = exposure(units / name)
    assert verdict.returncode == 0, verdict.stdout


def test_a_loose_service_would_show(unit: Path) -> None:
    confined = unit.read_text()
    unit.write_text(confined.replace("DevicePolicy=closed", "").replace("CapabilityBoundingSet=", ""))
    assert exposure(unit).returncode != 0


def test_the_service_starts_what_the_package_installs() -> None:
    lines = UNIT.read_text().splitlines()
    assert f"ExecStart={COMMAND} --config /etc/ucm-provision/ucm-provision.toml" in lines


def test_the_service_s_user_and_the_operators_group_are_created(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    users = SYSTEMD / "ucm-provision.sysusers.conf"
    verdict = run("systemd-sysusers", f"--root={tmp_path}", "--dry-run", users)
    said = verdict.stdout + verdict.stderr
    assert verdict.returncode == 0, said
    assert "Creating user 'ucm-provision'" in said
    assert "Creating user 'ucm-site-api'" in said
    assert "Creating group 'ucm-operators'" in said
