"""All of the demo at once: the plant, Home Assistant, and what is set up in it."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from . import dashboard, energy, writing
from .check import Reading, doubts, readings
from .client import Client
from .errors import DemoError
from .families import DOMAIN, FAMILIES, Addition, add
from .home_assistant import HomeAssistant, running_home_assistant
from .plant import Plant, running_plant
from .waiting import until
from .writing import Control, find_control

USER: Final = "demo"
PASSWORD: Final = "demo"
"""Of a Home Assistant that only this computer reaches."""

POLLED_WITHIN: Final = 25.0
"""Seconds; devices are polled every 10 s."""

RELOADED_WITHIN: Final = 60.0
"""Seconds; entries are, when their options are changed."""

MOST_NAMED: Final = 5
"""So many things that are wrong are worth reading."""

type Say = Callable[[str], None]


def _say_nothing(message: str) -> None:
    """Keep a step to oneself."""


@dataclass(slots=True, kw_only=True)
class House:
    """A demo that runs. ``say`` is told each step."""

    plant: Plant
    home_assistant: HomeAssistant
    client: Client
    say: Say = _say_nothing
    added: list[Addition] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    """Of the settings that the check changes."""

    async def furnish(self, families: Iterable[str]) -> None:
        """Add all devices of families and make dashboards of them. Raises ``DemoError``."""
        for family in families:
            for addition in FAMILIES[family]:
                await self.add(addition)
        self.say("setting up the dashboards")
        await self.set_up_dashboards()

    async def add(self, addition: Addition) -> None:
        """Add a device through the config flow. Raises ``DemoError``."""
        address = self.plant.addresses[addition.listener]
        self.say(f"adding what answers at {address}")
        result = await add(self.client, addition, address)
        self.added.append(addition)
        self.say(f"added {result.title}")
        if addition.options:
            assert result.entry_id is not None
            await self.set_options(addition, result.entry_id)

    async def set_options(self, addition: Addition, entry_id: str) -> None:
        """Change the options of what was added. Raises ``DemoError``."""
        await self.client.set_options(entry_id, *addition.options)
        look = partial(find_control, self.client, entry_id, addition.setting)
        self.controls.append(
            await until(look, RELOADED_WITHIN, f"no control of {addition.setting}")
        )

    async def set_up_dashboards(self) -> None:
        """Give the energy dashboard its sources, and make one of our own."""
        entries = [entry.id for entry in await self.client.entries(DOMAIN)]
        devices = await self.client.devices(entries)
        entities = await self.client.entities(entries)
        states = await self.client.states()
        await energy.set_up(self.client, energy.sources(devices, entities, states))
        await dashboard.set_up(self.client, devices, entities)

    async def restart(self) -> None:
        """Restart Home Assistant. Raises ``DemoError``."""
        await self.client.disconnect()
        await self.home_assistant.restart()

    async def readings(self) -> list[Reading]:
        """Return what all entities of Local Solar show."""
        entries = [entry.id for entry in await self.client.entries(DOMAIN)]
        return readings(
            await self.client.devices(entries),
            await self.client.entities(entries),
            await self.client.states(),
        )

    async def check_writing(self) -> None:
        """See whether settings can be changed. Raises ``DemoError`` if they cannot be."""
        for control in self.controls:
            async for done in writing.check(self.client, control):
                self.say(done)

    async def check(self) -> list[Reading]:
        """Return what is shown once all devices have been polled again.

        Raises ``DemoError`` if something is missing or cannot be true.
        """
        first = await self.readings()
        not_polled = {reading.device for reading in first}
        expected = sum(addition.devices for addition in self.added)
        if len(not_polled) != expected:
            names = ", ".join(sorted(not_polled)) or "none"
            raise DemoError(f"{expected} devices expected, there are: {names}")
        reported = {reading.entity_id: reading.reported for reading in first}

        async def are_live() -> list[Reading] | None:
            shown = await self.readings()
            not_polled.difference_update(
                reading.device
                for reading in shown
                if reading.reported != reported.get(reading.entity_id)
            )
            return None if not_polled else shown

        shown = await until(are_live, POLLED_WITHIN, "not all devices are polled")
        if found := [*doubts(shown), *self.home_assistant.complaints]:
            more = f"; and {len(found) - MOST_NAMED} more" * (len(found) > MOST_NAMED)
            raise DemoError("; ".join(found[:MOST_NAMED]) + more)
        return shown


@asynccontextmanager
async def running_house(
    folder: Path,
    port: int,
    python: Path,
    say: Say = _say_nothing,
    time_zone: str | None = None,
) -> AsyncIterator[House]:
    """Run the plant and a new Home Assistant, with nothing set up in it yet.

    Args:
        folder: an empty folder for configuration, database and logs.
        port: where Home Assistant serves its web page.
        python: the interpreter of the environment that has Home Assistant.
        say: is told each step.
        time_zone: of Home Assistant, by default this computer's.

    Raises:
        DemoError: if something does not start.

    """
    async with AsyncExitStack() as stack:
        say("starting Home Assistant and the simulated plant")
        home_assistant = await stack.enter_async_context(
            running_home_assistant(python, folder / "config", port, time_zone)
        )
        plant = await stack.enter_async_context(
            running_plant(python, folder / "plant.log")
        )
        await home_assistant.ready()
        client = await stack.enter_async_context(Client(home_assistant.url))
        await client.onboard(USER, PASSWORD)
        yield House(plant=plant, home_assistant=home_assistant, client=client, say=say)
