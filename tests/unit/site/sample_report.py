"""A site that has lived through a bit of everything, for reports to tell of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from tests.unit.control.known_modules import KnownModules
from ucm_provision.core.errors import Code, explain
from ucm_provision.core.events import (
    Adopted,
    ArgumentsFixed,
    DeviceAdded,
    Event,
    Failed,
    Identified,
    Identity,
    Inspected,
    LeftToAppear,
    Seen,
    SlaveAdded,
    SlaveArgumentsFixed,
    Verified,
    Warned,
)
from ucm_provision.core.history import PastFailure
from ucm_provision.core.kinds import Kind
from ucm_provision.core.machine import Session, evolve
from ucm_provision.core.model import (
    Carrier,
    Endpoint,
    Evidence,
    MqttProtocol,
    Phase,
    Product,
    ProvisionArguments,
    Source,
)
from ucm_provision.documents import ReportedSite
from ucm_provision.engine.views import module_view
from ucm_provision.site.report import Facts
from ucm_provision.wire import OrderView

START = datetime(2026, 7, 14, 8, 0, tzinfo=UTC).timestamp()
NOW = START + 36_000.0
SUMMER = timezone(timedelta(hours=2), "CEST")
ENGINEER = "Jana Björkqvist"
ELECTROLYSER, LINK_MASTER, SLAVE = "BCC415CBA5375484E829105E959663C8B", "D" * 32, "E" * 32
RECORDED = Evidence(0, Phase.IDLE, START, 0, "", Source.API, "the device's record", None, START + 5.0)


def local(at: float) -> datetime:
    """The plant's own time."""
    return datetime.fromtimestamp(at, SUMMER)


def online(rssi_dbm: int, by: Source = Source.WITNESS) -> Verified:
    what = "a message on v1/from/it/ucm/v1/register" if by is Source.WITNESS else "generation 1 registered"
    return Verified(Evidence(1, Phase.ONLINE, START + 9.0, rssi_dbm, "plant-wifi", by, what, 1, START + 11.0))


def module(
    number: int,
    name: str,
    *events: Event,
    hardware_id: str = "",
    product: Product = Product.UCM,
    carrier: Carrier = Carrier.SERIAL,
) -> Session:
    """A module whose device has been added, and what happened to it then: an event each hour."""
    hardware_id = hardware_id or f"{number:032X}"
    identity = Identity(hardware_id, product, "ENP-RL6", "2.4.1")
    arguments = ProvisionArguments(Kind.UCM, hardware_id, "site-1", name, MqttProtocol.MQTTS)
    before = (Identified(identity), ArgumentsFixed(arguments), DeviceAdded(f"device-{number}", f"unit-{number}"))
    return session(number, *before, *events, carrier=carrier)


def session(number: int, *events: Event, carrier: Carrier = Carrier.SERIAL) -> Session:
    address = f"/dev/ttyUSB{number}" if carrier is Carrier.SERIAL else f"ucm-{number}"
    begun = evolve(None, Seen(Endpoint(carrier, address, f"key-{number}")), session_id=f"session-{number}", at=START)
    for hours, event in enumerate(events):
        begun = evolve(begun, event, session_id=begun.id, at=START + 3600.0 * hours)
    return begun


def sessions() -> list[Session]:
    slave = ProvisionArguments(Kind.LINK_SLAVE, SLAVE, "site-1", "Outputs", master_device_id="device-7")
    other = replace(slave, hardware_id="F" * 32, name="Inputs")
    return [
        module(0, "Electrolyser 10", online(-58), hardware_id=ELECTROLYSER, product=Product.ELECTROLYSER),
        module(1, "Electrolyser 2", online(-66, Source.API)),
        module(2, "Gas sensors", online(-79), carrier=Carrier.HTTP),
        module(3, "Pump", Failed(Code.BROKER_TLS_UNTRUSTED, "self-signed")),
        session(4, Failed(Code.LINK_SILENT, "/dev/ttyUSB4")),
        module(5, "Water tank", online(-70), Inspected(Code.NOT_ONLINE, "WIFI")),
        module(6, "Bench", LeftToAppear()),
        module(
            7,
            "Master",
            *(SlaveArgumentsFixed(slave, "ENP-AO6"), SlaveAdded(SLAVE, "device-8"), SlaveArgumentsFixed(other, "X")),
            Verified(RECORDED),
            hardware_id=LINK_MASTER,
            product=Product.LINK_MASTER,
        ),
        module(8, "Old", Adopted("device-8", "old", 4, "box-b"), Warned("Its clock is wrong."), online(-60)),
    ]


def order(state: str = "done", **changes: object) -> OrderView:
    base = OrderView(
        id="o1",
        kind="vucm",
        name="Virtual meter",
        hardware_id="V" + "0" * 32,
        device_id="device-20",
        slug="virtual-meter",
        state="done",
        code=None,
        message=None,
        until=None,
        by="anna",
        placed_at=START,
        updated_at=START + 60.0,
    )
    return OrderView({**base, "state": state, **changes})  # type: ignore[typeddict-item]  # the test's own keys


def refused_order() -> OrderView:
    why = {"code": "slug_taken", "message": explain(Code.SLUG_TAKEN, "weather")}
    return order("refused", kind="standalone", name="Weather", hardware_id=None, device_id=None, **why)


def facts(*chosen: Session) -> Facts:
    return Facts(
        now=NOW,
        site=ReportedSite(name="Hydrogen plant", id="site-1"),
        status=KnownModules().status(),
        modules=[module_view(each, where=each.endpoint, activity=None) for each in chosen or sessions()],
        unapproved=3,
        failures={
            "session-1": [
                PastFailure(Code.BROKER_TIMEOUT, "192.0.2.10", 3, START, START + 60.0),
                PastFailure(Code.DEVICE_GONE, "/dev/ttyUSB1", 1, START, START),
            ]
        },
        orders=[order(), refused_order()],
    )
