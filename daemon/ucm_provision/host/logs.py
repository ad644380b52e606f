"""The log: one event a line, for people on a terminal and as JSON everywhere else."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor


def configure(level: str, stream: TextIO = sys.stderr) -> None:
    """Sends the daemon's log to ``stream``, at ``level`` (debug, info, warning, error) and above."""
    stamps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*stamps, *_renderers(stream)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    _configure_libraries(stamps, stream)


def _configure_libraries(stamps: list[Processor], stream: TextIO) -> None:
    """Libraries speak only when something is wrong; their debug output may show what they were given."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *stamps],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(stream)],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _renderers(stream: TextIO) -> list[Processor]:
    if stream.isatty():
        # Plain tracebacks: the pretty ones print local variables, and those may hold secrets.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
