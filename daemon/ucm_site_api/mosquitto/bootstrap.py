"""Sets a mosquitto up: everything that it is started with, in the state folder."""

import asyncio
import os
import pwd
from pathlib import Path

import msgspec

from ucm_site_api.authority import Authority
from ucm_site_api.errors import ConfigurationError
from ucm_site_api.messages import PasswordCredentials, PasswordWitnessConfig
from ucm_site_api.mosquitto import configuration
from ucm_site_api.mosquitto.files import WITNESS_USER, MosquittoFiles
from ucm_site_api.mosquitto.revocations import write_revocations
from ucm_site_api.random_secrets import new_secret
from ucm_site_api.registry import REGISTRY_FILE, Registry
from ucm_site_api.settings import Settings
from ucm_site_api.state import StateFolder, write_private

_PLUGIN = "mosquitto_dynamic_security.so"


def find_plugin() -> Path:
    """The dynamic security plugin where distributions put it.

    Raises:
        ConfigurationError: there is none.
    """
    for folder in (Path("/usr/lib"), Path("/usr/local/lib")):
        for found in (*folder.glob(_PLUGIN), *folder.glob(f"*/{_PLUGIN}")):
            return found
    raise ConfigurationError(
        f"{_PLUGIN} is not installed: apt-get install mosquitto, or name the file with --plugin if it is elsewhere."
    )


async def bootstrap(settings: Settings, plugin: Path) -> MosquittoFiles:
    """Write mosquitto's files. Done again it renews configuration and certificate, and keeps clients and passwords.

    Raises:
        SiteStartError: a server uses the state folder, or the authority is damaged.
        OSError: a file cannot be written.
    """
    owned = StateFolder(settings.state)
    try:
        registry = await Registry.open(settings.state / REGISTRY_FILE)
        try:
            return await _write(settings, plugin, registry)
        finally:
            await registry.close()
    finally:
        owned.close()


async def _write(settings: Settings, plugin: Path, registry: Registry) -> MosquittoFiles:
    files = MosquittoFiles(settings.state.absolute())
    now = settings.now()
    first_start = await registry.first_site() is None
    authority = await asyncio.to_thread(Authority.open, settings.state, settings.key, now, first_start=first_start)
    files.folder.mkdir(mode=0o700, exist_ok=True)
    await asyncio.to_thread(_write_clients, settings, files)
    await asyncio.to_thread(_write_configuration, settings, files, authority, plugin)
    await write_revocations(files.revocations, authority, await registry.ended_certificates(now), now)
    return files


def _write_clients(settings: Settings, files: MosquittoFiles) -> None:
    """Clients once: afterwards the file is mosquitto's, and has every module's password in it."""
    if files.clients.exists():
        kept = msgspec.json.decode(files.password_witness.read_bytes(), type=PasswordWitnessConfig)
        _write_witness(settings, files, kept.mqtt_credentials)
        return
    control, witness = new_secret(), PasswordCredentials(WITNESS_USER, new_secret())
    write_private(files.control_password, f"{control}\n".encode())
    _write_witness(settings, files, witness)
    # Last: what was cut short before it begins anew.
    write_private(files.clients, msgspec.json.encode(configuration.first_clients(control, witness.password)))


def _write_witness(settings: Settings, files: MosquittoFiles, credentials: PasswordCredentials) -> None:
    config = PasswordWitnessConfig(settings.reachable_host, settings.mqtt_listen[1], "MQTT", credentials)
    write_private(files.password_witness, msgspec.json.encode(config))


def _write_configuration(settings: Settings, files: MosquittoFiles, authority: Authority, plugin: Path) -> None:
    issued = authority.issue_server(settings.reachable_host, settings.now())
    user = pwd.getpwuid(os.geteuid()).pw_name
    write_private(files.certificate, issued.certificate.encode())
    write_private(files.private_key, issued.private_key.encode())
    write_private(files.rights, configuration.certificate_rights().encode())
    write_private(files.configuration, configuration.mosquitto_conf(settings, files, plugin, user).encode())
