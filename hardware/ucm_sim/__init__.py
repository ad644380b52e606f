"""Simulated UCM modules: honest about being hardware, and sharing no code with what provisions them."""

from ucm_sim.clock import Clock, ScaledClock, SystemClock
from ucm_sim.identity import Attached, Identity
from ucm_sim.lan_fleet import LanFleet
from ucm_sim.lan_module import LanModule
from ucm_sim.lan_segment import LanSegment
from ucm_sim.serial_module import SerialModule
from ucm_sim.srp import Verifier, VerifierForm

__all__ = [
    "Attached",
    "Clock",
    "Identity",
    "LanFleet",
    "LanModule",
    "LanSegment",
    "ScaledClock",
    "SerialModule",
    "SystemClock",
    "Verifier",
    "VerifierForm",
]
