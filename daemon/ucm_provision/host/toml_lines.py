"""Where in a TOML file a key stands. tomllib tells values, but not their lines."""

from __future__ import annotations

import re

_TABLE = re.compile(r"^\s*\[(?P<array>\[)?\s*(?P<name>[^\[\]]+?)\s*\]")
_KEY = re.compile(r"^\s*(?P<name>[A-Za-z0-9_\-.\"']+)\s*=")
_STEP = re.compile(r"\.?([A-Za-z0-9_\-]+)|\[(\d+|\.\.\.)\]")

KeyPath = tuple[str | int, ...]


def parse_path(path: str) -> KeyPath:
    """``$.wifi[1].ssid`` as ``("wifi", 1, "ssid")``."""
    steps: list[str | int] = []
    for name, index in _STEP.findall(path.removeprefix("$")):
        if name:
            steps.append(name)
        elif index.isdigit():
            steps.append(int(index))
    return tuple(steps)


def line_of(text: str, wanted: KeyPath) -> int:
    """The line (from 1) of the key, or of the nearest thing around it that can be found."""
    places = _places(text)
    while wanted:
        if wanted in places:
            return places[wanted]
        wanted = wanted[:-1]
    return 1


def _places(text: str) -> dict[KeyPath, int]:
    """The first line of every table and key. Values over several lines do no harm: they hold no `key =` lines."""
    places: dict[KeyPath, int] = {}
    counts: dict[str, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = _table_path(header, counts)
            places.setdefault(_names(header["name"]), number)  # of an array of tables: its first one
            places.setdefault(table, number)
        elif key := _KEY.match(line):
            places.setdefault((*table, *_names(key["name"])), number)
    return places


def _table_path(header: re.Match[str], counts: dict[str, int]) -> KeyPath:
    name = header["name"]
    if not header["array"]:
        return _names(name)
    index = counts.get(name, 0)
    counts[name] = index + 1
    return (*_names(name), index)


def _names(dotted: str) -> KeyPath:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
