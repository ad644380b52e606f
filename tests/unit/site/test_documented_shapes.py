"""docs/OPERATIONS.md tells every key of what is handed to others, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from ucm_provision.documents import (
    FleetCampaign,
    FleetEvent,
    FleetModule,
    FleetStatus,
    PastFailureView,
    ReasonView,
    ReportCounts,
    ReportedModule,
    ReportedSite,
    ReportView,
    SignalView,
)
from ucm_provision.wire import AttachedView, EvidenceView, HoldView, OrderView, PauseView, TroubleView

OPERATIONS = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"

SHAPES = {
    "key of the report": (ReportView, {"site": ReportedSite, "counts": ReportCounts, "by_hand": OrderView}),
    "key of a module": (
        ReportedModule,
        {
            "evidence": EvidenceView,
            "signal": SignalView,
            "reason": ReasonView,
            "failures": PastFailureView,
            "attached": AttachedView,
        },
    ),
    "key of an event": (FleetEvent, {"module": FleetModule, "hold": HoldView, "trouble": TroubleView}),
    "key of a status": (FleetStatus, {"site": ReportedSite, "paused": PauseView, "campaign": FleetCampaign}),
}


def rows(head: str) -> dict[str, str]:
    """The table below a head: what stands in its second column, by each key of its first."""
    table = OPERATIONS.read_text().partition(f"| {head} | what |\n| --- | --- |\n")[2].partition("\n\n")[0]
    found = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {key: what for keys, what in found for key in re.findall(r"`(\w+)`", keys)}


@pytest.mark.parametrize("head", SHAPES)
def test_every_key_is_documented(head: str) -> None:
    shape, inner = SHAPES[head]
    documented = rows(head)
    assert documented.keys() == keys(shape)
    for key, nested in inner.items():
        named = set(re.findall(r"`(\w+)`", documented[key]))
        assert keys(nested) <= named, f"{head}: {key}"


def keys(shape: Any) -> set[str]:
    return set(get_type_hints(shape))
