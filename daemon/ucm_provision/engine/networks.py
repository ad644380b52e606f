"""Which Wi-Fi networks a module is to get."""

from __future__ import annotations

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import WifiNetwork
from ucm_provision.engine.attempt import Attempt


def networks(attempt: Attempt) -> tuple[WifiNetwork, ...]:
    """Those of the campaign, with the passphrases that the site's profiles have for them; or the site's.

    Raises:
        UcmError: network_dropped.
    """
    site, task = attempt.site.plan.wifi, attempt.session.task
    if task is None:
        return site
    known = {network.ssid: network for network in site}
    if missing := [ssid for ssid in task.networks if ssid not in known]:
        raise UcmError(Code.NETWORK_DROPPED, ", ".join(missing))
    return tuple(known[ssid] for ssid in task.networks)
