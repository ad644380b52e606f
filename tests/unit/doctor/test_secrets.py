"""The API's token and the key of the sealed secrets: looked at, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.doctor.boxes import NOBODY, UNIT_FILE, box_at, put, unprivileged, with_systemd
from ucm_provision.core.errors import Code
from ucm_provision.doctor import api_token, sealed_secrets
from ucm_provision.doctor.account import Account
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, Level
from ucm_provision.store.sealing import derive_key, seal

TOKEN = "0123456789abcdef" * 4
CREDENTIALS = "/etc/ucm-provision/credentials"
FILE = f"{CREDENTIALS}/api-token"
RESTART = "sudo systemctl restart ucm-provisiond"


def service(folder: Path, *more: str) -> Box:
    """A box with the service, whose token comes from systemd."""
    with_systemd(folder)
    put(folder, UNIT_FILE, f"[Service]\nLoadCredential=api-token:{FILE}\n")
    return box_at(folder, *more, commands={"systemctl": f"LoadState=loaded\nFragmentPath={UNIT_FILE}\n"})


def look(box: Box) -> Finding:
    (found,) = api_token.check(box)
    assert TOKEN not in repr(found)
    return found


def test_a_token_that_systemd_hands_over(tmp_path: Path) -> None:
    box = service(tmp_path)
    put(tmp_path, FILE, f"{TOKEN}\n").chmod(0o600)
    found = look(box)
    assert (found.level, found.summary) == (
        Level.OK,
        f"The token is in {tmp_path}{FILE}, which nobody else can read.",
    )


@pytest.mark.parametrize(
    ("content", "summary"),
    [(None, "is missing"), ("", "is empty"), ("\nlater\n", "is empty"), ("with\x00zero", "holds characters")],
)
def test_a_token_that_is_none(tmp_path: Path, content: str | None, summary: str) -> None:
    box = service(tmp_path)
    if content is not None:
        put(tmp_path, FILE, content)
    found = look(box)
    assert (found.level, found.code) == (Level.PROBLEM, Code.TOKEN_MISSING)
    assert found.mend == f"sudo install -D -m 600 /dev/stdin {tmp_path}{FILE} && {RESTART}"
    assert summary in found.summary


def test_a_token_that_others_can_read(tmp_path: Path) -> None:
    box = service(tmp_path)
    put(tmp_path, FILE, TOKEN).chmod(0o644)
    found = look(box)
    assert (found.level, found.mend) == (Level.WARN, f"sudo chmod 600 {tmp_path}{FILE}")


@pytest.mark.parametrize(
    ("mode", "group", "is_open"),
    [(0o600, 0, False), (0o640, 0, False), (0o640, 4242424, True), (0o604, 0, True), (0o602, 0, True)],
)
def test_who_beside_the_daemon_can_read_it(mode: int, group: int, *, is_open: bool) -> None:
    assert api_token.is_open(os.stat_result((0o100000 | mode, 0, 0, 1, 0, group, 0, 0, 0, 0))) is is_open


def test_a_token_that_the_asker_may_not_see_is_left_to_root(public: Path) -> None:
    box = service(public)
    put(public, FILE, TOKEN).parent.chmod(0o700)
    with unprivileged():
        found = look(box)
    assert (found.level, found.needs_root) == (Level.SKIPPED, True)


def test_a_token_file_of_the_site_s_own(tmp_path: Path) -> None:
    put(tmp_path, "/token", TOKEN).chmod(0o600)
    assert look(box_at(tmp_path, f'[api]\ntoken_file = "{tmp_path}/token"\n')).level is Level.OK


def test_a_token_file_that_the_daemon_s_user_may_not_read(public: Path) -> None:
    token = put(public, "/token", TOKEN)
    token.chmod(0o600)
    box = box_at(public, f'[api]\ntoken_file = "{token}"\n')
    box.account = Account("stranger", NOBODY, frozenset())
    found = look(box)
    assert (found.level, found.mend) == (Level.PROBLEM, f"sudo chown stranger {token}")


def test_a_missing_token_file_is_to_be_the_daemon_s_own(tmp_path: Path) -> None:
    box = box_at(tmp_path, '[api]\ntoken_file = "/nowhere/token"\n')
    box.account = Account("ucm-provision", 990, frozenset())
    assert look(box).mend == "sudo install -D -o ucm-provision -m 600 /dev/stdin /nowhere/token"


def test_a_container_s_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "secrets"))
    assert "is missing" in look(box_at(tmp_path)).summary
    put(tmp_path, "/secrets/api-token", TOKEN).chmod(0o600)
    assert look(box_at(tmp_path)).level is Level.OK


def test_nobody_says_where_the_token_is(tmp_path: Path) -> None:
    found = look(box_at(tmp_path))
    assert (found.level, found.code) == (Level.PROBLEM, Code.TOKEN_MISSING)


def test_the_token_of_a_gateway_is_kept_elsewhere(tmp_path: Path) -> None:
    assert look(box_at(tmp_path, '[api]\nurl = "gateway"\n')).level is Level.OK


# ---- sealed secrets ------------------------------------------------------------------------------

KEY, OTHER = b"k" * 40, b"o" * 40
PLAIN = b'{"manifest":"the-proof-of-a-label"}'


def state(folder: Path, *, sealed_by: bytes | None = None, own: bytes | None = None) -> None:
    put(folder, "/state/.keep", "")
    if sealed_by:
        (folder / "state/secrets.sealed").write_bytes(seal(derive_key(sealed_by), PLAIN))
    if own:
        (folder / "state/secrets.key").write_bytes(own)


def sealed(box: Box) -> Finding:
    (found,) = sealed_secrets.check(box)
    assert not any(each.decode() in repr(found) for each in (KEY, OTHER, PLAIN))
    return found


def with_key(folder: Path, key: bytes) -> Box:
    (folder / "key").write_bytes(key)
    box = box_at(folder)
    box.path.write_text(f'[state]\ndir = "{folder}/state"\nkey_file = "{folder}/key"\n')
    return box


def test_nothing_is_sealed_yet(tmp_path: Path) -> None:
    found = sealed(box_at(tmp_path))
    assert (found.level, found.summary) == (
        Level.OK,
        "Nothing is sealed yet; the daemon makes a key when it starts.",
    )


def test_the_folder_s_own_key(tmp_path: Path) -> None:
    state(tmp_path, sealed_by=KEY, own=KEY)
    found = sealed(box_at(tmp_path))
    assert found.level is Level.OK
    assert "a copy of the folder is a copy of the secrets" in found.summary


def test_a_key_from_outside(tmp_path: Path) -> None:
    state(tmp_path, sealed_by=KEY)
    found = sealed(with_key(tmp_path, KEY))
    assert (found.level, found.summary) == (Level.OK, f"{tmp_path}/state/secrets.sealed opens with its key.")


def test_a_new_key_from_outside_takes_over_at_the_next_start(tmp_path: Path) -> None:
    state(tmp_path, sealed_by=KEY, own=KEY)
    assert sealed(with_key(tmp_path, OTHER)).level is Level.OK


@pytest.mark.parametrize(
    ("sealed_by", "key", "complaint"),
    [
        (KEY, OTHER, "another key sealed it, or it was damaged"),
        (KEY, b"short", "a key has at least 32 bytes"),
        (None, b"short", "a key has at least 32 bytes"),
    ],
)
def test_a_key_that_does_not_fit(tmp_path: Path, sealed_by: bytes | None, key: bytes, complaint: str) -> None:
    state(tmp_path, sealed_by=sealed_by)
    found = sealed(with_key(tmp_path, key))
    assert (found.level, found.code) == (Level.PROBLEM, Code.SECRETS_UNREADABLE)
    assert complaint in found.summary


def test_a_key_that_is_gone(tmp_path: Path) -> None:
    state(tmp_path, sealed_by=KEY)
    found = sealed(box_at(tmp_path))
    assert (found.level, found.code) == (Level.PROBLEM, Code.SECRETS_UNREADABLE)
    assert "is missing" in found.summary


def test_a_key_file_that_is_gone(tmp_path: Path) -> None:
    state(tmp_path, sealed_by=KEY)
    box = with_key(tmp_path, KEY)
    (tmp_path / "key").unlink()
    assert "No such file" in sealed(box).summary


def test_the_credential_of_the_service_is_a_key(tmp_path: Path) -> None:
    state(tmp_path, sealed_by=KEY)
    box = service(tmp_path)
    put(tmp_path, f"{CREDENTIALS}/journal-key", KEY.decode())
    assert sealed(box).level is Level.OK


def test_secrets_that_the_asker_may_not_see_are_left_to_root(public: Path) -> None:
    state(public, sealed_by=KEY, own=KEY)
    (public / "state").chmod(0o700)
    box = box_at(public)
    with unprivileged():
        found = sealed(box)
    assert (found.level, found.needs_root) == (Level.SKIPPED, True)
