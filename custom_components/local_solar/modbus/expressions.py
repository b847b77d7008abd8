"""Functions that are made of tables: one expression does what else takes a loop."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any, Final

KEPT: Final = 128
"""Expressions whose code is kept for other devices: compiling one takes milliseconds."""


def function_of(
    parameters: str, expression: str, names: Mapping[str, object]
) -> Callable[..., Any]:
    """Return a function that computes an expression.

    The expression must be made of nothing but numbers and keys of our own tables, and of
    ``names``, which stand for objects.
    """
    function: Callable[..., Any] = eval(  # noqa: S307
        _compiled(f"lambda {parameters}: {expression}"), dict(names)
    )
    return function


@lru_cache(maxsize=KEPT)
def _compiled(expression: str) -> CodeType:
    """Return the code of an expression: devices of one model share it."""
    return compile(expression, "<table>", "eval")
