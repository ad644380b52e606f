"""`make bench`: what the daemon costs, as ratios to a limit that was measured or computed in the same run."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bench import push, srp


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        results = [*asyncio.run(push.measure(Path(folder))), *srp.measure()]
    for result in results:
        print(result.line())
    return 0 if all(result.within for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
