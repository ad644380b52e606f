"""What ucmctl shows on a terminal. The only place that decides how wide it is and whether there is colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from ucm_provision.cli.groups import Group as Attention
from ucm_provision.cli.groups import grouped
from ucm_provision.cli.tables import COLOURS, ModuleTable, facts
from ucm_provision.cli.text import label, list_text, status_facts
from ucm_provision.wire import CampaignView, InspectionAnswer, ModuleView, StatusView

# What to do about each group that a glance should not miss.
_NEXT = {
    Attention.NEEDS_YOU: "ucmctl list says what each needs",
    Attention.APPROVAL: "ucmctl list says how to let them in",
}


class Picture:
    """One terminal. NO_COLOR and the terminal's width are honoured by rich; nothing else depends on colour."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def status(self, status: StatusView, modules: Sequence[ModuleView]) -> None:
        """The site at a glance; of the modules, a line for each group."""
        rows: list[tuple[str, str | Text]] = []
        for name, value in status_facts(status, modules):
            rows += _counted(modules) if name == "modules" and modules else [(name, value)]
        self.console.print(facts(rows))

    def modules(self, modules: Sequence[ModuleView], *, whole: bool) -> None:
        if modules:
            self.console.print(ModuleTable(modules, whole=whole))
        else:
            self.console.print(list_text(modules))

    def inspections(self, answers: Sequence[InspectionAnswer]) -> None:
        """First how many are well, then each that is not."""
        unwell = [answer for answer in answers if not answer["well"]]
        self.console.print(f"{len(answers) - len(unwell)} of {len(answers)} verified modules are well.")
        for answer in unwell:
            self.console.print(Text.assemble((label(answer["module"]), "bold"), f": {answer['message']}"))

    def counted(self, names: Sequence[str], what: str) -> Iterator[str]:
        """The names one after the other, with a bar that says how many are through."""
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield from progress.track(names)

    @contextmanager
    def live(self) -> Iterator[Live]:
        """The whole terminal, for as long as somebody watches; it is as before afterwards."""
        with Live(console=self.console, screen=True, auto_refresh=True, refresh_per_second=8) as live:
            yield live

    def watched(self, modules: Sequence[ModuleView]) -> Group:
        """As much of the table as the terminal has lines for."""
        told = Text(f"{len(modules)} modules, as they change. Ctrl-C ends the watching.", "dim", no_wrap=True)
        return Group(told, ModuleTable(modules, told=False, rows=self.console.height - 2))

    def campaign(self) -> CampaignBar:
        return CampaignBar(self.console)


def _counted(modules: Sequence[ModuleView]) -> Iterator[tuple[str, Text]]:
    """A line for each group, and what to do about those that a glance should not miss."""
    for number, (group, found) in enumerate(grouped(modules)):
        next_step = f": {_NEXT[group]}" if group in _NEXT else ""
        counted = Text.assemble((group.heading(len(found)), COLOURS[group]), next_step)
        yield "" if number else "modules", counted


class CampaignBar:
    """How far a campaign is: a bar for the members, what they do below it, and above it a line for each failure."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(), console=console
        )
        self._task = self._progress.add_task("", total=None)
        self._live = Live(console=console, refresh_per_second=8)
        self._failed: set[str] = set()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, campaign: CampaignView) -> None:
        self._tell_failures(campaign)
        counts = campaign["counts"]
        self._progress.update(
            self._task, description=stage_of(campaign), completed=counts.get("done", 0), total=sum(counts.values())
        )
        parts = (f"{counts[name]} {name}" for name in ("failed", "running", "away", "pending") if counts.get(name))
        self._live.update(Group(self._progress, Text(", ".join(parts), "dim")))

    def _tell_failures(self, campaign: CampaignView) -> None:
        for member in campaign["members"]:
            if member["state"] == "failed" and member["hardware_id"] not in self._failed:
                self._failed.add(member["hardware_id"])
                name = member["name"] or member["hardware_id"]
                self._live.console.print(Text.assemble((f"{name} failed", "bold red"), f": {member['message']}"))


def stage_of(campaign: CampaignView) -> str:
    """Whose turn it is: the canary's, or that of a wave."""
    done, total = campaign["counts"].get("done", 0), sum(campaign["counts"].values())
    if campaign["state"] != "running":
        return campaign["state"]
    if done < min(campaign["canary"], total):
        return "canary"
    return f"waves of {campaign['wave']}"
