"""What systemd says of the daemon's service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ucm_provision.doctor.box import RESTART, UNIT, Box
from ucm_provision.doctor.finding import Finding, ok, problem, skipped, warn

_CHECK = "service"
_NAME = UNIT.removesuffix(".service")
_LOG = f"Its log: journalctl -u {_NAME} -n 20"
# systemd refuses to start what has failed too often, unless it is told to forget that.
_START_ANEW = f"sudo systemctl reset-failed {_NAME} && sudo systemctl start {_NAME}"
_FIRST = "Mend the other problems first; then the command starts it."

# What is known about exit statuses: 78 is of our own table of errors, the others of systemd.exec(5).
_STATUSES = {
    "78": f"Something that it needs is wrong or missing. {_FIRST}",
    "203": "Its program is not there or cannot be run: install the package again.",
    "217": "Its user does not exist: see below.",
    "243": "systemd could not hand over one of its credentials; the log tells which.",
}
_RESULTS = {
    "start-limit-hit": ("it failed too often", _FIRST),
    "watchdog": ("it made no progress, so systemd ended it", "Please report that with its log."),
    "oom-kill": ("the machine has run out of memory", ""),
    "timeout": ("it took too long to start or to stop", ""),
}


def check(box: Box) -> Iterator[Finding]:
    if not box.has_systemd:
        where = "in this container" if box.is_container else "on this machine"
        yield skipped(_CHECK, f"systemd does not run {where}; the daemon is looked for on its socket.")
    elif not box.unit:
        yield skipped(_CHECK, "systemctl does not answer.")
    elif box.unit.get("LoadState") == "not-found" and box.status:
        yield skipped(_CHECK, f"{UNIT} is not installed; the daemon that answers runs without it.")
    else:
        yield judge(box.unit)


def judge(unit: Mapping[str, str]) -> Finding:
    """What the service's properties mean, named as in systemctl(1)."""
    match unit.get("LoadState"):
        case "loaded":
            return _judge_state(unit)
        case "not-found":
            return problem(
                _CHECK,
                f"{UNIT} is not installed.",
                "The package brings it; without the package it is a file of the repository's folder systemd/.",
                mend="sudo apt install ./ucm-provisiond_*.deb",
            )
        case "masked":
            return problem(
                _CHECK,
                f"{UNIT} is masked: systemd never starts it.",
                mend=f"sudo systemctl unmask {_NAME} && sudo systemctl enable --now {_NAME}",
            )
        case state:
            return problem(_CHECK, f"{UNIT} cannot be loaded ({state}).", mend=f"systemd-analyze verify {UNIT}")


def _judge_state(unit: Mapping[str, str]) -> Finding:
    match unit.get("ActiveState"), unit.get("SubState"):
        case "active", _:
            return _judge_running(unit)
        case "activating", "auto-restart":
            return _failing(unit, f"{UNIT} fails again and again", mend="")
        case "activating" | "deactivating" | "reloading" as state, _:
            return warn(_CHECK, f"{UNIT} is {state} right now.", *_word(unit), "Ask again in a moment.")
        case "failed", _:
            return _failing(unit, f"{UNIT} has failed", mend=_START_ANEW)
        case _:
            return problem(_CHECK, f"{UNIT} is stopped.", mend=f"sudo systemctl enable --now {_NAME}")


def _judge_running(unit: Mapping[str, str]) -> Finding:
    said = unit.get("StatusText", "")
    if unit.get("NeedDaemonReload") == "yes":
        return warn(
            _CHECK,
            f"{UNIT} runs, but its unit has changed on disk since.",
            mend=f"sudo systemctl daemon-reload && {RESTART}",
        )
    if unit.get("UnitFileState") == "disabled":
        return warn(_CHECK, f"{UNIT} runs, but does not start with the machine.", mend=f"sudo systemctl enable {_NAME}")
    return ok(_CHECK, f"{UNIT} runs{': ' + said if said else ''}".removesuffix(".") + ".")


def _failing(unit: Mapping[str, str], what: str, mend: str) -> Finding:
    result, status = unit.get("Result", ""), unit.get("ExecMainStatus", "")
    why, advice = _RESULTS.get(result, (result, ""))
    if result == "exit-code":
        why, advice = f"exit status {status}", _STATUSES.get(status, "")
    return problem(_CHECK, f"{what}: {why}.", *_word(unit), *filter(None, [advice]), _LOG, mend=mend)


def _word(unit: Mapping[str, str]) -> list[str]:
    said = unit.get("StatusText", "")
    return [f"Its word: {said}"] if said else []
