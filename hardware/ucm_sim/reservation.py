"""Who may configure the module at present. Lives in RAM: a reboot drops it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ucm_sim.messages import ucm_link_pb2 as pb

LONGEST_S = 960


@dataclass(slots=True)
class _Holder:
    owner: str
    until: float


class ReservationDesk:
    """One reservation at a time, with an end. `now()` is the module's uptime in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._holder: _Holder | None = None

    @property
    def owner(self) -> str:
        """The owner of the reservation in force, or the empty string."""
        holder = self._current()
        return holder.owner if holder else ""

    def message(self) -> pb.Reservation | None:
        holder = self._current()
        if holder is None:
            return None
        return pb.Reservation(owner=holder.owner, remaining_s=math.ceil(holder.until - self._now()))

    def hold(self, owner: str, seconds: int) -> None:
        """Make or renew a reservation."""
        self._holder = _Holder(owner, self._now() + seconds)

    def release(self) -> None:
        self._holder = None

    def _current(self) -> _Holder | None:
        if self._holder is not None and self._holder.until <= self._now():
            self._holder = None
        return self._holder


def is_valid_owner(owner: str) -> bool:
    """An owner is 1 to 64 printable ASCII characters."""
    return 1 <= len(owner) <= 64 and owner.isascii() and owner.isprintable()
