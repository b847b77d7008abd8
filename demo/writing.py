"""Whether settings can be changed: by an action, and by hand with a confirmation."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from .check import UNKNOWN
from .client import Client, Issue, Json
from .errors import DemoError
from .families import DOMAIN
from .waiting import until

JUST_WRITTEN: Final = "written less than"
"""What a refusal says while flash must not be written again."""

FLASH_RESTS: Final = 20.0
"""Seconds; they are 10 between two writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A number that changes a setting. ``register`` is the setting's key.

    ``value`` is what it showed when it was found.
    """

    device_id: str
    entity_id: str
    register: str
    name: str
    value: float


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
                value=float(state.value),
            )
    return None


async def held(client: Client, control: Control) -> float:
    """Return what the device holds, asked now: the preview of a change says so.

    There is none right after a write to flash, which is waited for.
    """

    async def previewed() -> Json | None:
        try:
            return await client.ask(
                f"{DOMAIN}.preview_write",
                device_id=control.device_id,
                register=control.register,
                value=control.value,
            )
        except DemoError as err:
            if JUST_WRITTEN in str(err):
                return None
            raise

    preview = await until(
        previewed, FLASH_RESTS, f"{control.name} may still not be changed again"
    )
    await client.act(
        f"{DOMAIN}.cancel_write", device_id=control.device_id, token=preview["token"]
    )
    return float(preview["current"])


async def ask_by_hand(client: Client, control: Control, value: float) -> Issue:
    """Move a number and return the question that this opens.

    Raises ``DemoError`` if it is not refused for now, or opens no question.
    """
    try:
        await client.act("number.set_value", entity_id=control.entity_id, value=value)
    except DemoError as err:
        for issue in await client.issues(DOMAIN):
            if control.entity_id in issue.texts.get("asked", ""):
                return issue
        raise DemoError(f"{control.name} asks for no confirmation: {err}") from err
    raise DemoError(f"{control.name} asks for no confirmation")


async def check(client: Client, control: Control) -> AsyncIterator[str]:
    """Change a setting and change it back, and yield what was done, in words.

    Raises ``DemoError`` if the device holds anything but what was confirmed.
    """
    before = await held(client, control)
    other = round(0.9 * before)
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
