"""One line for `systemctl status`."""

from __future__ import annotations

import pytest

from ucm_provision.core.errors import Code
from ucm_provision.core.machine import Hold, Milestone, Session, Waits
from ucm_provision.core.model import Carrier, Endpoint
from ucm_provision.status_line import status_line
from ucm_provision.wire import PauseView


def session(number: int, code: Code | None = None, waits: Waits = Waits.OPERATOR) -> Session:
    hold = Hold(waits, code, "", None) if code else None
    endpoint = Endpoint(Carrier.SERIAL, f"/dev/ttyUSB{number}", f"key-{number}")
    return Session(str(number), endpoint, Milestone.SEEN, hold=hold, updated_at=0.0)


@pytest.mark.parametrize(
    ("verified", "unfinished", "line"),
    [
        (0, [], "no modules yet"),
        (12, [], "12 verified"),
        (0, [session(1)], "1 under way"),
        (
            998,
            [
                session(1, Code.PORT_BUSY),
                session(2, Code.PORT_BUSY),
                session(3, Code.POP_MISSING),
                session(4, Code.API_FAILED, Waits.RETRY_AT),
                session(5, Code.DEVICE_GONE, Waits.DEVICE_GONE),
                session(6),
            ],
            (
                "998 verified; 3 waiting for you (port_busy, pop_missing); 1 to be tried again (api_failed); "
                "1 unplugged; 1 under way"
            ),
        ),
    ],
)
def test_what_counts(verified: int, unfinished: list[Session], line: str) -> None:
    counts = {"VERIFIED": verified} if verified else {}
    assert status_line(counts, unfinished, None) == line


def test_a_pause_comes_first() -> None:
    paused = PauseView(code="api_unauthorized", message="The token is refused.", until=1.0)
    assert status_line({"VERIFIED": 1}, [], paused) == "PAUSED, api_unauthorized: The token is refused.; 1 verified"
