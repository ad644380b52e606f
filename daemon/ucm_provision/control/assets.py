"""The page's own files: read once, served with their digest, so that a browser keeps them until they change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).with_name("page")

_TYPES: Mapping[str, str] = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".md": "text/markdown",
    ".webmanifest": "application/manifest+json",
}
_ENTRY = "index.html"


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    content_type: str
    tag: str


def load_assets(folder: Path = FOLDER) -> dict[str, Asset]:
    """Every file of the page, by its place under the root."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in _TYPES and path.is_file())
    files = {f"/{path.name}": _asset(path) for path in paths}
    return files | {"/": files[f"/{_ENTRY}"]}


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, _TYPES[path.suffix], hashlib.blake2s(content, digest_size=12).hexdigest())


class Assets:
    """Serves them. There is no folder to climb out of: what was not loaded is not there."""

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = assets

    @property
    def places(self) -> frozenset[str]:
        return frozenset(self._assets)

    def add_to(self, app: web.Application) -> None:
        for place in self._assets:
            app.router.add_get(place, self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        asset = self._assets[request.path]
        response = web.Response(body=asset.content, content_type=asset.content_type, charset=_charset(asset))
        response.etag = asset.tag
        response.headers["Cache-Control"] = "no-cache"  # kept, and asked about: a new version shows at once
        if any(tag.value == asset.tag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers={"ETag": f'"{asset.tag}"', "Cache-Control": "no-cache"})
        return response


def _charset(asset: Asset) -> str | None:
    return None if asset.content_type.startswith("image/") else "utf-8"
