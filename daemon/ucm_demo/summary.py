"""The demo's result: for a person, and for a program."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypedDict

from ucm_demo.plant import Plant
from ucm_demo.progress import describe, label
from ucm_provision.cli.client import ControlClient
from ucm_provision.wire import EvidenceView, ModuleView


class ModuleResult(TypedDict):
    """``seconds``: from plugged in to verified, null when it was not."""

    hardware_id: str | None
    name: str | None
    protocol: str | None
    device_id: str | None
    milestone: str
    seconds: float | None
    waiting_for: str | None
    evidence: EvidenceView | None


class DemoResult(TypedDict):
    """``report``: the path of the commissioning report."""

    modules: int
    verified: int
    seconds: float
    report: str
    results: list[ModuleResult]


async def write_report(site: Plant) -> Path:
    """The commissioning report, asked of the daemon as `ucmctl report` does; returns where it is."""
    client = ControlClient(str(site.folder / "control.sock"))
    document = await asyncio.to_thread(client.document, "report", engineer="make demo")
    path = site.folder / "commissioning-report.html"
    path.write_bytes(document.content)
    return path.absolute()


def result(views: list[ModuleView], expected: int, seconds: float, report: Path) -> DemoResult:
    return DemoResult(
        modules=expected,
        verified=sum(is_verified(view) for view in views),
        seconds=round(seconds, 2),
        report=str(report),
        results=[_module(view) for view in views],
    )


def is_verified(view: ModuleView) -> bool:
    return view["milestone"] == "VERIFIED" and view["evidence"] is not None


def _module(view: ModuleView) -> ModuleResult:
    verified = is_verified(view)
    return ModuleResult(
        hardware_id=view["hardware_id"],
        name=view["name"],
        protocol=view["protocol"],
        device_id=view["device_id"],
        milestone=view["milestone"],
        seconds=round(view["updated_at"] - view["seen_at"], 2) if verified else None,
        waiting_for=view["hold"]["message"] if view["hold"] else None,
        evidence=view["evidence"],
    )


def summary_lines(views: list[ModuleView], expected: int, report: Path) -> list[str]:
    """What happened to each module and why we believe it; then how many, and where the report is."""
    lines = []
    for view in views:
        lines.append(f"{label(view)}: {_outcome(view)}")
        if evidence := view["evidence"]:
            lines.append(
                f"  its own report: {evidence['reported_phase']} at generation {evidence['generation']} on "
                f'"{evidence["ssid"]}", {evidence["rssi_dbm"]} dBm'
            )
            lines.append(f"  independently: the {evidence['seen_by']} saw {evidence['seen_what']}{_at(evidence)}")
    verified = sum(is_verified(view) for view in views)
    return [*lines, f"{verified} of {expected} modules verified", f"The commissioning report: {report}"]


def _outcome(view: ModuleView) -> str:
    if not is_verified(view):
        return describe(view)
    seconds = view["updated_at"] - view["seen_at"]
    return f"verified in {seconds:.1f} s over {view['protocol']}, device {view['device_id']}"


def _at(evidence: EvidenceView) -> str:
    generation = evidence["seen_generation"]
    return f", at generation {generation}" if generation is not None else ""
