"""What every benchmark prints: a table for people, or a line of JSON for each metric."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
import json
import sys
from typing import Final

WIDTHS: Final = (52, 12, 8, 12, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure, the optimum or anchor measured in the same run, and the goal.

    The goal is the most that the value may be.
    """

    metric: str
    value: float
    unit: str
    reference: float | None = None
    goal: float | None = None

    @property
    def met(self) -> bool:
        """Whether the goal is reached; a figure without a goal always is."""
        return self.goal is None or self.value <= self.goal


def run(measure: Callable[[bool], Iterable[Metric]], description: str) -> None:
    """Measure, print and exit: 0 if every goal is met, else 1."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON line per metric")
    parser.add_argument("--quick", action="store_true", help="ends within 45 s")
    options = parser.parse_args()
    metrics = list(measure(options.quick))
    if options.json:
        for metric in metrics:
            print(json.dumps({**asdict(metric), "met": metric.met}))
    else:
        _print_table(metrics)
    sys.exit(0 if all(metric.met for metric in metrics) else 1)


def _print_table(metrics: list[Metric]) -> None:
    _print_row("metric", "value", "unit", "reference", "goal", "met")
    for metric in metrics:
        _print_row(
            metric.metric,
            _number(metric.value),
            metric.unit,
            _number(metric.reference),
            _number(metric.goal),
            "" if metric.goal is None else "yes" if metric.met else "NO",
        )


def _print_row(
    name: str, value: str, unit: str, reference: str, goal: str, met: str
) -> None:
    print(f"{name:<52}{value:>12} {unit:<8}{reference:>12}{goal:>10}  {met}")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value == int(value) else f"{value:.4g}"
