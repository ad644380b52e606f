"""The provisioning API's client."""

from ucm_provision.cloud.provisioning import HttpProvisioningApi, Timing

__all__ = ["HttpProvisioningApi", "Timing"]
