"""Vital signs in which everything that can be there is there."""

from __future__ import annotations

from ucm_provision.control.metrics import BoxSigns
from ucm_provision.core.campaign import MemberState
from ucm_provision.core.machine import Milestone
from ucm_provision.core.orders import OrderState
from ucm_provision.engine.vital_signs import CampaignSigns, VitalSigns

ENGINE = VitalSigns(
    modules={milestone.value: number for number, milestone in enumerate(Milestone)},
    waiting={("operator", "pop_missing"): 2, ("retry_at", "api_failed"): 3, ("operator", "not_seen"): 1},
    unwell={"not_online": 1},
    under_way={"identify": 0, "provision": 1, "check": 0, "push": 2, "verify": 0},
    failures={"api_failed": 7, "link_silent": 1},
    endpoints={"serial": 4, "http": 30},
    candidates=5,
    outdated=6,
    orders={state.value: 1 for state in OrderState},
    api_up=False,
    paused="api_unreachable",
    certificate_ends_at=1_800_000_000.0,
    campaign=CampaignSigns("c1", "change", "running", {state.value: 2 for state in MemberState}),
)
BOX = BoxSigns(
    version="0.1.0",
    journal_bytes=4096,
    free_bytes=10**9,
    loop_lag=0.25,
    clock_synchronized=True,
    witness_up=False,
    fleet_up=True,
    fleet_dropped=9,
)
