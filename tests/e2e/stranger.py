"""`ucmctl doctor --json` asked by somebody without rights, also where the tests run as root.

    python -m tests.e2e.stranger CONFIG

Whoever that is cannot read Python's own library here, so everything is imported before.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

from ucm_provision.cli.doctor import ask
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.examine import CHECKS, examine
from ucm_provision.doctor.finding import view

NOBODY = 65534
# What is otherwise imported on the way: the names are resolved with the latter.
LATE = ("ucm_provision.parts", "encodings.idna")


def main() -> None:
    for name in (*(f"ucm_provision.doctor.{check}" for check in CHECKS), *LATE):
        import_module(name)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    found = [view(each) for each in examine(Box(Path(sys.argv[1]), ask))]
    print(json.dumps({"findings": found}))


main()
