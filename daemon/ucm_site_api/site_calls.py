"""Sites over HTTP. A Gateway has one, and the path `/site` for it."""

import asyncio
import uuid

from ucm_site_api import texts
from ucm_site_api.messages import ChangeSite, CreateSite, Nothing, SiteAnswer, SiteList
from ucm_site_api.operations import PAGE, Call, Operation
from ucm_site_api.records import Site, SiteChange
from ucm_site_api.views import site_view


async def get_site(call: Call) -> SiteAnswer:
    """One site by id; without one the token's, else the server's own."""
    return SiteAnswer(site_view(await call.site(), call.bearer.role))


async def list_sites(call: Call) -> SiteList:
    """All sites, or those of one name, oldest first."""
    if call.bearer.site_id is None:
        page = await call.services.registry.sites(call.name, *call.window)
        return SiteList([site_view(site, call.bearer.role) for site in page.items], page.total)
    own = await call.site()
    found = [site_view(own, call.bearer.role)] if call.name in {None, own.name} else []
    offset, limit = call.window
    return SiteList(found[offset : offset + limit], len(found))


async def create_site(call: Call, wish: CreateSite) -> SiteAnswer:
    """Add a site."""
    call.require_every_site()
    timezone = await asyncio.to_thread(texts.timezone, wish.timezone)
    site = Site(str(uuid.uuid4()), texts.name(wish.name), timezone, texts.location(wish.location))
    await call.services.registry.add_site(site, call.services.now())
    return SiteAnswer(site_view(site, call.bearer.role))


async def change_site(call: Call, wish: ChangeSite) -> SiteAnswer:
    """Change a site's name, time zone or location; null leaves what there is."""
    change = SiteChange(
        None if wish.name is None else texts.name(wish.name),
        None if wish.timezone is None else await asyncio.to_thread(texts.timezone, wish.timezone),
        texts.location(wish.location),
    )
    site = await call.site()
    return SiteAnswer(site_view(await call.services.registry.change_site(site.id, change), call.bearer.role))


async def delete_site(call: Call) -> Nothing:
    """Delete a site that has no devices, unless it is the only one."""
    call.require_every_site()
    await call.services.registry.delete_site((await call.site()).id)
    return Nothing()


OPERATIONS = (
    Operation("GET", "/site", get_site, SiteAnswer),
    Operation("PATCH", "/site", change_site, SiteAnswer, ChangeSite, least="OWNER"),
    Operation("GET", "/sites", list_sites, SiteList, query=("name", *PAGE)),
    Operation("POST", "/sites", create_site, SiteAnswer, CreateSite, least="INSTALLER"),
    Operation("GET", "/sites/{site}", get_site, SiteAnswer),
    Operation("PATCH", "/sites/{site}", change_site, SiteAnswer, ChangeSite, least="OWNER"),
    Operation("DELETE", "/sites/{site}", delete_site, Nothing, least="INSTALLER", refusals=frozenset({422})),
)
