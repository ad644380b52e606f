"""Which proof of possession is tried: what an operator typed, then the manifest's, then the site's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ucm_provision.core.events import Identified, Identity, Seen
from ucm_provision.core.machine import Session, evolve
from ucm_provision.core.model import Carrier, Endpoint, Product, ProofOfPossession
from ucm_provision.core.plan import ExpectedModule, SitePlan
from ucm_provision.core.secret import Secret
from ucm_provision.engine.proofs import Proofs
from ucm_provision.store.sealed import SealedStore

HWID = "C8795CBA5375484E829105E959663C8B"
TYPED, LISTED, SITE = (ProofOfPossession(Secret(text)) for text in ("typed", "listed", "site"))
PLAN = SitePlan("box", site_pop=SITE, expected={HWID: ExpectedModule(HWID, pop=LISTED)})
SEEN = evolve(None, Seen(Endpoint(Carrier.SERIAL, "/dev/ttyUSB0", "key-0")), session_id="s", at=1.0)
IDENTIFIED = evolve(SEEN, Identified(Identity(HWID, Product.UCM, "ENP-RL6", "1")), session_id="s", at=2.0)
LATER = evolve(None, Seen(Endpoint(Carrier.SERIAL, "/dev/ttyUSB1", "key-1")), session_id="t", at=3.0)


async def started(folder: Path) -> Proofs:
    return Proofs(PLAN, await SealedStore.open(folder, None))


def tried(proofs: Proofs, session: Session, announced: str | None = HWID) -> ProofOfPossession | None:
    return proofs.lookup(session)(announced)


async def test_without_anything_typed(tmp_path: Path) -> None:
    proofs = await started(tmp_path)
    assert (tried(proofs, SEEN), tried(proofs, SEEN, None)) == (LISTED, SITE)


@pytest.mark.parametrize("session", [SEEN, IDENTIFIED], ids=["seen", "identified"])
async def test_what_was_typed_goes_first_also_after_a_restart(tmp_path: Path, session: Session) -> None:
    proofs = await started(tmp_path)
    await proofs.learn(session, TYPED)
    assert tried(proofs, session) == TYPED
    assert tried(await started(tmp_path), session) == TYPED


async def test_what_was_typed_for_a_port_is_the_module_s_once_it_is_proved(tmp_path: Path) -> None:
    proofs = await started(tmp_path)
    await proofs.learn(SEEN, TYPED)
    assert tried(proofs, LATER) == LISTED
    await proofs.proved(SEEN, HWID)
    for each in (proofs, await started(tmp_path)):
        assert tried(each, LATER) == TYPED
        assert tried(each, SEEN, None) == SITE


async def test_a_manifest_that_says_something_new_is_believed(tmp_path: Path) -> None:
    proofs = await started(tmp_path)
    await proofs.learn(IDENTIFIED, TYPED)
    await proofs.superseded(["somebody else"])
    assert tried(proofs, IDENTIFIED) == TYPED
    await proofs.superseded([HWID])
    assert tried(proofs, IDENTIFIED) == LISTED
    assert tried(await started(tmp_path), IDENTIFIED) == LISTED
