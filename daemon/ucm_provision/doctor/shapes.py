"""The shapes of what `ucmctl doctor --json` and `ucmctl suggest --json` print. Keys are added, never changed."""

from __future__ import annotations

from typing import Literal, TypedDict


class FindingView(TypedDict):
    """``details``: what follows and what to do, sentences. ``mend``: a shell command. ``read``: the documentation.

    ``needs_root``: root would see more.
    """

    check: str
    level: Literal["ok", "warn", "problem", "skipped"]
    summary: str
    details: list[str]
    mend: str | None
    read: str | None
    needs_root: bool


class DoctorAnswer(TypedDict):
    """``counts`` has all four levels."""

    version: str
    counts: dict[str, int]
    findings: list[FindingView]


class SuggestionView(TypedDict):
    """A USB serial port that nobody has said anything about, and the rule that makes it a module's.

    ``by``: what the rule knows it by, its serial number or the place where it is plugged in; ``why``: why not by the
    former. ``commands``: put the ``rule`` into ``file`` and have it read.
    """

    port: str
    vendor: str
    product: str
    title: str
    serial: str | None
    place: str | None
    by: Literal["serial", "place"]
    why: str | None
    file: str
    rule: str
    commands: list[str]


class SuggestAnswer(TypedDict):
    """``marked``: modules' ports that are known already. ``nameless``: ports that no rule can tell, since udev does
    not run here. ``rule_missing``: the rule that marks UCM kits' own adapters is not installed on this machine.
    """

    rule_missing: bool
    marked: list[str]
    nameless: list[str]
    suggestions: list[SuggestionView]
