"""Deadlines of everything that talks to the broker or the time source."""

from __future__ import annotations

from dataclasses import dataclass

from ucm_provision.core import policy


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds.

    Attributes:
        connect: Each of: resolving the name, TCP, the TLS handshake, the answer to CONNECT.
        alert: How long a TLS 1.3 broker may take to refuse a certificate after the handshake.
        suback: From SUBSCRIBE to its answer.
        time_source: One question to the time source.
        ntp_resend: After which a lost NTP datagram is sent again.
        puback: From PUBLISH to its answer.
        subscribe: How long :meth:`BrokerWitness.watch` waits for its subscription.
        reconnect_first, reconnect_last: The back-off of the witness and of the fleet's announcer, doubling in between.
    """

    connect: float = policy.BROKER_CONNECT_DEADLINE
    alert: float = policy.BROKER_ALERT_WAIT
    suback: float = policy.BROKER_SUBACK_DEADLINE
    time_source: float = policy.TIME_SOURCE_DEADLINE
    ntp_resend: float = policy.NTP_RESEND
    puback: float = policy.FLEET_PUBACK_DEADLINE
    subscribe: float = policy.WITNESS_SUBSCRIBE_DEADLINE
    reconnect_first: float = policy.WITNESS_RECONNECT_FIRST
    reconnect_last: float = policy.WITNESS_RECONNECT_LAST


STANDARD = Timing()
