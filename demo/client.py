"""Home Assistant's REST and websocket API, used as its web page uses them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
import time
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from .errors import DemoError

LANGUAGE: Final = "en"

FORSAKEN: Final = 30.0
"""Seconds after which a websocket is not used again: Home Assistant hangs up on who does not
answer its pings, and nobody does while tests look at something else."""

type Json = Mapping[str, Any]
"""A decoded JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowResult:
    """Where a config flow has got to. ``kind`` is its type, such as ``form``."""

    flow_id: str
    kind: str
    step: str | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    placeholders: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    title: str | None = None
    entry_id: str | None = None

    @classmethod
    def parse(cls, answer: Json) -> Self:
        """Take it from Home Assistant's answer."""
        result = answer.get("result")
        return cls(
            flow_id=answer["flow_id"],
            kind=answer["type"],
            step=answer.get("step_id"),
            errors=answer.get("errors") or {},
            placeholders=answer.get("description_placeholders") or {},
            reason=answer.get("reason"),
            title=answer.get("title"),
            entry_id=result["entry_id"] if isinstance(result, dict) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A config entry."""

    id: str
    title: str
    state: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of the registry."""

    id: str
    name: str
    entry_id: str
    via_id: str | None
    """The device that it is reached through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """An entity of the registry."""

    id: str
    key: str
    """Its translation key, that is the point's key with ``n`` for a number in it."""
    device_id: str
    enabled: bool

    @property
    def domain(self) -> str:
        """Its platform, such as ``sensor``."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What an entity shows."""

    value: str
    name: str
    unit: str | None
    reported: str
    """When it was last written, changed or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """What waits in Settings > Repairs. ``key`` is its translation key."""

    id: str
    domain: str
    key: str
    texts: Mapping[str, str]


class Client:
    """A session with one Home Assistant. Use it as an asynchronous context manager."""

    def __init__(self, url: str) -> None:
        """Prepare to talk to the Home Assistant at ``url``."""
        self._url = url
        self._client_id = f"{url}/"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._turn = asyncio.Lock()
        self._token = ""
        self._last_id = 0
        self._used_at = 0.0

    async def __aenter__(self) -> Self:
        """Do nothing: connections are made when they are needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self._session.close()

    async def disconnect(self) -> None:
        """Close the websocket, as when Home Assistant is going to restart."""
        if self._socket is not None:
            await self._socket.close()
            self._socket = None

    # -- getting in ---------------------------------------------------------------

    async def answers(self) -> bool | None:
        """Return ``True`` if Home Assistant serves its web page, else ``None``."""
        try:
            async with self._session.get(f"{self._url}/manifest.json") as response:
                return True if response.status == HTTPStatus.OK else None
        except aiohttp.ClientError:
            return None

    async def onboard(self, user: str, password: str) -> None:
        """Create the owner, which only a new Home Assistant allows, and log in."""
        answer = await self._request(
            "POST",
            "/api/onboarding/users",
            json={
                "client_id": self._client_id,
                "name": user.capitalize(),
                "username": user,
                "password": password,
                "language": LANGUAGE,
            },
        )
        granted = await self._request(
            "POST",
            "/auth/token",
            data={
                "client_id": self._client_id,
                "grant_type": "authorization_code",
                "code": answer["auth_code"],
            },
        )
        self._token = granted["access_token"]

    async def _request(self, method: str, path: str, **body: Any) -> Any:
        """Return the decoded answer. Raises ``DemoError`` if it is a refusal."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            async with self._session.request(
                method, f"{self._url}{path}", headers=headers, **body
            ) as response:
                if response.status >= HTTPStatus.BAD_REQUEST:
                    raise DemoError(
                        f"{method} {path}: {response.status} {await response.text()}"
                    )
                return await response.json()
        except (aiohttp.ClientError, TimeoutError) as err:
            raise DemoError(f"{method} {path}: {err or type(err).__name__}") from err

    # -- config entries -----------------------------------------------------------

    async def start_flow(self, domain: str) -> FlowResult:
        """Start to add an integration."""
        return FlowResult.parse(
            await self._request(
                "POST",
                "/api/config/config_entries/flow",
                json={"handler": domain, "show_advanced_options": False},
            )
        )

    async def choose(self, flow: FlowResult, item: str) -> FlowResult:
        """Take an item of the menu that a flow shows."""
        return await self.submit(flow, {"next_step_id": item})

    async def submit(self, flow: FlowResult, answers: Json) -> FlowResult:
        """Fill in the form that a flow shows."""
        path = f"/api/config/config_entries/flow/{flow.flow_id}"
        return FlowResult.parse(await self._request("POST", path, json=answers))

    async def set_options(self, entry_id: str, *steps: Json) -> None:
        """Change the options of an entry by filling in its forms, one after the other.

        Raises ``DemoError`` if they are refused, or if more or fewer forms are shown.
        """
        path = "/api/config/config_entries/options/flow"
        answer = await self._request("POST", path, json={"handler": entry_id})
        for step in steps:
            answer = await self._request(
                "POST", f"{path}/{answer['flow_id']}", json=step
            )
        if answer["type"] != "create_entry":
            raise DemoError(f"the options flow does not take {steps}: {answer}")

    async def entries(self, domain: str) -> list[Entry]:
        """Return the config entries of an integration."""
        return [
            Entry(
                id=entry["entry_id"],
                title=entry["title"],
                state=entry["state"],
                reason=entry["reason"],
            )
            for entry in await self._request(
                "GET", f"/api/config/config_entries/entry?domain={domain}"
            )
        ]

    async def reload(self, entry_id: str) -> None:
        """Unload an entry and set it up again."""
        path = f"/api/config/config_entries/entry/{entry_id}/reload"
        await self._request("POST", path)

    async def switch_entry(self, entry_id: str, *, on: bool) -> None:
        """Enable or disable an entry."""
        await self.command(
            "config_entries/disable",
            entry_id=entry_id,
            disabled_by=None if on else "user",
        )

    async def remove_entry(self, entry_id: str) -> None:
        """Remove an entry with its devices."""
        path = f"/api/config/config_entries/entry/{entry_id}"
        await self._request("DELETE", path)

    async def diagnostics(self, entry_id: str) -> Json:
        """Download the diagnostics of an entry."""
        path = f"/api/diagnostics/config_entry/{entry_id}"
        answer: Json = await self._request("GET", path)
        return answer

    # -- devices and entities -----------------------------------------------------

    async def devices(self, entry_ids: Iterable[str]) -> list[Device]:
        """Return the devices of entries."""
        known = {*entry_ids}
        return [
            Device(
                id=device["id"],
                name=device["name_by_user"] or device["name"],
                entry_id=entry_id,
                via_id=device["via_device_id"],
            )
            for device in await self.command("config/device_registry/list")
            for entry_id in device["config_entries"]
            if entry_id in known
        ]

    async def entities(self, entry_ids: Iterable[str]) -> list[Entity]:
        """Return the entities of entries."""
        known = {*entry_ids}
        return [
            Entity(
                id=entity["entity_id"],
                key=entity["translation_key"],
                device_id=entity["device_id"],
                enabled=entity["disabled_by"] is None,
            )
            for entity in await self.command("config/entity_registry/list")
            if entity["config_entry_id"] in known
        ]

    async def states(self) -> dict[str, State]:
        """Return entity id -> what it shows."""
        return {
            state["entity_id"]: State(
                value=state["state"],
                name=state["attributes"].get("friendly_name", state["entity_id"]),
                unit=state["attributes"].get("unit_of_measurement"),
                reported=state["last_reported"],
            )
            for state in await self.command("get_states")
        }

    async def update(self, entity_ids: Iterable[str]) -> None:
        """Have devices polled now, and wait for it: those behind these entities.

        Home Assistant itself puts a poll off if the one before was asked for in the
        same way less than 10 s ago.
        """
        await self.act("homeassistant.update_entity", entity_id=[*entity_ids])

    # -- actions and repairs ------------------------------------------------------

    async def act(self, action: str, **data: object) -> None:
        """Take an action such as ``number.set_value``. Raises ``DemoError`` if refused."""
        await self._request("POST", _path_of(action), json=data)

    async def ask(self, action: str, **data: object) -> Json:
        """Take an action and return its response. Raises ``DemoError`` if it is refused."""
        path = f"{_path_of(action)}?return_response"
        answer = await self._request("POST", path, json=data)
        response: Json = answer["service_response"]
        return response

    async def issues(self, domain: str) -> list[Issue]:
        """Return what an integration has in the repairs."""
        return [
            Issue(
                id=issue["issue_id"],
                domain=domain,
                key=issue["translation_key"],
                texts=issue["translation_placeholders"] or {},
            )
            for issue in (await self.command("repairs/list_issues"))["issues"]
            if issue["domain"] == domain
        ]

    async def open_repair(self, issue: Issue) -> FlowResult:
        """Open the form of an issue."""
        return FlowResult.parse(
            await self._request(
                "POST",
                "/api/repairs/issues/fix",
                json={"handler": issue.domain, "issue_id": issue.id},
            )
        )

    async def submit_repair(self, form: FlowResult) -> FlowResult:
        """Press Submit in the form of an issue."""
        path = f"/api/repairs/issues/fix/{form.flow_id}"
        return FlowResult.parse(await self._request("POST", path, json={}))

    # -- websocket ----------------------------------------------------------------

    async def command(self, kind: str, **parameters: object) -> Any:
        """Send a command over the websocket and return its result.

        Raises ``DemoError`` if it is refused or the connection is lost.
        """
        try:
            async with self._turn:
                answer = await self._answer_to({"type": kind, **parameters})
        except (aiohttp.ClientError, OSError, TypeError, TimeoutError) as err:
            raise DemoError(f"{kind}: {err or type(err).__name__}") from err
        if not answer["success"]:
            raise DemoError(f"{kind}: {answer['error']['message']}")
        return answer["result"]

    async def _answer_to(self, command: Json) -> Json:
        """Send a command and return its answer, past those nobody waited for any more."""
        if time.monotonic() - self._used_at > FORSAKEN:
            await self.disconnect()
        if self._socket is None or self._socket.closed:
            self._socket = await self._connect()
            self._last_id = 0
        self._last_id += 1
        await self._socket.send_json({"id": self._last_id, **command})
        while True:
            answer: Json = await self._socket.receive_json(timeout=30)
            if answer["id"] == self._last_id:
                self._used_at = time.monotonic()
                return answer

    @asynccontextmanager
    async def events(self, kind: str) -> AsyncIterator[Callable[[], Awaitable[Json]]]:
        """Listen to events of a kind; what is yielded waits for the next one."""
        socket = await self._connect()

        async def next_event() -> Json:
            event: Json = (await socket.receive_json(timeout=30))["event"]
            return event

        await socket.send_json(
            {"id": 1, "type": "subscribe_events", "event_type": kind}
        )
        await socket.receive_json(timeout=30)
        try:
            yield next_event
        finally:
            await socket.close()

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        websocket = await self._session.ws_connect(
            f"{self._url}/api/websocket", max_msg_size=0
        )
        await websocket.receive_json(timeout=30)
        await websocket.send_json({"type": "auth", "access_token": self._token})
        answer = await websocket.receive_json(timeout=30)
        if answer["type"] != "auth_ok":
            raise DemoError(f"Home Assistant does not let the demo in: {answer}")
        return websocket


def _path_of(action: str) -> str:
    domain, _, name = action.partition(".")
    return f"/api/services/{domain}/{name}"
