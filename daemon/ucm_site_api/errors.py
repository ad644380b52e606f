"""The two kinds of failure: a call that is refused, and a server that cannot start."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from msgspec import UNSET

from ucm_site_api.answers import answer
from ucm_site_api.messages import ErrorEntry, ErrorEnvelope

_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "payload_too_large",
    417: "expectation_failed",
}


class SiteStartError(Exception):
    """The server cannot start. The text is one sentence for the person at the keyboard."""


class ConfigurationError(SiteStartError):
    """What was asked for can never work; starting again will not help."""


class ApiError(Exception):
    """A refused call, as the platform's clients read it.

    `code` is a stable word for programs, `message` a sentence for people, `details` names what was wrong.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


class BrokerUnavailableError(ApiError):
    """503: the broker did not do what the call needs. Nothing was written; asking again is safe."""

    def __init__(self) -> None:
        message = "The broker does not answer, so no credential can be issued now. Nothing was changed: ask again."
        super().__init__(503, "service_unavailable", message, headers={"Retry-After": "5"})


def error_response(error: ApiError) -> web.Response:
    """The platform's error envelope; the list in it is never empty, because clients take its first entry."""
    entry = ErrorEntry(error.code, error.message, error.details or UNSET)
    return answer(ErrorEnvelope([entry]), error.status, error.headers)


def invalid_field(path: str, message: str) -> ApiError:
    """400 for one field of the body; `path` is a JSON path such as `$.name`. Clients often show only the message."""
    field = path.removeprefix("$").removeprefix(".")
    return ApiError(400, "invalid_request", f"{field}: {message}" if field else message, {"path": path})


def not_found(what: str, reference: str) -> ApiError:
    """404 for a resource that the URL names."""
    return ApiError(404, "not_found", f"No {what} {reference!r} here.")


def translated(error: web.HTTPError) -> ApiError:
    """A refusal by the HTTP framework, in the platform's form."""
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return ApiError(error.status, _CODES.get(error.status, "http_error"), f"{error.reason}.", headers=headers)
