"""Simulated UCM modules: honest about being hardware, and sharing no code with what provisions them."""

from ucm_sim.air import Air, Network
from ucm_sim.clock import Clock, ScaledClock, SystemClock
from ucm_sim.identity import Attached, Identity
from ucm_sim.lan_fleet import LanFleet
from ucm_sim.lan_module import LanModule
from ucm_sim.lan_segment import LanSegment
from ucm_sim.radio import Radio
from ucm_sim.serial_module import SerialModule
from ucm_sim.srp import Verifier, VerifierForm

__all__ = [
    "Air",
    "Attached",
    "Clock",
    "Identity",
    "LanFleet",
    "LanModule",
    "LanSegment",
    "Network",
    "Radio",
    "ScaledClock",
    "SerialModule",
    "SystemClock",
    "Verifier",
    "VerifierForm",
]
