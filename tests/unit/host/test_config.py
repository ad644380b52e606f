"""A configuration file is understood, or refused with the place and what was expected there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ucm_provision.core.errors import Code, Exit, UcmError
from ucm_provision.core.maintenance import Window
from ucm_provision.core.model import TimeProtocol, TimeSource, WifiNetwork
from ucm_provision.core.secret import Secret
from ucm_provision.host import config
from ucm_provision.host.config import Configuration, load

CANARY = "canary-5f1c"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ucm-provision.toml"


def loaded(path: Path, text: str) -> Configuration:
    path.write_text(text)
    return load(path)


def refusal(path: Path, text: str) -> str:
    """What is said of the text, after the file's name."""
    with pytest.raises(UcmError) as refused:
        loaded(path, text)
    error = refused.value
    assert (error.code, error.failure.exit_status) == (Code.CONFIG_INVALID, Exit.CONFIG)
    assert error.detail.startswith(str(path))
    return error.detail.removeprefix(str(path))


REFUSALS = [
    ("[api]\n\ncolour = 1", ", line 3, api.colour: unknown key; expected one that config/ucm-provision.toml documents"),
    ("colour = 1", ", line 1, colour: unknown key; expected one that config/ucm-provision.toml documents"),
    ("\n[colours]\nred = 1", ", line 2, colours: unknown key; expected one that config/ucm-provision.toml documents"),
    ("[api]\nurl = 7", ", line 2, api.url: expected `str`, got `int`"),
    ("[api]\nallow_http = 'yes'", ", line 2, api.allow_http: expected `bool`, got `str`"),
    ("[usb]\nglobs = '/dev/ttyUSB*'", ", line 2, usb.globs: expected `array`, got `str`"),
    ("[usb]\nglobs = [\n  '/dev/ttyUSB*',\n  7,\n]", ", line 2, usb.globs[1]: expected `str`, got `int`"),
    ("[usb]\nbaud = 300", ", line 2, usb.baud: expected `int` >= 9600"),
    ("[policy]\ntrial_s = 29", ", line 2, policy.trial_s: expected `int` >= 30"),
    ("[policy]\ntrial_s = 901", ", line 2, policy.trial_s: expected `int` <= 900"),
    ("[policy]\ntrial_s = 60.5", ", line 2, policy.trial_s: expected `int`, got `float`"),
    (
        "[policy]\nprotocol = 'mqtts'",
        ", line 2, policy.protocol: invalid enum value 'mqtts', expected one of MQTT, MQTTS",
    ),
    ("[policy]\ncheck = 'never'", ", line 2, policy.check: invalid enum value 'never', expected one of strict, warn"),
    (
        "[policy]\nwifi_follow = 'always'",
        ", line 2, policy.wifi_follow: invalid enum value 'always', expected one of auto, propose",
    ),
    ("[policy]\nrotate_at_once = 0", ", line 2, policy.rotate_at_once: expected `int` >= 1"),
    ("[policy]\nrotate_at_once = 1001", ", line 2, policy.rotate_at_once: expected `int` <= 1000"),
    ("[policy]\nrotate_before = 30", ", line 2, policy.rotate_before: expected `str`, got `int`"),
    ("[policy]\nmaintenance = 02:00:00", ", line 2, policy.maintenance: expected `str`, got `time`"),
    (
        "[log]\nlevel = 'loud'",
        ", line 2, log.level: invalid enum value 'loud', expected one of debug, error, info, warning",
    ),
    ("[override]\nmqtt_port = 0", ", line 2, override.mqtt_port: expected `int` >= 1"),
    ("[override]\nmqtt_port = 65536", ", line 2, override.mqtt_port: expected `int` <= 65535"),
    ("[override]\nmqtt_host = ''", ", line 2, override.mqtt_host: expected `str` of length >= 1"),
    (
        "[override]\n\ntime_sync = { protocol = 'PTP', host = 'h', port = 1 }",
        ", line 3, override.time_sync.protocol: invalid enum value 'PTP', expected one of NTP, HTTP",
    ),
    (
        "[override.time_sync]\nprotocol = 'NTP'\nhost = 'h'\nport = 'ntp'",
        ", line 4, override.time_sync.port: expected `int`, got `str`",
    ),
    (
        "[override]\ntime_sync.protocol = 'NTP'\ntime_sync.host = 'h'\ntime_sync.port = 0",
        ", line 4, override.time_sync.port: expected `int` >= 1",
    ),
    (
        "[override]\n\ntime_sync = { host = 'h', port = 1 }",
        ", line 3, override.time_sync: object missing required field `protocol`",
    ),
    ("[[wifi]]\nssid = 'a'\n[[wifi]]\nssid = 7", ", line 4, wifi[1].ssid: expected `str`, got `int`"),
    ("[[wifi]]\nssid = 'a'\n\n[[wifi]]\nhidden = true", ", line 4, wifi[1]: object missing required field `ssid`"),
    ("[[wifi]]\nssid = ''", ", line 2, wifi[0].ssid: expected `str` of length >= 1"),
    ("[[wifi]]\nssid = '" + "x" * 33 + "'", ", line 2, wifi[0].ssid: expected `str` of length <= 32"),
    ("\n" + "[[wifi]]\nssid = 'a'\n" * 4, ", line 2, wifi: expected `array` of length <= 3"),
    ("\nwifi = [{ ssid = 'a' }, { ssid = 7 }]", ", line 2, wifi[1].ssid: expected `str`, got `int`"),
    ("[box]\nid = ''", ", line 2, box.id: expected `str` matching regex '^[!-~]{1,64}\\\\Z'"),
    ("[box]\nid = 'a box'", ", line 2, box.id: expected `str` matching regex '^[!-~]{1,64}\\\\Z'"),
    ('[box]\nid = "box\\n"', ", line 2, box.id: expected `str` matching regex '^[!-~]{1,64}\\\\Z'"),
    ("[box]\nid = '" + "x" * 65 + "'", ", line 2, box.id: expected `str` matching regex '^[!-~]{1,64}\\\\Z'"),
    ("[site]\nname = '" + "x" * 129 + "'", ", line 2, site.name: expected `str` of length <= 128"),
    ("[state]\ndir = ", ": Invalid value (at end of document)"),
    ("[api]\nurl = 'a'\nurl = 'b'\n", ": Cannot overwrite a value (at line 3, column 10)"),
    ("[api\n", ": Expected ']' at the end of a table declaration (at line 1, column 5)"),
]


@pytest.mark.parametrize(("text", "complaint"), REFUSALS, ids=[complaint.split(":")[0] for _, complaint in REFUSALS])
def test_what_is_wrong_is_told_with_line_key_and_expectation(path: Path, text: str, complaint: str) -> None:
    assert refusal(path, text) == complaint


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(UcmError) as refused:
        load(path)
    assert refused.value.code is Code.CONFIG_INVALID
    assert refused.value.detail == f"{path}: No such file or directory"


def test_a_file_that_is_no_text(path: Path) -> None:
    path.write_bytes("[api]\nuser = 'Müller'".encode("latin-1"))
    with pytest.raises(UcmError) as refused:
        load(path)
    assert refused.value.detail == f"{path}: it is not UTF-8 text"


def test_an_empty_file_is_a_configuration(path: Path) -> None:
    assert loaded(path, "").values == config.Config()


# ---- paths and files that the configuration names ------------------------------------------------


def test_relative_paths_are_relative_to_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("[usb]\nglobs = ['ports/tty*', '/dev/ttyUSB*']\n[state]\ndir = 'state'")
    monkeypatch.chdir(path.parent)
    settings = load(Path(path.name))
    assert settings.file(settings.values.state.dir) == path.parent / "state"
    assert settings.file("/var/lib/x") == Path("/var/lib/x")
    assert settings.globs() == [f"{path.parent}/ports/tty*", "/dev/ttyUSB*"]


def test_a_folder_with_wildcards_in_its_name_is_taken_literally(tmp_path: Path) -> None:
    folder = tmp_path / "box [1]*"
    folder.mkdir()
    (folder / "ports").mkdir()
    (folder / "ports" / "tty0").touch()
    settings = loaded(folder / "ucm-provision.toml", "[usb]\nglobs = ['ports/tty*']")
    [pattern] = settings.globs()
    assert list(Path("/").glob(pattern.removeprefix("/"))) == [folder / "ports" / "tty0"]


# ---- maintenance ---------------------------------------------------------------------------------

_DURATION = 'expected a number of days, hours or minutes, 1 to 99999, like "30d", "12h" or "45m"'
NO_TIMES = [
    ("maintenance", "2-4", "expected a window of local time like \"02:00-04:00\", got '2-4'"),
    ("maintenance", "", "expected a window of local time like \"02:00-04:00\", got ''"),
    ("rotate_before", "30 days", f"{_DURATION}, got '30 days'"),
    ("rotate_before", "", f"{_DURATION}, got ''"),
    ("verify_every", "often\\n" * 20, f"{_DURATION}, got 'often often often often often often oft…'"),
]


@pytest.mark.parametrize(("key", "value", "complaint"), NO_TIMES)
def test_a_window_or_duration_that_is_none(path: Path, key: str, value: str, complaint: str) -> None:
    settings = loaded(path, f'[policy]\n\n{key} = "{value}"')
    with pytest.raises(UcmError) as refused:
        getattr(settings, key)()
    assert refused.value.code is Code.CONFIG_INVALID
    assert refused.value.detail == f"{path}, line 3, policy.{key}: {complaint}"


def test_times_of_maintenance(path: Path) -> None:
    settings = loaded(path, "[policy]\nmaintenance = '22:30-01:00'\nrotate_before = '12h'\nverify_every = '7d'")
    assert settings.maintenance() == Window(22 * 60 + 30, 60)
    assert (settings.rotate_before(), settings.verify_every()) == (12 * 3600.0, 7 * 86400.0)


def test_times_of_maintenance_that_nobody_has_set(path: Path) -> None:
    settings = loaded(path, "")
    assert settings.maintenance() == Window(120, 240)
    assert (settings.rotate_before(), settings.verify_every()) == (30 * 86400.0, None)


def wifi(path: Path, ssid: str, passphrase: str | None) -> tuple[WifiNetwork, ...]:
    text = f"\n[[wifi]]\nssid = '{ssid}'\n"
    if passphrase is not None:
        (path.parent / "passphrase").write_text(passphrase + "\n")
        text += "passphrase_file = 'passphrase'\n"
    return loaded(path, text).wifi()


@pytest.mark.parametrize("length", [8, 63])
def test_a_passphrase_of_a_length_that_wpa2_allows(path: Path, length: int) -> None:
    assert wifi(path, "plant", "p" * length) == (WifiNetwork("plant", Secret("p" * length)),)


def test_a_key_of_64_digits_stands_for_a_passphrase(path: Path) -> None:
    assert wifi(path, "plant", "0a" * 32) == (WifiNetwork("plant", Secret("0a" * 32)),)


def test_a_network_may_be_bound_to_an_access_point(path: Path) -> None:
    settings = loaded(path, "[[wifi]]\nssid='plant'\nbssid='AA:bb:cc:dd:ee:ff'\n")
    assert settings.wifi() == (WifiNetwork("plant", bssid=bytes.fromhex("aabbccddeeff")),)


def test_a_passphrase_may_come_from_the_service_s_credentials(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path.parent / "plant-wifi").write_text("from systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    settings = loaded(path, "[[wifi]]\nssid='plant'\npassphrase_credential='plant-wifi'\n")
    assert settings.wifi() == (WifiNetwork("plant", Secret("from systemd")),)


WIFI_REFUSALS = [
    ("ssid = 'a'\n[[wifi]]\n\nssid = 'a'", ", line 5, wifi[1].ssid: listed twice"),
    (
        "ssid = 'a'\n\nbssid = 'aa:bb'",
        ", line 4, wifi[0].bssid: expected an access point's address such as aa:bb:cc:dd:ee:ff",
    ),
    ('ssid = "a\\u001b"', ", line 2, wifi[0].ssid: expected no control characters"),
    (
        "ssid = 'a'\npassphrase_credential = 'absent'",
        ", line 3, wifi[0].passphrase_credential: expected a readable file, but {}/absent: No such file or directory",
    ),
    (
        "ssid = 'a'\npassphrase_file = 'b'\npassphrase_credential = 'c'",
        ", line 4, wifi[0].passphrase_credential: expected this or passphrase_file, not both",
    ),
]


@pytest.mark.parametrize(("text", "complaint"), WIFI_REFUSALS, ids=[complaint for _, complaint in WIFI_REFUSALS])
def test_a_network_that_cannot_be_is_told_with_its_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, text: str, complaint: str
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    with pytest.raises(UcmError) as refused:
        loaded(path, f"[[wifi]]\n{text}\n").wifi()
    assert refused.value.detail == str(path) + complaint.format(path.parent)


def test_a_credential_without_systemd(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(UcmError, match=r"wifi.0..passphrase_credential: expected to be run by systemd"):
        loaded(path, "[[wifi]]\nssid = 'a'\npassphrase_credential = 'b'\n").wifi()


def test_a_credential_s_name_leads_nowhere_else(path: Path) -> None:
    said = refusal(path, "[[wifi]]\nssid = 'a'\npassphrase_credential = '../api-token'\n")
    assert said.startswith(", line 3, wifi[0].passphrase_credential: expected `str` matching regex")


def test_the_key_of_the_sealed_secrets(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert loaded(path, "").key_file() is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    assert loaded(path, "").key_file() is None
    (path.parent / "journal-key").write_text("\n")  # what the unit hands over where there is none
    assert loaded(path, "").key_file() is None
    (path.parent / "journal-key").write_text("a key\n")
    assert loaded(path, "").key_file() == path.parent / "journal-key"
    assert loaded(path, "[state]\nkey_file = 'key'\n").key_file() == path.parent / "key"


@pytest.mark.parametrize("length", [0, 7, 64])
def test_a_passphrase_of_another_length(path: Path, length: int) -> None:
    passphrase = (CANARY * 6)[:length]
    with pytest.raises(UcmError) as refused:
        wifi(path, "plant", passphrase)
    place = f"{path}, line 4, wifi[0].passphrase_file"
    expected = f"{place}: expected a passphrase of 8 to 63 printable ASCII characters, or 64 hexadecimal digits"
    assert refused.value.detail == expected
    assert CANARY[:7] not in str(refused.value)


@pytest.mark.parametrize("ssid", ["x" * 32, "ü" * 16])
def test_a_network_s_name_may_have_32_bytes(path: Path, ssid: str) -> None:
    assert wifi(path, ssid, None) == (WifiNetwork(ssid),)


def test_a_network_s_name_is_counted_in_bytes(path: Path) -> None:
    with pytest.raises(UcmError) as refused:
        wifi(path, "ü" * 16 + "x", None)
    assert refused.value.detail == f"{path}, line 3, wifi[0].ssid: expected 1 to 32 bytes"


def test_the_order_of_networks_is_kept_and_an_open_one_has_no_passphrase(path: Path) -> None:
    (path.parent / "secret").write_text("with a space \r\nand a second line")
    settings = loaded(path, "[[wifi]]\nssid='new'\npassphrase_file='secret'\nhidden=true\n[[wifi]]\nssid='guests'\n")
    assert settings.wifi() == (WifiNetwork("new", Secret("with a space "), hidden=True), WifiNetwork("guests"))


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), (b"\xff\xfe\xff", "it is not UTF-8 text")]
)
def test_a_secret_s_file_that_cannot_be_read(path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (path.parent / "pop").write_bytes(content)
    settings = loaded(path, "[link]\nsite_pop_file = 'pop'\n")
    with pytest.raises(UcmError) as refused:
        settings.site_pop()
    expected = f"{path}, line 2, link.site_pop_file: expected a readable file, but pop: {why}"
    assert refused.value.detail == expected


def test_the_site_s_proof_of_possession(path: Path) -> None:
    (path.parent / "pop").write_text("kelp-otter-92\n")
    pop = loaded(path, "[link]\nsite_pop_file = 'pop'\n").site_pop()
    assert pop is not None
    assert pop.secret == Secret("kelp-otter-92")
    assert loaded(path, "").site_pop() is None


def test_the_token_comes_from_the_file_else_from_the_service_s_credentials(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    assert loaded(path, "[api]\ntoken_file = 'token'").token_file() == path.parent / "token"
    assert loaded(path, "").token_file() == Path("/run/credentials/x/api-token")


def test_a_site_without_a_token_is_told_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(UcmError) as refused:
        loaded(path, "").token_file()
    assert (refused.value.code, refused.value.failure.exit_status) == (Code.TOKEN_MISSING, Exit.CONFIG)
    assert refused.value.detail == f"{path} has no api.token_file"


def test_the_time_source_override(path: Path) -> None:
    text = "[override]\ntime_sync = { protocol = 'HTTP', host = '192.0.2.1', port = 80 }"
    assert loaded(path, text).time_source() == TimeSource(TimeProtocol.HTTP, "192.0.2.1", 80)
    assert loaded(path, "").time_source() is None


# ---- the box's own name --------------------------------------------------------------------------

MACHINE_ID = "0123456789abcdef0123456789abcdef"


def of_machine(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Puts ``file`` in the place of /etc/machine-id."""

    def path_of(*parts: str) -> Path:
        return file if parts == ("/etc/machine-id",) else Path(*parts)

    monkeypatch.setattr(config, "Path", path_of)


def test_a_box_s_name_is_stable_and_does_not_tell_the_machine_s_id(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = path.parent / "machine-id"
    machine.write_text(MACHINE_ID + "\n")
    of_machine(monkeypatch, machine)
    name = loaded(path, "").box_id()
    keyed = hashlib.blake2s(b"ucm-provisiond", key=MACHINE_ID.encode(), digest_size=10).hexdigest()
    assert name == f"box-{keyed}"
    assert name == loaded(path, "").box_id()
    assert not any(MACHINE_ID[start : start + 6] in name for start in range(26))
    machine.write_text(MACHINE_ID[::-1] + "\n")
    assert loaded(path, "").box_id() != name


def test_a_box_s_name_from_the_file_goes_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_machine(monkeypatch, path.parent / "nothing")
    assert loaded(path, "[box]\nid = '" + "x" * 64 + "'").box_id() == "x" * 64


@pytest.mark.parametrize("content", [None, b"", b"\n", b"uninitialized\n", b"\xff\xff"])
def test_a_machine_without_an_id_needs_a_name_for_the_box(
    path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    machine = path.parent / "machine-id"
    if content is not None:
        machine.write_bytes(content)
    of_machine(monkeypatch, machine)
    with pytest.raises(UcmError, match=r"this machine has no /etc/machine-id: set box\.id"):
        loaded(path, "").box_id()


@pytest.mark.parametrize("topic", ["", "/", "a//b", "/a", "a/", "a/+/b", "a/#", "$SYS/x", "a b", "a\\u0000b", "ü"])
def test_a_topic_that_would_be_no_topic(path: Path, topic: str) -> None:
    assert ", line 2, fleet.topic: expected `str` matching regex" in refusal(path, f'[fleet]\ntopic = "{topic}"')


@pytest.mark.parametrize("topic", ["ucm-provision", "fleet/eu/north.2", "A_1:2"])
def test_a_topic_of_one_level_or_several(path: Path, topic: str) -> None:
    assert loaded(path, f'[fleet]\ntopic = "{topic}"').values.fleet.topic == topic


def test_the_fleet_calls_a_box_by_its_id_unless_it_has_a_name(path: Path) -> None:
    assert loaded(path, "[box]\nid = 'box-7'").fleet_name() == "box-7"
    assert loaded(path, "[box]\nid = 'box/7'\n[fleet]\nname = 'seven'").fleet_name() == "seven"


@pytest.mark.parametrize("box_id", ["a/b", "+", "#", "a,b"])
def test_a_box_s_id_that_can_be_no_topic_needs_a_name(path: Path, box_id: str) -> None:
    with pytest.raises(UcmError) as refused:
        loaded(path, f"[box]\nid = '{box_id}'\n[fleet]\nmqtt = 'fleet.json'").fleet_name()
    assert refused.value.code is Code.CONFIG_INVALID
    assert f"line 3, fleet.name: expected a name, because '{box_id}' cannot be part of a topic" in str(refused.value)
