"""Logs what the daemon logs, and fails with a secret in a local variable.

Its arguments: the log's level, and the secret.
"""

from __future__ import annotations

import logging
import sys

import structlog

from ucm_provision.core.secret import Secret
from ucm_provision.host import logs


def fail(passphrase: str) -> None:
    length = len(passphrase)
    raise RuntimeError(f"a passphrase of {length}")


level, canary = sys.argv[1:]
logs.configure(level)
log = structlog.get_logger()
log.debug("a detail")
log.info("daemon started", UCM_HWID="C879", secret=Secret(canary))
try:
    fail(canary)
except RuntimeError:
    log.exception("session failed unexpectedly", UCM_SESSION="0a1b")
logging.getLogger("library").info("chatter")
logging.getLogger("library").warning("something is wrong")
