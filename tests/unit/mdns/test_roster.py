"""Who is listened to: everybody who is known, and a bounded number of others."""

from __future__ import annotations

import pytest

from ucm_provision.core import policy
from ucm_provision.discovery.records import GATEWAYS, MODULES, AnnouncementError
from ucm_provision.discovery.roster import Roster

KNOWN = "F" * 32


def alias(number: int) -> str:
    return f"ucm-{number:032X}.{MODULES}"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Roster:
    """With as many unknown modules as it takes."""
    monkeypatch.setattr(policy, "MDNS_UNKNOWN_KEPT", 3)
    roster = Roster(lambda hardware_id: hardware_id == KNOWN)
    for number in range(3):
        roster.admit(alias(number), MODULES)
    return roster


def test_a_full_one_takes_nobody_who_is_unknown(full: Roster) -> None:
    with pytest.raises(AnnouncementError):
        full.admit(alias(3), MODULES)
    assert full.admit(alias(2).upper(), MODULES).name == alias(2).lower()


def test_a_full_one_takes_who_is_known(full: Roster) -> None:
    assert full.admit(f"ucm-{KNOWN}.{MODULES}", MODULES).known


def test_who_leaves_makes_room(full: Roster) -> None:
    full.forget(full.admit(alias(0), MODULES))
    full.admit(alias(3), MODULES)
    with pytest.raises(AnnouncementError):
        full.admit(alias(4), MODULES)


def test_who_gets_known_makes_room(full: Roster) -> None:
    full._is_known = lambda hardware_id: hardware_id == f"{1:032X}"
    full.tidy()
    full.admit(alias(3), MODULES)


def test_newcomers_are_bounded_until_it_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "MDNS_NEWCOMERS", 2)
    roster = Roster(lambda hardware_id: hardware_id == KNOWN)
    for number in range(2):
        roster.forget(roster.admit(alias(number), MODULES))
    assert roster.is_worn
    with pytest.raises(AnnouncementError):
        roster.admit(alias(2), MODULES)
    roster.admit(f"ucm-{KNOWN}.{MODULES}", MODULES)
    roster.renew()
    roster.admit(alias(2), MODULES)


def test_gateways_are_bounded() -> None:
    roster = Roster(lambda _: False)
    gateways = [roster.admit(f"GW {number}.{GATEWAYS}", GATEWAYS) for number in range(policy.MDNS_GATEWAYS_KEPT)]
    with pytest.raises(AnnouncementError):
        roster.admit(f"One more.{GATEWAYS}", GATEWAYS)
    roster.forget(gateways[0])
    assert roster.admit(f"One more.{GATEWAYS}", GATEWAYS).label == "One more"


@pytest.mark.parametrize("name", [MODULES, f".{MODULES}", f"ucm-{KNOWN}.{GATEWAYS}", f"ucm-{KNOWN}"])
def test_a_name_of_another_service_is_refused(name: str) -> None:
    with pytest.raises(AnnouncementError):
        Roster(lambda _: True).admit(name, MODULES)


def test_a_host_knows_who_is_on_it() -> None:
    roster = Roster(lambda _: False)
    one, other = (roster.admit(alias(number), MODULES) for number in range(2))
    roster.settle(one.name, "a.local.")
    roster.settle(other.name, "a.local.")
    roster.settle(one.name, "b.local.")
    assert set(roster.on_host("a.local.")) == {other.name}
    assert set(roster.on_host("b.local.")) == {one.name}
    roster.forget(other)
    assert not roster.on_host("a.local.")
