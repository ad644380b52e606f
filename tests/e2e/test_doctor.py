"""`ucmctl doctor` on a real box: real sockets, files, services, and whatever is broken on them."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.station import (
    BIN,
    DEADLINE,
    PASSPHRASE,
    POP,
    REPOSITORY,
    DaemonProcess,
    Station,
    site_settings,
    station_at,
)
from tests.e2e.test_secrets import finds
from tests.wire.broker.authority import Authority
from ucm_provision.core.errors import Exit
from ucm_site_api import SiteApi

CHECKS = {
    "service", "configuration", "operators", "daemon", "user", "rule", "ports", "adapters", "modemmanager", "brltty",
    "holders", "clock", "disk", "journal", "token", "secrets", "dns", "api", "broker", "mdns",
}  # fmt: skip
# What belongs to the machine that tests, and not to the box under test.
MACHINE_S = {"clock", "brltty", "modemmanager"}


@dataclass(frozen=True)
class Report:
    status: int
    findings: list[dict[str, Any]]
    text: str

    def of(self, check: str) -> dict[str, Any]:
        """The only finding of a check."""
        (found,) = [each for each in self.findings if each["check"] == check]
        return found

    def level(self, check: str) -> str:
        level: str = self.of(check)["level"]
        return level

    @property
    def problems(self) -> set[str]:
        return {each["check"] for each in self.findings if each["level"] == "problem"} - MACHINE_S


async def doctor(config: Path) -> Report:
    """As a program and as a person meet it, one after the other."""
    status, out = await ucmctl("doctor", "--json", "--config", config)
    answer = json.loads(out)
    assert set(answer) == {"version", "counts", "findings"}
    assert set(answer["counts"]) == {"ok", "warn", "problem", "skipped"}
    assert {each["check"] for each in answer["findings"]} == CHECKS
    assert status == (Exit.OPERATOR if answer["counts"]["problem"] else 0)
    again, text = await ucmctl("doctor", "--config", config)
    assert again == status
    assert all(each["summary"] in text for each in answer["findings"] if each["check"] not in MACHINE_S | {"disk"})
    return Report(status, answer["findings"], text)


async def ucmctl(*arguments: str | Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(BIN / "ucmctl", *arguments, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(2 * DEADLINE):
        out, err = await process.communicate()
    assert err == b""
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.fixture
async def verified(station: Station) -> AsyncIterator[DaemonProcess]:
    """A box that has verified a module."""
    async with station.daemon_process() as daemon, station.module():
        await daemon.until_verified()
        yield daemon


def config_of(station: Station) -> Path:
    return station.folder / "ucm-provision.toml"


def secrets(station: Station) -> list[bytes]:
    """Everything that must not be shown, as far as it is there."""
    witness = json.loads((station.folder / "site-api/witness.json").read_text())["mqtt_credentials"]
    key = (station.folder / "state/secrets.key").read_bytes().strip()
    token = station.token_file.read_bytes().strip()
    private = witness.get("private_key") or witness["password"]
    return [token, key, POP.encode(), PASSPHRASE.encode(), private.encode()]


async def test_a_box_that_is_well(station: Station, verified: DaemonProcess) -> None:
    report = await doctor(config_of(station))
    assert report.problems == set()
    assert report.of("daemon")["summary"].endswith(f"answers on {station.socket}.")
    assert report.of("api")["summary"] == f"{station.api_url} is reached and takes the token."
    assert report.of("broker")["summary"] == "The daemon's witness is connected to the broker."
    assert report.of("ports")["summary"] == f"Modules' ports: {station.folder}/ttyUCM0."
    assert not any(finds(secret, report.text.encode()) for secret in secrets(station))


async def test_a_daemon_that_was_killed(station: Station, verified: DaemonProcess) -> None:
    """What it had found out is still there to be found out by others."""
    await verified.kill()
    report = await doctor(config_of(station))
    assert (report.status, report.problems) == (Exit.OPERATOR, {"daemon"})
    assert "Nobody listens on" in report.of("daemon")["summary"]
    assert report.of("journal")["summary"] == f"{station.folder}/state/journal.sqlite3 can be read."
    assert report.of("api")["summary"] == f"{station.api_url} is reached and takes the token."
    assert "and takes the certificate" in report.of("broker")["summary"]
    assert not any(finds(secret, report.text.encode()) for secret in secrets(station))


async def test_a_token_that_the_api_refuses(station: Station) -> None:
    station.token_file = station.folder / "token"
    station.token_file.write_text("f" * 64)
    report = await doctor(station.configure())
    assert report.problems == {"daemon", "api"}
    assert "refuses the token" in report.of("api")["summary"]
    assert report.of("api")["mend"].startswith("sudo install -D ")
    assert "f" * 64 not in report.text


async def test_what_the_running_daemon_waits_for(station: Station) -> None:
    station.token_file = station.folder / "token"
    station.token_file.write_text("f" * 64)
    async with station.daemon_process() as daemon, station.module():
        await daemon.until(lambda modules: [each for each in modules if each["hold"]])
        report = await doctor(config_of(station))
    assert report.problems == {"api"}
    assert report.of("api")["details"][0].startswith("API_UNAUTHORIZED: ")


async def test_an_api_and_a_broker_that_are_away(tmp_path: Path) -> None:
    async with SiteApi(site_settings(tmp_path)) as site:
        station = station_at(site, tmp_path)
    report = await doctor(station.configure())
    assert report.problems == {"daemon", "api", "broker"}
    assert report.of("api")["summary"].endswith(f"{station.api_url} cannot be reached: Connection refused.")
    assert (report.of("api")["read"], report.of("broker")["read"]) == (
        "docs/OPERATIONS.md#api-unreachable",
        "docs/OPERATIONS.md#broker-refused",
    )


@asynccontextmanager
async def https(folder: Path, authority: Authority) -> AsyncIterator[str]:
    """Somebody who shakes hands and says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("127.0.0.1").files(folder, "server"))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_api_whose_certificate_is_not_trusted(station: Station) -> None:
    async with https(station.folder, Authority()) as station.api_url:
        report = await doctor(station.configure())
    assert report.of("api")["read"] == "docs/OPERATIONS.md#api-tls"
    assert report.problems == {"daemon", "api"}


async def test_without_a_token_the_api_s_certificate_is_looked_at_all_the_same(station: Station) -> None:
    authority = Authority()
    (station.folder / "ca.pem").write_text(authority.itself.certificate_pem)
    station.token_file = station.folder / "none"
    async with https(station.folder, authority) as station.api_url:
        distrusted = await doctor(station.configure())
        trust(station.configure(), "ca.pem")
        trusted = await doctor(config_of(station))
    assert distrusted.of("api")["read"] == "docs/OPERATIONS.md#api-tls"
    assert trusted.of("api")["summary"] == f"{station.api_url} is reached; the token was not tried."
    assert trusted.problems == {"daemon", "token"}


def trust(config: Path, ca_file: str) -> None:
    config.write_text(config.read_text().replace("[broker]", f'ca_file = "{ca_file}"\n[broker]'))


@asynccontextmanager
async def holding(terminal: Path) -> AsyncIterator[int]:
    """A program that has it open; its process's number."""
    script = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print(flush=True); sys.stdin.read()"
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", script, terminal, stdin=PIPE, stdout=PIPE)
    assert program.stdout is not None
    try:
        await asyncio.wait_for(program.stdout.readline(), DEADLINE)
        yield program.pid
    finally:
        await program.communicate(b"")


async def test_a_program_that_holds_a_module_s_port(station: Station) -> None:
    async with station.module(), holding(station.folder / "ttyUCM0") as pid:
        report = await doctor(station.configure())
    held = report.of("holders")
    assert (held["level"], held["mend"]) == ("problem", f"sudo kill {pid}")
    assert f"(process {pid}) holds {station.folder}/ttyUCM0" in held["summary"]


async def test_a_configuration_that_is_wrong_does_not_keep_the_rest_from_being_looked_at(station: Station) -> None:
    config = station.configure()
    config.write_text(config.read_text().replace("[usb]", "[usbb]"))
    report = await doctor(config)
    assert "usbb: unknown key" in report.of("configuration")["summary"]
    assert (report.level("api"), report.level("disk")) == ("skipped", "ok")  # no token goes to a default address


# ---- without rights ------------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that strangers may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="ucm-doctor-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def asked_by_a_stranger(config: Path) -> Report:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.stranger", config, stdout=PIPE, cwd=REPOSITORY
    )
    async with asyncio.timeout(DEADLINE):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return Report(0, json.loads(out)["findings"], out.decode())


def close_to_strangers(station: Station) -> None:
    """As an installed box is: also to their owner, so that it makes no difference who tests."""
    for secret in (station.socket, station.folder / "manifest.csv", station.token_file, station.witness):
        assert secret is not None
        secret.chmod(0)
    (station.folder / "state").chmod(0)


async def test_somebody_without_rights_is_told_which_checks_need_root(open_folder: Path) -> None:
    async with SiteApi(site_settings(open_folder)) as site:
        station = station_at(site, open_folder)
        async with station.daemon_process() as daemon:
            await daemon.answering()
            kept = secrets(station)
            close_to_strangers(station)
            report = await asked_by_a_stranger(config_of(station))
            (station.folder / "state").chmod(0o700)
    assert {each["check"] for each in report.findings} == CHECKS
    assert report.problems == {"operators"}
    needing = {each["check"] for each in report.findings if each["needs_root"]}
    assert needing == {"configuration", "journal", "token", "secrets", "api", "broker"}
    assert report.of("daemon")["summary"] == f"Not asked: you have no right to {station.socket}."
    assert report.of("api")["summary"] == f"{station.api_url} is reached; the token was not tried."
    assert not any(finds(secret, report.text.encode()) for secret in kept)
