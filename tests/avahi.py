"""An avahi-daemon in a network namespace: a responder that is nobody's here."""

from __future__ import annotations

from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.netns import Namespace

_CONFIG = """
[server]
host-name={host}
enable-dbus=no
use-ipv4={v4}
use-ipv6=yes
[publish]
publish-workstation=no
publish-hinfo=no
publish-aaaa-on-ipv4=no
publish-a-on-ipv6=no
[reflector]
[rlimits]
"""
_SERVICE = """<?xml version="1.0" standalone="no"?>
<!DOCTYPE service-group SYSTEM "avahi-service.dtd">
<service-group><name>{name}</name><service>
<type>{type}</type><port>{port}</port>{text}
</service></service-group>
"""
# Its services, and its process's own file, are looked for in places that are built in.
_AVAHI = """
mkdir -p /run/avahi-daemon && mount -t tmpfs tmpfs /run/avahi-daemon
mount --bind {services} /etc/avahi/services
exec avahi-daemon --no-drop-root --no-chroot --no-rlimits --file={config}
"""


@asynccontextmanager
async def avahi(machine: Namespace, folder: Path, module: str, *, v4: bool = True) -> AsyncIterator[Process]:
    """Announces a module at port 8080, and a Gateway."""
    services = folder / module
    services.mkdir(parents=True)
    config = folder / f"{module}.conf"
    config.write_text(_CONFIG.format(host=f"host-{module[:8].lower()}", v4="yes" if v4 else "no"))
    text = "".join(f"<txt-record>{pair}</txt-record>" for pair in ("v=1", f"id={module}", "product=UCM", "state=new"))
    (services / "module.service").write_text(
        _SERVICE.format(name=f"ucm-{module}", type="_ucm-prov._tcp", port=8080, text=text)
    )
    (services / "gateway.service").write_text(
        _SERVICE.format(name="Enapter-GW", type="_enapter-gw-http._tcp", port=80, text="")
    )
    script = _AVAHI.format(services=services, config=config)
    async with machine.running("sh", "-ec", script) as process:
        yield process
