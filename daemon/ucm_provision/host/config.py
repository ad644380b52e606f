"""The configuration file: what it may say, and a clear word where it says something else.

config/ucm-provision.toml documents every option; nothing else has defaults that a site edits.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import tomllib
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, NoReturn, TypeVar

import msgspec

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.maintenance import Window, parse_duration, parse_window
from ucm_provision.core.model import (
    MqttProtocol,
    ProofOfPossession,
    TimeProtocol,
    TimeSource,
    WifiNetwork,
)
from ucm_provision.core.plan import LanPolicy, UsbPolicy
from ucm_provision.core.secret import Secret
from ucm_provision.core.text import one_line
from ucm_provision.core.wifi import check_passphrase, check_ssid, parse_bssid
from ucm_provision.host.toml_lines import line_of, parse_path

T = TypeVar("T")
Parsed = TypeVar("Parsed")

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Host = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
Ssid = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
# As systemd.exec(5) has it: a name that is a file's, and not one that leads elsewhere.
Credential = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,254})?\Z")]
_VALUE_SHOWN = 40
_PORT_LARGEST = 65535
BoxId = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,64}\Z")]
TrialSeconds = Annotated[int, msgspec.Meta(ge=policy.TRIAL_SHORTEST, le=policy.TRIAL_LONGEST)]
RotateAtOnce = Annotated[int, msgspec.Meta(ge=1, le=policy.ROTATE_AT_ONCE_LARGEST)]
# What no broker, access list or file name would trip over.
FleetTopic = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]+(/[A-Za-z0-9_.:-]+)*\Z", max_length=128)]
FleetName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{0,64}\Z")]
Networks = Annotated[list["WifiSection"], msgspec.Meta(max_length=policy.WIFI_NETWORKS_LARGEST)]


class _Section(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A table of the file. An unknown key is an error, never silently ignored."""


class SiteSection(_Section, frozen=True):
    id: str = ""
    name: Annotated[str, msgspec.Meta(max_length=128)] = ""
    manifest: str = ""


class BoxSection(_Section, frozen=True):
    id: BoxId | None = None


class ApiSection(_Section, frozen=True):
    url: str = "https://api.enapter.com"
    token_file: str = ""
    user: str = ""
    allow_http: bool = False
    ca_file: str = ""


class BrokerSection(_Section, frozen=True):
    witness: str = ""


class UsbSection(_Section, frozen=True):
    udev: bool = True
    globs: list[str] = []
    baud: Annotated[int, msgspec.Meta(ge=9600, le=4_000_000)] = 115200


class LanSection(_Section, frozen=True):
    mdns: bool = True
    interfaces: list[str] = []


class LinkSection(_Section, frozen=True):
    driver: str = ""
    site_pop_file: str = ""
    lan_site_pop: bool = False


class WifiSection(_Section, frozen=True):
    ssid: Ssid
    passphrase_file: str = ""
    passphrase_credential: Credential = ""
    hidden: bool = False
    bssid: str = ""


class PolicySection(_Section, frozen=True):
    protocol: MqttProtocol = MqttProtocol.MQTTS
    check: Literal["strict", "warn"] = "strict"
    usb: UsbPolicy = UsbPolicy.AUTO
    lan: LanPolicy = LanPolicy.LISTED
    trial_s: TrialSeconds = policy.TRIAL_DEFAULT
    verify: Literal["now", "later"] = "now"
    wifi_follow: Literal["propose", "auto"] = "propose"
    maintenance: str = "02:00-04:00"
    rotate_before: str = "30d"
    rotate_at_once: RotateAtOnce = policy.ROTATE_AT_ONCE_DEFAULT
    verify_every: str = ""


class TimeSyncSection(_Section, frozen=True):
    protocol: TimeProtocol
    host: Host
    port: Port


class OverrideSection(_Section, frozen=True):
    mqtt_host: Host | None = None
    mqtt_port: Port | None = None
    time_sync: TimeSyncSection | None = None


class ControlSection(_Section, frozen=True):
    socket: str = "/run/ucm-provision/control.sock"


class WebSection(_Section, frozen=True):
    listen: Annotated[str, msgspec.Meta(max_length=300)] = ""
    names: list[Host] = []
    cert_file: str = ""
    key_file: str = ""


class StateSection(_Section, frozen=True):
    dir: str = "/var/lib/ucm-provision"
    key_file: str = ""


class FleetSection(_Section, frozen=True):
    mqtt: str = ""
    topic: FleetTopic = "ucm-provision"
    name: FleetName = ""


class LogSection(_Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(_Section, frozen=True):
    """The whole file. Relative paths in it are relative to the file's own folder."""

    site: SiteSection = SiteSection()
    box: BoxSection = BoxSection()
    api: ApiSection = ApiSection()
    broker: BrokerSection = BrokerSection()
    usb: UsbSection = UsbSection()
    lan: LanSection = LanSection()
    link: LinkSection = LinkSection()
    wifi: Networks = []
    policy: PolicySection = PolicySection()
    override: OverrideSection = OverrideSection()
    control: ControlSection = ControlSection()
    web: WebSection = WebSection()
    state: StateSection = StateSection()
    fleet: FleetSection = FleetSection()
    log: LogSection = LogSection()


class Configuration:
    """A configuration file that was read and understood."""

    def __init__(self, path: Path, text: str, values: Config, credentials: Path | None = None) -> None:
        self.path = path
        self.values = values
        self._text = text
        self._credentials = credentials

    def of(self, values: Config) -> Configuration:
        """The same file, had it other values."""
        return Configuration(self.path, self._text, values, self._credentials)

    def file(self, name: str) -> Path:
        """A path that the file names."""
        return self.path.parent / name

    def globs(self) -> list[str]:
        """The serial ports to look at, as absolute patterns."""
        folder = glob.escape(str(self.path.parent))
        return [os.path.join(folder, pattern) for pattern in self.values.usb.globs]  # noqa: PTH118 -- a pattern

    def lan_addresses(self) -> list[str]:
        """The addresses of the interfaces on which modules are looked for; empty: all of them."""
        for index, address in enumerate(self.values.lan.interfaces):
            try:
                ip_address(address)
            except ValueError:
                self.reject(f"$.lan.interfaces[{index}]", "expected an IP address of this box")
        return self.values.lan.interfaces

    def web_listen(self) -> tuple[str, int] | None:
        """Address and port where the page is served beside the socket that systemd opens for it; None: nowhere."""
        text = self.values.web.listen
        return self._parsed("$.web.listen", _parse_listen, text) if text else None

    def web_certificate(self) -> tuple[Path, Path | None] | None:
        """The page's certificate chain, and its key where that is in a file of its own; None: the daemon makes its own.

        Raises:
            UcmError: config_invalid.
        """
        values = self.values.web
        if values.key_file and not values.cert_file:
            self.reject("$.web.key_file", "expected web.cert_file beside it")
        if not values.cert_file:
            return None
        return self.file(values.cert_file), self.file(values.key_file) if values.key_file else None

    def reject(self, key: str, problem: str) -> NoReturn:
        """Raises UcmError(config_invalid) with file, line and key."""
        raise _invalid(self.path, self._text, key, problem)

    def secret(self, key: str, name: str) -> Secret[str]:
        """The first line of the file that ``key`` names."""
        try:
            text = self.file(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self.reject(key, f"expected a readable file, but {name}: {_why(error)}")
        return Secret(text.partition("\n")[0].rstrip("\r"))

    def token_file(self) -> Path:
        """Where the API's token is: as configured, else the service's credential.

        Raises:
            UcmError: token_missing.
        """
        if self.values.api.token_file:
            return self.file(self.values.api.token_file)
        if credential := self._credential("api-token"):
            return credential
        raise UcmError(Code.TOKEN_MISSING, f"{self.path} has no api.token_file")

    def key_file(self) -> Path | None:
        """The key of the sealed secrets: as configured, else the service's credential, if it has that one."""
        if self.values.state.key_file:
            return self.file(self.values.state.key_file)
        credential = self._credential("journal-key")
        return credential if credential and _says_something(credential) else None

    def box_id(self) -> str:
        """The name under which this box reserves and owns modules."""
        return self.values.box.id or _machine_owner()

    def fleet_name(self) -> str:
        """What the fleet calls this box: one level of a topic."""
        if name := self.values.fleet.name:
            return name
        box_id = self.box_id()
        if not re.fullmatch(r"[A-Za-z0-9_.:-]+", box_id):
            self.reject("$.fleet.name", f"expected a name, because {box_id!r} cannot be part of a topic")
        return box_id

    def wifi(self) -> tuple[WifiNetwork, ...]:
        """The networks in order of preference."""
        networks = [self._network(f"$.wifi[{index}]", network) for index, network in enumerate(self.values.wifi)]
        names = [network.ssid for network in networks]
        for index, name in enumerate(names):
            if name in names[:index]:
                self.reject(f"$.wifi[{index}].ssid", "listed twice")
        return tuple(networks)

    def _network(self, place: str, network: WifiSection) -> WifiNetwork:
        return WifiNetwork(
            self._checked(f"{place}.ssid", check_ssid, network.ssid),
            self._passphrase(place, network),
            network.hidden,
            self._checked(f"{place}.bssid", parse_bssid, network.bssid) if network.bssid else b"",
        )

    def _passphrase(self, place: str, network: WifiSection) -> Secret[str]:
        if not (network.passphrase_credential or network.passphrase_file):
            return Secret("")
        key = f"{place}.passphrase_credential" if network.passphrase_credential else f"{place}.passphrase_file"
        if network.passphrase_credential and network.passphrase_file:
            self.reject(key, "expected this or passphrase_file, not both")
        name = network.passphrase_file or str(self._credential_file(key, network.passphrase_credential))
        return self._checked(key, check_passphrase, self.secret(key, name).reveal())

    def _credential_file(self, key: str, name: str) -> Path:
        credential = self._credential(name)
        if credential is None:
            self.reject(key, "expected to be run by systemd, which hands credentials over; there are none")
        return credential

    def _credential(self, name: str) -> Path | None:
        """Where a credential of the service is put, whether it has that one or not."""
        return self._credentials / name if self._credentials else None

    def _checked(self, key: str, check: Callable[[str], T], text: str) -> T:
        try:
            return check(text)
        except ValueError as error:
            self.reject(key, str(error))

    def site_pop(self) -> ProofOfPossession | None:
        name = self.values.link.site_pop_file
        return ProofOfPossession(self.secret("$.link.site_pop_file", name)) if name else None

    def maintenance(self) -> Window:
        """When modules that can wait are rotated."""
        return self._parsed("$.policy.maintenance", parse_window, self.values.policy.maintenance)

    def rotate_before(self) -> float:
        """How many seconds before its certificate's end a module is rotated."""
        return self._parsed("$.policy.rotate_before", parse_duration, self.values.policy.rotate_before)

    def verify_every(self) -> float | None:
        """After how many seconds a verified module is verified again; None: never."""
        text = self.values.policy.verify_every
        return self._parsed("$.policy.verify_every", parse_duration, text) if text else None

    def _parsed(self, key: str, parse: Callable[[str], Parsed], text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError as problem:
            self.reject(key, f"{problem}, got {one_line(text, _VALUE_SHOWN)!r}")

    def time_source(self) -> TimeSource | None:
        given = self.values.override.time_sync
        return TimeSource(given.protocol, given.host, given.port) if given else None


def load(path: Path, *, credentials: Path | None = None) -> Configuration:
    """Reads the configuration file.

    Args:
        credentials: Where the service's credentials are, where systemd does not say so itself.

    Raises:
        UcmError: config_invalid, with file, line, key and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UcmError(Code.CONFIG_INVALID, f"{path}: {_why(error)}") from error
    try:
        values = msgspec.convert(tomllib.loads(text), Config)
        return Configuration(path.absolute(), text, values, _credentials_of_the_service() or credentials)
    except tomllib.TOMLDecodeError as error:
        raise UcmError(Code.CONFIG_INVALID, f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        problem, _, key = str(error).partition(" - at `")
        raise _explain(path, text, problem, key.removesuffix("`")) from error


_LISTEN = re.compile(r"(?P<address>[0-9.]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")


def _parse_listen(text: str) -> tuple[str, int]:
    found = _LISTEN.fullmatch(text)
    try:
        address = ip_address(found["address"].strip("[]")) if found else None
    except ValueError:
        address = None
    if found is None or address is None or int(found["port"]) > _PORT_LARGEST:
        raise ValueError('expected an IP address and a port, like "0.0.0.0:8471"')
    return str(address), int(found["port"])


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`")


def _explain(path: Path, text: str, problem: str, key: str) -> UcmError:
    if unknown := _UNKNOWN.fullmatch(problem):
        key = f"{key or '$'}.{unknown['name']}"
        problem = "unknown key; expected one that config/ucm-provision.toml documents"
    elif problem.startswith("Invalid enum value"):
        problem += f", expected one of {', '.join(_choices(key))}"
    return _invalid(path, text, key, problem[0].lower() + problem[1:])


def _choices(key: str) -> list[str]:
    """What the enumeration at ``key`` allows."""
    kind: msgspec.inspect.Type = msgspec.inspect.type_info(Config)
    for step in parse_path(key):
        if isinstance(kind, msgspec.inspect.UnionType):
            kind = next(each for each in kind.types if not isinstance(each, msgspec.inspect.NoneType))
        if isinstance(kind, msgspec.inspect.StructType):
            kind = next(field.type for field in kind.fields if field.encode_name == step)
    if isinstance(kind, msgspec.inspect.EnumType):
        return [str(member.value) for member in kind.cls]
    return [str(value) for value in kind.values] if isinstance(kind, msgspec.inspect.LiteralType) else []


def _invalid(path: Path, text: str, key: str, problem: str) -> UcmError:
    line = line_of(text, parse_path(key))
    return UcmError(Code.CONFIG_INVALID, f"{path}, line {line}, {key.removeprefix('$').lstrip('.')}: {problem}")


def _credentials_of_the_service() -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) if folder else None


def _says_something(credential: Path) -> bool:
    """The unit hands over an empty line where there is no credential. One that cannot be read is not none."""
    try:
        return bool(credential.read_bytes().strip())
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8 text"


def _machine_owner() -> str:
    """An id of this machine for this application only, after machine-id(5): the machine's id is not handed out."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    if machine in ("", "uninitialized"):  # the latter early in the first boot of an image
        raise UcmError(Code.CONFIG_INVALID, "this machine has no /etc/machine-id: set box.id")
    return "box-" + hashlib.blake2s(b"ucm-provisiond", key=machine.encode()[:32], digest_size=10).hexdigest()
