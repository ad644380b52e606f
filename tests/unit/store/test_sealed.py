"""What was sealed is opened by its key alone, as it was, or not at all."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, Exit, UcmError
from ucm_provision.core.model import ProofOfPossession, WifiNetwork
from ucm_provision.core.secret import Secret
from ucm_provision.store.sealed import SealedStore
from ucm_provision.store.sealing import HEADER, NotOpenedError, derive_key, seal, unseal

MATERIAL = bytes(range(48))
KEY = derive_key(MATERIAL)
CANARY = "canary-5f1c-9b"
NETWORKS = (
    WifiNetwork("plant", Secret(CANARY), hidden=True, bssid=bytes.fromhex("aabbccddeeff")),
    WifiNetwork("gäste"),
)
PROOF = ProofOfPossession(Secret(CANARY), "fitter")
MANIFEST = Secret(f"hardware_id,pop\nX,{CANARY}\n")
FIXTURE = Path(__file__).parent / "fixtures" / "secrets-1.sealed"
MORTAL = Path(__file__).with_name("mortal_sealer.py")


async def filled(folder: Path, key_file: Path | None = None) -> SealedStore:
    store = await SealedStore.open(folder, key_file)
    await store.keep_networks(NETWORKS)
    await store.change_proofs({"HWID": PROOF})
    await store.keep_manifest(MANIFEST)
    return store


def content(store: SealedStore) -> tuple[object, object, object]:
    return store.networks, store.proofs, store.manifest


FULL = (NETWORKS, {"HWID": PROOF}, MANIFEST)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def refusal(folder: Path, key_file: Path | None = None) -> str:
    """What is said of the file; it is as it was afterwards."""
    before = files(folder)
    with pytest.raises(UcmError) as refused:
        await SealedStore.open(folder, key_file)
    error = refused.value
    assert (error.code, error.failure.exit_status) == (Code.SECRETS_UNREADABLE, Exit.CONFIG)
    assert files(folder) == before
    assert CANARY not in str(error)
    return error.detail


# ---- sealing -------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.binary(min_size=32, max_size=64))
def test_what_is_sealed_is_opened_as_it_was(plain: bytes, material: bytes) -> None:
    key = derive_key(material)
    assert unseal(key, seal(key, plain)) == plain


def test_it_is_never_the_same_twice() -> None:
    assert seal(KEY, b"plain") != seal(KEY, b"plain")


@given(st.data())
def test_no_byte_changes_unnoticed(data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, CANARY.encode()))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NotOpenedError):
        unseal(KEY, bytes(sealed))


def test_no_part_of_it_opens_either() -> None:
    sealed = seal(KEY, CANARY.encode())
    for end in range(len(sealed)):
        with pytest.raises(NotOpenedError):
            unseal(KEY, sealed[:end])


@given(st.binary(min_size=32, max_size=64).filter(lambda material: material != MATERIAL))
def test_another_key_opens_nothing(material: bytes) -> None:
    with pytest.raises(NotOpenedError, match="another key sealed it, or it was damaged"):
        unseal(derive_key(material), seal(KEY, b"plain"))


def test_a_key_that_is_too_short_is_none() -> None:
    with pytest.raises(NotOpenedError, match="a key has at least 32 bytes"):
        derive_key(b"k" * 31)


# ---- what is kept --------------------------------------------------------------------------------


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    assert content(store) == FULL
    assert content(await SealedStore.open(tmp_path, None)) == FULL


async def test_nothing_is_there_at_first(tmp_path: Path) -> None:
    store = await SealedStore.open(tmp_path / "state", None)
    assert content(store) == (None, {}, Secret(""))
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


async def test_a_file_of_every_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(MATERIAL)
    (tmp_path / "secrets.sealed").write_bytes(FIXTURE.read_bytes())
    assert content(await SealedStore.open(tmp_path, tmp_path / "key")) == FULL


async def test_no_secret_can_be_read_from_the_files_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        store = await filled(tmp_path)
    finally:
        os.umask(umask)
    assert set(files(tmp_path)) == {"secrets.key", "secrets.sealed"}
    assert modes(tmp_path) == {0o600}
    assert CANARY.encode() not in b"".join(files(tmp_path).values())
    assert CANARY not in repr((store, store._content, content(store), store._key))


async def test_a_list_may_be_empty_or_none(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    for networks in ((), None):
        await store.keep_networks(networks)
        assert (await SealedStore.open(tmp_path, None)).networks == networks


async def test_proofs_come_and_go_and_the_oldest_make_room(tmp_path: Path) -> None:
    store = await SealedStore.open(tmp_path, None)
    await store.change_proofs({"a": PROOF, "b": PROOF})
    await store.change_proofs({"a": None, "c": PROOF, "never there": None})
    assert list(store.proofs) == ["b", "c"]
    await store.change_proofs({"b": PROOF, **{str(number): PROOF for number in range(policy.TYPED_PROOFS_KEPT - 1)}})
    assert list(store.proofs)[:2] == ["b", "0"]
    assert len(store.proofs) == policy.TYPED_PROOFS_KEPT


async def test_changes_at_once_all_take_place(tmp_path: Path) -> None:
    store = await SealedStore.open(tmp_path, None)
    await asyncio.gather(*(store.change_proofs({str(number): PROOF}) for number in range(20)))
    assert set(store.proofs) == {str(number) for number in range(20)}
    assert (await SealedStore.open(tmp_path, None)).proofs == store.proofs


# ---- what cannot be opened -----------------------------------------------------------------------


async def test_a_lost_or_foreign_key(tmp_path: Path) -> None:
    await filled(tmp_path)
    own = tmp_path / "secrets.key"
    own.write_text("0" * 64)
    assert await refusal(tmp_path) == f"{tmp_path / 'secrets.sealed'}: another key sealed it, or it was damaged"
    own.unlink()
    missing = f"its key is missing (no credential journal-key, no state.key_file, no {own})"
    assert await refusal(tmp_path) == f"{tmp_path / 'secrets.sealed'}: {missing}"


async def test_what_is_not_a_file_of_sealed_secrets(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / "secrets.sealed"
    for text, why in (
        (b"", "it holds no sealed secrets"),
        (b"shopping list", "it holds no sealed secrets"),
        (b"ucm-sealed 2\n" + bytes(60), "another version of the daemon sealed it"),
        (HEADER + bytes(5), "another key sealed it, or it was damaged"),
    ):
        path.write_bytes(text)
        assert await refusal(tmp_path) == f"{path}: {why}"


@pytest.mark.parametrize("plain", [b"", b"\xff", b"{}x", b'{"colour": 1}', b'{"manifest": 7}', b'{"networks": [{}]}'])
async def test_content_of_another_shape(tmp_path: Path, plain: bytes) -> None:
    (tmp_path / "key").write_bytes(MATERIAL)
    (tmp_path / "secrets.sealed").write_bytes(seal(KEY, plain))
    why = "its content is not what this version of the daemon seals"
    assert await refusal(tmp_path, tmp_path / "key") == f"{tmp_path / 'secrets.sealed'}: {why}"


async def test_a_key_file_that_is_none(tmp_path: Path) -> None:
    key = tmp_path / "key"
    assert await refusal(tmp_path, key) == f"{key}: No such file or directory"
    key.write_text("too short")
    assert await refusal(tmp_path, key) == f"{key}: a key has at least 32 bytes"
    (tmp_path / "secrets.sealed").mkdir()
    key.write_bytes(MATERIAL)
    assert await refusal(tmp_path, key) == f"{tmp_path / 'secrets.sealed'}: Is a directory"


# ---- a key from outside --------------------------------------------------------------------------


async def test_a_key_from_outside_takes_over_from_the_folder_s_own(tmp_path: Path) -> None:
    key, state = tmp_path / "key", tmp_path / "state"
    key.write_bytes(MATERIAL)
    await filled(state)
    assert content(await SealedStore.open(state, key)) == FULL
    assert [path.name for path in state.iterdir()] == ["secrets.sealed"]
    assert content(await SealedStore.open(state, key)) == FULL


async def test_a_take_over_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    key, state = tmp_path / "key", tmp_path / "state"
    key.write_bytes(MATERIAL)
    await filled(state, key)
    (state / "secrets.key").write_text("0" * 64)  # it was about to be removed
    assert content(await SealedStore.open(state, key)) == FULL
    assert [path.name for path in state.iterdir()] == ["secrets.sealed"]


async def test_a_key_from_outside_takes_over_only_what_the_folder_s_own_opens(tmp_path: Path) -> None:
    key, state = tmp_path / "key", tmp_path / "state"
    key.write_bytes(MATERIAL[::-1])
    await filled(state)
    (state / "secrets.key").write_text("0" * 64)
    assert await refusal(state, key) == f"{state / 'secrets.sealed'}: another key sealed it, or it was damaged"


# ---- what cannot be written ----------------------------------------------------------------------


async def test_a_change_that_cannot_be_written_has_not_happened(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    (tmp_path / ".secrets.sealed.new").mkdir()
    with pytest.raises(UcmError) as refused:
        await store.keep_networks(None)
    assert refused.value.code is Code.SECRETS_NOT_KEPT
    assert refused.value.detail == f"{tmp_path / 'secrets.sealed'}: Is a directory"
    assert content(store) == FULL
    assert content(await SealedStore.open(tmp_path, None)) == FULL


async def test_whoever_stops_waiting_leaves_disk_and_memory_alike(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    waiting = asyncio.create_task(store.keep_networks(None))
    await asyncio.sleep(0)
    waiting.cancel()
    await store.change_proofs({"HWID": None})  # after the one that nobody waits for
    assert content(await SealedStore.open(tmp_path, None)) == content(store)


async def sealing(folder: Path, names: str, die_at: int) -> int:
    """How many steps there were, or 0 if it died."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(MORTAL), str(folder), names, str(die_at), stdout=PIPE
    )
    out, _ = await child.communicate()
    assert child.returncode in (0, -9)
    return int(out) if out else 0


async def test_death_at_any_step_of_writing_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    await sealing(tmp_path, "old", 0)  # makes the key, too
    steps = await sealing(tmp_path, "old", 0)
    assert steps >= 10
    found = []
    for die_at in range(1, steps + 1):
        await sealing(tmp_path, "old", 0)
        assert await sealing(tmp_path, "new,newer", die_at) == 0
        networks = (await SealedStore.open(tmp_path, None)).networks
        found.append([network.ssid for network in networks or ()])
        assert modes(tmp_path) == {0o600}
    assert found == sorted(found, key=len)  # old up to one step, new from the next on
    assert (found[0], found[-1]) == (["old"], ["new", "newer"])
