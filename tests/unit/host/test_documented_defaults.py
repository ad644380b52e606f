"""config/ucm-provision.toml tells the truth: every option stands in it, with the default that the code has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from ucm_provision.host.config import Config, load

FILE = Path(__file__).parents[3] / "config" / "ucm-provision.toml"
# Options whose absence means something that no value could say; the file shows an example of each.
EXAMPLES = {("wifi",), ("box", "id"), ("override", "mqtt_host"), ("override", "mqtt_port"), ("override", "time_sync")}


def uncommented() -> dict[str, Any]:
    """The file with every commented option switched on."""
    return tomllib.loads(re.sub(r"^#(?=\[|[a-z_]+ = )", "", FILE.read_text(), flags=re.MULTILINE))


def options(values: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """Every option with its value; an array of tables counts as one option."""
    found: dict[tuple[str, ...], Any] = {}
    for table, content in values.items():
        if isinstance(content, list):
            found[table,] = content
        else:
            found.update({(table, key): value for key, value in content.items()})
    return found


def test_as_shipped_it_changes_nothing() -> None:
    assert load(FILE).values == Config()


def test_every_option_of_the_code_stands_in_the_file_and_no_other() -> None:
    assert set(options(uncommented())) == set(options(msgspec.to_builtins(Config())))


def test_every_commented_option_shows_its_default() -> None:
    shown, defaults = options(uncommented()), options(msgspec.to_builtins(Config()))
    assert {key: shown[key] for key in shown if key not in EXAMPLES} == {
        key: defaults[key] for key in defaults if key not in EXAMPLES
    }


def test_every_example_is_one_that_the_daemon_takes() -> None:
    values = uncommented()
    del values["box"]["id"]  # shown with an ellipsis: it differs on every machine
    read = msgspec.convert(values, Config)
    assert read.override.time_sync is not None
    assert [network.ssid for network in read.wifi] == ["plant-wifi"]
    assert msgspec.json.schema(Config)["$defs"]["WifiSection"]["properties"].keys() == values["wifi"][0].keys()
