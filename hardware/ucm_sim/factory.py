"""What the factory writes into the flash once: the verifier of the proof of possession."""

from collections.abc import Callable

import msgspec

from ucm_sim.flash import Flash
from ucm_sim.identity import Identity
from ucm_sim.srp import SALT_LENGTH, Verifier, VerifierForm, make_verifier

_REGION = "factory"


class _Factory(msgspec.Struct, frozen=True):
    hardware_id: str
    salt: bytes
    verifier: bytes


class WrongModuleError(Exception):
    """The flash belongs to another module, or to another label."""


def initialise(flash: Flash, identity: Identity, form: VerifierForm, entropy: Callable[[int], bytes]) -> None:
    """Store the verifier, unless an earlier start did. Raises WrongModuleError."""
    stored = flash.read(_REGION)
    if not stored:
        made = _verifier_of(identity, entropy(SALT_LENGTH), form)
        flash.write(_REGION, msgspec.json.encode(_Factory(identity.hardware_id, made.salt, made.value)))
        return
    owner = msgspec.json.decode(stored, type=_Factory).hardware_id
    if owner != identity.hardware_id:
        raise WrongModuleError(f"the state file belongs to {owner}, not to {identity.hardware_id}")
    kept = stored_verifier(flash)
    if _verifier_of(identity, kept.salt, form) != kept:
        raise WrongModuleError("the state file was made with another proof of possession")


def is_blank(flash: Flash) -> bool:
    """Whether the factory has not seen this flash yet."""
    return not flash.read(_REGION)


def stored_verifier(flash: Flash) -> Verifier:
    factory = msgspec.json.decode(flash.read(_REGION), type=_Factory)
    return Verifier(factory.salt, factory.verifier)


def _verifier_of(identity: Identity, salt: bytes, form: VerifierForm) -> Verifier:
    return identity.verifier or make_verifier(identity.username, identity.pop, salt, form)
