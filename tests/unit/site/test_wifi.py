"""One list of networks counts: the configuration's, until operators make their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ucm_provision.core.errors import Code, Exit, UcmError
from ucm_provision.core.model import WifiNetwork
from ucm_provision.core.secret import Secret
from ucm_provision.core.wifi import bssid_text, check_passphrase, check_ssid, parse_bssid
from ucm_provision.site.wifi import Profiles
from ucm_provision.store.sealed import SealedStore

CANARY = "canary-5f1c"
PLANT = WifiNetwork("plant", Secret("configured secret"))
GUESTS = WifiNetwork("guests")
NEW = WifiNetwork("new", Secret(CANARY))


@pytest.fixture
async def store(tmp_path: Path) -> SealedStore:
    return await SealedStore.open(tmp_path, None)


@pytest.fixture
def profiles(store: SealedStore) -> Profiles:
    return Profiles((PLANT, GUESTS), store)


async def restarted(folder: Path, *configured: WifiNetwork) -> Profiles:
    return Profiles(configured, await SealedStore.open(folder, None))


def complaint(error: pytest.ExceptionInfo[UcmError], code: Code, exit_status: int) -> str:
    assert (error.value.code, error.value.failure.exit_status) == (code, exit_status)
    return error.value.detail


async def test_without_a_word_from_operators_the_configuration_counts(tmp_path: Path, profiles: Profiles) -> None:
    assert (profiles.networks, profiles.chosen_by_operators) == ((PLANT, GUESTS), False)
    assert (await restarted(tmp_path, GUESTS)).networks == (GUESTS,)


async def test_what_operators_chose_counts_as_a_whole_and_survives_a_restart(
    tmp_path: Path, profiles: Profiles
) -> None:
    await profiles.add(NEW)
    assert (profiles.networks, profiles.chosen_by_operators) == ((PLANT, GUESTS, NEW), True)
    again = await restarted(tmp_path, WifiNetwork("plant", Secret("another secret")))
    assert again.networks == (PLANT, GUESTS, NEW)
    assert [network.ssid for network in again.configured] == ["plant"]
    await again.reset()
    assert (again.networks, again.chosen_by_operators) == (again.configured, False)
    assert not (await restarted(tmp_path)).chosen_by_operators


async def test_the_order_is_the_operators(tmp_path: Path, profiles: Profiles) -> None:
    await profiles.add(NEW, first=True)
    assert profiles.networks == (NEW, PLANT, GUESTS)
    await profiles.prefer("guests")
    assert profiles.networks == (GUESTS, NEW, PLANT)
    await profiles.prefer("guests")
    await profiles.drop("new")
    assert profiles.networks == (GUESTS, PLANT)
    assert (await restarted(tmp_path)).networks == (GUESTS, PLANT)


async def test_a_list_without_networks_is_one_too(tmp_path: Path, profiles: Profiles) -> None:
    await profiles.drop("plant")
    await profiles.drop("guests")
    assert (profiles.networks, profiles.chosen_by_operators) == ((), True)
    assert (await restarted(tmp_path, PLANT)).networks == ()


async def test_a_new_passphrase_keeps_the_network_s_place_unless_told_otherwise(profiles: Profiles) -> None:
    await profiles.add(NEW)
    changed = WifiNetwork("guests", Secret("no longer open"))
    await profiles.add(changed)
    assert profiles.networks == (PLANT, changed, NEW)
    await profiles.add(GUESTS, first=True)
    assert profiles.networks == (GUESTS, PLANT, NEW)


async def test_a_fourth_network_is_refused(profiles: Profiles) -> None:
    await profiles.add(NEW)
    with pytest.raises(UcmError) as error:
        await profiles.add(WifiNetwork("fourth"))
    assert complaint(error, Code.WIFI_FULL, Exit.FAILED) == "plant, guests, new"
    assert profiles.networks == (PLANT, GUESTS, NEW)


async def test_a_network_that_nobody_knows(profiles: Profiles) -> None:
    for change in (profiles.prefer, profiles.drop):
        with pytest.raises(UcmError) as error:
            await change("Plant")
        assert complaint(error, Code.WIFI_UNKNOWN, Exit.NOT_FOUND) == "known are: plant, guests"
    assert not profiles.chosen_by_operators


async def test_whoever_wants_to_know_is_told_when_it_is_on_disk(tmp_path: Path, profiles: Profiles) -> None:
    told: list[tuple[WifiNetwork, ...]] = []
    profiles.changed.append(lambda: told.append(profiles.networks))
    await profiles.prefer("plant")  # it was first already
    assert told == []
    await profiles.drop("guests")
    await profiles.reset()
    await profiles.reset()
    assert told == [(PLANT,), (PLANT, GUESTS)]


async def test_a_change_that_cannot_be_written_has_not_happened(tmp_path: Path, profiles: Profiles) -> None:
    told: list[None] = []
    profiles.changed.append(lambda: told.append(None))
    (tmp_path / ".secrets.sealed.new").mkdir()
    with pytest.raises(UcmError) as error:
        await profiles.add(NEW)
    complaint(error, Code.SECRETS_NOT_KEPT, Exit.UNAVAILABLE)
    assert (profiles.networks, told) == ((PLANT, GUESTS), [])


NETWORKS = st.builds(
    WifiNetwork,
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=8),
    st.just(Secret("")) | st.from_regex(r"[ -~]{8,63}", fullmatch=True).map(Secret),
    st.booleans(),
    st.just(b"") | st.binary(min_size=6, max_size=6),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(NETWORKS, max_size=3, unique_by=lambda network: network.ssid))
async def test_any_networks_are_the_same_after_a_restart(tmp_path: Path, networks: list[WifiNetwork]) -> None:
    profiles = await restarted(tmp_path)
    await profiles.reset()
    for network in networks:
        await profiles.add(network)
    assert (await restarted(tmp_path)).networks == tuple(networks)


# ---- what a network may be -----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["x", "x" * 32, "ü" * 16, "Plant 1", "emoji 🔥", " "])
def test_a_name_of_1_to_32_bytes(text: str) -> None:
    assert check_ssid(text) == text


@pytest.mark.parametrize("text", ["", "x" * 33, "ü" * 16 + "x"])
def test_a_name_of_another_length(text: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 32 bytes"):
        check_ssid(text)


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\nb", "\0", "\udc80"])
def test_a_name_that_would_disturb_a_terminal(text: str) -> None:
    with pytest.raises(ValueError, match="expected no control characters"):
        check_ssid(text)


@pytest.mark.parametrize(
    "text", ["p" * 8, "p" * 63, "with a space", " ~~~~~~ ", "0123456789abcdefABCDEF" * 2 + "0" * 20]
)
def test_a_passphrase_or_key_that_wpa2_allows(text: str) -> None:
    assert check_passphrase(text) == Secret(text)


@pytest.mark.parametrize("text", ["", "p" * 7, "p" * 64, "pässwörter", "pass\tword", "0" * 65, "passwords\n"])
def test_a_passphrase_that_is_none_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="expected a passphrase of 8 to 63 printable") as refused:
        check_passphrase(text)
    assert not text or text not in str(refused.value)


def test_an_access_point_s_address() -> None:
    assert parse_bssid("AA:bb:0c:dd:ee:ff") == bytes.fromhex("aabb0cddeeff")
    assert bssid_text(parse_bssid("AA:bb:0c:dd:ee:ff")) == "aa:bb:0c:dd:ee:ff"


@pytest.mark.parametrize("text", ["", "aa:bb:cc:dd:ee", "aa-bb-cc-dd-ee-ff", "aabbccddeeff", "aa:bb:cc:dd:ee:fg", "x"])
def test_an_address_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected an access point's address such as aa:bb:cc:dd:ee:ff"):
        parse_bssid(text)
