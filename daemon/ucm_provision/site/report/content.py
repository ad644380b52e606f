"""What stands in the commissioning report, whatever it is printed as. Views in, one document out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, anchor, explain
from ucm_provision.core.history import PastFailure
from ucm_provision.core.model import Phase
from ucm_provision.documents import (
    REPORT_VERSION,
    PastFailureView,
    Quality,
    ReasonView,
    ReportCounts,
    ReportedModule,
    ReportedSite,
    ReportView,
    Result,
    SignalView,
)
from ucm_provision.wire import EvidenceView, ModuleView, OrderView, StatusView

# The least signal of each quality, in dBm. What is none of them is weak.
_QUALITIES: tuple[tuple[int, Quality], ...] = ((-60, "strong"), (-67, "good"), (policy.SIGNAL_WEAK, "fair"))
# What is a person's doing, or waits for it, is nothing that failed.
_NO_FAILURES = frozenset({Code.DEVICE_GONE, Code.APPROVAL_NEEDED})
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants the report, and of what.

    ``since``: only what has changed from then on, in seconds since the epoch; None: everything.
    """

    engineer: str = ""
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the daemon knows at the moment ``now``.

    Attributes:
        modules: Those that belong to the site: without candidates that nobody has approved.
        unapproved: How many candidates there are.
        failures: What failed in the past, by session.
    """

    now: float
    site: ReportedSite
    status: StatusView
    modules: Sequence[ModuleView]
    unapproved: int
    failures: Mapping[str, Sequence[PastFailure]]
    orders: Sequence[OrderView]


def compose(asked: Asked, facts: Facts) -> ReportView:
    since = asked.since if asked.since is not None else 0.0
    chosen = sorted((each for each in facts.modules if each["updated_at"] >= since), key=_place)
    modules = [_module(each, facts.failures.get(each["session"], ())) for each in chosen]
    return ReportView(
        version=REPORT_VERSION,
        created_at=facts.now,
        since=asked.since,
        site=facts.site,
        box=facts.status["box_id"],
        engineer=asked.engineer or None,
        api=facts.status["api"]["url"],
        software=f"ucm-provisiond {facts.status['version']}",
        counts=_counts(modules, older=len(facts.modules) - len(chosen), unapproved=facts.unapproved),
        modules=modules,
        by_hand=[_order(order) for order in facts.orders if order["updated_at"] >= since],
    )


def _place(module: ModuleView) -> tuple[list[str | int], str]:
    """By name, as a person sorts: "Dryer 2" before "Dryer 10"."""
    name = (module["name"] or module["hardware_id"] or module["endpoint"]).casefold()
    parts = _DIGITS.split(name)  # text and digits in turn, so that like is compared with like
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], module["session"]


def _counts(modules: Sequence[ReportedModule], *, older: int, unapproved: int) -> ReportCounts:
    of = Counter(module["result"] for module in modules)
    return ReportCounts(
        modules=len(modules),
        verified=of["verified"],
        verified_with_warning=of["verified_with_warning"],
        not_well=of["not_well"],
        not_verified=of["not_verified"],
        older=older,
        unapproved=unapproved,
    )


def _module(view: ModuleView, failures: Sequence[PastFailure]) -> ReportedModule:
    evidence, result = view["evidence"], _result(view)
    verified = evidence is not None and result != "not_verified"
    return ReportedModule(
        result=result,
        name=view["name"],
        hardware_id=view["hardware_id"],
        device_id=view["device_id"],
        slug=view["slug"],
        product=view["product"],
        model=view["model"],
        firmware=view["firmware"],
        endpoint=view["endpoint"],
        carrier=view["carrier"],
        protocol=view["protocol"],
        adopted=view["adopted"],
        managed_by=view["managed_by"],
        seen_at=view["seen_at"],
        verified_at=max(evidence["reported_at"], evidence["seen_at"]) if evidence and verified else None,
        how=_how(evidence) if evidence and verified else None,
        evidence=evidence if verified else None,
        signal=_signal(evidence) if evidence and verified else None,
        reason=_reason(view, result),
        warnings=view["warnings"],
        failures=[_past_failure(each) for each in failures if each.code not in _NO_FAILURES],
        attached=view["attached"],
    )


def _result(view: ModuleView) -> Result:
    if view["milestone"] != "VERIFIED" or view["evidence"] is None:
        return "not_verified"
    if view["trouble"]:
        return "not_well"
    return "verified_with_warning" if view["warnings"] else "verified"


def _how(evidence: EvidenceView) -> str:
    """Both testimonies in one sentence: the module's own, and that of somebody else."""
    if not evidence["generation"]:
        return f"{_WHO[evidence['seen_by']]} has {evidence['seen_what']}."
    seen = f"{_WHO[evidence['seen_by']]} saw {evidence['seen_what']}"
    if evidence["reported_phase"] == Phase.IDLE.value:
        return f"{seen}. Its own report could not be asked: it was configured on a bench."
    network = f' on "{evidence["ssid"]}"' if evidence["ssid"] else ""
    return (
        f"The module reported {evidence['reported_phase']}{network} "
        f"with configuration {evidence['generation']}, and {seen[0].lower()}{seen[1:]}."
    )


_WHO = {"witness": "The witness at the broker", "api": "The provisioning API"}


def _signal(evidence: EvidenceView) -> SignalView | None:
    rssi = evidence["rssi_dbm"]
    if rssi >= 0:  # nothing was reported
        return None
    return SignalView(rssi_dbm=rssi, quality=next((name for least, name in _QUALITIES if rssi >= least), "weak"))


def _reason(view: ModuleView, result: Result) -> ReasonView | None:
    if result == "not_well" and (trouble := view["trouble"]):
        return ReasonView(code=trouble["code"], message=_without_reference(trouble["code"], trouble["message"]))
    if result != "not_verified":
        return None
    if hold := view["hold"]:
        return ReasonView(code=hold["code"], message=_without_reference(hold["code"], hold["message"]))
    return ReasonView(code=None, message=_unfinished(view))


def _unfinished(view: ModuleView) -> str:
    if activity := view["activity"]:
        return f"It is being worked on: {' '.join(filter(None, (activity['step'], activity['detail'])))}."
    if view["appears_later"]:
        return "Configured on a bench; it is verified when it is seen at its place."
    if view["milestone"] == "CANCELLED":
        return "It was given up."
    return "Its turn has not come yet."


def _past_failure(failure: PastFailure) -> PastFailureView:
    message = explain(failure.code, failure.detail)
    return PastFailureView(
        code=failure.code.value,
        message=_without_reference(failure.code.value, message),
        times=failure.times,
        first_at=failure.first_at,
        last_at=failure.last_at,
    )


def _order(order: OrderView) -> OrderView:
    message = order["message"]
    return OrderView({**order, "message": message and _without_reference(order["code"] or "", message)})


_CODES = {code.value: code for code in Code}


def _without_reference(code: str, message: str) -> str:
    """The sentence alone: whoever holds the report does not have the daemon's manual."""
    known = _CODES.get(code)
    return message.removesuffix(f" {anchor(known)}").removeprefix(f"{known.name}: ") if known else message
