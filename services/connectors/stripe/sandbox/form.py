"""Form encoding with brackets, as Stripe reads it: `address[city]=Ghent&items[0][price]=price_1`."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

from services.connectors.stripe.sandbox.refusal import ApiError

Tree = dict[str, Any]
"""Parameters: text, or a tree of them. Lists are trees whose keys are their positions."""

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)\Z")
_PART = re.compile(r"\[([^\[\]]*)\]")


def parse(encoded: str) -> Tree:
    """The parameters in a query string or form body.

    `a[]=x` appends, `a[0]=x` places, `a[][b]=x` starts a new element when the last one has a `b` already.
    Raises ApiError (400) for names that don't nest properly and for bytes that aren't UTF-8.
    """
    tree: Tree = {}
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise ApiError("Invalid request: the parameters aren't encoded as UTF-8.") from error
    for name, value in pairs:
        found = _NAME.match(name)
        if found is None:
            param = name.partition("[")[0]
            raise ApiError(f"Invalid parameter name {name!r}: square brackets don't nest.", param=param)
        _put(tree, [found[1], *_PART.findall(found[2])], value, name)
    return tree


def _put(tree: Tree, path: list[str], value: str, name: str) -> None:
    node = tree
    for part, following in pairwise(path):
        key = part or _element(node, following)
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            raise ApiError(f"Invalid parameters: {name!r} is both a value and an object.", param=path[0])
        node = child
    last = path[-1] or str(len(node))
    if isinstance(node.get(last), dict):
        raise ApiError(f"Invalid parameters: {name!r} is both a value and an object.", param=path[0])
    node[last] = value


def _element(node: Tree, following: str) -> str:
    """Where `[]` followed by another bracket goes: the last element, or a new one if that is taken."""
    last = str(len(node) - 1)
    taken = node.get(last)
    return last if isinstance(taken, dict) and following and following not in taken else str(len(node))


def grow(values: Mapping[str, Any]) -> Tree:
    """Python values as the parameters that a client would send: None clears, lists get positions."""
    return {key: _grown(value) for key, value in values.items()}


def _grown(value: Any) -> Any:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Mapping():
            return grow(value)
        case list() | tuple():
            return {str(at): _grown(each) for at, each in enumerate(value)}
        case _:
            return str(value)
