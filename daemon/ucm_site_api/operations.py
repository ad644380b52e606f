"""What a call of the API is: its place, who may make it, what goes in and what comes out.

Routing and the OpenAPI document are both made from these, so neither can say anything the other does not.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from msgspec import Struct

from ucm_site_api.app import BEARER, SERVICES, Services
from ucm_site_api.errors import ApiError, not_found
from ucm_site_api.messages import Role
from ucm_site_api.records import ROLES, Device, Site, Token
from ucm_site_api.requests import expansions, window

Query = Literal["expand", "offset", "limit", "name"]
PAGE: tuple[Query, ...] = ("offset", "limit")


class Call:
    """One request, by the names of the API. A token that is for one site alone sees no other."""

    def __init__(self, request: web.Request) -> None:
        self._request = request

    @property
    def services(self) -> Services:
        """What the call is answered from."""
        return self._request.app[SERVICES]

    @property
    def bearer(self) -> Token:
        """The token that came with it."""
        return self._request[BEARER]

    @property
    def window(self) -> tuple[int, int]:
        """Offset and limit; ApiError (400) if they are no numbers."""
        return window(self._request)

    @property
    def expansions(self) -> frozenset[str]:
        """What `expand` asks for."""
        return expansions(self._request)

    @property
    def name(self) -> str | None:
        """The name that a list is asked for."""
        return self._request.query.get("name") or None

    def home(self, wished: str | None) -> str | None:
        """The site that a body is about: the one it names, else the token's; None is for the registry to say.

        Raises:
            ApiError: 422 the token is for another site.
        """
        own = self.bearer.site_id
        if own is not None and wished not in {None, own}:
            message = f"There is no site {wished!r} on this server."
            raise ApiError(422, "unprocessable_entity", message, {"path": "$.site_id"})
        return wished or own

    async def site(self) -> Site:
        """The site that the path names; the token's or the server's own if it names none.

        Raises:
            ApiError: 404.
        """
        own, registry = self.bearer.site_id, self.services.registry
        wanted = self._request.match_info.get("site") or own
        known = await registry.first_site() if wanted is None else await registry.site(wanted)
        if known is None or own not in {None, known.id}:
            raise not_found("site", wanted or "")
        return known

    async def device(self) -> Device:
        """The device that the path names by id or slug.

        Raises:
            ApiError: 404.
        """
        reference = self._request.match_info["device"]
        within = (await self.site()).id if "site" in self._request.match_info else self.bearer.site_id
        known = await self.services.registry.device(reference, within)
        if known is None:
            raise not_found("device", reference)
        return known

    def require_every_site(self) -> None:
        """Refuse a token that is for one site alone.

        Raises:
            ApiError: 403.
        """
        if self.bearer.site_id is not None:
            raise ApiError(403, "forbidden", "Access denied: the token is for one site.")

    def may(self, least: Role) -> bool:
        """Whether the token's role includes another."""
        return ROLES.index(self.bearer.role) >= ROLES.index(least)


@dataclass(frozen=True)
class Operation:
    """One call. `run` is given the Call, and the body if there is one; its docstring is what the document says.

    `refusals` are the statuses that are its own, beside those that any call of its kind has.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    run: Callable[..., Awaitable[Struct]]
    answer: type[Struct]
    body: type[Struct] | None = None
    query: tuple[Query, ...] = ()
    least: Role = "READONLY"
    refusals: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """A name for programs, the same under both prefixes."""
        return self.run.__name__

    @property
    def changes(self) -> bool:
        """Whether it is worth a line in the audit log."""
        return self.method != "GET"


def path_parameters(path: str) -> list[str]:
    """The names in braces."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def ids_in(answer: Struct) -> dict[str, Any]:
    """What an answer is about: for the audit log, so never a secret."""
    ids = {name: getattr(answer, name, None) for name in ("device_id", "gateway_device_id")}
    for name in ("device", "site"):
        if (view := getattr(answer, name, None)) is not None:
            ids[f"{name}_id"] = view.id
    return {name: value for name, value in ids.items() if value is not None}
