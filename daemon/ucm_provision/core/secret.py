"""A value that never shows itself."""

from __future__ import annotations

import hmac
from typing import Generic, TypeVar

T = TypeVar("T", str, bytes)


class Secret(Generic[T]):
    """A passphrase, key, token or proof of possession whose repr, str and format show nothing.

    Only :meth:`reveal` hands the value out, so that every place that uses it can be found by name.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: T = value

    def reveal(self) -> T:
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._value), _bytes(other.reveal()))

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret is a leak and a dictionary key a log line

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
