"""Whether settings can be changed: by an action, and by hand with a confirmation."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from .check import UNKNOWN
from .client import Client, Issue
from .errors import DemoError
from .families import DOMAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A number that changes a setting. ``register`` is the setting's key."""

    device_id: str
    entity_id: str
    register: str
    name: str


async def find_control(client: Client, entry_id: str, register: str) -> Control | None:
    """Return the number of a setting if it shows what the device holds."""
    states = await client.states()
    for entity in await client.entities([entry_id]):
        state = states.get(entity.id)
        if (
            entity.domain == "number"
            and entity.key == register
            and state is not None
            and state.value not in UNKNOWN
        ):
            return Control(
                device_id=entity.device_id,
                entity_id=entity.id,
                register=register,
                name=state.name,
            )
    return None


async def held(client: Client, control: Control) -> float:
    """Return what the device holds, read now."""
    answer = await client.ask(
        f"{DOMAIN}.read_register",
        device_id=control.device_id,
        register=control.register,
    )
    return float(answer["value"])


async def ask_by_hand(client: Client, control: Control, value: float) -> Issue:
    """Move a number and return the question that this opens.

    Raises ``DemoError`` if it is not refused for now, or opens no question.
    """
    try:
        await client.act("number.set_value", entity_id=control.entity_id, value=value)
    except DemoError as err:
        if issues := await client.issues(DOMAIN):
            return issues[-1]
        raise DemoError(f"{control.name} asks for no confirmation: {err}") from err
    raise DemoError(f"{control.name} asks for no confirmation")


async def check(client: Client, control: Control) -> AsyncIterator[str]:
    """Change a setting and change it back, and yield what was done, in words.

    Raises ``DemoError`` if the device holds anything but what was confirmed.
    """
    before = await held(client, control)
    other = before - 1
    await client.ask(
        f"{DOMAIN}.set_register",
        device_id=control.device_id,
        register=control.register,
        value=other,
        confirm=True,
    )
    await _expect(client, control, other)
    yield f"{control.name}: an action changed it from {before:g} to {other:g}"

    issue = await ask_by_hand(client, control, before)
    await _expect(client, control, other)
    done = await client.submit_repair(await client.open_repair(issue))
    if done.kind != "create_entry":
        raise DemoError(f"{control.name}: {done.placeholders.get('error', done)}")
    await _expect(client, control, before)
    yield f"{control.name}: moved back to {before:g} by hand, once that was confirmed"


async def _expect(client: Client, control: Control, value: float) -> None:
    """Raise ``DemoError`` unless the device holds ``value``."""
    if (current := await held(client, control)) != value:
        raise DemoError(f"{control.name} is {current:g} instead of {value:g}")
