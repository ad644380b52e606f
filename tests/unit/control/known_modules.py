"""Modules and a status as the daemon would tell them."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from ucm_provision.control.api import ControlApi, Status
from ucm_provision.control.events import News
from ucm_provision.control.routes import Routes
from ucm_provision.control.sessions import PageSessions
from ucm_provision.control.web import WebPage
from ucm_provision.core.errors import Code, explain
from ucm_provision.core.events import (
    ArgumentsFixed,
    DeviceAdded,
    Event,
    Failed,
    Identified,
    Identity,
    Seen,
    Verified,
)
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
from ucm_provision.engine.feed import Feed
from ucm_provision.engine.operator import Operator
from ucm_provision.engine.views import module_view, timeline_entry
from ucm_provision.wire import API_VERSION, ApiView, ModuleView, PauseView, StatusView, TimelineEntry

FIRST = "C8795CBA5375484E829105E959663C8B"
SECOND = "C8795CBA5375484E8291FFFFFFFFFFFF"
STARTED_AT = 1_700_000_000.0
EVIDENCE = Evidence(1, Phase.ONLINE, 10.0, -61, "plant", Source.WITNESS, "a message", 1, 11.0)


def port(number: int) -> Endpoint:
    return Endpoint(Carrier.SERIAL, f"/dev/ttyUSB{number}", f"key-{number}")


def named(name: str, hardware_id: str) -> list[Event]:
    arguments = ProvisionArguments(Kind.UCM, hardware_id, "site-1", name, MqttProtocol.MQTTS)
    return [Identified(Identity(hardware_id, Product.UCM, "ENP-RL6", "2.4.1")), ArgumentsFixed(arguments)]


class KnownModules:
    """What a daemon has lived through, for a control API to tell."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.histories: dict[str, list[TimelineEntry]] = {}
        self.pause: PauseView | None = None

    def add(self, session_id: str, *events: Event, number: int = 0) -> None:
        session: Session | None = None
        self.histories[session_id] = []
        for at, event in enumerate([Seen(port(number)), *events], start=int(STARTED_AT)):
            session = evolve(session, event, session_id=session_id, at=float(at))
            self.histories[session_id].append(timeline_entry(float(at), event))
        assert session is not None
        self.sessions.append(session)

    def views(self) -> list[ModuleView]:
        return [module_view(session, where=session.endpoint, activity=None) for session in self.sessions]

    async def timeline(self, session_id: str) -> list[TimelineEntry]:
        return self.histories[session_id]

    def status(self) -> StatusView:
        return StatusView(
            version="0.1.0",
            api_version=API_VERSION,
            box_id="box-a",
            started_at=STARTED_AT,
            api=ApiView(url="https://api.test", site_id="site-1"),
            witness="connected",
            fleet=None,
            wifi=["plant", "guests"],
            box_wifi=None,
            campaign=None,
            outdated=0,
            paused=self.pause,
            modules={"VERIFIED": 1, "IDENTIFIED": 1, "SEEN": 1},
            orders={"done": 3},
        )


def plant() -> KnownModules:
    """One module that is done, one that needs a person, and a port that nothing is known of."""
    known = KnownModules()
    added = DeviceAdded("device-1", "boiler-room")
    known.add("aaaaaaaaaaaa", *named("Boiler room", FIRST), added, Verified(EVIDENCE), number=0)
    known.add("bbbbbbbbbbbb", *named("Pump", SECOND), Failed(Code.BROKER_TLS_UNTRUSTED, "self-signed"), number=1)
    known.add("cccccccccccc", number=2)
    return known


PUMP_WAITS = explain(Code.BROKER_TLS_UNTRUSTED, "self-signed")


def control_api(
    known: KnownModules, status: Status | None = None, *more: Routes, readable: Sequence[Routes] = ()
) -> ControlApi:
    """The real API over what is known. Nobody asks it to act: that needs a daemon, and is tested with one."""
    nobody = Operator(known, None, None, None)  # type: ignore[arg-type]
    news = News(Feed(), known.views, {"status": status or known.status})
    return ControlApi(  # type: ignore[arg-type]
        status or known.status, known, known.timeline, nobody, news, more=more, readable=readable
    )


def own_page(api: ControlApi) -> web.Application:
    """What a browser on this box is served, before anybody has signed in."""
    return WebPage(api, PageSessions(lambda: 0.0), (), ()).application(private=False)
