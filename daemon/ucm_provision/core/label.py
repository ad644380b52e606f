"""The proof of possession as it stands on a module's label: plain, or in a QR code."""

from __future__ import annotations

import json

from ucm_provision.core import policy
from ucm_provision.core.model import ProofOfPossession
from ucm_provision.core.secret import Secret


def parse_label(text: str) -> ProofOfPossession:
    """Plain text on one line, or the JSON with ``pop`` that Espressif's tools put into their QR codes.

    Raises:
        ValueError: it is neither. The text itself is never repeated.
    """
    text = text.strip()
    pop, username = _from_qr(text) if text.startswith("{") else (text, None)
    proof = ProofOfPossession(Secret(pop), username) if username else ProofOfPossession(Secret(pop))
    if not all(0 < len(part) <= policy.POP_LONGEST and part.isprintable() for part in (pop, proof.username)):
        raise ValueError(f"expected a proof of possession of 1 to {policy.POP_LONGEST} printable characters")
    return proof


def _from_qr(text: str) -> tuple[str, str | None]:
    try:
        code = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("the QR code's text is no JSON") from None
    pop, username = code.get("pop"), code.get("username")
    if not isinstance(pop, str) or not pop:
        raise ValueError('the QR code has no "pop"')
    return pop, username if isinstance(username, str) else None


def label_text(proof: ProofOfPossession) -> str:
    """The proof in the plainest form that :func:`parse_label` reads back. A secret, like the label."""
    pop = proof.secret.reveal()
    if proof == ProofOfPossession(proof.secret) and not pop.startswith("{"):
        return pop
    return json.dumps({"pop": pop, "username": proof.username}, ensure_ascii=False)
