"""How often a token may call: a bucket of calls that fills up again as time passes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ucm_site_api.errors import ApiError


@dataclass
class _Bucket:
    calls: float
    at: float


class RateLimit:
    """`per_minute` calls for each token, all at once if need be; 0 is no limit. `now` is in seconds, monotonic."""

    def __init__(self, per_minute: int, now: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._now = now
        self._buckets: dict[str, _Bucket] = {}

    def take(self, token_id: str) -> None:
        """Count one call of a token that is known to be valid: so there are no more buckets than tokens.

        Raises:
            ApiError: 429, with the seconds until the next call as `Retry-After`.
        """
        if self._per_minute == 0:
            return
        now, rate = self._now(), self._per_minute / 60
        bucket = self._buckets.setdefault(token_id, _Bucket(self._per_minute, now))
        bucket.calls = min(self._per_minute, bucket.calls + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.calls < 1:
            wait = math.ceil((1 - bucket.calls) / rate)
            message = "Too many calls with this token."
            raise ApiError(429, "too_many_requests", message, headers={"Retry-After": str(wait)})
        bucket.calls -= 1
