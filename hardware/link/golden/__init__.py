"""The cases of vectors.json and the formulas they are made with."""

from typing import Any

Case = dict[str, Any]
