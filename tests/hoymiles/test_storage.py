"""Storage gateways: who answers, what is behind it, and what a poll brings."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
import json
import time
from types import SimpleNamespace
from typing import Any, Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.hoymiles import (
    client as client_module,
    messages,
    storage as storage_module,
)
from custom_components.local_solar.hoymiles.client import DtuClient
from custom_components.local_solar.hoymiles.commands import (
    GATEWAY_INFO,
    STORAGE_DATA,
    STORAGE_REGISTRY,
    Command,
)
from custom_components.local_solar.hoymiles.errors import (
    EvictedError,
    MessageError,
    SilentError,
    UnreachableError,
    UnsupportedError,
    WrongDtuError,
)
from custom_components.local_solar.hoymiles.frame import (
    Extension,
    Frame,
    FrameReader,
    encode,
    reply_to,
)
from custom_components.local_solar.hoymiles.inventory import (
    GONE_AFTER,
    Inventory,
    Inverter,
)
from custom_components.local_solar.hoymiles.messages import Fields
from custom_components.local_solar.hoymiles.serial_number import as_text
from custom_components.local_solar.hoymiles.storage import (
    HybridInverter,
    StorageGateway,
    StorageInventory,
    devices,
    is_storage,
)
from custom_components.local_solar.points import (
    CONNECTED,
    Device,
    Quantity,
    Value,
    Visibility,
)
from simulators.clock import SimulatedClock
from simulators.hoymiles.dtu import SimulatedDtu
from simulators.hoymiles.server import running_dtu

from .test_frame import named, needs_captures
from .test_storage_records import AFTERNOON, GATEWAY, INVERTER

pytestmark = pytest.mark.usefixtures("socket_enabled")

SECOND: Final = 0x200393100005
THIRD: Final = 0x200393100006
OTHER_GATEWAY: Final = 0x430193100099
CET: Final = timezone(timedelta(hours=1))
NOW: Final = datetime(2025, 10, 9, 10, 53, 20, tzinfo=CET)

type Sent = Mapping[str, Any]
type Fault = Callable[[Sent], bool]
"""Whether a request is met with silence."""


def listed(serial: int, **more: Any) -> Fields:
    """Return an inverter of the gateway's list."""
    return {
        "serial": serial,
        "model_name": b"HYS-4.6LV-EUG1",
        "main_software": b"1.0.0",
        "hardware_version": b"H01",
        "battery_serial": b"LB93100009",
        "battery_software": b"2.1",
        "battery_capacity": 100,
        "panel_count": 2,
        **more,
    }


@dataclass(slots=True)
class Asked:
    """A request that a gateway got."""

    command: int
    fields: Sent
    extension: Extension


@dataclass(slots=True)
class FakeGateway:
    """Answers three requests as a gateway does; what it says can be changed at will."""

    serial: int = GATEWAY
    info: dict[str, Any] = field(default_factory=dict)
    gateway: dict[str, Any] = field(
        default_factory=lambda: {"software_version": 4105, "hardware_version": 0x1101}
    )
    wired: tuple[int, ...] = (INVERTER,)
    inverters: list[Fields] = field(default_factory=lambda: [listed(INVERTER)])
    values: dict[int, Sent | list[Sent]] = field(
        default_factory=lambda: {INVERTER: AFTERNOON}
    )
    """Serial number -> what the inverter says, or its pages."""
    silent: dict[int, Fault] = field(default_factory=dict)
    header_serial: int | None = None
    """What it puts into the header of its answers, if not its serial number."""
    asked: list[Asked] = field(default_factory=list)

    def be_silent(self, command: Command, fault: Fault = lambda _: True) -> None:
        self.silent[command.id] = fault

    def requests(self, command: Command) -> list[Asked]:
        return [asked for asked in self.asked if asked.command == command.id]

    def answer(self, frame: Frame) -> Frame | None:
        assert frame.extension is not None
        names = {
            command.id: command
            for command in (GATEWAY_INFO, STORAGE_REGISTRY, STORAGE_DATA)
        }
        command = names[frame.command]
        sent = messages.decode(command.request, frame.payload)
        self.asked.append(Asked(frame.command, sent, frame.extension))
        if frame.command in self.silent and self.silent[frame.command](sent):
            return None
        if command is not GATEWAY_INFO and frame.extension.gateway != self.serial:
            return None
        fields = self._fields(command, sent)
        if fields is None:
            return None
        header = self.serial if self.header_serial is None else self.header_serial
        extension = Extension(gateway=header, number=frame.extension.number)
        payload = messages.encode(command.reply, fields)
        return Frame(reply_to(frame.command), frame.sequence, payload, extension)

    def _fields(self, command: Command, sent: Sent) -> dict[str, Any] | None:
        if command is GATEWAY_INFO:
            return {
                "serial": self.serial,
                "page_count": 1,
                "gateways": [self.gateway],
                "devices": [{"serial": serial, "type": 6} for serial in self.wired],
                **self.info,
            }
        if command is STORAGE_REGISTRY:
            return self._page(self.inverters, sent.get("page_index", 0))
        serial = sent.get("serial", 0)
        if (values := self.values.get(serial)) is None:
            return None
        if isinstance(values, list):
            page = sent.get("page_index", 0)
            return {
                "serial": serial,
                "page_count": len(values),
                "page_index": page,
                **values[page],
            }
        return {"page_count": 1, **values, "serial": values.get("serial", serial)}

    @staticmethod
    def _page(inverters: Sequence[Fields], page: int) -> dict[str, Any]:
        """Return a page of the list, which has one inverter on each page."""
        return {
            "page_count": max(1, len(inverters)),
            "page_index": page,
            "inverters": list(inverters[page : page + 1]),
        }


@asynccontextmanager
async def listening(fake: FakeGateway) -> AsyncIterator[int]:
    """Let a gateway listen and give its port."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        frames = FrameReader()
        while data := await reader.read(1024):
            for frame in frames.feed(data):
                if (reply := fake.answer(frame)) is not None:
                    writer.write(encode(reply))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


def gateway_at(
    port: int, inventory: StorageInventory, *, serial: str | None = None
) -> StorageGateway:
    """Return what polls the gateway at a port of this computer."""
    client = DtuClient("127.0.0.1", port, lambda: NOW, serial)
    return StorageGateway(client, inventory)


KNOWN: Final = StorageInventory(
    serial=as_text(GATEWAY),
    software=4105,
    hardware=0x1101,
    inverters=(
        HybridInverter(
            serial=INVERTER,
            model_name="HYS-4.6LV-EUG1",
            software="1.0.0",
            hardware="H01",
            panel_count=2,
            inputs=(1, 2),
            has_battery=True,
            battery_serial="LB93100009",
            battery_software="2.1",
            battery_capacity=100,
        ),
    ),
)
ID: Final = as_text(INVERTER)
BATTERY_ID: Final = f"{ID}_battery"


@pytest.fixture
def fake() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
async def port(fake: FakeGateway, socket_enabled: None) -> AsyncIterator[int]:
    async with listening(fake) as found:
        yield found


@pytest.fixture
def gateway(port: int) -> StorageGateway:
    return gateway_at(port, KNOWN, serial=KNOWN.serial)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for answers that never come."""
    monkeypatch.setattr(client_module, "REQUEST_TIMEOUT", 0.4)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Stop the time for the gateway alone; the one item can be changed."""
    now = [time.monotonic()]
    stopped = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(storage_module, "time", stopped)
    return now


# -- who is there ---------------------------------------------------------------------


async def test_a_gateway_says_who_it_is_and_what_is_behind_it(port: int) -> None:
    gateway = gateway_at(port, StorageInventory())
    assert await gateway.async_identify() == KNOWN
    assert gateway.inventory == KNOWN
    assert gateway.id == "gateway_430193100003"


async def test_the_first_question_needs_no_serial_number_and_the_others_do(
    fake: FakeGateway, port: int
) -> None:
    await gateway_at(port, StorageInventory()).async_poll(())
    first, registry, data = fake.asked
    assert first.extension == Extension(gateway=0, number=255)
    assert registry.extension == Extension(gateway=GATEWAY, number=1)
    assert data.extension == Extension(gateway=GATEWAY, number=1)
    assert data.fields["serial"] == INVERTER


async def test_every_request_has_the_time(fake: FakeGateway, port: int) -> None:
    await gateway_at(port, KNOWN).async_poll(())
    for asked in fake.asked:
        assert asked.fields["time"] == int(NOW.timestamp())
        assert asked.fields["utc_offset"] == 3600
    for asked in fake.asked[1:]:
        assert asked.fields["local_time_text"] == b"2025-10-09 10:53:20"


@needs_captures
async def test_questions_are_such_as_a_real_gateway_has_answered(
    fake: FakeGateway, port: int
) -> None:
    await gateway_at(port, KNOWN).async_poll(())
    for asked, capture in zip(
        fake.asked,
        ("gw-gateway-info-req", "real-esreg-req", "gw-energy-storage-data-req"),
        strict=True,
    ):
        frame = named(capture).frame()
        known = messages.decode(named(capture).message, frame.payload)
        assert (asked.command, asked.extension) == (frame.command, frame.extension)
        assert asked.fields.keys() == known.keys()


async def test_another_gateway_at_the_address_is_noticed(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.serial = OTHER_GATEWAY
    with pytest.raises(WrongDtuError) as raised:
        await gateway.async_poll(())
    assert raised.value.expected == "430193100003"
    assert raised.value.found == "430193100099"
    assert not fake.requests(STORAGE_DATA)
    with pytest.raises(WrongDtuError):
        await gateway.async_identify()


async def test_the_inventory_alone_tells_which_gateway_it_must_be(
    fake: FakeGateway, port: int
) -> None:
    fake.serial = OTHER_GATEWAY
    with pytest.raises(WrongDtuError):
        await gateway_at(port, KNOWN).async_poll(())


async def test_a_gateway_that_was_swapped_between_two_polls_is_noticed(
    fake: FakeGateway, gateway: StorageGateway, impatient: None
) -> None:
    await gateway.async_poll(())
    fake.serial = OTHER_GATEWAY
    with pytest.raises(WrongDtuError):
        await gateway.async_poll(())


async def test_an_answer_in_the_name_of_another_gateway_is_noticed(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.header_serial = OTHER_GATEWAY
    with pytest.raises(WrongDtuError):
        await gateway.async_poll(())


async def test_an_answer_may_leave_out_in_whose_name_it_is(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.header_serial = 0
    assert (await gateway.async_poll(())).snapshot[ID][CONNECTED.key] is True


async def test_a_gateway_without_a_name_is_none(fake: FakeGateway, port: int) -> None:
    fake.info = {"serial": 0}
    with pytest.raises(MessageError, match="which one it is"):
        await gateway_at(port, StorageInventory()).async_identify()


async def test_nobody_is_there() -> None:
    async with listening(FakeGateway()) as port:
        pass
    with pytest.raises(UnreachableError):
        await gateway_at(port, KNOWN).async_identify()


# -- what a poll brings ---------------------------------------------------------------


async def test_a_poll_brings_the_values_of_all_devices(
    gateway: StorageGateway,
) -> None:
    poll = await gateway.async_poll(())
    assert set(poll.snapshot) == {gateway.id, ID, BATTERY_ID}
    assert poll.snapshot[gateway.id] == {}
    assert poll.snapshot[ID][CONNECTED.key] is True
    assert poll.snapshot[ID]["pv_power"] == 439
    assert poll.snapshot[BATTERY_ID]["battery_soc"] == 45
    assert poll.failed == {}


async def test_values_are_of_points_that_there_are(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.values[INVERTER] = {
        **AFTERNOON,
        "load": {"phases": [{"phase": 1, "active_power": 300}]},
        "inverter": {"phases": [{"phase": 1, "voltage": 2300}]},
        "flow": {"pv_to_load": 300, "soc": 45},
    }
    poll = await gateway.async_poll(())
    points = {
        device.identity.id: {point.key for point in device.points}
        for device in gateway.devices
    }
    extra = {"grid_l1_import_energy_today", "grid_l1_export_energy_today"}
    for device, values in poll.snapshot.items():
        assert values.keys() - extra <= points[device]


async def test_the_signal_is_there_if_the_gateway_gives_it(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.gateway["signal"] = -61
    poll = await gateway.async_poll(())
    assert poll.snapshot[gateway.id] == {"signal_strength": -61}


async def test_values_come_at_each_poll_and_lists_now_and_then(
    fake: FakeGateway, gateway: StorageGateway, clock: list[float]
) -> None:
    for _ in range(3):
        await gateway.async_poll(())
        clock[0] += 60
    assert len(fake.requests(STORAGE_DATA)) == 3
    assert len(fake.requests(STORAGE_REGISTRY)) == len(fake.requests(GATEWAY_INFO)) == 1
    clock[0] += 600
    await gateway.async_poll(())
    assert len(fake.requests(STORAGE_REGISTRY)) == len(fake.requests(GATEWAY_INFO)) == 2


async def test_all_pages_are_put_together(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    names = list(AFTERNOON)
    shared = {"serial", "page_count"}
    fake.values[INVERTER] = [
        {name: AFTERNOON[name] for name in names[start::3] if name not in shared}
        for start in range(3)
    ]
    whole = await gateway.async_poll(())
    fake.values[INVERTER] = AFTERNOON
    assert whole.snapshot == (await gateway.async_poll(())).snapshot
    pages = [asked.fields.get("page_index", 0) for asked in fake.asked]
    assert pages == [0, 0, 0, 1, 2, 0]


async def test_a_page_that_is_missing_spoils_the_others(
    fake: FakeGateway, gateway: StorageGateway, impatient: None
) -> None:
    fake.values[INVERTER] = [{"battery": AFTERNOON["battery"]}, {}]
    fake.be_silent(STORAGE_DATA, lambda sent: sent.get("page_index") == 1)
    poll = await gateway.async_poll(())
    assert poll.snapshot[ID] == {CONNECTED.key: False}
    assert ID in poll.failed


async def test_a_page_of_another_number_is_not_taken(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.values[INVERTER] = {**AFTERNOON, "page_index": 1}
    poll = await gateway.async_poll(())
    assert "page 1" in poll.failed[ID]


async def test_values_of_another_inverter_are_not_taken(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.values[INVERTER] = {**AFTERNOON, "serial": SECOND}
    poll = await gateway.async_poll(())
    assert poll.snapshot[ID] == {CONNECTED.key: False}
    assert as_text(SECOND) in poll.failed[ID]


async def test_the_grid_charges_the_battery(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    flow = {"grid_to_load": 300, "battery_to_grid": -2000, "soc": 45}
    fake.values[INVERTER] = {**AFTERNOON, "flow": flow}
    poll = await gateway.async_poll(())
    assert poll.snapshot[ID]["grid_import_power"] == 2300
    assert poll.snapshot[BATTERY_ID]["battery_charge_power"] == 2000
    assert poll.snapshot[BATTERY_ID]["battery_discharge_power"] == 0


async def test_counters_are_missing_in_the_morning_rather_than_0(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.values[INVERTER] = {
        "panels": [{"input": 1, "voltage": 3000}, {"input": 2}],
        "battery": {"voltage": 512, "soc": 20},
        "grid": {"phases": [{"phase": 1, "voltage": 2300}]},
        "production": {},
        "consumption": {},
        "flow": {},
    }
    poll = await gateway.async_poll(())
    counters = {
        point.key
        for device in gateway.devices
        for point in device.points
        if point.quantity.is_counter
    }
    for values in poll.snapshot.values():
        assert not counters & values.keys()
    assert poll.snapshot[ID]["load_power"] == 0


# -- what fails -----------------------------------------------------------------------


async def test_a_silent_list_spoils_nothing_else(
    fake: FakeGateway, gateway: StorageGateway, impatient: None, clock: list[float]
) -> None:
    fake.be_silent(STORAGE_REGISTRY)
    poll = await gateway.async_poll(())
    assert set(poll.failed) == {"registry"}
    assert poll.snapshot[BATTERY_ID]["battery_soc"] == 45
    assert gateway.inventory == KNOWN
    # It stays failed until it has been asked again.
    assert set((await gateway.async_poll(())).failed) == {"registry"}
    assert len(fake.requests(STORAGE_REGISTRY)) == 1
    fake.silent.clear()
    clock[0] += 600
    assert (await gateway.async_poll(())).failed == {}


async def test_without_a_list_the_gateway_and_the_values_tell_what_there_is(
    fake: FakeGateway, port: int, impatient: None
) -> None:
    fake.be_silent(STORAGE_REGISTRY)
    gateway = gateway_at(port, StorageInventory())
    await gateway.async_poll(())
    (inverter,) = gateway.inventory.inverters
    assert inverter == HybridInverter(
        serial=INVERTER, inputs=(1, 2), phases=(1,), has_battery=True
    )
    assert inverter.model == "HYS"


async def test_a_list_that_is_garbage_spoils_nothing_else(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.inverters = [{"serial": INVERTER, "model_name": b"HYS"}]
    whole = messages.encode

    def broken(name: str, fields: Mapping[str, Any]) -> bytes:
        return b"\xff" if name == STORAGE_REGISTRY.reply else whole(name, fields)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages, "encode", broken)
        poll = await gateway.async_poll(())
    assert set(poll.failed) == {"registry"}
    assert poll.snapshot[ID][CONNECTED.key] is True


async def test_a_silent_inverter_does_not_silence_the_gateway(
    fake: FakeGateway, gateway: StorageGateway, impatient: None
) -> None:
    await gateway.async_poll(())
    fake.be_silent(STORAGE_DATA)
    poll = await gateway.async_poll(())
    assert poll.snapshot == {gateway.id: {}, ID: {CONNECTED.key: False}}
    assert set(poll.failed) == {ID}
    fake.silent.clear()
    poll = await gateway.async_poll(())
    assert poll.snapshot[ID][CONNECTED.key] is True
    assert poll.failed == {}


async def test_a_gateway_that_is_silent_altogether_is_silent(
    fake: FakeGateway, gateway: StorageGateway, impatient: None
) -> None:
    await gateway.async_poll(())
    fake.be_silent(STORAGE_DATA)
    fake.be_silent(GATEWAY_INFO)
    with pytest.raises(SilentError):
        await gateway.async_poll(())


async def test_a_closed_connection_ends_the_poll(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    await gateway.async_poll(())

    def close(_: Sent) -> bool:
        raise ConnectionAbortedError

    fake.be_silent(STORAGE_DATA, close)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    with pytest.raises(EvictedError):
        await gateway.async_poll(())


async def test_a_gateway_that_wants_encryption_is_not_supported(
    fake: FakeGateway, gateway: StorageGateway, impatient: None
) -> None:
    fake.gateway["encryption_seed"] = bytes(16)
    await gateway.async_poll(())
    fake.be_silent(STORAGE_DATA)
    with pytest.raises(UnsupportedError):
        await gateway.async_poll(())


async def test_an_inverter_that_the_gateway_does_not_reach_has_no_values(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.values[INVERTER] = {"battery": {}, "grid": {"phases": [{"phase": 1}]}}
    poll = await gateway.async_poll(())
    assert poll.snapshot == {gateway.id: {}, ID: {CONNECTED.key: False}}


# -- several inverters ----------------------------------------------------------------


@pytest.fixture
def several(fake: FakeGateway) -> FakeGateway:
    serials = (INVERTER, SECOND, THIRD)
    fake.wired = serials
    fake.inverters = [listed(serial) for serial in serials]
    for soc, serial in enumerate(serials, 50):
        battery = {**AFTERNOON["battery"], "soc": soc}
        fake.values[serial] = {**AFTERNOON, "serial": serial, "battery": battery}
    return fake


async def test_each_of_several_inverters_has_its_values(
    several: FakeGateway, gateway: StorageGateway
) -> None:
    poll = await gateway.async_poll(())
    charges = [
        poll.snapshot[f"{inverter.id}_battery"]["battery_soc"]
        for inverter in gateway.inventory.inverters
    ]
    assert charges == [50, 51, 52]
    assert len(gateway.devices) == 7


async def test_one_silent_inverter_leaves_the_others_fresh(
    several: FakeGateway, gateway: StorageGateway, impatient: None
) -> None:
    several.be_silent(STORAGE_DATA, lambda sent: sent["serial"] == INVERTER)
    poll = await gateway.async_poll(())
    assert poll.snapshot[ID] == {CONNECTED.key: False}
    assert poll.snapshot[as_text(SECOND)]["pv_power"] == 439
    assert set(poll.failed) == {ID}


async def test_silent_inverters_do_not_use_up_the_session(
    several: FakeGateway, gateway: StorageGateway, impatient: None
) -> None:
    await gateway.async_poll(())
    several.be_silent(STORAGE_DATA, lambda sent: sent["serial"] != THIRD)
    poll = await gateway.async_poll(())
    assert set(poll.failed) == {ID, as_text(SECOND), as_text(THIRD)}
    # The one that was not asked comes first now.
    poll = await gateway.async_poll(())
    assert poll.snapshot[as_text(THIRD)][CONNECTED.key] is True
    assert set(poll.failed) == {ID, as_text(SECOND)}


# -- what is behind it ----------------------------------------------------------------


async def test_an_inverter_without_a_battery_has_none(
    fake: FakeGateway, port: int
) -> None:
    fake.inverters = [
        listed(INVERTER, battery_serial=b"", battery_capacity=0, battery_software=b"")
    ]
    fake.values[INVERTER] = {
        **AFTERNOON,
        "battery": {},
        "flow": {"pv_to_load": 100, "soc": 0},
    }
    gateway = gateway_at(port, StorageInventory())
    poll = await gateway.async_poll(())
    assert set(poll.snapshot) == {gateway.id, ID}
    assert [device.identity.kind for device in gateway.devices] == [
        "gateway",
        "inverter",
    ]


async def test_a_battery_that_is_known_stays_while_it_does_not_answer(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    fake.inverters = [listed(INVERTER, battery_serial=b"", battery_capacity=0)]
    fake.values[INVERTER] = {**AFTERNOON, "battery": {}}
    poll = await gateway.async_poll(())
    assert poll.snapshot[BATTERY_ID] == {}
    assert gateway.inventory == KNOWN


async def test_an_inverter_is_gone_when_several_lists_have_left_it_out(
    several: FakeGateway,
    gateway: StorageGateway,
    clock: list[float],
    impatient: None,
) -> None:
    await gateway.async_poll(())
    several.inverters.pop(0)
    several.wired = (SECOND, THIRD)
    del several.values[INVERTER]
    for left in (3,) * (GONE_AFTER - 1) + (2,):
        clock[0] += 600
        await gateway.async_poll(())
        assert len(gateway.inventory.inverters) == left


async def test_an_inverter_of_either_list_is_not_gone(
    several: FakeGateway, gateway: StorageGateway, clock: list[float]
) -> None:
    several.wired = (INVERTER,)
    several.inverters.pop(0)
    for _ in range(GONE_AFTER + 1):
        clock[0] += 600
        await gateway.async_poll(())
    assert len(gateway.inventory.inverters) == 3


async def test_an_empty_list_is_not_believed(
    fake: FakeGateway, gateway: StorageGateway, clock: list[float]
) -> None:
    fake.inverters, fake.wired = [], ()
    for _ in range(GONE_AFTER + 1):
        clock[0] += 600
        await gateway.async_poll(())
    assert gateway.inventory == KNOWN


async def test_three_phases_are_learnt_from_the_values(
    fake: FakeGateway, gateway: StorageGateway
) -> None:
    phases = [{"phase": phase, "voltage": 2300} for phase in (1, 2, 3, 4)]
    fake.values[INVERTER] = {**AFTERNOON, "grid": {"phases": phases}}
    await gateway.async_poll(())
    (inverter,) = gateway.inventory.inverters
    assert inverter.phases == (1, 2, 3)


async def test_some_models_are_known_to_have_three_phases(
    fake: FakeGateway, port: int
) -> None:
    fake.inverters = [listed(INVERTER, model_name=b"HYT-5.0HV-EUG1")]
    (inverter,) = (
        await gateway_at(port, StorageInventory()).async_identify()
    ).inverters
    assert inverter.phases == (1, 2, 3)


def test_an_inverter_of_an_unknown_type_has_a_name() -> None:
    assert HybridInverter(serial=0x200393100004).model == "HYS"
    assert HybridInverter(serial=0x2FFF93100004).model == "Hybrid inverter (2FFF)"
    # A number that is not one of a hybrid inverter tells no model either.
    assert HybridInverter(serial=0x141293100004).model == "Hybrid inverter (1412)"


# -- kept -----------------------------------------------------------------------------

texts = st.text(max_size=8)
hybrids = st.builds(
    HybridInverter,
    serial=st.integers(0, (1 << 63) - 1),
    model_name=texts,
    software=texts,
    hardware=texts,
    panel_count=st.integers(0, 8),
    inputs=st.lists(st.integers(1, 8), unique=True).map(tuple),
    phases=st.sampled_from([(1,), (1, 2, 3)]),
    has_battery=st.booleans(),
    battery_serial=texts,
    battery_software=texts,
    battery_hardware=texts,
    battery_capacity=st.integers(0, 1 << 31),
)
inventories = st.builds(
    StorageInventory,
    serial=st.integers(0, (1 << 48) - 1).map(as_text),
    software=st.integers(0, 1 << 31),
    hardware=st.integers(0, 1 << 31),
    inverters=st.lists(hybrids, max_size=3).map(tuple),
)


@given(inventory=inventories)
def test_an_inventory_survives_being_stored(inventory: StorageInventory) -> None:
    stored = json.loads(json.dumps(inventory.to_json()))
    assert is_storage(stored)
    assert StorageInventory.from_json(stored) == inventory
    assert inventory.to_json() == stored


def test_an_inventory_of_a_dtu_is_told_apart() -> None:
    dtu = Inventory(serial="414393100001", inverters=(Inverter(serial=1),))
    assert not is_storage(dtu.to_json())


# -- devices --------------------------------------------------------------------------


def by_kind(found: Sequence[Device]) -> dict[str, Device]:
    return {device.identity.kind: device for device in found}


def test_devices_are_reached_through_each_other() -> None:
    found = devices(KNOWN)
    assert [
        (device.identity.id, device.identity.kind, device.identity.via)
        for device in found
    ] == [
        ("gateway_430193100003", "gateway", None),
        (ID, "inverter", "gateway_430193100003"),
        (BATTERY_ID, "battery", ID),
    ]


def test_devices_say_what_they_are() -> None:
    found = by_kind(devices(KNOWN))
    gateway = found["gateway"].identity
    assert (gateway.model, gateway.firmware) == ("DTS-WIFI-G1", "01.00.09")
    assert gateway.serial_number == "430193100003"
    inverter = found["inverter"].identity
    assert (inverter.model, inverter.firmware) == ("HYS-4.6LV-EUG1", "1.0.0")
    assert (inverter.serial_number, inverter.hardware) == (ID, "H01")
    battery = found["battery"].identity
    assert (battery.serial_number, battery.firmware) == ("LB93100009", "2.1")


def test_gateway_and_inverter_say_whether_they_answer() -> None:
    found = by_kind(devices(KNOWN))
    assert CONNECTED in found["gateway"].points
    assert CONNECTED in found["inverter"].points
    assert CONNECTED not in found["battery"].points


def test_an_inverter_has_the_points_of_its_inputs_and_phases() -> None:
    (known,) = KNOWN.inverters
    larger = replace(known, inputs=(1, 2, 3), phases=(1, 2, 3))
    found = by_kind(devices(replace(KNOWN, inverters=(larger,))))
    keys = {point.key for point in found["inverter"].points}
    assert {"pv3_power", "grid_l3_voltage", "grid_l2_import_energy_today"} <= keys
    assert "pv4_power" not in keys


@given(inventory=inventories)
def test_each_point_of_a_device_is_there_once(inventory: StorageInventory) -> None:
    for device in devices(inventory):
        keys = [point.key for point in device.points]
        assert len(set(keys)) == len(keys)


# -- against the simulator ------------------------------------------------------------


async def test_a_simulated_gateway_from_end_to_end() -> None:
    noon = SimulatedClock(datetime(2026, 6, 21, 13), 0)
    simulated = SimulatedDtu("storage", clock=noon, refresh=0)
    async with running_dtu(simulated) as address:
        client = DtuClient(address.host, address.port, lambda: datetime.now(UTC))
        gateway = StorageGateway(client, StorageInventory())
        found = await gateway.async_identify()
        poll = await gateway.async_poll(())
    (inverter,) = found.inverters
    assert found.serial == simulated.serial
    assert (inverter.model, inverter.panel_count) == ("HYS-4.6LV-EUG1", 2)
    assert inverter.has_battery
    values = poll.snapshot[inverter.id]
    battery = poll.snapshot[inverter.battery_id]
    assert poll.failed == {}
    assert number(values["pv_power"]) > 500
    assert number(values["pv_energy_today"]) > 1
    sources = ("pv_power", "grid_import_power")
    sinks = ("load_power", "grid_export_power")
    into = sum(number(values[key]) for key in sources)
    out = sum(number(values[key]) for key in sinks)
    charge = number(battery["battery_charge_power"])
    discharge = number(battery["battery_discharge_power"])
    assert into + discharge == pytest.approx(out + charge, rel=0.1, abs=50)
    shown = {
        (device.identity.id, point.key)
        for device in gateway.devices
        for point in device.points
        if point.visibility is Visibility.SHOWN
        and not point.quantity.is_counter
        and point.quantity is not Quantity.CONNECTIVITY
    }
    assert not [
        (device, key) for device, key in shown if key not in poll.snapshot[device]
    ]


def number(value: Value | None) -> float:
    assert isinstance(value, int | float)
    return value
