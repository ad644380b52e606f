"""The page, as it is served over TCP: to this box itself, or over TLS to the LAN."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
from aiohttp import web

from ucm_provision.control.api import ControlApi, error_answers
from ucm_provision.control.assets import Assets, load_assets
from ucm_provision.control.guard import LOOPBACK_NAMES, Guard
from ucm_provision.control.routes import Routes, json_answer, json_request
from ucm_provision.control.sessions import PageSessions
from ucm_provision.core import policy
from ucm_provision.wire import PageView

# No script, style or picture but our own, in no frame, and nothing is sent anywhere else.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class _SignIn(msgspec.Struct, forbid_unknown_fields=True):
    token: str


class WebPage:
    """Makes the applications that serve the page.

    Args:
        more: Parts of the API that the page uses, beside modules and events. None of them tells a secret.
        names: Under which names browsers reach this box on the LAN.
    """

    def __init__(self, api: ControlApi, sessions: PageSessions, more: Sequence[Routes], names: Collection[str]) -> None:
        self._api = api
        self._sessions = sessions
        self._more = more
        self._names = names
        self._assets = Assets(load_assets())

    def application(self, *, private: bool) -> web.Application:
        """``private``: it is served to the LAN, over TLS; everything but the page's own files needs a sign-in."""
        names = self._names if private else LOOPBACK_NAMES
        guard = Guard(self._sessions, names, self._assets.places, private=private)
        app = web.Application(middlewares=[error_answers, guard.check], client_max_size=policy.CONTROL_BODY_LARGEST)
        app.on_response_prepare.append(_add_headers)
        self._assets.add_to(app)
        self._api.add_reading_to(app)
        self._api.add_acting_to(app)
        for routes in self._more:
            routes.add_to(app)
        SignInRoutes(self._sessions, guard, private=private).add_to(app)
        return app


class SignInRoutes:
    """Who a browser is, and how it becomes somebody."""

    def __init__(self, sessions: PageSessions, guard: Guard, *, private: bool) -> None:
        self._sessions = sessions
        self._guard = guard
        self._private = private

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v1/page", self._show)
        app.router.add_post("/v1/page/sign-in", self._sign_in)
        app.router.add_post("/v1/page/sign-out", self._sign_out)

    async def _show(self, request: web.Request) -> web.Response:
        session = self._guard.session(request)
        return json_answer(self._view(session.who if session else None))

    async def _sign_in(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _SignIn, policy.CONTROL_BODY_LARGEST)
        session, cookie = self._sessions.sign_in(asked.token)
        answer = json_answer(self._view(session.who))
        answer.set_cookie(
            self._guard.cookie,
            cookie.reveal(),
            max_age=int(policy.PAGE_SESSION_LIFETIME),
            httponly=True,
            samesite="Strict",
            secure=self._private,
        )
        return answer

    async def _sign_out(self, request: web.Request) -> web.Response:
        self._sessions.sign_out(request.cookies.get(self._guard.cookie, ""))
        answer = json_answer(self._view(None))
        answer.del_cookie(self._guard.cookie, httponly=True, samesite="Strict", secure=self._private)
        return answer

    def _view(self, who: str | None) -> PageView:
        return PageView(signed_in_as=who, private=self._private)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """What an answer says of itself stays: a report has its own style, and says so."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
