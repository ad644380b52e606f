"""Can the broker be reached from this box?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from ucm_provision.broker.reach import reach
from ucm_provision.broker.timing import Timing
from ucm_provision.broker.tls import client_context
from ucm_provision.broker.witness import CONNECTED
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import TlsCredentials
from ucm_provision.credentials import BrokerAccess, CredentialsInvalidError, parse_broker_access
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.dns import is_address, resolve
from ucm_provision.doctor.finding import Finding, ok, problem, skipped, warn
from ucm_provision.host.config import Configuration

_CHECK = "broker"
# The daemon's own patience is longer; a person who waits for the doctor has less.
_TIMING = Timing(connect=5.0)

_SUMMARIES = {
    Code.BROKER_DNS_FAILED: "The broker's name does not resolve",
    Code.BROKER_REFUSED: "The broker's port refuses connections",
    Code.BROKER_TIMEOUT: "The broker does not answer",
    Code.BROKER_TLS_UNTRUSTED: "The broker's certificate is not of the CA in the witness's file",
    Code.BROKER_TLS_EXPIRED: "The broker's certificate is outside its validity",
    Code.BROKER_TLS_REJECTED: "The broker refuses the witness's certificate",
}
_ADVICE = {
    Code.BROKER_REFUSED: "Check that the broker runs, and its port.",
    Code.BROKER_TIMEOUT: "Check routes and firewalls between this box and the broker.",
    Code.BROKER_TLS_EXPIRED: "Check the clock above, then the broker's certificate.",
    Code.BROKER_TLS_UNTRUSTED: "Check that the file is of this broker; ucm-site-api writes a new one when it starts.",
    Code.BROKER_TLS_REJECTED: "Check that the file is of this broker; ucm-site-api writes a new one when it starts.",
}


def check(box: Box) -> Iterator[Finding]:
    if box.status and box.status["witness"] == CONNECTED:
        yield ok(_CHECK, "The daemon's witness is connected to the broker.")
    elif box.unsettled:
        yield skipped(_CHECK, "Without a configuration nobody knows where it is.")
    elif not box.settings.values.broker.witness:
        yield _without_witness(box.settings)
    else:
        yield _by_witness(box)


def _without_witness(settings: Configuration) -> Finding:
    override = settings.values.override
    if override.mqtt_host and override.mqtt_port:
        return _reached(override.mqtt_host, override.mqtt_port, None)
    return ok(
        _CHECK, "Not looked at: no witness is configured, so it is the API that tells whether modules are online."
    )


def _by_witness(box: Box) -> Finding:
    file = box.settings.file(box.settings.values.broker.witness)
    try:
        with file.open("rb") as stream:
            access = parse_broker_access(stream.read(policy.WITNESS_FILE_LARGEST))
    except PermissionError:
        return skipped(_CHECK, f"The witness's file {file} is closed to you, as it should be.", needs_root=True)
    except (OSError, CredentialsInvalidError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        return problem(_CHECK, f"The witness's file {file} cannot be used: {why}.", code=Code.NOT_SEEN)
    found = _reached(access.host, access.port, access)
    if found.level is ok(_CHECK, "").level and box.status:
        return warn(_CHECK, f"{found.summary} But the daemon's witness is not connected.", box.status["witness"])
    return found


def _reached(host: str, port: int, access: BrokerAccess | None) -> Finding:
    """``access``: shakes hands as the witness does; without it only the port is tried."""
    if not is_address(host) and not resolve(host).addresses:
        return skipped(_CHECK, f"{host} was not tried: its name does not resolve.")
    try:
        credentials = access.credentials if access else None
        context = client_context(credentials, host) if isinstance(credentials, TlsCredentials) else None
        asyncio.run(reach(host, port, context, _TIMING))
    except UcmError as failure:
        return judge(f"{host} port {port}", failure)
    return ok(_CHECK, f"The broker answers at {host} port {port}{', and takes the certificate' if context else ''}.")


def judge(where: str, failure: UcmError) -> Finding:
    summary = _SUMMARIES.get(failure.code, "The broker cannot be used")
    detail = f": {failure.detail}" if failure.detail else ""
    advice = [_ADVICE[failure.code]] if failure.code in _ADVICE else []
    return problem(_CHECK, f"{summary} ({where}){detail}.", *advice, code=failure.code)
