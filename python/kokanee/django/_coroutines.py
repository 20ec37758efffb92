"""What Django refuses in coroutines, found in their text: queries that block, and a user who was not waited for."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

#: Methods of managers and querysets that ask the database. Each has another one with an `a` before its name.
QUERIES = frozenset(
    (
        *("aggregate", "bulk_create", "bulk_update", "contains", "count", "create", "delete", "earliest", "exists", "explain"),
        *("first", "get", "get_or_create", "in_bulk", "last", "latest", "update", "update_or_create"),
    )
)
#: What of a socket needs the database, and what waits for it.
WAITED = {"user": "auser", "session": "asession"}


def faults(function: Callable[..., Any]) -> list[str]:
    """Returns what a coroutine function must not do; nothing if its text cannot be read."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return []
    definition = next((node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)), None)
    if definition is None or not definition.args.args:
        return []
    names = [each.arg for each in definition.args.args]
    nodes = list(_inside(definition.body))
    return [*_queries(nodes), *_early(nodes, set(names[:2]))]


def _inside(nodes: list[Any]) -> Iterator[Any]:
    """Yields what runs in the coroutine itself, and not in functions within it."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        yield node
        yield from _inside(list(ast.iter_child_nodes(node)))


def _queries(nodes: list[Any]) -> Iterator[str]:
    for node in nodes:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in QUERIES
            and any(isinstance(part, ast.Attribute) and part.attr == "objects" for part in ast.walk(node.func.value))
        ):
            yield f"{ast.unparse(node.func)}() asks the database: use `await …a{node.func.attr}()`"


def _early(nodes: list[Any], sockets: set[str]) -> Iterator[str]:
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and _is_socket(node.value, sockets)}
    for name, waits in WAITED.items():
        if name in used and waits not in used:
            yield f"socket.{name} asks the database: use `await socket.{waits}()` first"


def _is_socket(node: ast.expr, sockets: set[str]) -> bool:
    if isinstance(node, ast.Attribute):
        # In a class it is `self.socket`, too.
        return node.attr == "socket" and isinstance(node.value, ast.Name)
    return isinstance(node, ast.Name) and node.id in sockets
