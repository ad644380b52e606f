"""Commands for tokens, sites and the authority. The server may be running: they write to the same registry."""

import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import click
import structlog

from ucm_site_api import texts
from ucm_site_api.errors import SiteStartError
from ucm_site_api.messages import Role
from ucm_site_api.random_secrets import digest_of, new_secret
from ucm_site_api.records import ROLES, Site
from ucm_site_api.registry import REGISTRY_FILE, Registry
from ucm_site_api.running import STATE, run
from ucm_site_api.settings import utc_now
from ucm_site_api.state import AUTHORITY_CERTIFICATE
from ucm_site_api.timestamps import to_text

log = structlog.get_logger("ucm_site_api.audit")

_CREATE_EXAMPLE = """
\b
Example:
  ucm-site-api token create --state /var/lib/ucm-site-api --role installer --name laptop
"""

_SITE_EXAMPLE = """
\b
Example:
  ucm-site-api site create --state /var/lib/ucm-site-api --name "Plant 2" --timezone Europe/Berlin
"""


@click.group()
def token() -> None:
    """Access tokens of the HTTP API."""


@token.command("create", epilog=_CREATE_EXAMPLE)
@STATE
@click.option(
    "--role",
    type=click.Choice([role.lower() for role in ROLES]),
    default="installer",
    show_default=True,
    help="What the token's bearer may do.",
)
@click.option("--site", help="The id of the only site that it is for.  [default: every site]")
@click.option("--name", default="", help="What it is for, for people.")
def create_token(state: Path, role: str, site: str | None, name: str) -> None:
    """Make a token and print it, once: only its digest is kept. The server may be running."""
    run(lambda: _create_token(state, _role(role), site, name))


@token.command("list")
@STATE
def list_tokens(state: Path) -> None:
    """Show every token by its id, oldest first; the tokens themselves are kept nowhere."""
    run(lambda: _list_tokens(state))


@token.command("revoke")
@STATE
@click.argument("token_id", metavar="ID")
def revoke_token(state: Path, token_id: str) -> None:
    """Accept a token no longer, from the next call on. `token list` shows the ids."""
    run(lambda: _revoke_token(state, token_id))


@click.group()
def site() -> None:
    """Sites; the first start of the server makes one."""


@site.command("create", epilog=_SITE_EXAMPLE)
@STATE
@click.option("--name", required=True, help="Its name, for people.")
@click.option("--timezone", default="UTC", show_default=True, help="A name of the time zone database.")
@click.option("--id", "site_id", help="An id that it has elsewhere already.  [default: a new one]")
def create_site(state: Path, name: str, timezone: str, site_id: str | None) -> None:
    """Add a site and print its id."""
    run(lambda: _create_site(state, name, timezone, site_id))


@site.command("list")
@STATE
def list_sites(state: Path) -> None:
    """Show every site, oldest first."""
    run(lambda: _list_sites(state))


@click.group()
def ca() -> None:
    """The site's certificate authority."""


@ca.command("show")
@STATE
def show_authority(state: Path) -> None:
    """Print the authority's certificate, PEM: what clients of --tls and of the broker have to trust."""
    run(lambda: _show_authority(state))


async def _create_token(state: Path, role: Role, site_id: str | None, name: str) -> None:
    secret = new_secret()
    async with _registry(state) as registry:
        made = await registry.add_token(
            digest_of(secret), role, utc_now(), name=texts.printable(name, "--name"), site_id=site_id
        )
    log.info("token_created", id=made.id, role=role, site_id=site_id, name=name)
    click.echo(secret)


async def _list_tokens(state: Path) -> None:
    async with _registry(state) as registry:
        known = await registry.tokens()
    rows = [(one.id, one.role.lower(), one.site_id or "every site", to_text(one.created_at), one.name) for one in known]
    _table(("ID", "ROLE", "SITE", "CREATED", "NAME"), rows)


async def _revoke_token(state: Path, token_id: str) -> None:
    async with _registry(state) as registry:
        revoked = await registry.revoke_token(token_id)
    if revoked is None:
        raise SiteStartError(f"There is no token {token_id!r}.")
    log.info("token_revoked", id=revoked.id, role=revoked.role, name=revoked.name)


async def _create_site(state: Path, name: str, timezone: str, site_id: str | None) -> None:
    kept_id = texts.printable(site_id, "--id") if site_id else str(uuid.uuid4())
    made = Site(kept_id, texts.name(name, "--name"), texts.timezone(timezone, "--timezone"))
    async with _registry(state) as registry:
        await registry.add_site(made, utc_now())
    log.info("site_created", id=made.id, name=made.name)
    click.echo(made.id)


async def _list_sites(state: Path) -> None:
    async with _registry(state) as registry:
        page = await registry.sites(None, 0, -1)
    _table(("ID", "TIMEZONE", "NAME"), [(one.id, one.timezone, one.name) for one in page.items])


async def _show_authority(state: Path) -> None:
    try:
        click.echo((state / AUTHORITY_CERTIFICATE).read_text(), nl=False)
    except OSError as cause:
        raise SiteStartError(f"There is no authority in {state} yet: start the server once.") from cause


@asynccontextmanager
async def _registry(state: Path) -> AsyncIterator[Registry]:
    if not (state / REGISTRY_FILE).exists():
        raise SiteStartError(f"There is no registry in {state} yet: start the server once.")
    registry = await Registry.open(state / REGISTRY_FILE)
    try:
        yield registry
    finally:
        await registry.close()


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _role(name: str) -> Role:
    return next(role for role in ROLES if role.lower() == name)
