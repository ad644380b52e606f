"""The texts of mosquitto's configuration. Every option is one that mosquitto 2.0.11 and later have."""

import base64
import hashlib
import secrets
from pathlib import Path
from typing import Any

from ucm_site_api.access import WITNESS
from ucm_site_api.mosquitto.files import CONTROL_USER, WITNESS_USER, MosquittoFiles
from ucm_site_api.settings import Settings

# mosquitto's own number of rounds. Its passwords here are 32 random bytes, which no number of rounds protects better.
_ROUNDS = 101

_TEMPLATE = """\
# mosquitto for ucm-site-api. Written by "ucm-site-api broker bootstrap", which overwrites it.

# Rights, passwords and plugins belong to one listener each.
per_listener_settings true

# Effective when started by root: the owner of these files. Anybody else keeps the identity they start it with.
user {user}
pid_file {process_id}
log_dest stderr

# Modules register anew whenever they connect, so nothing has to survive a restart.
persistence false
persistent_client_expiration 1d

# A module's largest message is a page of properties.
max_packet_size 262144

# ---- MQTT with passwords -------------------------------------------------------------------------
# Clients and rights are in dynamic security's file, which mosquitto alone writes while it runs.
# No other listener may load this plugin: mosquitto 2.0 keeps its state once in the process.
listener {mqtt_port} {mqtt_host}
allow_anonymous false
plugin {plugin}
plugin_opt_config_file {clients}

# ---- MQTT over TLS with certificates -------------------------------------------------------------
# The common name of the certificate is the user name. SIGHUP makes mosquitto read the revocation list and the
# rights anew. Its sessions go on; those of a revoked certificate, too, until they end.
listener {mqtts_port} {mqtts_host}
allow_anonymous false
require_certificate true
use_identity_as_username true
tls_version tlsv1.2
cafile {authority}
certfile {certificate}
keyfile {private_key}
crlfile {revocations}
acl_file {rights}
"""

_RIGHTS = f"""\
# Topic rights of certificates. Written by "ucm-site-api broker bootstrap", which overwrites it.

# The witness hears every module and says nothing.
user {WITNESS}
topic deny v1/from/{WITNESS}/#
topic read v1/from/#

# A module speaks and hears under its own hardware id.
pattern write v1/from/%u/#
pattern read v1/to/%u/#
"""


def mosquitto_conf(settings: Settings, files: MosquittoFiles, plugin: Path, user: str) -> str:
    """The main configuration. `user` is whom a mosquitto started by root becomes."""
    return _TEMPLATE.format(
        user=user,
        plugin=plugin,
        mqtt_host=settings.mqtt_listen[0],
        mqtt_port=settings.mqtt_listen[1],
        mqtts_host=settings.mqtts_listen[0],
        mqtts_port=settings.mqtts_listen[1],
        authority=settings.state.absolute() / "ca.crt",
        certificate=files.certificate,
        private_key=files.private_key,
        revocations=files.revocations,
        rights=files.rights,
        clients=files.clients,
        process_id=files.process_id,
    )


def certificate_rights() -> str:
    """The access control list of the TLS listener."""
    return _RIGHTS


def first_clients(control_password: str, witness_password: str) -> dict[str, Any]:
    """Dynamic security's file before the first module: nobody may do anything but these two."""
    control = ["$CONTROL/dynamic-security/#"]
    modules = ["v1/from/#"]
    return {
        "defaultACLAccess": {
            "publishClientSend": False,
            "publishClientReceive": False,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [_client(CONTROL_USER, control_password), _client(WITNESS_USER, witness_password)],
        "groups": [],
        "roles": [
            {"rolename": CONTROL_USER, "acls": rights(says=control, hears=control + modules)},
            {"rolename": WITNESS_USER, "acls": rights(says=[], hears=modules)},
        ],
    }


def rights(*, says: list[str], hears: list[str]) -> list[dict[str, Any]]:
    """A role's rights as dynamic security writes them; each topic is a filter."""
    allowed = [("publishClientSend", topic) for topic in says]
    for topic in hears:
        allowed += [("subscribePattern", topic), ("publishClientReceive", topic)]
    return [{"acltype": kind, "topic": topic, "priority": 0, "allow": True} for kind, topic in allowed]


def _client(name: str, password: str) -> dict[str, Any]:
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    return {
        "username": name,
        "roles": [{"rolename": name}],
        "password": base64.b64encode(digest).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": _ROUNDS,
    }
