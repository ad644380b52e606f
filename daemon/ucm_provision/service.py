"""The daemon as a service: says how it fares, gives signs of life, and waits where a restart would not help."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import structlog

from ucm_provision.app import NOT_PASSED, Daemon, start
from ucm_provision.control.listening import serving, serving_at
from ucm_provision.control.refusing import refusing
from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.host import memory
from ucm_provision.host.clock import SystemClock
from ucm_provision.host.config import Configuration
from ucm_provision.host.systemd import ServiceManager
from ucm_provision.store.journal import has_room

log = structlog.get_logger()


async def serve_until_stopped(
    settings: Configuration,
    manager: ServiceManager | None = None,
    passed: Mapping[str, socket.socket] = NOT_PASSED,
) -> None:
    """Runs the daemon until SIGTERM or SIGINT.

    Args:
        manager: Who wants to hear how the daemon fares.
        passed: Listening sockets that systemd has opened, by name.

    Raises:
        UcmError: perhaps in groups, with disposition FATAL: it cannot work like this.
    """
    manager = manager or ServiceManager(None)
    with suppress(asyncio.CancelledError), _cancelled_by_signals():
        await Service(settings, manager, passed).run()
    manager.stopping()
    log.info("daemon stopped")


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """The first SIGTERM or SIGINT cancels this task; a second one must not break what the first one winds up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    cancels = iter([task.cancel])

    def stop() -> None:
        for cancel in cancels:
            cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class Service:
    """One process, in which a daemon runs, or waits until it can."""

    def __init__(self, settings: Configuration, manager: ServiceManager, passed: Mapping[str, socket.socket]) -> None:
        self._settings = settings
        self._manager = manager
        self._passed = passed
        self._daemon: Daemon | None = None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(memory.keep_low(SystemClock()), name="memory")
            if interval := self._manager.watchdog_s:
                group.create_task(self._give_signs_of_life(interval / policy.SIGNS_OF_LIFE), name="signs of life")
            while True:
                try:
                    await self._run_daemon()
                except* UcmError as failures:
                    _, others = failures.split(_is_full_disk)
                    if others is not None:
                        raise
                await self._wait_for_room()

    async def _run_daemon(self) -> None:
        async with start(self._settings, passed=self._passed) as daemon, asyncio.TaskGroup() as group:
            self._daemon = daemon
            try:
                group.create_task(self._keep_status(daemon), name="status")
                await daemon.run(self._say_ready)
            finally:
                self._daemon = None

    def _say_ready(self) -> None:
        self._manager.ready()
        usb = self._settings.values.usb
        log.info("daemon started", config=str(self._settings.path), udev=usb.udev, globs=usb.globs)

    async def _keep_status(self, daemon: Daemon) -> None:
        while True:
            with daemon.feed.listen() as changes, suppress(TimeoutError):
                self._manager.status(daemon.status_line())
                async with asyncio.timeout(policy.STATUS_EVERY):
                    await changes.next()
            await asyncio.sleep(policy.STATUS_PAUSE)

    # ---- a disk without room -------------------------------------------------------------------------

    async def _wait_for_room(self) -> None:
        """Whoever asks meanwhile is told. A service that ends for want of room would not come back with it."""
        error = UcmError(Code.DISK_FULL, str(self._state_folder))
        log.error(str(error), UCM_ERROR=error.code.value)
        self._manager.status(str(error))
        async with AsyncExitStack() as stack:
            app = refusing(error)
            if "control" in self._passed:
                await stack.enter_async_context(serving(app, self._passed["control"].dup()))
            else:
                path = self._settings.file(self._settings.values.control.socket)
                await stack.enter_async_context(serving_at(app, path))
            self._manager.ready()
            while not await asyncio.to_thread(has_room, self._state_folder):  # noqa: ASYNC110 -- a disk has no event
                await asyncio.sleep(policy.DISK_LOOK_EVERY)

    @property
    def _state_folder(self) -> Path:
        return self._settings.file(self._settings.values.state.dir)

    # ---- signs of life -------------------------------------------------------------------------------

    async def _give_signs_of_life(self, interval: float) -> None:
        """One for each interval in which there was progress. Without any, systemd ends this process and starts anew."""
        while True:
            try:
                async with asyncio.timeout(interval):
                    if self._daemon:
                        await self._daemon.prove_life()
                self._manager.alive()
            except (TimeoutError, UcmError) as error:
                why = str(error) or "journal or supervisor did not answer in time"
                log.error("no progress", why=why)  # noqa: TRY400 -- where it waited is of no use
            await asyncio.sleep(interval)


def _is_full_disk(error: BaseException) -> bool:
    return isinstance(error, UcmError) and error.code is Code.DISK_FULL
