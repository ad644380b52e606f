"""The daemon's end of the device link: frames, security, and the calls that a module answers."""

from ucm_provision.link.client import EndpointLinks, HttpLinks, OpenCalls, OpenStream, SerialLinks
from ucm_provision.link.timing import HTTP_TIMING, Timing

__all__ = ["HTTP_TIMING", "EndpointLinks", "HttpLinks", "OpenCalls", "OpenStream", "SerialLinks", "Timing"]
