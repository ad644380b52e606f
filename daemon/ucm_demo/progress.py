"""What a person sees while the modules go from plugged in to verified."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self, get_args

from rich.console import Console
from rich.live import Live
from rich.table import Column, Table

from ucm_provision.wire import ModuleView, Step

STEPS: tuple[str, ...] = get_args(Step)
# Which steps a milestone has behind it. PUSHED came through a check, too.
_DONE = {"SEEN": 0, "IDENTIFIED": 1, "PROVISIONED": 2, "PUSHED": 4, "VERIFIED": 5}


class Progress(Protocol):
    """Shows the modules as they change."""

    def show(self, modules: dict[str, ModuleView]) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def describe(view: ModuleView) -> str:
    """Where the module stands, in a few words."""
    if activity := view["activity"]:
        return " ".join(filter(None, (activity["step"], activity["detail"])))
    if hold := view["hold"]:
        return hold["message"]
    return view["milestone"].lower()


def label(view: ModuleView) -> str:
    hardware_id = view["hardware_id"] or view["announced_id"]
    return view["name"] or (f"Module {hardware_id[-6:]}" if hardware_id else view["endpoint"].rpartition("/")[2])


def _briefly(view: ModuleView) -> str:
    """The same as :func:`describe` where there is room for a line; the sentence comes with the summary."""
    hold = view["hold"] if view["activity"] is None else None
    if hold is None:
        return describe(view)
    waits = {"retry_at": "tries again", "device_gone": "unplugged", "operator": "needs you"}[hold["waits"]]
    return f"{waits}: {hold['code'].upper()}"


class LiveTable:
    """A table that is drawn over and over, for a terminal."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=10)

    def show(self, modules: dict[str, ModuleView]) -> None:
        table = Table(Column("Module", no_wrap=True), Column(" ▸ ".join(STEPS), no_wrap=True), Column("Now", ratio=1))
        table.expand = True
        for view in modules.values():
            table.add_row(label(view), _track(view), _briefly(view))
        self._live.update(table)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()


def _track(view: ModuleView) -> str:
    """A mark below the first letter of each step."""
    done = _DONE.get(view["milestone"], 0)
    doing = STEPS.index(view["activity"]["step"]) if view["activity"] else None
    gap = " ▸ "
    return "".join(
        _mark(position, done, doing) + " " * (len(step) - 1 + len(gap)) for position, step in enumerate(STEPS)
    ).rstrip()


def _mark(position: int, done: int, doing: int | None) -> str:
    if position < done or (doing is not None and position < doing):
        return "[green]●[/]"
    return "[yellow]◐[/]" if position == doing else "[dim]○[/]"


class PlainLines:
    """A line for each change, where nobody watches a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, str] = {}
        self._started = time.monotonic()

    def show(self, modules: dict[str, ModuleView]) -> None:
        for session, view in modules.items():
            text = _without_percent(describe(view))
            if self._last.get(session) != text:
                self._last[session] = text
                seconds = time.monotonic() - self._started
                self._console.print(f"{seconds:6.1f} s  {label(view):<14}  {text}", highlight=False, markup=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


def _without_percent(text: str) -> str:
    """A push is one line, not one for each of its chunks."""
    return text.partition(" ")[0] if text.endswith("%") else text


class Silence:
    """For a program that reads the result."""

    def show(self, modules: dict[str, ModuleView]) -> None:  # noqa: ARG002 -- the seam's signature
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None
