"""An event loop whose time only moves when a test says so, and modules that go by it."""

import asyncio
from collections.abc import Iterable
from contextlib import ExitStack
from importlib import import_module
from typing import Final, override
from unittest.mock import patch

_PACKAGE: Final = "custom_components.local_solar.gateway"
_STEP: Final = 0.05
"""Seconds by which time moves on, so that timers see about their own time."""

_ROUNDS: Final = 12
"""How often all that is ready has its turn, so that what it makes ready has too."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what is ready, and never waits."""

    def __init__(self) -> None:
        """Begin at some time."""
        self.now = 1000.0
        super().__init__()

    @override
    def time(self) -> float:
        return self.now

    def settle(self) -> None:
        """Run until nothing is ready any more."""
        for _ in range(_ROUNDS):
            self.call_soon(self.stop)
            self.run_forever()

    def move(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + _STEP)
            self.settle()

    def rule(self, modules: Iterable[str]) -> ExitStack:
        """Have modules of the gateway go by this time, until the stack is closed."""
        stack = ExitStack()
        for name in modules:
            module = import_module(f"{_PACKAGE}.{name}")
            stack.enter_context(patch.object(module, "monotonic", self.time))
        return stack
