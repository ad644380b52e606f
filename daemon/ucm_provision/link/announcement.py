"""What a module says of itself before the handshake: hints, never proofs.

Nobody has signed this answer, so it may only make the daemon more careful: the security policy
cannot be lowered by it, and the hardware id in it only says which proof of possession to try.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import parse_hardware_id

_SECURITY_VERSION = 2
# Before patch version 1, every message of a session was encrypted with the same nonce.
_SECURITY_PATCH = 1
_LINK_MAJOR = "1"
_SHOWN = 32


@dataclass(frozen=True, slots=True)
class Announcement:
    """The usable part of a module's ``proto-ver`` answer.

    Attributes:
        hardware_id: In normal form; None if it announces none, or none that is valid.
        max_frame: The largest decoded frame in both directions.
        capabilities: The optional endpoints that it has.
    """

    hardware_id: str | None
    max_frame: int
    capabilities: frozenset[str]


class _Ucm(msgspec.Struct):
    ver: str
    cap: list[str] = []
    max_frame: int | None = None
    id: str | None = None


class _Prov(msgspec.Struct):
    sec_ver: int = 0
    sec_patch_ver: int = 0


class _ProtoVer(msgspec.Struct):
    ucm: _Ucm
    prov: _Prov


def read_announcement(body: bytes) -> Announcement:
    """The answer to ``proto-ver``.

    Raises:
        UcmError: ``link_garbage`` if it is none of the device link's, ``link_insecure`` if the module
            offers an older security than version 2 with patch 1.
    """
    try:
        answer = msgspec.json.decode(body, type=_ProtoVer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise UcmError(Code.LINK_GARBAGE, "the answer of proto-ver is not the device link's") from None
    _check_security(answer.prov)
    if answer.ucm.ver.partition(".")[0] != _LINK_MAJOR:
        raise UcmError(Code.LINK_GARBAGE, f"device link version {answer.ucm.ver[:_SHOWN]!a} is not known here")
    return Announcement(_hint(answer.ucm.id), _max_frame(answer.ucm.max_frame), frozenset(answer.ucm.cap))


def _check_security(prov: _Prov) -> None:
    # Only this very version: a higher one would be another protocol.
    if prov.sec_ver != _SECURITY_VERSION or prov.sec_patch_ver < _SECURITY_PATCH:
        offered = f"security version {prov.sec_ver}, patch {prov.sec_patch_ver}"
        raise UcmError(Code.LINK_INSECURE, offered)


def _hint(text: str | None) -> str | None:
    try:
        return parse_hardware_id(text or "")
    except ValueError:
        return None


def _max_frame(announced: int | None) -> int:
    if announced is not None and policy.MAX_FRAME_SMALLEST <= announced <= policy.MAX_FRAME_LARGEST:
        return announced
    return policy.MAX_FRAME_DEFAULT
