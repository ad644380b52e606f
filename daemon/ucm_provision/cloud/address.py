"""Where the provisioning API is, and whether a token may be sent there."""

from __future__ import annotations

from yarl import URL

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.hosts import is_loopback


def api_root(base_url: str, *, allow_http: bool) -> URL:
    """The URL that every path of the API is relative to, ``…/v3/``.

    ``base_url`` may have a path, as a Gateway's does (``http://enapter-gateway.local/api``).

    Raises:
        UcmError: ``config_invalid``: it is no address of an API, or the token would cross a network in clear text.
    """
    url = _parse(base_url)
    if url.scheme == "http" and not allow_http and not is_loopback(url.host or ""):
        raise _invalid("plain http would send the token in clear text: use https, or set api.allow_http")
    path = url.path.rstrip("/").removesuffix("/v3")
    return url.with_path(f"{path}/v3/")


def origin(root: URL) -> str:
    """Scheme, host and port: what a token belongs to."""
    return str(root.origin())


def _parse(base_url: str) -> URL:
    try:
        url = URL(base_url.strip())
    except ValueError:
        raise _invalid("api.url is no URL") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise _invalid("api.url must begin with https:// (or http://) and a host")
    if url.user is not None or url.password is not None:
        # Not shown: it may be a password.
        raise _invalid("api.url must not hold a user or password: the token has a file of its own")
    if url.query_string or url.fragment:
        raise _invalid("api.url must not have a query or fragment")
    return url


def _invalid(detail: str) -> UcmError:
    return UcmError(Code.CONFIG_INVALID, detail)
