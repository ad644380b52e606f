"""Orders: what makes a call repeatable, and when it is repeated."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.store.strategies import ORDERS, TIMES
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.kinds import WITH_CONFIG, WITH_HARDWARE_ID, Kind
from ucm_provision.core.model import Device, ProvisionArguments, parse_hardware_id
from ucm_provision.core.orders import (
    Order,
    OrderState,
    answered,
    clamp,
    due,
    failed,
    identified,
    is_result_of,
    make_slug,
    satisfies,
)

VIRTUAL = "V" + "0123456789ABCDEF" * 2
OPEN = Order("1", "somebody", 1.0, 1.0)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Boiler room 1", "boiler-room-1-3fa9c1"),
        ("Pumpe für Öl", "pumpe-fur-ol-3fa9c1"),
        ("  --  ", "3fa9c1"),
        ("насос", "3fa9c1"),
        ("x" * 200, "x" * 48 + "-3fa9c1"),
    ],
)
def test_a_slug_is_what_a_person_recognises(name: str, slug: str) -> None:
    assert make_slug(name, "3fa9c1") == slug


@given(st.text())
def test_every_name_makes_a_slug_for_an_address(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", make_slug(name, "3fa9c1"))


@pytest.mark.parametrize("kind", Kind)
def test_before_the_first_call_every_device_has_what_it_is_recognised_by(kind: Kind) -> None:
    wanted = ProvisionArguments(kind, name="Pump", hardware_id="" if kind is Kind.VUCM else "A" * 32)
    arguments = identified(wanted, unique="3fa9c1", virtual_id=VIRTUAL)
    if kind in WITH_HARDWARE_ID:
        assert parse_hardware_id(arguments.hardware_id) == (VIRTUAL if kind is Kind.VUCM else "A" * 32)
        assert arguments.slug == ""
    else:
        assert arguments.slug == "pump-3fa9c1"
    assert identified(arguments, unique="other", virtual_id="other") == arguments


def test_what_is_given_is_not_made() -> None:
    virtual = ProvisionArguments(Kind.VUCM, VIRTUAL)
    named = ProvisionArguments(Kind.STANDALONE, slug="mine")
    assert identified(virtual, unique="u", virtual_id="other") == virtual
    assert identified(named, unique="u", virtual_id="other") == named


def test_a_configuration_needs_a_hardware_id() -> None:
    assert WITH_CONFIG < WITH_HARDWARE_ID


def test_an_open_order_is_the_same_when_nothing_that_is_given_differs() -> None:
    wanted = ProvisionArguments(Kind.STANDALONE, name="Pump")
    order = replace(OPEN, arguments=replace(wanted, slug="pump-1", site_id="site-1"))
    assert satisfies(order, wanted)
    assert satisfies(order, replace(wanted, slug="pump-1"))
    assert not satisfies(order, replace(wanted, slug="pump-2"))
    assert not satisfies(order, replace(wanted, name="Boiler"))
    assert not satisfies(order, replace(wanted, kind=Kind.VUCM))
    assert not satisfies(OPEN, wanted)


def test_a_device_with_the_slug_is_ours_only_if_the_rest_fits() -> None:
    arguments = ProvisionArguments(Kind.STANDALONE, name="Pump", slug="pump-1", site_id="site-1")
    device = Device("device-1", "pump-1", "Pump", "site-1", "", None, None)
    assert is_result_of(device, arguments)
    assert is_result_of(device, replace(arguments, site_id=""))
    for other in ({"slug": "pump-2"}, {"name": "Boiler"}, {"site_id": "site-2"}):
        assert not is_result_of(replace(device, **other), arguments)


def test_waits_get_longer_and_an_api_that_asks_for_more_gets_it() -> None:
    order, waits = OPEN, []
    for _ in range(3):
        order = failed(order, UcmError(Code.API_UNREACHABLE), 100.0)
        waits.append((order.until or 0.0) - 100.0)
    assert waits == [5.0, 10.0, 20.0]
    patient = failed(OPEN, UcmError(Code.API_RATE_LIMITED, retry_after=90.0), 100.0)
    assert (patient.state, patient.until) == (OrderState.OPEN, 190.0)


@given(ORDERS, st.sampled_from(Code), TIMES)
def test_a_failure_refuses_an_order_or_has_it_tried_again_in_bounded_time(order: Order, code: Code, at: float) -> None:
    order = failed(replace(order, state=OrderState.OPEN), UcmError(code, retry_after=1e9), at)
    if order.open:
        assert order.until is not None
        assert not due(order, at)
        assert due(order, at + policy.BACKOFF_LAST)
    else:
        assert (order.state, order.until) == (OrderState.REFUSED, None)
        assert not due(order, float("inf"))


@given(ORDERS, TIMES)
def test_a_clock_that_jumped_makes_no_order_wait_longer_than_a_back_off(order: Order, now: float) -> None:
    order = clamp(replace(order, state=OrderState.OPEN), now)
    assert due(order, now + policy.BACKOFF_LAST)


def test_what_is_done_is_done() -> None:
    waiting = failed(OPEN, UcmError(Code.API_UNREACHABLE, "no route"), 1.0)
    done = answered(waiting, "device-1", "pump", 2.0)
    assert (done.state, done.device_id, done.slug, done.code, done.until) == (
        OrderState.DONE,
        "device-1",
        "pump",
        None,
        None,
    )
    assert not due(done, 1e9)
