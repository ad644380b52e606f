"""How the site fares, in one line: what `systemctl status` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ucm_provision.core.machine import Milestone, Session, Waits
from ucm_provision.wire import PauseView

_CODES_SHOWN = 3
_WORDS = {Waits.OPERATOR: "waiting for you", Waits.RETRY_AT: "to be tried again", Waits.DEVICE_GONE: "unplugged"}


def status_line(counts: dict[str, int], unfinished: Iterable[Session], paused: PauseView | None) -> str:
    """``counts``: modules by milestone."""
    return "; ".join(_parts(counts, list(unfinished), paused)) or "no modules yet"


def _parts(counts: dict[str, int], unfinished: list[Session], paused: PauseView | None) -> Iterator[str]:
    if paused:
        yield f"PAUSED, {paused['code']}: {paused['message']}"
    if verified := counts.get(Milestone.VERIFIED.value):
        yield f"{verified} verified"
    for waits, words in _WORDS.items():
        codes = Counter(each.hold.code.value for each in unfinished if each.hold and each.hold.waits is waits)
        if codes and waits is Waits.DEVICE_GONE:
            yield f"{codes.total()} {words}"
        elif codes:
            yield f"{codes.total()} {words} ({', '.join(code for code, _ in codes.most_common(_CODES_SHOWN))})"
    if at_work := sum(each.hold is None for each in unfinished):
        yield f"{at_work} under way"
