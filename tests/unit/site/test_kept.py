"""The imported manifest lies sealed, and one in the clear from before is taken over once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ucm_provision import parts
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import ProofOfPossession
from ucm_provision.core.plan import ExpectedModule
from ucm_provision.core.secret import Secret
from ucm_provision.host import config
from ucm_provision.private_file import remove_private
from ucm_provision.store.sealed import SealedStore

FIRST = "C8795CBA5375484E829105E959663C8B"
SECOND = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"
CANARY = "canary-5f1c"
PLAIN = f"hardware_id,name,pop\n{FIRST},Boiler,{CANARY}\n"
BOILER = ExpectedModule(FIRST, "Boiler", pop=ProofOfPossession(Secret(CANARY)))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.Configuration:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (tmp_path / "site.csv").write_text(f"hardware_id,name\n{FIRST},Configured\n{SECOND},Pump\n")
    path = tmp_path / "ucm-provision.toml"
    path.write_text('[site]\nmanifest = "site.csv"\n[state]\ndir = "state"\n[[wifi]]\nssid = "plant"\n')
    return config.load(path)


def clear(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_an_imported_manifest_is_there_after_a_restart_and_not_in_the_clear(
    settings: config.Configuration, tmp_path: Path
) -> None:
    await (await parts.kept(settings)).expected.take_over({FIRST: BOILER})
    kept = await parts.kept(settings)
    assert dict(kept.expected) == {FIRST: BOILER, SECOND: ExpectedModule(SECOND, "Pump")}
    assert CANARY.encode() not in clear(tmp_path / "state")
    assert [network.ssid for network in kept.profiles.networks] == ["plant"]


async def test_a_plain_manifest_is_sealed_and_removed(settings: config.Configuration, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    plain = state / "manifest.csv"
    plain.write_text(PLAIN)
    for _ in range(2):
        assert (await parts.kept(settings)).expected[FIRST] == BOILER
        assert not plain.exists()
    assert CANARY.encode() not in clear(state)


async def test_a_take_over_that_died_before_its_end_is_made_again(
    settings: config.Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    plain = state / "manifest.csv"
    plain.write_text(PLAIN)

    def dies(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parts, "remove_private", dies)
    with pytest.raises(KeyboardInterrupt):
        await parts.kept(settings)
    assert plain.read_text() == PLAIN
    monkeypatch.setattr(parts, "remove_private", remove_private)
    assert (await parts.kept(settings)).expected[FIRST] == BOILER
    assert not plain.exists()


async def test_a_plain_manifest_with_mistakes_stays_where_it_is(settings: config.Configuration, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    plain = state / "manifest.csv"
    plain.write_text(f"hardware_id,pop\nX,{CANARY}\n")
    with pytest.raises(UcmError, match="MANIFEST_INVALID") as refused:
        await parts.kept(settings)
    assert refused.value.detail.startswith(f"{plain}, line 2, hardware_id: ")
    assert plain.exists()


async def test_a_sealed_manifest_that_a_later_version_cannot_read(
    settings: config.Configuration, tmp_path: Path
) -> None:
    store = await SealedStore.open(tmp_path / "state", None)
    await store.keep_manifest(Secret(f"colour\n{CANARY}\n"))
    with pytest.raises(UcmError) as refused:
        await parts.kept(settings)
    assert refused.value.code is Code.MANIFEST_INVALID
    assert refused.value.detail.startswith("the imported manifest, line 1: ")
    assert CANARY not in str(refused.value)


async def test_an_import_tells_of_whom_it_brings_another_proof(settings: config.Configuration) -> None:
    expected = (await parts.kept(settings)).expected
    other = ExpectedModule(FIRST, "Boiler", pop=ProofOfPossession(Secret("another")))
    assert await expected.take_over({FIRST: BOILER, SECOND: ExpectedModule(SECOND)}) == [FIRST]
    assert await expected.take_over({FIRST: BOILER}) == []
    assert await expected.take_over({FIRST: other}) == [FIRST]
    assert await expected.take_over({FIRST: ExpectedModule(FIRST)}) == []
    assert await expected.take_over({FIRST: other}) == [FIRST]


@pytest.mark.parametrize("by", ["credential", "key_file"])
async def test_the_key_comes_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    credentials, key, state = tmp_path / "credentials", tmp_path / "key", tmp_path / "state"
    credentials.mkdir()
    key_file = key if by == "key_file" else credentials / "journal-key"
    key_file.write_text("k" * 32)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    path = tmp_path / "ucm-provision.toml"
    path.write_text('[state]\ndir = "state"\n' + ('key_file = "key"\n' if by == "key_file" else ""))
    await (await parts.kept(config.load(path))).expected.take_over({FIRST: BOILER})
    assert [file.name for file in state.iterdir()] == ["secrets.sealed"]
    assert (await SealedStore.open(state, key_file)).manifest
