"""The manifest: the modules that a site expects, as a CSV file that a spreadsheet can write."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.label import label_text, parse_label
from ucm_provision.core.model import MqttProtocol, ProofOfPossession, parse_hardware_id
from ucm_provision.core.plan import ExpectedKind, ExpectedModule

COLUMNS = ("hardware_id", "kind", "name", "slug", "protocol", "pop", "master", "blueprint")
_NAME_LENGTH = 128
_SLUG = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:-]{0,127}")

Modules = dict[str, ExpectedModule]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a manifest that it must not say. ``column`` is empty where a whole line is meant."""

    line: int
    column: str
    expected: str

    def __str__(self) -> str:
        column = f", {self.column}" if self.column else ""
        return f"line {self.line}{column}: {self.expected}"


def load(path: Path) -> Modules:
    """The expected modules by hardware id.

    Raises:
        UcmError: manifest_invalid, with file, and line and column of everything that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets like to begin with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UcmError(Code.MANIFEST_INVALID, f"{path}: {why}") from error
    return understood(text, str(path))


def understood(text: str, source: str) -> Modules:
    """The modules of a manifest that must be right. Raises UcmError: manifest_invalid, naming the source."""
    modules, problems = parse(text)
    if problems:
        raise UcmError(Code.MANIFEST_INVALID, f"{source}, {'; '.join(map(str, problems))}")
    return modules


def parse(text: str) -> tuple[Modules, list[Problem]]:
    """The modules of a manifest, and what is wrong with it. No problem repeats a field: it may be a secret."""
    reading = _Reading()
    reading.read(text.removeprefix("\ufeff"))
    return reading.modules, reading.problems[: policy.MANIFEST_PROBLEMS_TOLD]


def render(modules: Iterable[ExpectedModule]) -> str:
    """The CSV that reads back as these modules. It holds their proofs of possession."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _field(getattr(module, column)) for column in COLUMNS} for module in modules)
    return text.getvalue()


def _field(value: str | ProofOfPossession | None) -> str:
    return label_text(value) if isinstance(value, ProofOfPossession) else value or ""


class _Reading:
    """One pass over a manifest, which goes on after what is wrong."""

    def __init__(self) -> None:
        self.modules: Modules = {}
        self.problems: list[Problem] = []
        self._slugs: set[str] = set()

    def read(self, text: str) -> None:
        reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="", strict=True)
        try:
            if self._has_good_header(list(reader.fieldnames or ())):
                for row in reader:
                    self._read_row(reader.line_num, row)
        except csv.Error as error:
            # The DictReader itself counts only the lines that were good.
            self._reject(reader.reader.line_num, "", str(error))

    def _reject(self, line: int, column: str, expected: str) -> None:
        self.problems.append(Problem(line, column, expected))

    def _has_good_header(self, header: list[str]) -> bool:
        good = set(header) <= set(COLUMNS) and "hardware_id" in header and len(set(header)) == len(header)
        if not good:
            self._reject(1, "", f"expected the columns {', '.join(COLUMNS)}, each at most once")
        return good

    def _read_row(self, line: int, row: dict[str, str]) -> None:
        if "" in row:
            self._reject(line, "", "more fields than columns; quote a name with a comma")
            return
        values: dict[str, Any] = {}
        for column, field in row.items():
            try:
                values[column] = _PARSERS[column](field.strip())
            except ValueError as error:
                self._reject(line, column, str(error))
        if len(values) == len(row):
            self._add(line, ExpectedModule(**values))

    def _add(self, line: int, module: ExpectedModule) -> None:
        for column, expected in _contradictions(module):
            self._reject(line, column, expected)
        if module.hardware_id in self.modules:
            self._reject(line, "hardware_id", "listed twice")
        if module.slug and module.slug in self._slugs:
            self._reject(line, "slug", "another module has it")
        self.modules[module.hardware_id] = module
        self._slugs.add(module.slug)


def _contradictions(module: ExpectedModule) -> Iterator[tuple[str, str]]:
    if module.master and module.kind is not ExpectedKind.LINK_SLAVE:
        yield "master", "only a link_slave has one"
    if module.blueprint and module.kind not in (None, ExpectedKind.UCM):
        yield "blueprint", "only a ucm runs one"


# ---- one field each, stripped; ValueError tells what was expected --------------------------------


def _kind(text: str) -> ExpectedKind | None:
    try:
        return ExpectedKind(text.lower()) if text else None
    except ValueError:
        raise ValueError(f"expected {', '.join(ExpectedKind)} or nothing") from None


def _name(text: str) -> str:
    if len(text) > _NAME_LENGTH or not text.isprintable():
        raise ValueError(f"expected at most {_NAME_LENGTH} printable characters")
    return text


def _slug(text: str) -> str:
    if text and not _SLUG.fullmatch(text):
        raise ValueError("expected at most 128 letters, digits, - and _")
    return text


def _protocol(text: str) -> MqttProtocol | None:
    text = text.upper()
    if text and text not in MqttProtocol.__members__:
        raise ValueError("expected MQTT, MQTTS or nothing")
    return MqttProtocol(text) if text else None


def _pop(text: str) -> ProofOfPossession | None:
    return parse_label(text) if text else None


def _master(text: str) -> str:
    return parse_hardware_id(text) if text else ""


def _blueprint(text: str) -> str:
    if text and not _ID.fullmatch(text):
        raise ValueError("expected the id of a blueprint")
    return text


_PARSERS: dict[str, Callable[[str], object]] = {
    "hardware_id": parse_hardware_id,
    "kind": _kind,
    "name": _name,
    "slug": _slug,
    "protocol": _protocol,
    "pop": _pop,
    "master": _master,
    "blueprint": _blueprint,
}
