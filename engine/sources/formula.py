"""Formulas of covariates: parsed by Python's own grammar, of which only arithmetic is let through."""

import ast
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_MOST_CHARACTERS = 500
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.UAdd: np.positive,
    ast.USub: np.negative,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "radians": np.radians,
    "min": np.minimum,
    "max": np.maximum,
}
"""What may be called; all of one argument but `min` and `max`, which take two."""
_UNITLESS = ("exp", "log", "log1p", "log10", "sin", "cos")


def names_in(text: str) -> tuple[str, ...]:
    """Return the covariates that a formula names, in the order of their first place.

    Raises
    ------
    ValueError
        If it is no formula, or does anything but arithmetic.
    """
    found: dict[str, None] = {}
    _visit(_tree(text), found)
    if not found:
        raise ValueError(f"{text!r} names no covariate")
    return tuple(found)


def evaluate(text: str, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Evaluate the formula, float32; NaN where a term is missing or the result is not finite.

    Parameters
    ----------
    values : dict
        Name → float array; all of one shape.
    """
    terms = {name: np.asarray(v, "float64") for name, v in values.items()}
    with np.errstate(all="ignore"):
        result = np.asarray(_value(_tree(text), terms), "float64").astype("float32")
    result[~np.isfinite(result)] = np.nan
    return result


def units_of(text: str, units: Mapping[str, str]) -> str | None:
    """Return units of the result as far as they follow from those of the terms: sums keep them; None otherwise.

    Raises
    ------
    ValueError
        If terms of different units are added up.
    """
    return _units(_tree(text), units)


def _tree(text: str) -> ast.AST:
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"has {len(text)} characters; at most {_MOST_CHARACTERS} are read")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is not a formula: {getattr(error, 'msg', error)}") from None


def _visit(node: ast.AST, found: dict[str, None]) -> None:
    match node:
        case ast.Name():
            found[node.id] = None
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            pass
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _visit(left, found)
            _visit(right, found)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            _visit(operand, found)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            expected = 2 if name in ("min", "max") else 1
            if len(arguments) != expected:
                raise ValueError(f"{name} takes {expected} argument{'s' if expected > 1 else ''}, not {len(arguments)}")
            for argument in arguments:
                _visit(argument, found)
        case _:
            raise ValueError(
                f"{ast.unparse(node)!r} is not understood; a formula has names, numbers, + - * / ** ( ) and "
                f"{', '.join(FUNCTIONS)}"
            )


def _value(node: ast.AST, terms: Mapping[str, np.ndarray]) -> Any:
    match node:
        case ast.Name():
            return terms[node.id]
        case ast.Constant():
            return np.float64(node.value)  # type: ignore[arg-type]
        case ast.BinOp():
            return _OPERATORS[type(node.op)](_value(node.left, terms), _value(node.right, terms))
        case ast.UnaryOp():
            return _OPERATORS[type(node.op)](_value(node.operand, terms))
        case ast.Call(func=ast.Name(id=name)):
            return FUNCTIONS[name](*(_value(argument, terms) for argument in node.args))
    raise ValueError(f"{ast.unparse(node)!r} is not understood")  # pragma: no cover - `_visit` refuses it first


def _units(node: ast.AST, units: Mapping[str, str]) -> str | None:
    """Return units of a part; "" for a plain number, which takes on those of its neighbour."""
    match node:
        case ast.Name():
            return units[node.id]
        case ast.Constant():
            return ""
        case ast.UnaryOp():
            return _units(node.operand, units)
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            return _same(node, (node.left, node.right), units)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            first, second = _units(left, units), _units(right, units)
            if second in ("", "1") and first is not None:
                return first
            if isinstance(op, ast.Div):
                return "1" if first == second and first else None
            return second if first in ("", "1") else None
        case ast.Call(func=ast.Name(id="min" | "max")):
            return _same(node, node.args, units)
        case ast.Call(func=ast.Name(id="abs")):
            return _units(node.args[0], units)
        case ast.Call(func=ast.Name(id=name)) if name in _UNITLESS:
            return "1"
    return None


def _same(node: ast.AST, parts: Any, units: Mapping[str, str]) -> str | None:
    found = {_units(part, units) for part in parts} - {""}
    if None not in found and len(found) > 1:
        raise ValueError(
            f"{ast.unparse(node)!r} adds or compares {' and '.join(sorted(map(str, found)))}; give the terms one unit "
            "by their `scale`, or say with `units` what the result is"
        )
    return found.pop() if len(found) == 1 else None if found else ""
