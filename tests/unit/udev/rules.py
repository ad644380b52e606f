"""Reads udev rules as udev(7) describes them, and applies them to devices that exist only on paper.

udev's own check came with systemd 254, and a test bed applies no rules: this stands in for both, for the part of
the language that our rules use. Anything beyond it is an error, not ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

MATCHES = {"==", "!="}
ASSIGNMENTS = {"=", "+="}
# Key: the operators that it may have. Those with an attribute in braces end with "{}".
KEYS = {
    "ACTION": MATCHES,
    "SUBSYSTEM": MATCHES,
    "SUBSYSTEMS": MATCHES,
    "ATTRS{}": MATCHES,
    "ENV{}": MATCHES | ASSIGNMENTS,
    "TAG": ASSIGNMENTS,
    "GROUP": {"="},
    "MODE": {"="},
    "GOTO": {"="},
    "LABEL": {"="},
}
_TOKEN = re.compile(
    r'(?P<key>[A-Z]+)(?:\{(?P<attribute>[A-Za-z_.]+)\})?(?P<operator>==|!=|\+=|=)"(?P<value>[^"\\]*)"\s*(?:,\s*|$)'
)


class RuleError(Exception):
    """A line that udev would refuse, or that goes beyond what our rules may use."""


@dataclass(frozen=True)
class Token:
    key: str
    attribute: str
    operator: str
    value: str

    @property
    def is_match(self) -> bool:
        return self.operator in MATCHES


Rule = tuple[Token, ...]


@dataclass(frozen=True)
class Node:
    """A device, or one that it hangs on, as sysfs has it."""

    subsystem: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Verdict:
    """What became of a device."""

    properties: dict[str, str]
    tags: set[str] = field(default_factory=set)
    group: str = ""
    mode: str = ""


def parse(text: str) -> list[Rule]:
    """Raises RuleError with the number of the line."""
    rules = [tuple(_tokens(line, number)) for number, line in enumerate(text.splitlines(), 1) if _is_rule(line)]
    labels = [token.value for rule in rules for token in rule if token.key == "LABEL"]
    for token in (token for rule in rules for token in rule if token.key == "GOTO"):
        if labels.count(token.value) != 1:
            raise RuleError(f"GOTO to {token.value}, which stands there {labels.count(token.value)} times")
    return rules


def load(path: Path) -> list[Rule]:
    return parse(path.read_text(encoding="ascii"))


def _is_rule(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _tokens(line: str, number: int) -> Iterator[Token]:
    position = 0
    while position < len(line):
        found = _TOKEN.match(line, position)
        if found is None:
            raise RuleError(f"line {number}: not a rule: {line[position:]}")
        token = Token(found["key"], found["attribute"] or "", found["operator"], found["value"])
        if token.operator not in KEYS.get(token.key + "{}" * bool(token.attribute), ()):
            raise RuleError(f"line {number}: {token.key} does not take {token.operator} here")
        yield token
        position = found.end()
    if line.rstrip().endswith(","):
        raise RuleError(f"line {number}: ends with a comma")


def apply(rules: list[Rule], action: str, chain: list[Node], properties: Mapping[str, str]) -> Verdict:
    """What the rules make of ``chain[0]``, which hangs on the others in order."""
    verdict = Verdict(dict(properties))
    position = 0
    while position < len(rules):
        rule = rules[position]
        position += 1
        if not _matches(rule, action, chain, verdict):
            continue
        for token in rule:
            _assign(token, verdict)
        position = next((_label(rules, token.value) for token in rule if token.key == "GOTO"), position)
    return verdict


def _label(rules: list[Rule], name: str) -> int:
    return next(index for index, rule in enumerate(rules) if any(t.key == "LABEL" and t.value == name for t in rule))


def _matches(rule: Rule, action: str, chain: list[Node], verdict: Verdict) -> bool:
    asked = [token for token in rule if token.is_match]
    of_one_node = [token for token in asked if token.key in ("SUBSYSTEMS", "ATTRS")]
    facts = {"ACTION": action, "SUBSYSTEM": chain[0].subsystem}
    own = all(
        _fits(token, verdict.properties.get(token.attribute, "") if token.key == "ENV" else facts[token.key])
        for token in asked
        if token not in of_one_node
    )
    # All of a rule's questions about devices further up must be answered by one and the same of them.
    return own and any(all(_fits(token, _fact(node, token)) for token in of_one_node) for node in chain)


def _fact(node: Node, token: Token) -> str:
    return node.subsystem if token.key == "SUBSYSTEMS" else node.attributes.get(token.attribute, "")


def _fits(token: Token, fact: str) -> bool:
    matched = any(fnmatchcase(fact, pattern) for pattern in token.value.split("|"))
    return matched == (token.operator == "==")


def _assign(token: Token, verdict: Verdict) -> None:
    match token.key, token.operator:
        case "ENV", "=":
            verdict.properties[token.attribute] = token.value
        case "ENV", "+=":
            before = verdict.properties.get(token.attribute, "")
            verdict.properties[token.attribute] = f"{before} {token.value}".strip()
        case "TAG", "+=":
            verdict.tags.add(token.value)
        case "GROUP", "=":
            verdict.group = token.value
        case "MODE", "=":
            verdict.mode = token.value
