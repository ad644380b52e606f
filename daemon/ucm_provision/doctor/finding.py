"""What the doctor has found, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ucm_provision.core.errors import Code, anchor
from ucm_provision.doctor.shapes import FindingView


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"  # works now, and may not for long or not for everybody
    PROBLEM = "problem"  # modules are not provisioned, or nobody can ask the daemon
    SKIPPED = "skipped"  # not looked at; the summary says why


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: The check's name, stable for scripts.
        summary: What is, in one sentence.
        details: What follows from it and what to do, a sentence or two each.
        mend: A command to copy; empty where no single command mends it.
        code: The failure that docs/OPERATIONS.md has more about.
        needs_root: It was skipped for want of root's rights.
    """

    check: str
    level: Level
    summary: str
    details: tuple[str, ...] = ()
    mend: str = ""
    code: Code | None = None
    needs_root: bool = False


def ok(check: str, summary: str) -> Finding:
    return Finding(check, Level.OK, summary)


def warn(check: str, summary: str, *details: str, mend: str = "", code: Code | None = None) -> Finding:
    return Finding(check, Level.WARN, _sentence(summary), details, mend, code)


def problem(check: str, summary: str, *details: str, mend: str = "", code: Code | None = None) -> Finding:
    return Finding(check, Level.PROBLEM, _sentence(summary), details, mend, code)


def skipped(check: str, summary: str, *, needs_root: bool = False) -> Finding:
    return Finding(check, Level.SKIPPED, summary, needs_root=needs_root)


def _sentence(text: str) -> str:
    """What others said, and a summary may end with, has a full stop of its own or none."""
    return f"{text.rstrip('.')}."


def view(finding: Finding) -> FindingView:
    return FindingView(
        check=finding.check,
        level=finding.level.value,
        summary=finding.summary,
        details=list(finding.details),
        mend=finding.mend or None,
        read=anchor(finding.code) if finding.code else None,
        needs_root=finding.needs_root,
    )


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many there are of each level, those without any included."""
    counted = Counter(finding.level for finding in findings)
    return {level.value: counted[level] for level in Level}
