"""Simulated UCM modules: honest about being hardware, and sharing no code with what provisions them."""

from ucm_sim.clock import Clock, ScaledClock, SystemClock
from ucm_sim.identity import Attached, Identity
from ucm_sim.serial_module import SerialModule
from ucm_sim.srp import Verifier, VerifierForm

__all__ = [
    "Attached",
    "Clock",
    "Identity",
    "ScaledClock",
    "SerialModule",
    "SystemClock",
    "Verifier",
    "VerifierForm",
]
