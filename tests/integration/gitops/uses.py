"""Which reasons the controller's code gives, where, and as what: read from its source.

So that a reason that some module begins to give, or gives as something else, is missed in the table
of states. A reason counts for a step's result when it is an argument of the call, or of a variable
that is one.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import controller

ROOT = Path(controller.__file__).parent

RESULTS = {
    "Waiting": "waiting",
    "_starved": "waiting",
    "Failed": "failed",
    "_down": "failed",
    "_failed": "retried",
    "_again": "retried",
    "fail": "retried",
    "fault": "retried",
}
"""The calls that make a step's result, and which one; `retried` is failed, and tried again."""

Use = tuple[str, str, str]
"""A module below `controller`, what the reason is given as (`-`: no result), and its constant."""


def uses(*folders: str) -> set[Use]:
    """Every reason that the modules of these folders mention."""
    found: set[Use] = set()
    for folder in folders:
        for path in sorted((ROOT / folder).glob("*.py")):
            module = f"{folder}/{path.stem}"
            tree = ast.parse(path.read_text())
            results = set(_results(tree))
            given = {reason for _, reason in results}
            found |= {(module, kind, reason) for kind, reason in results}
            found |= {(module, "-", reason) for reason in _named(tree) if reason not in given}
    return found


def _results(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        assigned = {
            target.id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(function):
            kind = RESULTS.get(_name(call.func)) if isinstance(call, ast.Call) else None
            if kind is None or not isinstance(call, ast.Call):
                continue
            for argument in call.args:
                meant = assigned.get(argument.id) if isinstance(argument, ast.Name) else argument
                yield from ((kind, reason) for reason in (_named(meant) if meant else ()))


def _named(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _name(node.value) == "reasons":
            yield node.attr


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
