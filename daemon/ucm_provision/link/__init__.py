"""The daemon's end of the device link: frames, security, and the calls that a module answers."""

from ucm_provision.link.client import OpenStream, SerialLinks
from ucm_provision.link.timing import Timing

__all__ = ["OpenStream", "SerialLinks", "Timing"]
