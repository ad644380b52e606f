"""From what a module says of its trial to what it means."""

from __future__ import annotations

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import LastTrial, LinkState, Reason

_CODES = {
    Reason.WIFI_AUTH_FAILED: Code.TRIAL_WIFI_AUTH_FAILED,
    Reason.WIFI_NOT_FOUND: Code.TRIAL_WIFI_NOT_FOUND,
    Reason.DHCP_TIMEOUT: Code.TRIAL_DHCP_TIMEOUT,
    Reason.DNS_FAILED: Code.TRIAL_DNS_FAILED,
    Reason.TIME_TIMEOUT: Code.TRIAL_TIME_TIMEOUT,
    Reason.TCP_REFUSED: Code.TRIAL_TCP_REFUSED,
    Reason.TCP_TIMEOUT: Code.TRIAL_TCP_TIMEOUT,
    Reason.TLS_UNTRUSTED: Code.TRIAL_TLS_UNTRUSTED,
    Reason.TLS_EXPIRED: Code.TRIAL_TLS_EXPIRED,
    Reason.TLS_REJECTED: Code.TRIAL_TLS_REJECTED,
    Reason.MQTT_NOT_AUTHORIZED: Code.TRIAL_MQTT_NOT_AUTHORIZED,
    Reason.MQTT_UNAVAILABLE: Code.TRIAL_MQTT_UNAVAILABLE,
    Reason.TRIAL_EXPIRED: Code.TRIAL_EXPIRED,
    Reason.CONFIG_INVALID: Code.TRIAL_CONFIG_INVALID,
    Reason.ABORTED: Code.TRIAL_ABORTED,
}


def failed_trial(state: LinkState, transaction: bytes) -> LastTrial | None:
    """The end of our trial, if the module says that it has failed."""
    trial = state.last_trial
    failed = trial and trial.transaction == transaction and trial.reason is not Reason.NONE
    return trial if failed else None


def trial_failure(state: LinkState, transaction: bytes) -> UcmError:
    """Why the module does not hold what was pushed to it, as far as it says."""
    trial = failed_trial(state, transaction)
    if trial is None:
        return UcmError(Code.TRIAL_LOST)
    return UcmError(_CODES[trial.reason], f"it got as far as {trial.phase.value}, generation {trial.generation}")
