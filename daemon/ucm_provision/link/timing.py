"""The device link's deadlines, in one value so that a test need not wait for them."""

from __future__ import annotations

from dataclasses import dataclass

from ucm_provision.core import policy


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. The defaults are those of :mod:`ucm_provision.core.policy`.

    Attributes:
        retransmit_first: From the request's last byte to its first repetition; doubles from there.
        retransmit_last: The longest pause between two repetitions.
        first_answer: How long a module may take for its first answer, its boot included.
        first_answer_resend: The pause between two first requests.
        handshake: How long one step of the handshake may take.
        call: How long any other call may take, but for commit.
        commit: How long a commit may take: the module writes its flash meanwhile.
    """

    retransmit_first: float = policy.RETRANSMIT_FIRST
    retransmit_last: float = policy.RETRANSMIT_LAST
    first_answer: float = policy.FIRST_ANSWER_DEADLINE
    first_answer_resend: float = policy.FIRST_ANSWER_RESEND
    handshake: float = policy.HANDSHAKE_DEADLINE
    call: float = policy.CALL_DEADLINE
    commit: float = policy.COMMIT_DEADLINE


# Over HTTP nothing is sent again by us: TCP does that, and takes its time on weak Wi-Fi.
HTTP_TIMING = Timing(
    first_answer=policy.HTTP_CALL_DEADLINE,
    handshake=policy.HTTP_HANDSHAKE_DEADLINE,
    call=policy.HTTP_CALL_DEADLINE,
    commit=policy.HTTP_CALL_DEADLINE,
)
