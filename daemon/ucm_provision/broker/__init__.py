"""The broker as this box sees it: the check of a new connection, and the witness of a module's arrival."""

from ucm_provision.broker.check import ConnectionCheck
from ucm_provision.broker.timing import Timing
from ucm_provision.broker.witness import BrokerWitness, NoWitness

__all__ = ["BrokerWitness", "ConnectionCheck", "NoWitness", "Timing"]
