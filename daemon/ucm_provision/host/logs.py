"""The log: one event a line, for people on a terminal, as fields for systemd's journal, as JSON everywhere else."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor

from ucm_provision.host.journald import Journal, JournalHandler, JournalLogger, as_fields, goes_to_journal


def configure(level: str, stream: TextIO = sys.stderr) -> None:
    """Sends the daemon's log to ``stream``, at ``level`` (debug, info, warning, error) and above."""
    if goes_to_journal(stream):
        _to_journal(level, Journal())
    else:
        _to_stream(level, stream)


def _to_journal(level: str, journal: Journal) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            as_fields,
        ],
        wrapper_class=_filtering(level),
        logger_factory=lambda *_: JournalLogger(journal),
    )
    _configure_libraries(JournalHandler(journal))


def _to_stream(level: str, stream: TextIO) -> None:
    stamps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*stamps, *_renderers(stream)],
        wrapper_class=_filtering(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *stamps],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(stream)],
        )
    )
    _configure_libraries(handler)


def _filtering(level: str) -> type[structlog.typing.FilteringBoundLogger]:
    return structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()])


def _configure_libraries(handler: logging.Handler) -> None:
    """Libraries speak only when something is wrong; their debug output may show what they were given."""
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _renderers(stream: TextIO) -> list[Processor]:
    if stream.isatty():
        # Plain tracebacks: the pretty ones print local variables, and those may hold secrets.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
