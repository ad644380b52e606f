"""`ucm-provisiond check-config`: everything that is wrong, at once, before the daemon has to say it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.station import BIN, REPOSITORY

SECRET = "canary-passphrase-5f1c"


def check(path: Path) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name != "CREDENTIALS_DIRECTORY"}
    done = subprocess.run(
        [BIN / "ucm-provisiond", "check-config", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=environment,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The configuration as it is installed, with the token where the service's unit takes it from."""
    path = tmp_path / "ucm-provision.toml"
    installed = (REPOSITORY / "config/ucm-provision.toml").read_text()
    path.write_text(installed.replace("[box]\n", '[box]\nid = "a-box"\n'))  # not every machine has an id
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/api-token").write_text("a token\n")
    return path


def test_what_is_installed_is_right(path: Path) -> None:
    assert check(path) == (0, f"{path}: the daemon can start with it\n")
    assert sorted(each.name for each in path.parent.iterdir()) == ["credentials", path.name]


def test_a_folder_is_no_configuration(path: Path) -> None:
    status, said = check(path.parent)
    assert (status, said.startswith("CONFIG_INVALID: ")) == (78, True)
    assert f"{path.parent}: Is a directory" in said


def test_everything_that_is_wrong_is_said_at_once(path: Path) -> None:
    (path.parent / "credentials/api-token").unlink()
    (path.parent / "wifi").write_text(SECRET + "\N{SNOWMAN}")
    (path.parent / "manifest.csv").write_text("hardware_id,colour\n")
    text = '[site]\nmanifest = "manifest.csv"\n[[wifi]]\nssid = "plant"\npassphrase_file = "wifi"\n'
    path.write_text(text + '[policy]\nmaintenance = "at night"\n[link]\nsite_pop_file = "gone"\n[box]\nid = "a"\n')
    status, said = check(path)
    assert status == 78
    codes = [line.partition(":")[0] for line in said.splitlines()]
    assert codes == ["CONFIG_INVALID", "CONFIG_INVALID", "MANIFEST_INVALID", "CONFIG_INVALID", "TOKEN_MISSING"]
    for place in ("line 5, wifi[0].passphrase_file", "line 7, policy.maintenance", "line 9, link.site_pop_file"):
        assert place in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[api]\nurll = 'x'\n", "line 2, api.urll: unknown key"),
        ("[api\n", "at line 1"),
        ("[api]\nurl = 'http://192.0.2.1/api'\n", "allow_http"),
        ("[state]\nkey_file = 'gone'\n", "gone: No such file or directory"),
    ],
)
def test_what_is_wrong(path: Path, text: str, complaint: str) -> None:
    path.write_text(text + '[box]\nid = "a"\n')
    status, said = check(path)
    assert status == 78
    assert complaint in said


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    status, said = check(tmp_path / "gone.toml")
    assert status == 78
    assert f"{tmp_path}/gone.toml: No such file or directory" in said
