"""Secrets do not show themselves, and hardware ids have one form."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Identity
from ucm_provision.core.kinds import Kind
from ucm_provision.core.model import (
    Attached,
    Carrier,
    MqttProtocol,
    PasswordCredentials,
    Product,
    ProofOfPossession,
    ProvisionArguments,
    TlsCredentials,
    WifiNetwork,
    parse_hardware_id,
)
from ucm_provision.core.plan import ExpectedKind, ExpectedModule, FixedProfiles, LanPolicy, SitePlan, UsbPolicy
from ucm_provision.core.secret import Secret

CANARY = "canary-5f1c"
HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
OTHER_ID = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"


@pytest.mark.parametrize(
    "holder",
    [
        Secret(CANARY),
        PasswordCredentials("user", Secret(CANARY)),
        TlsCredentials(Secret(CANARY.encode()), b"", ()),
        ProofOfPossession(Secret(CANARY)),
        WifiNetwork("plant", Secret(CANARY)),
        SitePlan(
            "box",
            profiles=FixedProfiles((WifiNetwork("plant", Secret(CANARY)),)),
            site_pop=ProofOfPossession(Secret(CANARY)),
        ),
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
    assert plan.pop_for(HARDWARE_ID, Carrier.SERIAL) == plan.pop_for(HARDWARE_ID, Carrier.HTTP) == own
    assert plan.pop_for("V" + HARDWARE_ID, Carrier.SERIAL) == plan.pop_for(None, Carrier.SERIAL) == site
    assert plan.pop_for("V" + HARDWARE_ID, Carrier.HTTP) is None
    assert replace(plan, lan_site_pop=True).pop_for("V" + HARDWARE_ID, Carrier.HTTP) == site
    assert SitePlan("box").pop_for(HARDWARE_ID, Carrier.SERIAL) is None


def test_who_may_be_provisioned_without_asking() -> None:
    own, unlisted = ProofOfPossession(Secret("own")), "V" + HARDWARE_ID
    with_pop, without = ExpectedModule(HARDWARE_ID, pop=own), ExpectedModule(OTHER_ID)
    plan = SitePlan("box", site_pop=own, expected={HARDWARE_ID: with_pop, OTHER_ID: without})
    everybody = (HARDWARE_ID, OTHER_ID, unlisted)

    def permitted(plan: SitePlan, carrier: Carrier) -> list[bool]:
        return [plan.permits(hardware_id, carrier) for hardware_id in everybody]

    assert permitted(plan, Carrier.SERIAL) == [True, True, True]
    assert permitted(replace(plan, usb=UsbPolicy.LISTED), Carrier.SERIAL) == [True, True, False]
    assert permitted(replace(plan, usb=UsbPolicy.ASK), Carrier.SERIAL) == [False, False, False]
    assert permitted(plan, Carrier.HTTP) == [True, False, False]
    assert permitted(replace(plan, lan_site_pop=True), Carrier.HTTP) == [True, True, False]
    assert permitted(replace(plan, lan=LanPolicy.ASK), Carrier.HTTP) == [False, False, False]


@pytest.mark.parametrize(
    ("product", "kind", "device_type"),
    [
        (Product.UCM, "ucm", None),
        (Product.ELECTROLYSER, "embedded", "ELECTROLYSER"),
        (Product.DRYER, "embedded", "DRYER"),
        (Product.WATER_TANK, "embedded", "WATER_TANK"),
        (Product.LINK_MASTER, "link_master", None),
    ],
)
def test_every_product_has_its_call(product: Product, kind: str, device_type: str | None) -> None:
    arguments = SitePlan("box").arguments_for(Identity(HARDWARE_ID, product, "EL4.1", "1"), "site-1")
    assert (arguments.kind, arguments.device_type) == (kind, device_type)
    assert (arguments.hardware_id, arguments.site_id, arguments.name) == (HARDWARE_ID, "site-1", "EL4.1 663C8B")
    assert arguments.protocol == (None if kind == "link_master" else "MQTTS")


def planned(**line: Any) -> SitePlan:
    return SitePlan("box", expected={HARDWARE_ID: ExpectedModule(HARDWARE_ID, **line)})


def test_a_module_of_another_kind_than_the_manifest_says_is_left_alone() -> None:
    plan = planned(kind=ExpectedKind.DRYER)
    with pytest.raises(UcmError) as refused:
        plan.arguments_for(Identity(HARDWARE_ID, Product.WATER_TANK, "WT", "1"), "site-1")
    assert (refused.value.code, refused.value.detail) == (
        Code.KIND_MISMATCH,
        "a dryer is expected, it is a water_tank",
    )
    assert plan.arguments_for(Identity(HARDWARE_ID, Product.DRYER, "D", "1"), "site-1").device_type == "DRYER"


MASTER = ProvisionArguments(Kind.LINK_MASTER, "B" + HARDWARE_ID, "site-1", "LINK 1")
SLAVE = Attached(HARDWARE_ID, "ENP-AO6")


def test_a_slave_is_added_behind_its_master_on_the_same_site() -> None:
    expected = ProvisionArguments(Kind.LINK_SLAVE, HARDWARE_ID, "site-1", "ENP-AO6 663C8B", master_device_id="device-1")
    assert SitePlan("box").slave_arguments(SLAVE, MASTER, "device-1") == expected
    plan = planned(kind=ExpectedKind.LINK_SLAVE, name="Outputs", master=MASTER.hardware_id)
    assert plan.slave_arguments(SLAVE, MASTER, "device-1") == replace(expected, name="Outputs")


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ({"kind": ExpectedKind.UCM}, f"a ucm is expected, {HARDWARE_ID} is a LINK slave"),
        ({"kind": ExpectedKind.LINK_SLAVE, "master": "A" * 32}, f"{HARDWARE_ID} is expected behind {'A' * 32}"),
    ],
)
def test_a_slave_that_should_be_elsewhere(line: dict[str, Any], detail: str) -> None:
    with pytest.raises(UcmError) as refused:
        planned(**line).slave_arguments(SLAVE, MASTER, "device-1")
    assert (refused.value.code, refused.value.detail) == (Code.KIND_MISMATCH, detail)
