"""The manifest: the modules that a site expects, as a CSV file that a spreadsheet can write."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import MqttProtocol, ProofOfPossession, parse_hardware_id
from ucm_provision.core.plan import ExpectedModule
from ucm_provision.core.secret import Secret

COLUMNS = ("hardware_id", "name", "protocol", "pop")
_NAME_LENGTH = 128


def load(path: Path) -> dict[str, ExpectedModule]:
    """The expected modules by hardware id.

    Raises:
        UcmError: manifest_invalid, with file, line and column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets like to begin with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UcmError(Code.MANIFEST_INVALID, f"{path}: {why}") from error
    modules: dict[str, ExpectedModule] = {}
    for place, row in _rows(path, text):
        module = _module(place, row)
        if module.hardware_id in modules:
            raise UcmError(Code.MANIFEST_INVALID, f"{place}, hardware_id: listed twice")
        modules[module.hardware_id] = module
    return modules


def _rows(path: Path, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text), restkey="", restval="", strict=True)
    try:
        _check_header(path, list(reader.fieldnames or ()))
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if "" in row:
                raise UcmError(Code.MANIFEST_INVALID, f"{place}: more fields than columns; quote a name with a comma")
            yield place, row
    except csv.Error as error:
        # The DictReader itself counts only the lines that were good.
        raise UcmError(Code.MANIFEST_INVALID, f"{path}, line {reader.reader.line_num}: {error}") from error


def _check_header(path: Path, header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or "hardware_id" not in header or len(set(header)) != len(header):
        raise UcmError(
            Code.MANIFEST_INVALID, f"{path}, line 1: expected the columns {', '.join(COLUMNS)}, each at most once"
        )


def _module(place: str, row: dict[str, str]) -> ExpectedModule:
    try:
        hardware_id = parse_hardware_id(row["hardware_id"])
    except ValueError as error:
        raise UcmError(Code.MANIFEST_INVALID, f"{place}, hardware_id: {error}") from error
    name, pop = row.get("name", "").strip(), row.get("pop", "").strip()
    if len(name) > _NAME_LENGTH or not (name.isprintable()):
        raise UcmError(Code.MANIFEST_INVALID, f"{place}, name: expected at most {_NAME_LENGTH} printable characters")
    return ExpectedModule(
        hardware_id, name, _protocol(place, row.get("protocol", "")), ProofOfPossession(Secret(pop)) if pop else None
    )


def _protocol(place: str, text: str) -> MqttProtocol | None:
    text = text.strip().upper()
    if text and text not in MqttProtocol.__members__:
        raise UcmError(Code.MANIFEST_INVALID, f"{place}, protocol: expected MQTT, MQTTS or nothing")
    return MqttProtocol(text) if text else None
