"""Where the daemon answers: on the control socket, and with its page over TCP."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from ucm_provision.control.api import ControlApi
from ucm_provision.control.listening import listen_at, serving, serving_at
from ucm_provision.control.places import InvitationRoutes, Place
from ucm_provision.control.routes import Routes
from ucm_provision.control.sessions import PageSessions
from ucm_provision.control.web import WebPage
from ucm_provision.core.ports import Clock
from ucm_provision.discovery.interfaces import look
from ucm_provision.host.config import Configuration
from ucm_provision.host.web_certificate import own_certificate
from ucm_provision.parts import web_tls

Passed = Mapping[str, socket.socket]


@dataclass(frozen=True, slots=True)
class Answering:
    """What answers. ``of_page``: the parts beside modules and events that the page has, too."""

    api: ControlApi
    of_page: Sequence[Routes]


@dataclass(frozen=True, slots=True)
class _Certificate:
    """``fingerprint``: where the daemon made it itself."""

    tls: ssl.SSLContext
    fingerprint: str | None = None


@asynccontextmanager
async def answering(
    what: Answering, settings: Configuration, clock: Clock, passed: Passed
) -> AsyncIterator[list[Place]]:
    """Serves control socket and page for as long as the context lasts; yields where the page is.

    Raises:
        UcmError: control_unusable, already_running or config_invalid.
    """
    sessions = PageSessions(clock.monotonic)
    async with AsyncExitStack() as stack:
        served = {Place.of(each): each for each in _page_listeners(settings, passed, stack)}
        certificate = await _certificate(settings, clock) if any(place.private for place in served) else None
        page = WebPage(what.api, sessions, what.of_page, _names(settings))
        for place, listener in served.items():
            tls = certificate.tls if certificate and place.private else None
            await stack.enter_async_context(serving(page.application(private=place.private), listener, tls))
        fingerprint = certificate.fingerprint if certificate else None
        invitations = InvitationRoutes(sessions, list(served), _addresses, fingerprint)
        await _serve_control(what.api, invitations, settings, passed, stack)
        yield list(served)


async def _serve_control(
    api: ControlApi, invitations: Routes, settings: Configuration, passed: Passed, stack: AsyncExitStack
) -> None:
    """A socket that was passed outlives what serves it, and so a copy of it is served."""
    app = api.application(invitations)
    if "control" in passed:
        await stack.enter_async_context(serving(app, passed["control"].dup()))
    else:
        await stack.enter_async_context(serving_at(app, settings.file(settings.values.control.socket)))


def _page_listeners(settings: Configuration, passed: Passed, stack: AsyncExitStack) -> Iterator[socket.socket]:
    if "web" in passed:
        yield stack.enter_context(passed["web"].dup())
    if where := settings.web_listen():
        yield stack.enter_context(listen_at(*where))


async def _certificate(settings: Configuration, clock: Clock) -> _Certificate:
    return await asyncio.to_thread(_load_certificate, settings, clock.now())


def _load_certificate(settings: Configuration, now: float) -> _Certificate:
    if given := settings.web_certificate():
        return _Certificate(web_tls(settings, *given))
    path = settings.file(settings.values.state.dir) / "page.pem"
    fingerprint = own_certificate(path, [*_names(settings), *_addresses()], now)
    return _Certificate(web_tls(settings, path), fingerprint)


def _names(settings: Configuration) -> list[str]:
    """What this box is called on the LAN."""
    host = socket.gethostname().partition(".")[0].lower()
    return [*dict.fromkeys((host, f"{host}.local", socket.gethostname().lower(), *settings.values.web.names))]


def _addresses() -> list[str]:
    """Where this box is reached on its networks, at this moment; while it is on none, by its name."""
    found = [str(each.ip) for each in look(frozenset()).addresses if not each.ip.is_link_local]
    return found or [socket.gethostname()]
