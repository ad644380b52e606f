"""The modules as a person sees them on a terminal, wide or narrow. Colour supports; every word is there without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ucm_provision.cli.groups import Group, grouped, short_ids
from ucm_provision.cli.text import state
from ucm_provision.wire import ModuleView

# So many strangers are shown one by one; more of them are a number and what to do about them.
_STRANGERS_SHOWN = 3
# Below this a row has two lines; from the next on there is room for the model, then for whole ids.
_NARROW, _WIDE, _WIDEST = 60, 100, 120
_NAME_LONGEST = 32
_INDENT = 2

COLOURS = {
    Group.NEEDS_YOU: "bold red",
    Group.APPROVAL: "yellow",
    Group.AT_WORK: "cyan",
    Group.WAITS: "yellow",
    Group.WELL: "green",
    Group.OVER: "dim",
}


class ModuleTable:
    """Grouped by what needs attention.

    Args:
        whole: Every module has a row, however many strangers there are.
        told: Below a module stands what it waits for.
        rows: Not more than so many lines; None: all.
    """

    def __init__(
        self, modules: Sequence[ModuleView], *, whole: bool = False, told: bool = True, rows: int | None = None
    ) -> None:
        self._modules = modules
        self._whole = whole
        self._told = told
        self._rows = rows
        self._ids = short_ids(modules)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = list(self._lines(options.max_width))
        if self._rows is None or len(lines) <= self._rows:
            yield from lines
            return
        yield from lines[: max(self._rows - 1, 0)]
        yield Text(f"… {len(lines) - self._rows + 1} more lines: ucmctl list", "dim")

    def _lines(self, width: int) -> Iterator[RenderableType]:
        row = _Row(self._modules, self._ids, width)
        for number, (group, modules) in enumerate(grouped(self._modules)):
            if number and self._told:
                yield Text()
            yield Text(group.heading(len(modules)), COLOURS[group])
            if group is Group.APPROVAL and len(modules) > _STRANGERS_SHOWN and not self._whole:
                yield from self._strangers() if self._told else ()
                continue
            for module in modules:
                yield from row.of(module, group)
                if self._told and (sentence := _sentence(module, group)):
                    yield Padding(Text(sentence), (0, 0, 0, 4))

    def _strangers(self) -> Iterator[RenderableType]:
        for text in (
            "ucmctl list --state seen shows each of them.",
            "ucmctl approve MODULE --pop-file label.txt lets one in.",
            "ucmctl manifest template > site.csv: fill in names and labels, then ucmctl manifest import site.csv.",
        ):
            yield Padding(Text(text), (0, 0, 0, 2))


class _Row:
    """The columns that fit, as wide for all modules."""

    def __init__(self, modules: Sequence[ModuleView], ids: dict[str, str], width: int) -> None:
        self._ids = ids
        self._width = width
        self._name = _longest((m["name"] or "-" for m in modules), min(_NAME_LONGEST, width // 3))
        self._id = _longest(map(self._identity, modules), width)
        self._model = _longest((m["model"] or "-" for m in modules), width // 6)
        self._where = _longest(map(_where, modules), width // 5)

    def of(self, module: ModuleView, group: Group) -> Iterator[RenderableType]:
        if self._width < _NARROW:
            yield from self._narrow(module, group)
            return
        cells = [(module["name"] or "-", self._name), (self._identity(module), self._id)]
        if self._width >= _WIDE:
            cells.append((module["model"] or "-", self._model))
        cells.append((_where(module), self._where))
        table = Table.grid(padding=(0, 2, 0, 0))
        for _, width in cells:
            table.add_column(width=width, no_wrap=True, overflow="ellipsis")
        # What is left, said to rich: it would take it from the other columns.
        rest = self._width - _INDENT - sum(width + 2 for _, width in cells)
        table.add_column(width=max(rest, 1), no_wrap=True, overflow="ellipsis")
        table.add_row(*(Text(text) for text, _ in cells), _state(module, group))
        yield Padding(table, (0, 0, 0, _INDENT))

    def _narrow(self, module: ModuleView, group: Group) -> Iterator[RenderableType]:
        """Name and state, and below them how to call it and where it is: a phone."""
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, justify="right")
        table.add_row(Text(module["name"] or _where(module)), _state(module, group))
        yield Padding(table, (0, 0, 0, _INDENT))
        if places := [*filter(None, (self._ids[module["session"]], _where(module) if module["name"] else ""))]:
            yield Padding(Text("  ".join(places), "dim", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 4))

    def _identity(self, module: ModuleView) -> str:
        whole = module["hardware_id"] or module["announced_id"] or "-"
        return whole if self._width >= _WIDEST else self._ids[module["session"]] or "-"


def _longest(texts: Iterable[str], most: int) -> int:
    """How many cells the longest of them takes, within bounds."""
    return min(max(map(cell_len, texts), default=1), most)


def _state(module: ModuleView, group: Group) -> Text:
    """In the fewest words: the heading says the rest."""
    return Text(state(module).removeprefix("verified, but "), COLOURS[group])


def _where(module: ModuleView) -> str:
    """A port without its folder. On the LAN the name says nothing that the id does not; the address does."""
    if module["carrier"] == "http":
        return module["routes"][0].removesuffix(":80") if module["routes"] else "on the LAN"
    return module["endpoint"].rpartition("/")[2]


def _sentence(module: ModuleView, group: Group) -> str:
    """What it waits for. Strangers all wait for the same, which the heading says."""
    told = module["hold"] or module["trouble"]
    return told["message"] if told and group is not Group.APPROVAL else ""


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Names and what is to be said of each, which may need several lines."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        urgent = name == "PAUSED"
        text = Text(value, "bold" if urgent else "") if isinstance(value, str) else value
        table.add_row(Text(name, "bold red") if urgent else Text(name), text)
    return table
