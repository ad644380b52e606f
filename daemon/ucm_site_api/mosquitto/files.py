"""Where mosquitto's files are: in one folder of the state folder, readable by its owner alone."""

from dataclasses import dataclass
from pathlib import Path

# The server's own client, and the one for a witness without a certificate. No hardware id reads like them, nor
# the common name of a certificate: see `PasswordClients.disconnect`.
CONTROL_USER = "site-api"
WITNESS_USER = "password-witness"


@dataclass(frozen=True)
class MosquittoFiles:
    """Paths below one state folder."""

    state: Path

    @property
    def folder(self) -> Path:
        """Everything below is ours, except that mosquitto writes `clients` and `process_id`."""
        return self.state / "mosquitto"

    @property
    def configuration(self) -> Path:
        """What mosquitto is started with."""
        return self.folder / "mosquitto.conf"

    @property
    def rights(self) -> Path:
        """Topic rights of the TLS listener."""
        return self.folder / "certificates.acl"

    @property
    def certificate(self) -> Path:
        """mosquitto's own certificate, PEM."""
        return self.folder / "server.crt"

    @property
    def private_key(self) -> Path:
        """The key of `certificate`, PEM."""
        return self.folder / "server.key"

    @property
    def revocations(self) -> Path:
        """The certificate revocation list, PEM."""
        return self.folder / "revoked.crl"

    @property
    def clients(self) -> Path:
        """Dynamic security's clients and roles. mosquitto rewrites it; it belongs in every backup."""
        return self.folder / "dynamic-security.json"

    @property
    def control_password(self) -> Path:
        """The password of `CONTROL_USER`."""
        return self.folder / "control-password"

    @property
    def password_witness(self) -> Path:
        """A witness's access to the password listener, under the keys of a device's `config`."""
        return self.folder / "witness-password.json"

    @property
    def process_id(self) -> Path:
        """Written by mosquitto when it starts."""
        return self.folder / "mosquitto.pid"
