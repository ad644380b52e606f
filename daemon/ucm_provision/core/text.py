"""Foreign text, made fit for a line that a person reads."""

from __future__ import annotations


def one_line(text: str, limit: int) -> str:
    """``text`` without anything that does not print, its white space collapsed, at most ``limit`` characters.

    Whatever a broker, an API or a certificate says ends up in logs and terminals: control characters
    and direction marks must not reach them.
    """
    # Cut generously first: the input may be megabytes, and only its beginning can survive.
    head = text[: limit * 4]
    printable = "".join(letter if letter.isprintable() else " " for letter in head)
    collapsed = " ".join(printable.split())
    return collapsed if len(collapsed) <= limit and len(head) == len(text) else f"{collapsed[: limit - 1]}…"
