"""ucmctl forget, on a real daemon with real modules: what is wiped is empty, and comes back as a new module."""

from __future__ import annotations
