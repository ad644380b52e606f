"""HTML that cannot be broken into: text becomes markup in one place, and there it is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = frozenset({"meta"})
# HTML has no way to write these, whatever they would be good for (HTML standard, section 13.1.4).
_UNWRITABLE = dict.fromkeys((*range(9), 11, *range(14, 32), 127, 65534, 65535), "�")
_UNWRITABLE |= dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}")
# A lone half of a pair is no character, and UTF-8 cannot hold it.
_UNWRITABLE |= dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")


class Html(str):
    """Markup. Made by :func:`element` and :func:`text`; a plain ``str`` is never taken for it."""

    __slots__ = ()


def text(content: str) -> Html:
    return Html(html.escape(content.translate(_UNWRITABLE)))


def element(name: str, /, *children: str | None, **attributes: str | None) -> Html:
    """An element. Children that are no :class:`Html` are text; None is nothing, as child and as attribute.

    A trailing underscore of an attribute's name is dropped, others become hyphens: ``class_``, ``aria_label``.
    """
    written = "".join(f' {_attribute(key)}="{text(value)}"' for key, value in attributes.items() if value is not None)
    opened = f"<{name}{written}>"
    return Html(opened if name in _VOID else f"{opened}{joined(children)}</{name}>")


def joined(children: Iterable[str | None]) -> Html:
    return Html("".join(child if isinstance(child, Html) else text(child) for child in children if child is not None))


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
