"""Clients with passwords: one in dynamic security for each credential, and a role for each module."""

import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import structlog

from ucm_site_api.errors import ApiError, BrokerUnavailableError
from ucm_site_api.messages import PasswordCredentials
from ucm_site_api.mosquitto.configuration import rights
from ucm_site_api.mosquitto.control import Answer, Command, ControlConnection
from ucm_site_api.random_secrets import new_secret
from ucm_site_api.registry import Registry

log = structlog.get_logger(__name__)

# Clients of ours among those that an operator may have added by hand.
_OURS = re.compile(r"(?P<subject>[0-9A-Z]{32,33})\.(?P<number>[1-9][0-9]{0,17})")

# What mosquitto says when nothing was left to do.
_ROLE_EXISTS = "Role already exists"
_NO_SUCH_CLIENT = "Client not found"

_DELETED_AT_ONCE = 100


class PasswordClients:
    """Brings dynamic security's clients in line with the registry."""

    def __init__(self, control: ControlConnection, registry: Registry, now: Callable[[], datetime]) -> None:
        self._control = control
        self._registry = registry
        self._now = now
        self._being_admitted: set[str] = set()

    @asynccontextmanager
    async def admitted(self, hardware_id: str, credentials: PasswordCredentials) -> AsyncIterator[None]:
        """A client that can connect inside the block, and stays if the block succeeds.

        Raises:
            BrokerUnavailableError: mosquitto is away.
            ApiError: mosquitto refused.
        """
        name = credentials.username
        self._being_admitted.add(name)
        try:
            await self._command(commands_to_admit(hardware_id, credentials))
            try:
                yield
            except Exception:
                with suppress(BrokerUnavailableError):  # `reconcile` finds it
                    await self._command([_delete(name)])
                raise
        finally:
            self._being_admitted.discard(name)

    async def reconcile(self) -> None:
        """Delete clients whose credential has ended or was never issued; mark devices whose client is missing.

        Raises:
            BrokerUnavailableError: mosquitto is away.
        """
        expected = await self._registry.accepted_passwords(self._now())
        listed = await self._names()
        # In this order: whoever is admitted meanwhile is in one of the two sets that are looked up from here on.
        being_admitted = set(self._being_admitted)
        accepted = await self._registry.accepted_passwords(self._now())
        await self._delete_all(listed - being_admitted - {_name(*credential) for credential in accepted})
        await self._mark_lost({lost for lost in expected & accepted if _name(*lost) not in listed})

    async def disconnect(self, name: str) -> None:
        """End every session whose user name this is, on whichever listener.

        mosquitto has no command for it. It ends the sessions of a client that is deleted, by its name, so one
        is made for the purpose; nobody knows its password.

        Raises:
            BrokerUnavailableError: mosquitto is away.
        """
        created = {"command": "createClient", "username": name, "password": new_secret()}
        await self._command([_delete(name), created, _delete(name)])

    async def _names(self) -> set[str]:
        (answer,) = await self._command([{"command": "listClients", "verbose": False, "count": -1, "offset": 0}])
        return {name for name in answer.data.get("clients", ()) if isinstance(name, str) and _OURS.fullmatch(name)}

    async def _delete_all(self, names: Iterable[str]) -> None:
        ended = sorted(names)
        for start in range(0, len(ended), _DELETED_AT_ONCE):
            some = ended[start : start + _DELETED_AT_ONCE]
            await self._command([_delete(name) for name in some])
            log.info("clients of ended credentials deleted", clients=some)

    async def _mark_lost(self, lost: set[tuple[str, int]]) -> None:
        for hardware_id in await self._registry.mark_lost(lost):
            log.error("mosquitto has lost a module's client: provision it again", hardware_id=hardware_id)

    async def _command(self, commands: list[Command]) -> list[Answer]:
        answers = await self._control.request(commands)
        for answer in answers:
            if answer.error not in {None, _ROLE_EXISTS, _NO_SUCH_CLIENT}:
                raise ApiError(500, "internal_error", f"mosquitto refused {answer.command}: {answer.error}.")
        return answers


def commands_to_admit(hardware_id: str, credentials: PasswordCredentials) -> list[Command]:
    """What makes mosquitto know one more credential of a module, whatever it knew before."""
    role = f"module-{hardware_id}"
    own: dict[str, Any] = {"username": credentials.username, "password": credentials.password}
    return [
        {
            "command": "createRole",
            "rolename": role,
            "acls": rights(says=[f"v1/from/{hardware_id}/#"], hears=[f"v1/to/{hardware_id}/#"]),
        },
        # What a call that was cut short has left has a password that nobody knows.
        _delete(credentials.username),
        {"command": "createClient", "roles": [{"rolename": role}]} | own,
    ]


def _delete(name: str) -> Command:
    return {"command": "deleteClient", "username": name}


def _name(subject: str, number: int) -> str:
    return f"{subject}.{number}"
