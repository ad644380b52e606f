"""What the doctor found, and what it suggests, for a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from ucm_provision.doctor.finding import Finding, Level
from ucm_provision.doctor.shapes import FindingView, SuggestAnswer, SuggestionView

_COLOURS = {"ok": "green", "warn": "yellow", "problem": "red", "skipped": "bright_black"}
_RESET = "Opening a port may reset what hangs on it, so make sure that it is a module."


def finding_text(finding: FindingView) -> str:
    """One line; where something is wrong, below it what follows, what mends it and where to read on."""
    margin = " " * 9
    level = click.style(f"{finding['level']:<8}", fg=_COLOURS[finding["level"]], bold=finding["level"] == "problem")
    lines = [f"{level} {finding['check']:<13} {finding['summary']}"]
    if finding["level"] in (Level.WARN, Level.PROBLEM):
        lines += [f"{margin}{detail}" for detail in finding["details"]]
        lines += [f"{margin}mend:  {click.style(finding['mend'], bold=True)}"] if finding["mend"] else []
        lines += [f"{margin}more:  {finding['read']}"] if finding["read"] else []
    return "\n".join(lines)


def summary_text(findings: Sequence[Finding]) -> str:
    """The last line: how bad it is, and what was not looked at."""
    told = [_number(findings, Level.PROBLEM, "problem"), _number(findings, Level.WARN, "warning")]
    text = ", ".join(filter(None, told)) or "All is well"
    closed = _checks(finding for finding in findings if finding.needs_root)
    return f"\n{text}." + (f" Root sees more ({closed}): sudo ucmctl doctor" if closed else "")


def _number(findings: Iterable[Finding], level: Level, what: str) -> str:
    of_level = [finding for finding in findings if finding.level is level]
    plural = "s" if len(of_level) > 1 else ""
    return f"{len(of_level)} {what}{plural} ({_checks(of_level)})" if of_level else ""


def _checks(findings: Iterable[Finding]) -> str:
    return ", ".join(dict.fromkeys(finding.check for finding in findings))


def suggest_text(answer: SuggestAnswer) -> str:
    parts = [_suggestion_text(suggestion) for suggestion in answer["suggestions"]]
    parts += [_nameless_text(answer["nameless"])] if answer["nameless"] else []
    if not parts:
        parts = [_nothing_text(answer["marked"])]
    if answer["rule_missing"]:
        parts.insert(
            0,
            "Note: the rule that knows UCM kits' own adapters (70-ucm-provision.rules) is not installed. "
            "Mend that first: ucmctl doctor tells how.",
        )
    return "\n\n".join(parts)


def _suggestion_text(suggestion: SuggestionView) -> str:
    number = f", serial number {suggestion['serial']}" if suggestion["serial"] else ""
    commands = "\n".join(f"    {command}" for command in suggestion["commands"])
    return (
        f"{suggestion['port']}: {suggestion['title']}{number}.\n"
        f"If a module hangs there, this makes it known:\n\n{commands}\n\n{_scope(suggestion)} {_RESET}"
    )


def _scope(suggestion: SuggestionView) -> str:
    if suggestion["by"] == "serial":
        return "The daemon then opens this adapter's port at once, and whenever it is plugged in, wherever that is."
    return (
        f"The rule goes by the socket it is plugged into, because {suggestion['why']}: the daemon then opens the port "
        "of every such adapter that is plugged in there."
    )


def _nameless_text(ports: Sequence[str]) -> str:
    named = ", ".join(f'"{port}"' for port in ports)
    return (
        f"udev does not tell anything of {', '.join(ports)}, so no rule can. If modules hang there, name the ports in "
        f"the daemon's configuration and restart it:\n\n    [usb]\n    globs = [{named}]\n\n{_RESET}"
    )


def _nothing_text(marked: Sequence[str]) -> str:
    known = f" Known as modules' ports: {', '.join(marked)}." if marked else ""
    return (
        f"No unknown USB serial adapter is plugged in.{known}\n"
        "If one has just been: sudo dmesg | tail tells whether the box has seen it, ucmctl doctor what keeps it away."
    )
