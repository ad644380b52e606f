"""What the API's refusals mean: status codes, the error envelope, and how long to wait.

The envelope is ``{"errors": [{"code", "message", "details"}]}``. Real answers lack the code at times,
have an empty list, or are the HTML page of a proxy in between; none of that may hide the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.secret import Secret
from ucm_provision.core.text import one_line

_CODES: dict[int, Code] = {
    HTTPStatus.UNAUTHORIZED: Code.API_UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: Code.API_UNAUTHORIZED,
    HTTPStatus.NOT_FOUND: Code.API_NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Code.API_NOT_FOUND,
    HTTPStatus.CONFLICT: Code.API_CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS: Code.API_RATE_LIMITED,
}


class _ErrorJson(msgspec.Struct):
    message: str | None = None
    code: str | None = None


class _EnvelopeJson(msgspec.Struct):
    errors: list[_ErrorJson] = []


def refusal(status: int, headers: Mapping[str, str], body: bytes, *, token: Secret[str], now: float) -> UcmError:
    """The failure that an answer other than 2xx is.

    Args:
        body: The beginning of the answer's body.
        token: What was sent, so that an API that quotes it does not bring it into a log.
        now: Seconds since the Unix epoch, for a ``Retry-After`` that is a date.
    """
    said = _location(headers) if 300 <= status < 400 else _message(body)
    detail = one_line(f"HTTP {status} {said}".replace(token.reveal(), "<secret>"), policy.API_DETAIL_LARGEST)
    return UcmError(_code(status), detail, retry_after=_retry_after(headers.get("Retry-After"), now))


def _code(status: int) -> Code:
    if status >= 500:
        return Code.API_FAILED
    if status < 400:
        return Code.API_ANSWER_INVALID
    return _CODES.get(status, Code.API_REJECTED)


def _message(body: bytes) -> str:
    """The first error's code and message, as far as there are any."""
    try:
        errors = msgspec.json.decode(body, type=_EnvelopeJson).errors
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not errors:
        return ""
    return ": ".join(part for part in (errors[0].code, errors[0].message) if part)


def _location(headers: Mapping[str, str]) -> str:
    return f"redirects to {headers.get('Location', 'nowhere')}; redirects are not followed, correct api.url"


def _retry_after(value: str | None, now: float) -> float | None:
    """Seconds, from either form of RFC 9110, section 10.2.3; None if there is none that makes sense."""
    if value is None:
        return None
    text = value.strip()
    seconds = float(text[:9]) if text.isascii() and text.isdigit() else _seconds_until(text, now)
    return None if seconds is None else min(max(seconds, 0.0), policy.RETRY_AFTER_LONGEST)


def _seconds_until(date: str, now: float) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - now
    except (ValueError, OverflowError):
        return None
