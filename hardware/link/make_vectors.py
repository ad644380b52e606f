"""Makes vectors.json, the golden vectors of the device link: `python make_vectors.py > vectors.json`.

Everything in it is fixed, so every run prints the same bytes. golden/reference.py has the formulas, the
modules beside it the cases.
"""

import json
import sys
from typing import Any

from golden.configurations import configuration_cases
from golden.exchange import exchange_case
from golden.frames import cobs_cases, ignored_frames, streams, valid_frames
from golden.handshake import handshake_cases, refused_keys
from golden.reference import K_MULTIPLIER, G, N, pad

ABOUT = (
    "Golden vectors of the device link, version 1: SPEC.md. Byte strings are lower-case hex; messages are "
    "given as protobuf JSON with the field names of the .proto files, where bytes are base64 and 64-bit "
    "numbers are strings. The keys and certificates exist only here."
)


def vectors() -> dict[str, Any]:
    """The whole file as one object."""
    return {
        "about": ABOUT,
        "version": 1,
        "crc32_check": {"why": "the IEEE polynomial, reflected", "of": b"123456789".hex(), "is": 0xCBF43926},
        "cobs": cobs_cases(),
        "frames": {"valid": valid_frames(), "ignored": ignored_frames(), "streams": streams()},
        "srp_group": {"N": pad(N).hex(), "g": G, "k": K_MULTIPLIER.to_bytes(64, "big").hex()},
        "handshakes": handshake_cases(),
        "refused_keys": refused_keys(),
        "configurations": configuration_cases(),
        "exchange": exchange_case(),
    }


def main() -> None:
    """Prints the file."""
    sys.stdout.write(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
