"""After a trial that failed: the module is to be online again before anything else is decided about it.

It returns to its old configuration by itself. But its old credentials may be dead by then, because an API
may revoke them as soon as it issues new ones. So a module that does not come back gets the fresh ones, and
keeps its networks.
"""

from __future__ import annotations

from ucm_provision.core import policy
from ucm_provision.core.errors import UcmError
from ucm_provision.core.events import Compensating, SetBack
from ucm_provision.core.machine import Session
from ucm_provision.core.model import ModuleConfiguration, Phase
from ucm_provision.engine.attempt import Attempt
from ucm_provision.engine.push import fresh_connection, write
from ucm_provision.engine.verify import report


def is_set_back(session: Session, error: UcmError) -> bool:
    """Whether the failure left the module with an older configuration, which it may or may not get online with."""
    intent = session.intent
    had_one = intent is not None and intent.base_generation > 0
    return had_one and session.setback is None and error.code.value.startswith("trial_")


async def recover(attempt: Attempt) -> None:
    """Waits for the module to be online with its old configuration. Raises why the trial failed, once it is."""
    setback = _setback(attempt)
    attempt.show("verify", "back on its old configuration")
    if await _is_online_again(attempt):
        raise UcmError(setback.code, f"{setback.detail}; it is online with its old configuration".lstrip("; "))
    await attempt.note(Compensating())


async def compensate(attempt: Attempt) -> None:
    """Pushes fresh credentials alone. Verify says in the end why that was needed."""
    connection = await fresh_connection(attempt)
    await write(attempt, ModuleConfiguration(attempt.session.device_id, connection, ()))


async def _is_online_again(attempt: Attempt) -> bool:
    clock = attempt.site.clock
    deadline, misses = clock.monotonic() + policy.RECOVERY_PATIENCE, 0
    while clock.monotonic() < deadline:
        state = await report(attempt)
        if state and state.phase is Phase.ONLINE:
            return True
        misses = misses + 1 if state is None else 0
        await clock.sleep(policy.lan_backoff(misses) if misses else policy.STATE_POLL)
    return False


def _setback(attempt: Attempt) -> SetBack:
    setback = attempt.session.setback
    assert setback is not None, "or there is nothing to recover from"
    return setback
