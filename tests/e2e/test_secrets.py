"""Nothing that a run writes, prints or answers holds a secret, in any form that a secret may take."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.e2e.front import Front
from tests.e2e.station import HARDWARE_ID, PASSPHRASE, POP, SSID, DaemonProcess, Station, ucmctl
from ucm_sim import SerialModule

_BREAKS = re.compile(rb"\\\\n|\\n|\\r|\s")


def forms(secret: bytes) -> set[bytes]:
    """The secret as it stands, in hex, percent-encoded, and in base64 wherever it may begin in a longer text."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode(), quote(secret, safe="").encode()}
    for padding in range(3):
        encoded = base64.b64encode(b"\0" * padding + secret)
        # The first and last characters also hold bits of what stands beside the secret.
        middle = encoded[-(-padding * 8 // 6) : (padding + len(secret)) * 8 // 6]
        found |= {middle, middle.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def finds(secret: bytes, text: bytes) -> bool:
    """Also where the text was broken into lines, or its line breaks were escaped."""
    unbroken = _BREAKS.sub(b"", text)
    return any(form in text or _BREAKS.sub(b"", form) in unbroken for form in forms(secret))


def scalar(key: ec.EllipticCurvePrivateKey) -> bytes:
    """What makes a private key private, in every encoding of it."""
    return key.private_numbers().private_value.to_bytes(32, "big")


KEY = ec.derive_private_key(0x1F2E3D4C5B6A798897A6B5C4D3E2F1000123456789ABCDEFFEDCBA9876543210, ec.SECP256R1())
DER = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PHRASE = b"correct horse/battery+staple"


@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"xyz"])
@pytest.mark.parametrize(
    ("secret", "planted"),
    [
        (PHRASE, PHRASE),
        (PHRASE, base64.b64encode(PHRASE)),
        (PHRASE, base64.b64encode(b"{'pass': " + PHRASE + b"}")),
        (PHRASE, base64.urlsafe_b64encode(PHRASE)),
        (PHRASE, PHRASE.hex().encode()),
        (PHRASE, PHRASE.hex().upper().encode()),
        (PHRASE, quote(PHRASE, safe="").encode()),
        (scalar(KEY), DER),
        (scalar(KEY), DER.hex().encode()),
        (scalar(KEY), base64.b64encode(DER)),
        (scalar(KEY), PEM),
        (scalar(KEY), json.dumps({"private_key": PEM.decode()}).encode()),
        (scalar(KEY), json.dumps(json.dumps({"private_key": PEM.decode()})).encode()),
    ],
)
def test_the_search_finds_a_planted_secret_in_every_form(secret: bytes, planted: bytes, before: bytes) -> None:
    assert finds(secret, b"... " + before + planted + b" ...")
    assert not finds(secret, b"... " + before + planted[: len(planted) // 3] + b" ...")


class Eavesdropper:
    """Keeps the secrets that the API hands out, so that they can be looked for."""

    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {}

    def __call__(self, answer: dict[str, Any]) -> None:
        credentials = answer["config"]["mqtt_credentials"]
        number = len(self.secrets)
        if credentials["protocol"] == "MQTT":
            self.secrets[f"password {number}"] = credentials["password"].encode()
        else:
            key = load_pem_private_key(credentials["private_key"].encode(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self.secrets[f"private key {number}"] = scalar(key)


async def everything_that_ucmctl_says(daemon: DaemonProcess) -> bytes:
    said = []
    for command in (["status"], ["list"], ["show", HARDWARE_ID], ["wifi", "show"]):
        for extra in ([], ["--json"]):
            status, text = await ucmctl(daemon.socket, *command, *extra)
            assert status == 0
            said.append(text)
    for kind in ("html", "csv", "json"):
        status, text = await ucmctl(daemon.socket, "report", "--format", kind)
        assert (status, HARDWARE_ID in text) == (0, True)
        said.append(text)
    return "\n".join(said).encode()


async def type_the_secrets(station: Station, daemon: DaemonProcess) -> bytes:
    """The network and the label's proof, as an operator hands them over, and some that are refused."""
    passphrase, pop = station.folder / "passphrase", station.folder / "label"
    pop.write_text(POP)
    commands = (
        ["wifi", "add", SSID, "--first", "--passphrase-file", str(passphrase)],
        ["wifi", "add", SSID, "--bssid", "nowhere", "--passphrase-file", str(passphrase)],
        ["wifi", "add", "x" * 33, "--passphrase-file", str(passphrase)],
        ["approve", HARDWARE_ID, "--pop-file", str(pop)],
        ["manifest", "import", str(station.folder / "manifest.csv")],
    )
    return "\n".join([(await ucmctl(daemon.socket, *command))[1] for command in commands]).encode()


async def live_through_a_lot(station: Station, front: Front, module: SerialModule) -> bytes:
    """Failures with the secrets at hand, then success in both protocols; returns all that was printed."""
    said = b""
    front.refuse(422)
    async with station.daemon_process() as daemon:
        (view,) = await daemon.until(lambda modules: [m for m in modules if m["hold"]])
        assert view["hold"]["code"] == "api_rejected"
        said += await type_the_secrets(station, daemon)
        said += await everything_that_ucmctl_says(daemon)
        front.failing = None
        await ucmctl(daemon.socket, "retry", HARDWARE_ID)
        await daemon.until_verified()
        said += await everything_that_ucmctl_says(daemon)
    station.protocol = "MQTT"
    async with station.daemon_process() as daemon:
        await daemon.until_verified()
        await ucmctl(daemon.socket, "reprovision", HARDWARE_ID)
        await module.until(lambda module: module.active_generation == 2, timeout=30)
        await daemon.until_verified()
        said += await everything_that_ucmctl_says(daemon)
    return said


async def test_nothing_that_a_run_writes_or_says_holds_a_secret(station: Station, front: Front, tmp_path: Path) -> None:
    eavesdropper = Eavesdropper()
    front.alter = eavesdropper
    configuration = station.configure()
    configuration.write_text(configuration.read_text() + '[log]\nlevel = "debug"\n')
    async with station.module() as module:
        said = await live_through_a_lot(station, front, module)
    token = station.token_file.read_text().strip().encode()
    secrets = eavesdropper.secrets | {"pop": POP.encode(), "passphrase": PASSPHRASE.encode(), "token": token}
    assert {name.split()[0] for name in secrets} == {"password", "private", "pop", "passphrase", "token"}
    # The secrets' own homes are the operator's files, the site API's folder and the module's flash.
    written = {path.name: path.read_bytes() for path in [tmp_path / "daemon.log", *(tmp_path / "state").iterdir()]}
    assert "VERIFIED" in written["daemon.log"].decode()
    assert b"DeviceAdded" in written["journal.sqlite3"]
    assert {"secrets.key", "secrets.sealed"} < set(written)
    assert b"WIFI_INVALID" in said
    assert b"modules are expected now" in said
    for place, text in {**written, "ucmctl": said}.items():
        for name, secret in secrets.items():
            assert not finds(secret, text), f"{place} holds the {name}"
