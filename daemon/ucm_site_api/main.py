"""The command line: `ucm-site-api serve`, `ucm-site-api token create` and `ucm-site-api broker bootstrap`."""

import asyncio
import shlex
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click
import structlog

from ucm_site_api.errors import ConfigurationError, SiteStartError
from ucm_site_api.mosquitto.bootstrap import bootstrap, find_plugin
from ucm_site_api.parsing import parse_address, parse_duration, parse_time_source
from ucm_site_api.random_secrets import digest_of, new_secret
from ucm_site_api.records import ROLES, Role
from ucm_site_api.registry import REGISTRY_FILE, Registry
from ucm_site_api.settings import Mosquitto, Settings, utc_now
from ucm_site_api.site import SiteApi

_SERVE_EXAMPLE = """
\b
Example:
  ucm-site-api serve --state /var/lib/ucm-site-api --listen 0.0.0.0:8480 \\
    --mqtts-listen 0.0.0.0:8883 --public-host 192.168.10.2
"""

_CREATE_EXAMPLE = """
\b
Example:
  ucm-site-api token create --state /var/lib/ucm-site-api --role installer
"""

_BOOTSTRAP_EXAMPLE = """
\b
Example:
  ucm-site-api broker bootstrap --state /var/lib/ucm-site-api \\
    --mqtt-listen 192.168.10.2:1883 --mqtts-listen 192.168.10.2:8883
"""


def main() -> None:
    """The console script."""
    configure_logging()
    commands()


def configure_logging() -> None:
    """Lines for people, on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # The richer form shows the values of variables, and some of those are keys.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )


class _Failure(click.ClickException):
    """The server cannot do what was asked for, now."""


class _Misconfiguration(click.ClickException):
    """It never can. sysexits.h: EX_CONFIG, after which service managers need not try again."""

    exit_code = 78


_ADDRESS = "HOST:PORT"
_DURATION = "NUMBER[s|m|h|d]"
_PARSED: dict[str, Callable[[str], object]] = {
    "listen": parse_address,
    "mqtt_listen": parse_address,
    "mqtts_listen": parse_address,
    "time_sync": parse_time_source,
    "rotation_grace": parse_duration,
    "certificate_validity": parse_duration,
}
_STATE = click.option(
    "--state",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for registry, authority and credentials. Back it up.",
)
_MQTT_LISTEN = click.option(
    "--mqtt-listen", metavar=_ADDRESS, default="127.0.0.1:1883", show_default=True, help="MQTT with passwords."
)
_MQTTS_LISTEN = click.option(
    "--mqtts-listen", metavar=_ADDRESS, default="127.0.0.1:8883", show_default=True, help="MQTT with certificates."
)
_PUBLIC_HOST = click.option("--public-host", help="What modules connect to.  [default: the host of --mqtts-listen]")
_KEY = click.option(
    "--key", type=click.Choice(["ec", "rsa"]), default="ec", show_default=True, help="EC P-256 or RSA-2048 keys."
)


@click.group(context_settings={"max_content_width": 110})
@click.version_option(package_name="ucm-provisiond")
def commands() -> None:
    """The provisioning API on site: HTTP API, X.509 authority and MQTT broker in one process."""


@commands.command(epilog=_SERVE_EXAMPLE)
@_STATE
@click.option("--listen", metavar=_ADDRESS, default="127.0.0.1:8480", show_default=True, help="The HTTP API.")
@_MQTT_LISTEN
@_MQTTS_LISTEN
@_PUBLIC_HOST
@click.option(
    "--broker",
    type=click.Choice(["embedded", "mosquitto"]),
    default="embedded",
    show_default=True,
    help="The broker of this process, or the mosquitto that `broker bootstrap` has set up.",
)
@click.option(
    "--broker-reload",
    metavar="COMMAND",
    help="Makes mosquitto read its revocation list.  [default: SIGHUP, by its pid file]",
)
@click.option("--site-name", default="Site", show_default=True, help="Used at the first start.")
@click.option("--site-timezone", default="UTC", show_default=True, help="Used at the first start.")
@click.option("--time-sync", metavar="URL", help="http://host:port or ntp://host:port.  [default: this server, HTTP]")
@_KEY
@click.option(
    "--rotation-grace",
    metavar=_DURATION,
    default="24h",
    show_default=True,
    help="How long a credential is accepted after a newer one was issued.",
)
@click.option(
    "--certificate-validity",
    metavar=_DURATION,
    default="365d",
    show_default=True,
    help="How long a module's certificate is good for.",
)
def serve(**options: Any) -> None:
    """Serve until SIGTERM or Ctrl-C. Port 0 takes any free port.

    The first start makes the site, its certificate authority and an installer token.
    """
    _run(lambda: _serve(options))


@commands.group()
def token() -> None:
    """Access tokens of the HTTP API."""


@token.command(epilog=_CREATE_EXAMPLE)
@_STATE
@click.option(
    "--role",
    type=click.Choice([role.lower() for role in ROLES]),
    default="installer",
    show_default=True,
    help="What the token's bearer may do.",
)
def create(state: Path, role: str) -> None:
    """Make a token and print it, once: only its digest is kept. The server may be running."""
    _run(lambda: _create_token(state, _role(role)))


@commands.group()
def broker() -> None:
    """mosquitto in place of the broker of this process."""


@broker.command("bootstrap", epilog=_BOOTSTRAP_EXAMPLE)
@_STATE
@_MQTT_LISTEN
@_MQTTS_LISTEN
@_PUBLIC_HOST
@_KEY
@click.option(
    "--plugin",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="mosquitto's dynamic security plugin.  [default: where the distribution has it]",
)
def bootstrap_broker(plugin: Path | None, **options: Any) -> None:
    """Write all that a mosquitto of this site is started with, and say how.

    Done again it renews configuration and certificate; clients and passwords are kept.
    """
    _run(lambda: _bootstrap(plugin, options))


async def _bootstrap(plugin: Path | None, options: dict[str, Any]) -> None:
    settings = _settings({"broker": "mosquitto", "broker_reload": None} | options)
    try:
        files = await bootstrap(settings, plugin or find_plugin())
    except OSError as cause:
        raise SiteStartError(f"mosquitto cannot be set up in {settings.state}: {cause}.") from cause
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value and name != "state"]
    click.echo(f"start the broker  {shlex.join(['mosquitto', '-c', str(files.configuration)])}")
    serve_command = ["ucm-site-api", "serve", f"--state={settings.state}", "--broker=mosquitto", *given]
    click.echo(f"then the server   {shlex.join(serve_command)}")
    click.echo(f"witness           {files.password_witness}  (passwords)")


def _settings(options: dict[str, Any]) -> Settings:
    chosen = options | {name: parse(options[name]) for name, parse in _PARSED.items() if options.get(name)}
    command = chosen.pop("broker_reload")
    if chosen["broker"] == "mosquitto":
        chosen["broker"] = Mosquitto(tuple(shlex.split(command)) if command else None)
    return Settings(**chosen)


async def _serve(options: dict[str, Any]) -> None:
    settings = _settings(options)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stopped.set)
    async with SiteApi(settings) as site:
        _announce(settings, site)
        await stopped.wait()


def _announce(settings: Settings, site: SiteApi) -> None:
    host, time_source = settings.reachable_host, site.time_source
    click.echo(f"HTTP API       {site.url}/v3")
    click.echo(f"MQTT           {host}:{site.mqtt_port}  (passwords)")
    click.echo(f"MQTT over TLS  {host}:{site.mqtts_port}  (certificates)")
    click.echo(f"time source    {time_source.protocol.lower()}://{time_source.host}:{time_source.port}")
    click.echo(f"token          {site.token_file}")
    click.echo(f"witness        {site.witness_file}")
    click.echo("ready; Ctrl-C stops")


async def _create_token(state: Path, role: Role) -> None:
    if not (state / REGISTRY_FILE).exists():
        raise SiteStartError(f"There is no registry in {state} yet: start the server once.")
    registry = await Registry.open(state / REGISTRY_FILE)
    try:
        secret = new_secret()
        await registry.add_token(digest_of(secret), role, utc_now())
    finally:
        await registry.close()
    click.echo(secret)


def _role(name: str) -> Role:
    return next(role for role in ROLES if role.lower() == name)


def _run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        asyncio.run(work())
    except ConfigurationError as error:
        raise _Misconfiguration(str(error)) from error
    except SiteStartError as error:
        raise _Failure(str(error)) from error


if __name__ == "__main__":
    main()
