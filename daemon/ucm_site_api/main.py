"""The command line: `ucm-site-api serve` and `broker bootstrap`; `token`, `site` and `ca` are in `administration`."""

import asyncio
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import structlog

from ucm_site_api.administration import ca, site, token
from ucm_site_api.errors import ConfigurationError, SiteStartError
from ucm_site_api.mosquitto.bootstrap import bootstrap, find_plugin
from ucm_site_api.parsing import parse_address, parse_duration, parse_time_source
from ucm_site_api.running import STATE, run
from ucm_site_api.settings import CertificateFiles, Mosquitto, Settings
from ucm_site_api.site import SiteApi

_SERVE_EXAMPLE = """
\b
Example:
  ucm-site-api serve --state /var/lib/ucm-site-api --listen 0.0.0.0:8480 \\
    --mqtts-listen 0.0.0.0:8883 --public-host 192.168.10.2
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


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
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
@STATE
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
@click.option(
    "--role",
    type=click.Choice(["gateway", "cloud"]),
    default="gateway",
    show_default=True,
    help="What this server is to its clients: virtual UCMs and LINK need a Gateway, Gateways need a cloud.",
)
@click.option("--tls", is_flag=True, help="The HTTP API over TLS, with a certificate by the site's own authority.")
@click.option(
    "--tls-certificate", type=_FILE, help="The HTTP API over TLS with this certificate and those above it, PEM."
)
@click.option("--tls-key", type=_FILE, help="The key of --tls-certificate, PEM.")
@click.option(
    "--rate-limit",
    type=click.IntRange(0),
    default=6000,
    show_default=True,
    help="Calls a minute for each token; 0 is no limit.",
)
@click.option(
    "--group-reads",
    is_flag=True,
    help="Token and witness are readable for this process's group, too: for a daemon with a user of its own.",
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
    run(lambda: _serve(options))


commands.add_command(token)
commands.add_command(site)
commands.add_command(ca)


@commands.group()
def broker() -> None:
    """mosquitto in place of the broker of this process."""


@broker.command("bootstrap", epilog=_BOOTSTRAP_EXAMPLE)
@STATE
@_MQTT_LISTEN
@_MQTTS_LISTEN
@_PUBLIC_HOST
@_KEY
@click.option(
    "--plugin",
    type=_FILE,
    help="mosquitto's dynamic security plugin.  [default: where the distribution has it]",
)
def bootstrap_broker(plugin: Path | None, **options: Any) -> None:
    """Write all that a mosquitto of this site is started with, and say how.

    Done again it renews configuration and certificate; clients and passwords are kept.
    """
    run(lambda: _bootstrap(plugin, options))


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


def _with_tls(options: dict[str, Any]) -> dict[str, Any]:
    certificate, key = options.pop("tls_certificate"), options.pop("tls_key")
    if bool(certificate) != bool(key) or (certificate and options["tls"]):
        raise ConfigurationError("TLS takes --tls-certificate and --tls-key, or --tls alone.")
    files = CertificateFiles(certificate, key) if certificate else None
    return options | {"tls": files or ("own" if options["tls"] else None)}


async def _serve(options: dict[str, Any]) -> None:
    settings = _settings(_with_tls(options))
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


if __name__ == "__main__":
    main()
