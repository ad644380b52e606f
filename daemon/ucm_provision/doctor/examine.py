"""All checks, in the order in which a person would look: what everything else hangs on comes first."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import cast

from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, counts, problem, view
from ucm_provision.doctor.shapes import DoctorAnswer

# Modules of this package, each with a function ``check``. Each is imported when its turn comes, so that the first
# words are there at once and nobody waits for libraries that only the last checks need.
CHECKS = (
    "service",
    "configuration",
    "operators",
    "daemon",
    "user",
    "rule",
    "ports",
    "adapters",
    "modemmanager",
    "brltty",
    "holders",
    "clock",
    "disk",
    "journal",
    "api_token",
    "sealed_secrets",
    "dns",
    "api",
    "broker",
    "mdns",
)

Check = Callable[[Box], Iterable[Finding]]


def examine(box: Box) -> Iterator[Finding]:
    """What is found, as it is found."""
    for name in CHECKS:
        yield from _one(name, box)


def answer(findings: Sequence[Finding]) -> DoctorAnswer:
    """The same for programs."""
    return DoctorAnswer(
        version=version("ucm-provisiond"), counts=counts(findings), findings=[view(finding) for finding in findings]
    )


def _one(name: str, box: Box) -> Iterator[Finding]:
    """One check. If the doctor itself fails at it, the others are still made."""
    try:
        check = cast("Check", import_module(f"{__package__}.{name}").check)
        yield from check(box)
    except Exception as error:  # noqa: BLE001 -- on a broken machine anything may happen, and that is when it is needed
        yield _stumbled(name, error)


def _stumbled(name: str, error: Exception) -> Finding:
    """Where it happened, and not what it says: that may be of a secret."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return problem(
        name,
        f"The doctor itself failed here ({type(error).__name__} at {Path(place.filename).name}:{place.lineno}).",
        "The other checks were made. Please report it with this line.",
    )
