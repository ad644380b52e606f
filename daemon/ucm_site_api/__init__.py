"""The provisioning API on site: HTTP API, X.509 authority and MQTT broker for a site without a cloud."""

from ucm_site_api.errors import ConfigurationError, SiteStartError
from ucm_site_api.settings import CertificateFiles, Mosquitto, Settings, TimeSource
from ucm_site_api.site import SiteApi

__all__ = ["CertificateFiles", "ConfigurationError", "Mosquitto", "Settings", "SiteApi", "SiteStartError", "TimeSource"]
