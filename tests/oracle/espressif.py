"""Espressif's own provisioning client, as `esp-rainmaker-cli` carries it, and what the tests ask of it.

Its code runs as it was published: nothing of it is replaced but, where a test says so, its source of randomness.
"""

import contextlib
import importlib
import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.oracle.frames import FrameTransport
from ucm_sim import Verifier

FOLDER = Path(__file__).parents[2] / ".venv" / "oracle"
USERNAME = "wifiprov"
GROUP_BYTES = 384

_C_ARRAY = re.compile(r"static const char sec2_(?:salt|verifier)\[\] = \{([^}]*)\}")


class NotInstalledError(Exception):
    """The tests cannot tell anything without the client that they compare with."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"Espressif's client is not in {folder}. Install it first:  tools/install-oracle")


class Client:
    """Espressif's security 2 for one session, its first message made.

    Attributes:
        security: Its `Security2`.
        hello: That first message.
    """

    def __init__(self, security: Any) -> None:
        self.security = security
        self.hello: bytes = _as_bytes(security.security2_session(None))

    @property
    def public_length(self) -> int:
        """The bytes that the client's public value takes without leading zeros."""
        bits: int = self.security.srp6a_ctx.A.bit_length()
        return -(-bits // 8)

    @property
    def operations(self) -> int:
        """How many messages either side has encrypted: the nonce counts them."""
        return int.from_bytes(self.security.nonce[8:], "big") - 1

    def prove(self, challenge: bytes) -> bytes:
        """Its second message, given the module's first."""
        return _as_bytes(self.security.security2_session(_as_text(challenge)))

    def accept(self, acceptance: bytes) -> None:
        """Take the module's second message; raises RuntimeError if the module has not proved itself."""
        assert self.security.security2_session(_as_text(acceptance)) is None

    def shake_hands(self, transport: FrameTransport) -> None:
        """All of it; raises RefusedError where the module refuses."""
        version = json.loads(transport.call("proto-ver", b"-"))
        assert version["prov"]["sec_patch_ver"] == self.security.sec_patch_ver
        self.accept(transport.call("prov-session", self.prove(transport.call("prov-session", self.hello))))

    def call(self, transport: FrameTransport, endpoint: str, plaintext: bytes) -> bytes:
        """An encrypted call; returns the decrypted answer."""
        answer = transport.call(endpoint, self.security.encrypt_data(plaintext))
        plain: bytes = self.security.decrypt_data(answer)
        return plain


@dataclass(frozen=True)
class Espressif:
    """The modules of the client that matter here."""

    security2: Any
    srp6a: Any

    def client(self, pop: str, username: str = USERNAME) -> Client:
        return Client(self.security2.Security2(1, username, pop, False))

    def usable_client(self, pop: str) -> Client:
        """A client whose public value needs no leading zero: those zeros it fails to send, once in 256 times."""
        while (client := self.client(pop)).public_length < GROUP_BYTES:
            pass
        return client

    def generate(self, pop: str, salt_length: int = 16) -> Verifier:
        """What `esp_prov --sec2_gen_cred` prints for pasting into firmware."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.security2.sec2_gen_salt_verifier(USERNAME, pop, salt_length)
        salt, verifier = _C_ARRAY.findall(printed.getvalue())
        return Verifier(_array(salt), _array(verifier))


def load(folder: Path = FOLDER) -> Espressif:
    """Import the client; raises NotInstalledError.

    It looks for its protobuf modules under the plain name `proto` and has two sets of them; the one of
    `rmaker_local_ctrl` needs nothing that is deprecated. They have no protobuf package and ours have, so both
    live in one descriptor pool.
    """
    if not folder.is_dir():
        raise NotInstalledError(folder)
    with _first_on_path(folder, folder / "rmaker_tools" / "rmaker_local_ctrl"):
        security = "rmaker_tools.common.security"
        return Espressif(importlib.import_module(f"{security}.security2"), importlib.import_module(f"{security}.srp6a"))


@contextlib.contextmanager
def _first_on_path(*folders: Path) -> Iterator[None]:
    before = sys.path.copy()
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        sys.path[:] = before


def _array(elements: str) -> bytes:
    return bytes(int(element, 16) for element in elements.split(","))


# The client passes messages as text of one character for each byte.
def _as_bytes(message: str) -> bytes:
    return message.encode("latin-1")


def _as_text(message: bytes) -> str:
    return message.decode("latin-1")
