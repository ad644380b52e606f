"""The configuration as the daemon would read it, and as its user may."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.doctor.boxes import NOBODY, box_at, put, unprivileged, with_systemd
from ucm_provision.core.errors import Code
from ucm_provision.doctor import configuration
from ucm_provision.doctor.account import Account
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, Level

SECRET = "correct horse battery"
EDIT_UNIT = "sudo systemctl edit ucm-provisiond && sudo systemctl restart ucm-provisiond"
EDIT = "sudoedit {path} && sudo systemctl restart ucm-provisiond"


def look(box: Box) -> list[Finding]:
    return list(configuration.check(box))


def test_one_that_is_understood(tmp_path: Path) -> None:
    put(tmp_path, "/etc/ucm-provision/passphrase", f"{SECRET}\n")
    box = box_at(tmp_path, '[[wifi]]\nssid = "plant"\npassphrase_file = "passphrase"\n')
    (found,) = look(box)
    assert (found.level, found.summary) == (Level.OK, f"{box.path} is understood.")


def test_none(tmp_path: Path) -> None:
    box = box_at(tmp_path, None)
    (found,) = look(box)
    assert (found.level, found.mend) == (Level.PROBLEM, f"sudo install -D -m 644 /dev/null {box.path}")
    assert str(box.state) == "/var/lib/ucm-provision"  # the defaults are looked at meanwhile


def test_the_mend_for_none_is_a_configuration_that_is_understood(tmp_path: Path) -> None:
    box = box_at(tmp_path, None)
    box.path.touch()
    (found,) = look(Box(box.path, box._ask, root=tmp_path, run=box.run))
    assert found.level is Level.OK


def test_a_slip_is_told_in_the_daemon_s_words(tmp_path: Path) -> None:
    with_systemd(tmp_path)
    box = box_at(tmp_path, '[api]\nurll = "https://x"\n')
    (found,) = look(box)
    expected = f"{box.path}, line 6, api.urll: unknown key; expected one that config/ucm-provision.toml documents"
    assert found.summary == f"The daemon does not start with this: {expected}."
    assert (found.level, found.code, found.mend) == (Level.PROBLEM, Code.CONFIG_INVALID, EDIT.format(path=box.path))


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ('[lan]\ninterfaces = ["plant"]\n', "expected an IP address of this box"),
        ('[policy]\nmaintenance = "always"\n', "policy.maintenance"),
        ('[policy]\nrotate_before = "soon"\n', "policy.rotate_before"),
        ('[[wifi]]\nssid = "a"\npassphrase_file = "nothing"\n', "expected a readable file, but nothing"),
        ('[link]\nsite_pop_file = "nothing"\n', "expected a readable file, but nothing"),
        ('[api]\nurl = "http://192.0.2.1"\ntoken_file = "/dev/stdin"\n', "plain http would send the token"),
    ],
)
def test_what_only_shows_once_it_is_put_to_use(
    tmp_path: Path, toml: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = put(tmp_path, "token", "t" * 64)
    (found,) = look(box_at(tmp_path, toml.replace("/dev/stdin", str(token))))
    assert found.level is Level.PROBLEM
    assert complaint in found.summary


def test_a_manifest_that_is_wrong(tmp_path: Path) -> None:
    put(tmp_path, "/etc/ucm-provision/site.csv", "hardware_id,pop\nshort,secret-of-a-label\n")
    (found,) = look(box_at(tmp_path, '[site]\nmanifest = "site.csv"\n'))
    assert (found.level, found.code) == (Level.PROBLEM, Code.MANIFEST_INVALID)
    assert found.mend == f"sudoedit {tmp_path}/etc/ucm-provision/site.csv"
    assert "line 2" in found.summary
    assert "secret-of-a-label" not in found.summary


def test_a_passphrase_that_systemd_has_is_not_missed_while_the_service_does_not_run(tmp_path: Path) -> None:
    (found,) = look(box_at(tmp_path, '[[wifi]]\nssid = "plant"\npassphrase_credential = "plant-wifi"\n'))
    assert found.level is Level.OK


UNIT = "LoadState=loaded\nUser=root\nFragmentPath=/lib/x.service\nDropInPaths=/etc/x.d/a.conf /etc/x.d/b.conf\n"
NETWORK = '[[wifi]]\nssid = "plant"\npassphrase_credential = "plant-wifi"\n'


@pytest.mark.parametrize("setting", ["LoadCredentialEncrypted=plant-wifi:/x.cred", "SetCredential=plant-wifi:secret"])
def test_a_passphrase_that_the_service_s_unit_has_is_not_missed(tmp_path: Path, setting: str) -> None:
    with_systemd(tmp_path)
    put(tmp_path, "/etc/x.d/b.conf", f"[Service]\n  {setting}\n")
    (found,) = look(box_at(tmp_path, NETWORK, commands={"systemctl": UNIT}))
    assert found.level is Level.OK


def test_a_passphrase_that_the_service_s_unit_knows_nothing_of(tmp_path: Path) -> None:
    with_systemd(tmp_path)
    put(tmp_path, "/lib/x.service", "LoadCredential=api-token:/etc/token\n# LoadCredential=plant-wifi:/x\n")
    (found,) = look(box_at(tmp_path, NETWORK, commands={"systemctl": UNIT}))
    assert (found.level, found.mend) == (Level.PROBLEM, EDIT_UNIT)
    assert '"plant-wifi"' in found.summary


def test_a_passphrase_that_systemd_has_handed_over_counts(tmp_path: Path) -> None:
    put(tmp_path, "/run/credentials/ucm-provisiond.service/plant-wifi", "short\n")
    (found,) = look(box_at(tmp_path, '[[wifi]]\nssid = "plant"\npassphrase_credential = "plant-wifi"\n'))
    assert found.level is Level.PROBLEM
    assert "short" not in found.summary


def test_a_file_that_the_daemon_s_user_may_not_read(public: Path) -> None:
    manifest = put(public, "/etc/ucm-provision/site.csv", "hardware_id\n")
    manifest.chmod(0o600)
    box = box_at(public, '[site]\nmanifest = "site.csv"\n')
    box.account = Account("stranger", NOBODY, frozenset())
    (found,) = look(box)
    assert found.summary == f"site.manifest: the daemon's user stranger may not read {manifest}."
    assert found.mend == f"sudo chgrp stranger {manifest} && sudo chmod 640 {manifest}"


def test_a_folder_that_the_daemon_s_user_may_not_enter(public: Path) -> None:
    manifest = put(public, "/secret/site.csv", "hardware_id\n")
    manifest.parent.chmod(0o700)
    box = box_at(public, f'[site]\nmanifest = "{manifest}"\n')
    box.account = Account("stranger", NOBODY, frozenset())
    (found,) = look(box)
    assert found.mend == f"sudo chgrp stranger {manifest.parent} && sudo chmod g+x {manifest.parent}"


def test_files_that_the_asker_may_not_read_are_left_to_root(public: Path) -> None:
    put(public, "/etc/ucm-provision/site.csv", "hardware_id\n").chmod(0)
    box = box_at(public, '[site]\nmanifest = "site.csv"\n')
    with unprivileged():
        (found,) = look(box)
    assert (found.level, found.needs_root) == (Level.SKIPPED, True)


def test_a_configuration_that_the_asker_may_not_read_is_left_to_root(public: Path) -> None:
    box = box_at(public)
    box.path.chmod(0)
    with unprivileged():
        (found,) = look(box)
    assert (found.level, found.needs_root) == (Level.SKIPPED, True)


def test_names_with_spaces_are_quoted_for_the_shell(tmp_path: Path) -> None:
    box = box_at(tmp_path / "two words", None)
    (found,) = look(box)
    assert found.mend == f"sudo install -D -m 644 /dev/null '{box.path}'"
