"""Field masks (`sheets(properties.title,data/rowData)`): which parts of a message are read or written.

A mask is a tree of names; a name without children, or `*`, stands for everything below it.
Source: https://protobuf.dev/reference/protobuf/google.protobuf/#field-mask, and partial responses with brackets.
"""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]
Mask = dict[str, Any]

_TOKEN = re.compile(r"[A-Za-z0-9_*]+|[.,/()]")
_SNAKE = re.compile(r"_([a-z])")


class BadMask(ValueError):
    """The text is no field mask."""


def parse(text: str) -> Mask:
    """The tree of a mask text; raises BadMask."""
    compact = text.replace(" ", "")
    tokens = _TOKEN.findall(compact)
    if "".join(tokens) != compact or not tokens:
        raise BadMask(text)
    tree: Mask = {}
    rest = _list(tokens, tree)
    if rest:
        raise BadMask(text)
    return tree


def _list(tokens: list[str], tree: Mask) -> list[str]:
    while True:
        tokens = _path(tokens, tree)
        if not tokens or tokens[0] != ",":
            return tokens
        tokens = tokens[1:]


def _path(tokens: list[str], tree: Mask) -> list[str]:
    node = tree
    while tokens and tokens[0] not in ".,/()":
        node = node.setdefault(_SNAKE.sub(lambda m: m[1].upper(), tokens[0]), {})
        tokens = tokens[1:]
        if tokens and tokens[0] in "./":
            tokens = tokens[1:]
            continue
        if tokens and tokens[0] == "(":
            tokens = _list(tokens[1:], node)
            if not tokens or tokens[0] != ")":
                raise BadMask("a bracket is not closed")
            return tokens[1:]
        return tokens
    raise BadMask("a name is missing")


def whole(mask: Mask | None) -> bool:
    """True where the mask leaves nothing out."""
    return not mask or "*" in mask


def wants(mask: Mask | None, *path: str) -> bool:
    """True where the mask keeps something at that path."""
    for name in path:
        if mask is None or whole(mask):
            return True
        if name not in mask:
            return False
        mask = mask[name]
    return True


def keep(message: Any, mask: Mask | None) -> Any:
    """The parts of a message that the mask names; lists keep their length."""
    if mask is None or whole(mask):
        return message
    if isinstance(message, list):
        return [keep(item, mask) for item in message]
    if not isinstance(message, dict):
        return message
    return {name: keep(message[name], below) for name, below in mask.items() if name in message}


def merge(target: Json, source: Json, mask: Mask) -> Json:
    """A copy of target in which what the mask names is as in source: absent there means cleared."""
    if whole(mask):
        return dict(source)
    result = dict(target)
    for name, below in mask.items():
        part = source.get(name)
        if below and not whole(below):
            part = merge(target.get(name) or {}, part or {}, below)
        if part is None or part == {}:
            result.pop(name, None)
        else:
            result[name] = part
    return result
