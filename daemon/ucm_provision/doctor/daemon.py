"""Does the daemon answer, and is it the version that is installed?"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.doctor.box import RESTART_WITH_SOCKET, Box
from ucm_provision.doctor.finding import Finding, ok, problem, skipped, warn

_CHECK = "daemon"


def check(box: Box) -> Iterator[Finding]:
    if box.is_stopped:
        yield skipped(_CHECK, "Not asked: its service does not run.")
    elif box.status:
        yield judge_version(box.status["version"], version("ucm-provisiond"), box)
    elif box.silence:
        yield judge_silence(box.silence, box)


def judge_version(running: str, installed: str, box: Box) -> Finding:
    if running == installed:
        return ok(_CHECK, f"Version {running} answers on {box.control}.")
    return warn(
        _CHECK,
        f"Version {running} runs, but {installed} is installed: it was not restarted after the upgrade.",
        "A restart is safe at any moment, and opens no port of a verified module.",
        mend=box.then_restart(),
    )


def judge_silence(silence: UcmError, box: Box) -> Finding:
    """Why nobody answers, from what the socket said."""
    match silence.__cause__:
        case PermissionError():
            return skipped(_CHECK, f"Not asked: you have no right to {box.control}.")
        case FileNotFoundError() | ConnectionRefusedError():
            return _nobody(box)
        case TimeoutError():
            return problem(
                _CHECK,
                f"The daemon does not answer on {box.control}: it hangs, or the machine is far too busy.",
                mend=box.then_restart(),
                code=Code.DAEMON_UNREACHABLE,
            )
        case _:
            return problem(_CHECK, f"The daemon cannot be asked: {silence.detail}.", code=Code.DAEMON_UNREACHABLE)


def _nobody(box: Box) -> Finding:
    return problem(
        _CHECK,
        f"Nobody listens on {box.control}: the daemon does not run, or its configuration names another socket.",
        mend=RESTART_WITH_SOCKET if box.has_systemd else "",
        code=Code.DAEMON_UNREACHABLE,
    )
