"""All of the demo at once: simulators, Home Assistant, and what is set up in it."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from . import dashboard, energy, writing
from .check import Reading, doubts, readings
from .client import Client, Device
from .errors import DemoError
from .families import ALL, DOMAIN, Addition, add
from .home_assistant import HomeAssistant, running_home_assistant
from .simulators import Address, RunningSimulator, Simulator, running_simulator
from .waiting import together, until
from .writing import Control, find_control

USER: Final = "demo"
PASSWORD: Final = "demo"
"""Of a Home Assistant that only this computer reaches."""

POLLED_WITHIN: Final = 25.0
"""Seconds; devices are polled every 10 s, or are asked for it."""

APPEARED_WITHIN: Final = 60.0
"""Seconds; a datalogger looks for its server every two, and then tells what it has."""

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

    simulators: Mapping[Simulator, RunningSimulator]
    home_assistant: HomeAssistant
    client: Client
    say: Say = _say_nothing
    added: dict[str, Addition] = field(default_factory=dict)
    """By the id of its entry, in the order of the families."""
    controls: list[Control] = field(default_factory=list)
    """Of the settings that the check changes."""
    shown_first: list[Reading] = field(default_factory=list)
    """What was shown once everything was set up."""

    def address_of(self, addition: Addition) -> Address:
        """Return where what is to be added listens."""
        return self._address(addition.simulator, addition.listener)

    def _address(self, simulator: Simulator, listener: str) -> Address:
        return self.simulators[simulator].addresses[listener]

    @contextmanager
    def silence(self, *simulators: Simulator) -> Iterator[None]:
        """Make the devices of simulators silent meanwhile, by default all devices."""
        held = [self.simulators[one] for one in simulators or self.simulators]
        for simulator in held:
            simulator.hold()
        try:
            yield
        finally:
            for simulator in held:
                simulator.release()

    async def furnish(self, families: Iterable[str]) -> None:
        """Add all devices of families and make dashboards of them. Raises ``DemoError``."""
        additions = additions_of(families)
        entries = await together(self.add(addition) for addition in additions)
        self.added = dict(zip(entries, additions, strict=True))
        self.say("setting up the dashboards")
        await self.set_up_dashboards()
        self.shown_first = await self.readings()

    async def add(self, addition: Addition) -> str:
        """Add a device through the config flow and return its entry. Raises ``DemoError``."""
        address = self.address_of(addition)
        self.say(f"adding what answers at {address}")
        result = await add(self.client, addition, self._address)
        assert result.entry_id is not None
        self.added[result.entry_id] = addition
        await until(
            partial(self._has_appeared, result.entry_id, addition),
            APPEARED_WITHIN,
            f"not all devices of {result.title} appear",
        )
        self.say(f"added {result.title}")
        if addition.options:
            await self.set_options(addition, result.entry_id)
        return result.entry_id

    async def _has_appeared(self, entry_id: str, addition: Addition) -> bool | None:
        """Return whether all devices are there: some appear when they report."""
        devices = await self.client.devices([entry_id])
        return len(devices) >= addition.devices or None

    async def set_options(self, addition: Addition, entry_id: str) -> None:
        """Change the options of what was added. Raises ``DemoError``."""
        await self.client.set_options(entry_id, *addition.options)
        look = partial(find_control, self.client, entry_id, addition.setting)
        self.controls.append(
            await until(look, RELOADED_WITHIN, f"no control of {addition.setting}")
        )

    async def set_up_dashboards(self) -> None:
        """Give the energy dashboard its sources, and make one of our own."""
        devices = await self.devices()
        entities = await self.client.entities({device.entry_id for device in devices})
        states = await self.client.states()
        await energy.set_up(self.client, energy.sources(devices, entities, states))
        await dashboard.set_up(self.client, devices, entities)

    async def devices(self) -> list[Device]:
        """Return all devices of Local Solar, in the order of the families."""
        entries = [entry.id for entry in await self.client.entries(DOMAIN)]
        places = {entry: place for place, entry in enumerate(self.added)}
        devices = await self.client.devices(entries)
        return sorted(devices, key=lambda device: places.get(device.entry_id, -1))

    async def restart(self) -> None:
        """Restart Home Assistant. Raises ``DemoError``."""
        await self.client.disconnect()
        await self.home_assistant.restart()

    async def readings(self) -> list[Reading]:
        """Return what all entities of Local Solar show."""
        devices = await self.devices()
        return readings(
            devices,
            await self.client.entities({device.entry_id for device in devices}),
            await self.client.states(),
        )

    async def check_writing(self) -> None:
        """See whether settings can be changed. Raises ``DemoError`` if they cannot be."""
        await together(self._check_writing(control) for control in self.controls)

    async def _check_writing(self, control: Control) -> None:
        async for done in writing.check(self.client, control):
            self.say(done)

    async def check(self) -> list[Reading]:
        """Return what is shown once all devices have been polled again.

        Raises ``DemoError`` if something is missing or cannot be true.
        """
        self._check_devices()
        shown = await self._polled_again()
        if found := [*doubts(shown), *self.home_assistant.complaints]:
            more = f"; and {len(found) - MOST_NAMED} more" * (len(found) > MOST_NAMED)
            raise DemoError("; ".join(found[:MOST_NAMED]) + more)
        return shown

    def _check_devices(self) -> None:
        """Raise ``DemoError`` if there is a device too few."""
        devices = {reading.device_id: reading.device for reading in self.shown_first}
        expected = sum(addition.devices for addition in self.added.values())
        if len(devices) != expected:
            names = ", ".join(sorted(devices.values())) or "none"
            raise DemoError(f"{expected} devices expected, there are: {names}")

    async def _polled_again(self) -> list[Reading]:
        """Return what is shown once it is newer, of each entry. Raises ``DemoError``.

        Entities through which a poll is asked for may be written in any case: others must
        be, too.
        """
        reported = {reading.entity_id: reading.reported for reading in self.shown_first}
        not_polled = {reading.entry_id for reading in self.shown_first}
        asked = await self.poll(
            *(entry for entry, addition in self.added.items() if addition.seldom)
        )

        async def are_live() -> list[Reading] | None:
            shown = await self.readings()
            not_polled.difference_update(
                reading.entry_id
                for reading in shown
                if reading.entity_id not in asked
                and reading.reported != reported.get(reading.entity_id)
            )
            return None if not_polled else shown

        return await until(are_live, POLLED_WITHIN, "not all devices are polled")

    async def poll(self, *entry_ids: str) -> set[str]:
        """Have entries polled now. Return the entities through which that was asked for."""
        entities = {
            reading.entry_id: reading.entity_id
            for reading in await self.readings()
            if reading.entry_id in entry_ids
        }
        asked = {*entities.values()}
        if asked:
            await self.client.update(asked)
        return asked


def additions_of(families: Iterable[str]) -> list[Addition]:
    """Return what is added for families."""
    return [addition for family in families for addition in ALL[family]]


def simulators_of(families: Iterable[str]) -> list[Simulator]:
    """Return what must be simulated for families."""
    wanted = (
        form.simulator for addition in additions_of(families) for form in addition.forms
    )
    return [*dict.fromkeys(wanted)]


@asynccontextmanager
async def running_house(
    folder: Path,
    port: int,
    python: Path,
    simulators: Iterable[Simulator],
    say: Say = _say_nothing,
    time_zone: str | None = None,
    database: str | None = None,
) -> AsyncIterator[House]:
    """Run simulators and a new Home Assistant, with nothing set up in it yet.

    Args:
        folder: an empty folder for configuration, database and logs.
        port: where Home Assistant serves its web page.
        python: the interpreter of the environment that has Home Assistant.
        simulators: what is simulated.
        say: is told each step.
        time_zone: of Home Assistant, by default this computer's.
        database: the URL of its recorder's database, by default a file of its own.

    Raises:
        DemoError: if something does not start.

    """
    async with AsyncExitStack() as stack:
        say("starting Home Assistant and the simulated devices")
        home_assistant = await stack.enter_async_context(
            running_home_assistant(python, folder / "config", port, time_zone, database)
        )
        running = {
            simulator: await stack.enter_async_context(
                running_simulator(simulator, python, folder)
            )
            for simulator in simulators
        }
        await home_assistant.ready()
        client = await stack.enter_async_context(Client(home_assistant.url))
        await client.onboard(USER, PASSWORD)
        yield House(
            simulators=running, home_assistant=home_assistant, client=client, say=say
        )
