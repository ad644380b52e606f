"""What the checks look at: this machine, the daemon's configuration, its service and the daemon itself.

Each is asked once, and only when a check wants it.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.doctor import account
from ucm_provision.doctor.account import Account
from ucm_provision.host import config
from ucm_provision.host.config import Config, Configuration
from ucm_provision.wire import ModuleView, StatusView

UNIT = "ucm-provisiond.service"
SERVICE_USER = "ucm-provision"
OPERATORS = "ucm-operators"
RESTART = "sudo systemctl restart ucm-provisiond"
RESTART_WITH_SOCKET = "sudo systemctl restart ucm-provisiond.socket ucm-provisiond"

# What a command of the system may take; systemctl answers within 20 ms.
_COMMAND_DEADLINE = 5.0
_UCRED = struct.Struct("3i")
_PROPERTIES = (
    "LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus", "StatusText", "UnitFileState", "MainPID",
    "NeedDaemonReload", "User", "Group", "SupplementaryGroups", "DevicePolicy", "DeviceAllow", "FragmentPath",
    "DropInPaths",
)  # fmt: skip

# Of systemd.exec(5).
_CREDENTIAL_SETTINGS = ("LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted")

# The daemon's answer to GET /v1/<what> on the socket of that path. Raises UcmError(daemon_unreachable).
Ask = Callable[[str, str], Any]
# What a command prints; None where there is no such command, or it fails.
Run = Callable[..., str | None]


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    name: str


def run_command(*command: str) -> str | None:
    """A seam for tests, like every ``Run``: what it says depends on how the machine was booted."""
    try:
        done = subprocess.run(  # noqa: S603 -- fixed words, and names that the kernel gave
            command, capture_output=True, text=True, timeout=_COMMAND_DEADLINE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


class Box:
    """
    Args:
        path: The daemon's configuration file.
        control: Its control socket; empty: the one that the configuration names.
        root: Where the machine's folders (etc, proc, run, …) are.
    """

    def __init__(
        self, path: Path, ask: Ask, *, control: str = "", root: Path = Path("/"), run: Run = run_command
    ) -> None:
        self.path = path
        self.run = run
        self._ask = ask
        self._control = control
        self.root = root

    def file(self, name: str) -> Path:
        """A file of this machine, by its absolute name."""
        return self.root / name.lstrip("/")

    @property
    def is_root(self) -> bool:
        return os.geteuid() == 0

    @cached_property
    def has_systemd(self) -> bool:
        """systemd is what the machine was booted with (sd_booted(3))."""
        return self.file("/run/systemd/system").is_dir()

    @cached_property
    def has_udev(self) -> bool:
        """udev runs, or shares its knowledge with this container."""
        return self.file("/run/udev/data").is_dir() or self.file("/run/udev/control").exists()

    @cached_property
    def is_container(self) -> bool:
        return is_container(self.root)

    # ---- the configuration -----------------------------------------------------------------------

    @cached_property
    def _loaded(self) -> Configuration | UcmError:
        try:
            return config.load(self.path, credentials=self.credentials)
        except UcmError as error:
            return error

    @cached_property
    def settings(self) -> Configuration:
        """The configuration, or every option's default where that cannot be had."""
        if isinstance(self._loaded, UcmError):
            return Configuration(self.path, "", Config(), self.credentials)
        return self._loaded

    @property
    def unsettled(self) -> UcmError | None:
        """Why the settings are the defaults."""
        return self._loaded if isinstance(self._loaded, UcmError) else None

    @cached_property
    def credentials(self) -> Path:
        """The folder with the credentials that the service has, or would have: of the same names in their source."""
        if self.handed_over:
            return self.handed_over
        source = self.credential_sources.get("api-token")
        return source.parent if source else self.path.parent / "credentials"

    @property
    def has_credentials(self) -> bool:
        """They can be read as the service has them; in their source they may be encrypted."""
        return self.handed_over is not None and os.access(self.handed_over, os.R_OK | os.X_OK, effective_ids=True)

    @cached_property
    def handed_over(self) -> Path | None:
        """Where the service's credentials are while it runs, or what the container was told to be that."""
        if given := os.environ.get("CREDENTIALS_DIRECTORY"):
            return Path(given)
        folder = self.file("/run/credentials") / UNIT
        return folder if folder.is_dir() else None

    @cached_property
    def credential_sources(self) -> dict[str, Path]:
        """Where the service's plain credentials come from, by name. systemctl itself does not tell."""
        return {name: self.file(value) for key, name, value in self._credentials() if key == "LoadCredential" and value}

    @property
    def credential_names(self) -> set[str]:
        """The credentials that the service's unit has, wherever they come from."""
        return {name for _, name, _ in self._credentials()}

    def _credentials(self) -> Iterator[tuple[str, str, str]]:
        """How, called what and from where: the unit's and its drop-ins' lines about credentials."""
        names = [self.unit.get("FragmentPath", ""), *self.unit.get("DropInPaths", "").split()]
        for line in (line for name in names if name for line in _lines(self.file(name))):
            key, _, value = line.partition("=")
            if key in _CREDENTIAL_SETTINGS:
                name, _, source = value.partition(":")
                yield key, name, source

    # ---- the service and the daemon --------------------------------------------------------------

    @cached_property
    def unit(self) -> dict[str, str]:
        """The service's properties, as systemctl names them; empty without systemd. Repeated ones are joined."""
        text = self.run("systemctl", "show", UNIT, f"--property={','.join(_PROPERTIES)}") if self.has_systemd else None
        return parse_properties(text or "")

    @property
    def is_stopped(self) -> bool:
        """The service does not run. systemd would start it for whoever asks, and the doctor changes nothing."""
        runs = self.unit.get("ActiveState") in ("active", "reloading")
        return self.unit.get("LoadState") == "loaded" and not runs and not self._control

    @property
    def control(self) -> str:
        """The path of the daemon's control socket."""
        if self._control:
            return self._control
        return str(self.settings.file(self.settings.values.control.socket))

    @cached_property
    def _answered(self) -> StatusView | UcmError:
        if self.is_stopped:
            return UcmError(Code.DAEMON_UNREACHABLE, "its service does not run")
        try:
            answer: StatusView = self._ask(self.control, "status")
        except UcmError as error:
            return error
        return answer

    @property
    def status(self) -> StatusView | None:
        """What the daemon says; None where it says nothing."""
        return None if isinstance(self._answered, UcmError) else self._answered

    @property
    def silence(self) -> UcmError | None:
        """Why the daemon says nothing."""
        return self._answered if isinstance(self._answered, UcmError) else None

    def modules(self) -> list[ModuleView]:
        """The modules that the daemon knows; none where it says nothing."""
        if self.status is None:
            return []
        try:
            answer: list[ModuleView] = self._ask(self.control, "modules")["modules"]
        except UcmError:
            return []
        return answer

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.settings.file(self.settings.values.state.dir)

    def then_restart(self, command: str = "") -> str:
        """``command``, and the daemon started anew; the latter only where the doctor knows how."""
        return " && ".join(filter(None, (command, RESTART if self.has_systemd else "")))

    # ---- who runs --------------------------------------------------------------------------------

    @cached_property
    def processes(self) -> tuple[Process, ...]:
        return tuple(_processes(self.file("/proc")))

    def runs(self, name: str) -> bool:
        return any(process.name == name for process in self.processes)

    @cached_property
    def account(self) -> Account | None:
        """The daemon's user: of the process if one runs, else as the service would be started."""
        if pid := self.daemon_pid:
            try:
                return account.of_process(self.file(f"/proc/{pid}/status").read_text())
            except OSError:  # it has ended meanwhile
                pass
        more = self.unit.get("SupplementaryGroups", "").split()
        return account.by_name(self.service_user, self.unit.get("Group", ""), more)

    @property
    def service_user(self) -> str:
        return self.unit.get("User") or SERVICE_USER

    @cached_property
    def daemon_pid(self) -> int | None:
        """The daemon's process: by systemd's word, or who listens on the control socket. None: none is seen."""
        return int(self.unit.get("MainPID") or 0) if self.has_systemd else _listener(self.control)


def is_container(root: Path) -> bool:
    """Whether the machine is a container: Docker, podman and systemd-nspawn leave these marks."""
    marks = (".dockerenv", "run/.containerenv", "run/systemd/container")
    return any((root / mark).exists() for mark in marks) or "container" in os.environ


def parse_properties(text: str) -> dict[str, str]:
    properties: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            properties[name] = f"{properties[name]}\n{value}" if name in properties else value
    return properties


def _listener(path: str) -> int | None:
    """The process that listens on a Unix socket, as the kernel vouches for it (SO_PEERCRED of unix(7))."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_COMMAND_DEADLINE)
        try:
            probe.connect(path)
        except OSError:
            return None
        pid, _, _ = _UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(pid) or None


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(errors="replace").splitlines()]
    except OSError:
        return []


def _processes(proc: Path) -> Iterator[Process]:
    for folder in proc.iterdir():
        if folder.name.isdigit():
            try:
                yield Process(int(folder.name), (folder / "comm").read_text(errors="replace").strip())
            except OSError:  # it has ended meanwhile
                continue
