"""How faults are written, and when one strikes: what those of all devices have in common.

A fault is written ``KIND[=ARGUMENT][@CHANCE][,FILTER=VALUE...]``.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import ClassVar, Self

from .errors import SimulatorError


@dataclass(frozen=True, slots=True)
class Argument:
    """What may stand behind ``KIND=`` and what is meant without it."""

    default: float | None
    minimum: float
    maximum: float
    whole: bool = True


@dataclass(slots=True, kw_only=True)
class AnyFault[Kind: StrEnum, Asked]:
    """One fault and the requests that meet it.

    ``seen`` counts the requests that fitted, ``struck`` those that met the fault.
    """

    kinds: ClassVar[type[StrEnum]]
    arguments: ClassVar[Mapping[StrEnum, Argument]]
    filters: ClassVar[tuple[str, ...]]
    """Names of the filters that only these faults have."""

    kind: Kind
    argument: float = 0
    chance: float = 1.0
    every: int = 1
    times: int | None = None
    seen: int = 0
    struck: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a fault as it stands on the command line.

        Raises ``SimulatorError`` saying which part is wrong.
        """
        head, *filters = text.split(",")
        head, has_chance, chance = head.partition("@")
        name, has_argument, argument = head.partition("=")
        try:
            kind = cls._kind(name)
        except ValueError:
            kinds = ", ".join(cls.kinds)
            raise SimulatorError(
                f"fault {text!r}: {name!r} is not one of {kinds}"
            ) from None
        fault = cls(kind=kind)
        fault.argument = fault._argument_of(text, argument if has_argument else None)
        if has_chance:
            fault.chance = number_within(text, chance, 0, 1, whole=False)
        for condition in filters:
            fault._add_filter(text, condition)
        return fault

    @classmethod
    @abstractmethod
    def _kind(cls, name: str) -> Kind:
        """Return the kind of a name. Raises ``ValueError``."""

    def _argument_of(self, text: str, given: str | None) -> float:
        """Return the argument of the fault that ``text`` describes."""
        if (allowed := self.arguments.get(self.kind)) is None:
            if given is not None:
                raise SimulatorError(f"fault {text!r}: {self.kind} takes no argument")
            return 0
        if given is not None:
            return number_within(
                text, given, allowed.minimum, allowed.maximum, whole=allowed.whole
            )
        if allowed.default is None:
            example = "1" if allowed.whole else "1.5"
            raise SimulatorError(
                f"fault {text!r}: {self.kind} needs an argument: {self.kind}={example}"
            )
        return allowed.default

    def _add_filter(self, text: str, condition: str) -> None:
        name, _, value = condition.partition("=")
        if name == "every":
            self.every = int(number_within(text, value, 1, 1_000_000))
        elif name == "times":
            self.times = int(number_within(text, value, 1, 1_000_000))
        elif name in self.filters:
            self._add_own_filter(text, name, value)
        else:
            names = ", ".join(("every", "times", *self.filters))
            raise SimulatorError(f"fault {text!r}: {name!r} is not one of {names}")

    @abstractmethod
    def _add_own_filter(self, text: str, name: str, value: str) -> None:
        """Take in one of ``filters``. Raises ``SimulatorError``."""

    def strikes(self, request: Asked, random: Random) -> bool:
        """Count a request and tell whether it meets the fault."""
        if not self._fits(request):
            return False
        self.seen += 1
        if self.times is not None and self.struck >= self.times:
            return False
        if self.seen % self.every or (
            self.chance < 1 and random.random() >= self.chance
        ):
            return False
        self.struck += 1
        return True

    @abstractmethod
    def _fits(self, request: Asked) -> bool:
        """Return whether the fault is meant for a request."""


def number_within(
    text: str, value: str, minimum: float, maximum: float, *, whole: bool = True
) -> float:
    """Return a number of the fault that ``text`` describes. Raises ``SimulatorError``."""
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        number = float("nan")
    if minimum <= number <= maximum:
        return number
    kind = "whole number" if whole else "number"
    raise SimulatorError(
        f"fault {text!r}: {value!r} is not a {kind} from {minimum:g} to {maximum:g}"
    )
