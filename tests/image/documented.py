"""How docs/OPERATIONS.md and config/compose.yaml say that the image is run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from typing import Any

import yaml

from tests.image.engine import REPOSITORY

OPERATIONS = REPOSITORY / "docs" / "OPERATIONS.md"
COMPOSE = REPOSITORY / "config" / "compose.yaml"
PORTS_GROUP = "$(getent group ucm-provision | cut -d: -f3)"
Option = tuple[str, str]
_FLAGS = {"--detach", "--read-only"}


@dataclass(frozen=True)
class RunLine:
    """The options of a ``docker run``, in any order, and the image that is run."""

    options: frozenset[Option]
    image: str

    def without(self, *texts: str) -> RunLine:
        """Every text leaves exactly one option out."""
        line = self
        for text in texts:
            (option,) = (each for each in line.options if text in " ".join(each))
            line = replace(line, options=line.options - {option})
        return line

    def including(self, *options: Option) -> RunLine:
        return replace(self, options=self.options | set(options))

    def instead(self, replacements: dict[str, str]) -> RunLine:
        """With other paths, names or numbers at the beginning of what is mounted or named; each of them must occur."""
        line = self
        for old, new in replacements.items():
            changed = frozenset((flag, _begun_anew(value, old, new)) for flag, value in line.options)
            assert changed != line.options, f"{old} is not in the documented line"
            line = replace(line, options=changed)
        return line

    def arguments(self) -> list[str]:
        return [word for flag, value in sorted(self.options) for word in ([flag, value] if value else [flag])]


def _begun_anew(value: str, old: str, new: str) -> str:
    whole = value == old or value.startswith(f"{old}:")
    return new + value.removeprefix(old) if whole else value


def run_line() -> RunLine:
    blocks = re.findall(r"^```\n(docker run .*?)^```", OPERATIONS.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    _, _, *words = shlex.split(blocks[0].replace("\\\n", " "))
    options: set[Option] = set()
    while len(words) > 1:
        flag = words.pop(0)
        options.add((flag, "" if flag in _FLAGS else words.pop(0)))
    return RunLine(frozenset(options), words[0])


def compose_line() -> RunLine:
    """The ``docker run`` that comes to the same as the compose file."""
    (service,) = yaml.safe_load(COMPOSE.read_text())["services"].values()
    assert service.pop("build") == ".."
    image = service.pop("image")
    options = {option for key, value in service.items() for option in _options(key, value)}
    return RunLine(frozenset(options | {("--detach", "")}), image)


def _options(key: str, value: Any) -> list[Option]:
    flag = {
        "container_name": "--name",
        "device_cgroup_rules": "--device-cgroup-rule",
        "network_mode": "--network",
        "volumes": "--volume",
    }.get(key, f"--{key.replace('_', '-')}")
    if value is True:
        return [(flag, "")]
    return [(flag, re.sub(r"^\$\{UCM_PROVISION_GID.*", PORTS_GROUP, each)) for each in _listed(value)]


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]
