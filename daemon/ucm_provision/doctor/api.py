"""Can the provisioning API be reached, is it trusted, does it take the token?"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from urllib.parse import urlsplit

from ucm_provision import parts
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.text import one_line
from ucm_provision.doctor.api_token import TYPE_IT, replacing
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.dns import api_host, api_url, is_address, resolve
from ucm_provision.doctor.finding import Finding, ok, problem, skipped
from ucm_provision.host.config import Configuration
from ucm_provision.wire import PauseView

_CHECK = "api"
# The daemon's own patience is longer; a person who waits for the doctor has less.
_DEADLINE = 10.0
_REASON_SHOWN = 200
# No device has it: the API looks at the token before it finds that out.
_NOBODY = "00000000-0000-0000-0000-000000000000"

_SUMMARIES = {
    Code.API_UNREACHABLE: "The provisioning API{url} cannot be reached",
    Code.API_TLS: "The certificate of the provisioning API{url} is not trusted",
    Code.API_UNAUTHORIZED: "The provisioning API{url} refuses the token",
    Code.API_RATE_LIMITED: "The provisioning API{url} asks for patience",
    Code.API_FAILED: "The provisioning API{url} fails on its own side",
}
_ADVICE = {
    Code.API_UNREACHABLE: "Check the network and api.url; the daemon goes on by itself when it returns.",
    Code.API_TLS: "Check the clock above. If the API has a CA of its own, name its file in api.ca_file.",
    Code.API_UNAUTHORIZED: f"No module is provisioned until a valid one is there. {TYPE_IT}",
    Code.API_NOT_FOUND: "api.url leads to something else, or site.id does not say which of the API's sites is meant.",
    Code.API_ANSWER_INVALID: "api.url leads to something else, or to another version of the API.",
}


def check(box: Box) -> Iterator[Finding]:
    url, host = api_url(box), api_host(box)
    if box.status and (pause := box.status["paused"]):
        yield paused(pause, replacing(box))
    elif host and not is_address(host) and not resolve(host).addresses:
        yield skipped(_CHECK, f"{url} was not tried: its name does not resolve.")
    elif not box.unsettled:
        yield _tried(box, url)
    elif url:
        yield _reached(box, url)
    else:
        yield skipped(_CHECK, "Without a configuration nobody knows which API is asked.")


def _tried(box: Box, url: str) -> Finding:
    try:
        asyncio.run(_ask(box.settings))
    except UcmError as failure:
        if failure.code is Code.API_NOT_CHOSEN:
            return _not_chosen()
        if failure.code is Code.CONFIG_INVALID:
            return skipped(_CHECK, "Not tried: the configuration says no address that it could be tried at.")
        if url and failure.code is Code.TOKEN_MISSING:
            return _reached(box, url)
        return judge(url, _plainer(box, url, failure), replacing(box))
    except PermissionError:
        return _reached(box, url) if url else skipped(_CHECK, "The choice of a Gateway is secret.", needs_root=True)
    except TimeoutError:
        return judge(url, UcmError(Code.API_UNREACHABLE, f"no answer in {_DEADLINE:g} s"))
    return ok(_CHECK, f"{url or 'The accepted Gateway'} is reached and takes the token.")


async def _ask(settings: Configuration) -> None:
    """The daemon's own client, with a question that changes nothing.

    Raises:
        UcmError, TimeoutError, PermissionError: what came of it.
    """
    async with asyncio.timeout(_DEADLINE), AsyncExitStack() as stack:
        api = (await parts.provisioning_api(settings, stack)).client
        if settings.values.site.id:
            await api.device(_NOBODY)
        else:
            await api.site_id()


def paused(pause: PauseView, new_token: str) -> Finding:
    """The finding where the running daemon waits. ``new_token``: the command that replaces the token."""
    refused = pause["code"] == Code.API_UNAUTHORIZED
    return problem(
        _CHECK,
        "No module is provisioned: the daemon waits for the provisioning API.",
        pause["message"],
        *([TYPE_IT] if refused and new_token else []),
        mend=new_token if refused else "",
    )


def judge(url: str, failure: UcmError, new_token: str = "") -> Finding:
    """``url``: where it is; empty for the Gateway that was accepted."""
    summary = _SUMMARIES.get(failure.code, "The provisioning API{url} does not answer as it should")
    summary = summary.format(url=f" {url}" if url else "")
    advice = [_ADVICE[failure.code]] if failure.code in _ADVICE else []
    detail = f": {failure.detail}" if failure.detail else ""
    mend = new_token if failure.code is Code.API_UNAUTHORIZED else ""
    return problem(_CHECK, f"{summary}{detail}.", *advice, mend=mend, code=failure.code)


def _not_chosen() -> Finding:
    return problem(
        _CHECK,
        "No provisioning API is chosen yet, so modules are identified and then wait.",
        "The command lists the Gateways on the LAN; ucmctl api accept chooses one.",
        mend="ucmctl api show",
        code=Code.API_NOT_CHOSEN,
    )


def _reached(box: Box, url: str) -> Finding:
    """Without the token there is still to be seen whether somebody answers there, and who."""
    try:
        _knock(url, box.settings)
    except ssl.SSLError as error:
        return judge(url, UcmError(Code.API_TLS, one_line(str(error), _REASON_SHOWN)))
    except OSError as error:
        return judge(url, UcmError(Code.API_UNREACHABLE, error.strerror or f"no answer in {_DEADLINE:g} s"))
    if box.status:
        return ok(_CHECK, f"{url} is reached, and the daemon has no complaint about it.")
    return replace(ok(_CHECK, f"{url} is reached; the token was not tried."), needs_root=not box.is_root)


def _plainer(box: Box, url: str, failure: UcmError) -> UcmError:
    """The same failure in the system's words where it has some: those of the HTTP client are for programmers."""
    if failure.code is Code.API_UNREACHABLE and url:
        try:
            _knock(url, box.settings)
        except ssl.SSLError:
            return failure
        except OSError as error:
            return UcmError(failure.code, error.strerror or failure.detail)
    return failure


def _knock(url: str, settings: Configuration) -> None:
    """Raises OSError: nobody answers, or ssl.SSLError: somebody who is not trusted."""
    split = urlsplit(url)
    host, port = split.hostname or "", split.port or (443 if split.scheme == "https" else 80)
    ca_file = settings.file(settings.values.api.ca_file) if settings.values.api.ca_file else None
    with socket.create_connection((host, port), timeout=_DEADLINE) as plain:
        if split.scheme == "https":
            ssl.create_default_context(cafile=ca_file).wrap_socket(plain, server_hostname=host).close()
