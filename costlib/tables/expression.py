"""The language of formulas: what a reader sees, what is computed and what is checked are one text.

Arithmetic, comparisons, `ceil`, `floor`, `min`, `max`, `where(condition, yes, no)` and `sum(values, group)` over the
names of columns. A formula is parsed once by `ast`; nothing else can stand in it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from costlib.errors import invalid_input

_ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.Load,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.USub, ast.UAdd,
    ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq,
)  # fmt: skip


def _functions() -> dict[str, Callable[..., Any]]:
    import numpy as np

    def folded(pick: Callable[..., Any]) -> Callable[..., Any]:
        def over(first: Any, *rest: Any) -> Any:
            for value in rest:
                first = pick(first, value)
            return first

        return over

    def total(values: Any, group: Any = None) -> Any:
        return values.sum() if group is None else values.groupby(group).transform("sum")

    return {"ceil": np.ceil, "floor": np.floor, "min": folded(np.minimum), "max": folded(np.maximum),
            "where": np.where, "sum": total}  # fmt: skip


FUNCTIONS = ("ceil", "floor", "min", "max", "where", "sum")


@cache
def parsed(formula: str) -> ast.Expression:
    """The tree of a formula; raises `InputError` for what the language does not have."""
    allowed = f"arithmetic over names of columns, and {', '.join(FUNCTIONS)}"
    try:
        tree = ast.parse(formula.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise invalid_input("formula", formula, allowed) from error
    for node in ast.walk(tree):
        call = isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS)
        text = isinstance(node, ast.Constant) and not isinstance(node.value, (int, float))
        if not isinstance(node, _ALLOWED) or call or text or (isinstance(node, ast.Call) and node.keywords):
            raise invalid_input("formula", formula, allowed)
    return tree


def inputs(formula: str) -> list[str]:
    """The names a formula reads, in order."""
    called = {id(node.func) for node in ast.walk(parsed(formula)) if isinstance(node, ast.Call)}
    names = [node for node in ast.walk(parsed(formula)) if isinstance(node, ast.Name) and id(node) not in called]
    return list(dict.fromkeys(node.id for node in sorted(names, key=lambda n: (n.lineno, n.col_offset))))


def sums(formula: str) -> bool:
    """Whether a formula adds up rows, so that one row alone does not give its value."""
    return any(isinstance(n, ast.Call) and n.func.id == "sum" for n in ast.walk(parsed(formula)))  # type: ignore[attr-defined]


def evaluate(formula: str, values: Mapping[str, Any]) -> Any:
    """The value of a formula over numbers, arrays or Series; raises `InputError` for a name that is not in `values`."""
    for name in inputs(formula):
        if name not in values:
            raise invalid_input(name, None, [str(key) for key in values], f"formula {formula!r}")
    held = {name: values[name] for name in inputs(formula)}
    code = compile(parsed(formula), "<formula>", "eval")
    return eval(code, {"__builtins__": {}}, {**_functions(), **held})  # the tree holds arithmetic only


def filled(formula: str, values: Mapping[str, float]) -> str:
    """A formula with its numbers in the place of its names, `2 * 3.59`."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return ast.Name(f"{values[node.id]:.10g}") if node.id in values else node

    return ast.unparse(Fill().visit(ast.parse(formula.strip(), mode="eval")))
