"""What every command has in common: where its state is, and how it fails."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from ucm_site_api.errors import ApiError, ConfigurationError, SiteStartError

STATE = click.option(
    "--state",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for registry, authority and credentials. Back it up.",
)


class _Failure(click.ClickException):
    """What was asked for cannot be done, now."""


class _Misconfiguration(click.ClickException):
    """It never can. sysexits.h: EX_CONFIG, after which service managers need not try again."""

    exit_code = 78


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a command to its end; what it cannot do becomes one sentence and an exit status."""
    try:
        asyncio.run(work())
    except ConfigurationError as error:
        raise _Misconfiguration(str(error)) from error
    except SiteStartError as error:
        raise _Failure(str(error)) from error
    except ApiError as refusal:  # the registry refuses a command like a call
        raise _Failure(refusal.message) from refusal
