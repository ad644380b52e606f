"""Secrets do not show themselves, and hardware ids have one form."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Identity
from ucm_provision.core.model import (
    MqttProtocol,
    PasswordCredentials,
    Product,
    ProofOfPossession,
    TlsCredentials,
    WifiNetwork,
    parse_hardware_id,
)
from ucm_provision.core.plan import ExpectedModule, SitePlan
from ucm_provision.core.secret import Secret

CANARY = "canary-5f1c"
HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"


@pytest.mark.parametrize(
    "holder",
    [
        Secret(CANARY),
        PasswordCredentials("user", Secret(CANARY)),
        TlsCredentials(Secret(CANARY.encode()), b"", ()),
        ProofOfPossession(Secret(CANARY)),
        WifiNetwork("plant", Secret(CANARY)),
        SitePlan("box", wifi=(WifiNetwork("plant", Secret(CANARY)),), site_pop=ProofOfPossession(Secret(CANARY))),
    ],
)
def test_no_holder_shows_its_secret(holder: object) -> None:
    shown = f"{holder!r} {holder} {holder:>40}" if isinstance(holder, Secret) else f"{holder!r} {holder}"
    assert CANARY not in shown
    assert "<secret>" in shown


def test_a_secret_is_only_handed_out_by_name() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    assert secret == Secret(CANARY)
    assert secret != Secret("other")
    assert secret != CANARY
    assert not Secret("")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)
    with pytest.raises(TypeError):
        hash(secret)


@pytest.mark.parametrize("text", [HARDWARE_ID, HARDWARE_ID.lower(), f" {HARDWARE_ID}\n", "V" + HARDWARE_ID])
def test_a_hardware_id_has_one_form(text: str) -> None:
    assert parse_hardware_id(text) == text.strip().upper()


@pytest.mark.parametrize("text", ["", HARDWARE_ID[:-1], HARDWARE_ID + "AB", HARDWARE_ID[:-1] + "-", "ä" * 32])
def test_what_is_no_hardware_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="32 or 33"):
        parse_hardware_id(text)


@given(st.text(max_size=40))
def test_parsing_gives_the_normal_form_or_an_error(text: str) -> None:
    try:
        parsed = parse_hardware_id(text)
    except ValueError:
        return
    assert parse_hardware_id(parsed) == parsed


IDENTITY = Identity(HARDWARE_ID, Product.UCM, "ENP-RL6", "2.4.1")


def test_an_unlisted_module_is_named_after_its_model_and_uses_certificates() -> None:
    arguments = SitePlan("box").arguments_for(IDENTITY, "site-1")
    assert (arguments.name, arguments.protocol, arguments.kind) == ("ENP-RL6 663C8B", MqttProtocol.MQTTS, "ucm")


def test_the_manifest_goes_before_the_site_s_defaults() -> None:
    own, site = ProofOfPossession(Secret("own")), ProofOfPossession(Secret("site"))
    listed = ExpectedModule(HARDWARE_ID, "Boiler room", MqttProtocol.MQTT, own)
    plan = SitePlan("box", site_pop=site, expected={HARDWARE_ID: listed})
    arguments = plan.arguments_for(IDENTITY, "site-1")
    assert (arguments.name, arguments.protocol) == ("Boiler room", MqttProtocol.MQTT)
    assert plan.pop_for(HARDWARE_ID) == own
    assert plan.pop_for("V" + HARDWARE_ID) == site
    assert plan.pop_for(None) == site
    assert SitePlan("box").pop_for(HARDWARE_ID) is None


def test_a_product_of_another_kind_is_left_alone() -> None:
    with pytest.raises(UcmError) as refused:
        SitePlan("box").arguments_for(Identity(HARDWARE_ID, Product.LINK_MASTER, "LINK", "1"), "site-1")
    assert refused.value.code is Code.PRODUCT_UNSUPPORTED
