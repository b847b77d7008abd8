"""Writing settings to a gateway behind a real socket: who is asked, what is sent, what is said."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import time, timedelta
from itertools import accumulate
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

from modbus_connection import ModbusTcpParams, ModbusUnit
from modbus_connection.tmodbus import ModbusConnection
import pytest

from custom_components.local_solar.outback.block import Family
from custom_components.local_solar.outback.mate3 import Mate3
from custom_components.local_solar.outback.settings import (
    COMMAND_SETTLE,
    SETTLE,
    DeviceSettings,
)
from custom_components.local_solar.outback.system import async_identify
from custom_components.local_solar.points import TimeSlotChange, Value
from custom_components.local_solar.write_budget import WriteBudget
from custom_components.local_solar.write_errors import (
    DeviceError,
    HoldsOtherValueError,
    InstallerError,
    InvalidValueError,
    KeptOldValueError,
    NotIdentifiedError,
    NotWrittenError,
    OutcomeUnknownError,
    RefusedError,
    UnknownSettingError,
    ValueChangedError,
    WriteError,
    WrongDeviceError,
)
from custom_components.local_solar.write_gate import Outcome, WriteGate, Written
from simulators.clock import SimulatedClock
from simulators.datasets import Table
from simulators.mate3.gateway import Mate3Simulator, SimulatedMate3
from simulators.requests import Request
from tests.outback_helpers import Reached, reached

from .helpers import NOON, SPACING, still
from .test_system import MAC_OFFSET, SERIAL_OFFSET, set_text

pytestmark = pytest.mark.usefixtures("socket_enabled")

ERROR: Final = 402
"""Register of block 64110 that tells what is wrong with the last write."""

LOST: Final = (DeviceError, OutcomeUnknownError, NotWrittenError)

type Told = tuple[int, int, list[int]]
"""Function, first address and words of a write."""


class Box:
    """What answers at an address: one gateway, and then perhaps another one."""

    def __init__(self, gateway: SimulatedMate3) -> None:
        """Let ``gateway`` answer."""
        self.gateway = gateway
        self.before: Callable[[int, bool], None] = lambda number, is_write: None
        """Called before each request with its number, from 0, and whether it is a write."""
        self.stored: list[tuple[SimulatedMate3, int, tuple[int, ...]]] = []
        """Which gateway got which words, and where."""
        self.after_store: Callable[[], None] = lambda: None
        self.takes_nothing = False
        self._number = 0

    @property
    def silent(self) -> bool:
        """Whether nothing answers."""
        return self.gateway.silent

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """Return words."""
        self._count(is_write=False)
        return self.gateway.read(table, address, count)

    def check_write(self, address: int, words: Sequence[int], *, single: bool) -> None:
        """Take in a write."""
        self._count(is_write=True)
        self.gateway.check_write(address, words, single=single)

    def store(self, address: int, words: Sequence[int]) -> bool:
        """Carry out a write."""
        self.stored.append((self.gateway, address, tuple(words)))
        done = not self.takes_nothing and self.gateway.store(address, words)
        self.after_store()
        return done

    def _count(self, *, is_write: bool) -> None:
        self.before(self._number, is_write)
        self._number += 1

    def start_over(self) -> None:
        """Count from 0 again."""
        self._number = 0
        self.stored.clear()


@dataclass
class Bench:
    """A gateway, and the gates of all that is behind it."""

    there: Reached
    unit: ModbusUnit
    mate3: Mate3
    installer: bool
    box: Box
    slept: list[float]
    records: list[Written[str]] = field(default_factory=list)
    _gates: dict[str, WriteGate[str]] = field(default_factory=dict)

    @property
    def simulator(self) -> Mate3Simulator:
        """The simulated gateway and its socket."""
        return self.there.simulator

    @property
    def gateway(self) -> SimulatedMate3:
        """The gateway that answers."""
        return self.box.gateway

    def device(self, port: int | None) -> str:
        """Return the id of what is on a port, or of the gateway."""
        system = self.mate3.system
        if port is None:
            return system.id
        (found,) = (item.id for item in system.equipment if item.port == port)
        return found

    def driver(self, port: int | None) -> DeviceSettings:
        """Return a new driver."""
        return DeviceSettings(
            self.unit, self.mate3, self.device(port), installer=self.installer
        )

    def gate(self, port: int | None) -> WriteGate[str]:
        """Return the gate of what is on a port, or of the gateway."""
        device = self.device(port)
        if device not in self._gates:
            self._gates[device] = WriteGate(
                self.driver(port),
                WriteBudget({}, _keep),
                lambda gate, written: self.records.append(written),
            )
        return self._gates[device]

    async def write(self, port: int | None, key: str, value: Value) -> Written[str]:
        """Preview a change and confirm it. Raises ``WriteError``."""
        pending = await self.gate(port).async_preview(key, value, "owner")
        return await self.gate(port).async_confirm(pending.token, "owner")

    async def value(self, port: int | None, key: str) -> Value | None:
        """Return what a setting holds."""
        return (await self.driver(port).async_read(key)).value

    @property
    def told(self) -> list[Told]:
        """All writes that came in."""
        return [
            (request.function, request.address, request.words)
            for request in self.simulator.requests
            if request.function != 3
        ]

    def taken_requests(self) -> list[Request]:
        """Return the requests since the last call."""
        requests = list(self.simulator.requests)
        self.simulator.requests.clear()
        return requests


async def _keep(ledger: object) -> None:
    """Keep nothing."""


@pytest.fixture
def slept() -> list[float]:
    """For how long the gate has waited for the device to settle, each time."""
    return []


@pytest.fixture(autouse=True)
def flash_need_not_rest() -> Iterator[None]:
    """Write as often as the tests like."""
    with patch("custom_components.local_solar.write_budget.SPACING", timedelta(0)):
        yield


@asynccontextmanager
async def _connected(there: Reached, timeout: float) -> AsyncIterator[ModbusUnit]:
    """Connect to a gateway with a patience of our own (seconds)."""
    connection = ModbusConnection(
        ModbusTcpParams(host=there.host, port=there.port), timeout=timeout
    )
    try:
        yield connection.for_unit(1)
    finally:
        await connection.close()


@asynccontextmanager
async def bench_of(
    variant: str,
    slept: list[float],
    *,
    installer: bool = False,
    prepare: Callable[[SimulatedMate3], None] | None = None,
    timeout: float = 5.0,
) -> AsyncIterator[Bench]:
    """Set up a system whose clock only moves while the gate waits."""
    clock = SimulatedClock(NOON, speed=0)
    async with (
        reached(variant=variant, clock=clock) as there,
        _connected(there, timeout) as unit,
    ):
        simulator = there.simulator
        if prepare is not None:
            prepare(simulator.mate3)
        mate3 = Mate3(unit, await async_identify(unit), spacing=SPACING)
        box = Box(simulator.mate3)
        simulator.devices.update(dict.fromkeys(simulator.devices, box))
        simulator.requests.clear()

        async def sleep(delay: float) -> None:
            slept.append(delay)
            clock.advance(delay)
            await asyncio.sleep(0)

        patient = ModuleType("asyncio")
        vars(patient).update(vars(asyncio) | {"sleep": sleep})
        with patch("custom_components.local_solar.write_gate.asyncio", patient):
            yield Bench(there, unit, mate3, installer, box, slept)


@pytest.fixture
async def home(slept: list[float]) -> AsyncIterator[Bench]:
    """A Radian, two FM80 and a FLEXnet DC behind a MATE3s."""
    async with bench_of("mate3s", slept) as bench:
        yield bench


@pytest.fixture
async def hurried(slept: list[float]) -> AsyncIterator[Bench]:
    """The same, over a link that does not wait for long."""
    async with bench_of("mate3s", slept, timeout=0.1) as bench:
        yield bench


async def hang_up(bench: Bench) -> None:
    """Let the gateway end the connection, and wait until that is known here."""
    bench.simulator.disconnect_clients()
    while bench.unit.connected:
        await asyncio.sleep(0)


async def refusal(bench: Bench, port: int | None, key: str, value: Any) -> WriteError:
    """Return why a change is not previewed; nothing must have been sent."""
    with pytest.raises(WriteError) as caught:
        await bench.write(port, key, value)
    assert bench.told == []
    assert bench.slept == []
    return caught.value


# -- what is sent, and when ------------------------------------------------------------------------


async def test_the_block_is_read_right_before_the_write(home: Bench) -> None:
    pending = await home.gate(3).async_preview("absorb_volts", 56.4, "owner")
    home.taken_requests()
    written = await home.gate(3).async_confirm(pending.token, "owner")
    assert written.outcome is Outcome.WRITTEN
    first = home.gateway.address_of(64112, 1, 3)
    error = home.gateway.address_of(64110, ERROR)
    assert [
        (request.function, request.address, request.count)
        for request in home.taken_requests()
    ] == [
        (3, first, 90),  # number, length, port, scale, model, value
        (6, first + 10, 1),
        (3, error, 1),  # what the gateway says against it
        (3, first, 90),
    ]
    assert home.box.stored == [(home.gateway, first + 10, (564,))]
    assert home.gateway.word(64112, 11, 3) == 564


async def test_the_gateway_says_who_it_is_once_for_each_connection(home: Bench) -> None:
    identity = (home.gateway.address_of(64110), 13)

    def asked() -> int:
        return [
            (request.address, request.count) for request in home.taken_requests()
        ].count(identity)

    await home.write(3, "absorb_volts", 56.4)
    assert asked() == 1
    await home.write(3, "absorb_volts", 57.0)
    assert asked() == 0
    await hang_up(home)
    await home.write(3, "absorb_volts", 57.2)
    assert asked() == 1


async def test_one_word_is_written_with_function_6(home: Bench) -> None:
    await home.write(5, "relay_control", "off")
    assert home.told == [(6, home.gateway.address_of(64119, 18, 5), [0])]


async def test_hour_and_minute_are_written_together(home: Bench) -> None:
    written = await home.write(None, "grid_use_interval_1_weekday_start", time(21, 30))
    assert written.outcome is Outcome.WRITTEN
    assert home.told == [(16, home.gateway.address_of(64110, 338), [21, 30])]
    assert [home.gateway.word(64110, at) for at in (338, 339)] == [21, 30]


async def test_what_is_held_already_is_not_written(home: Bench) -> None:
    written = await home.write(3, "absorb_volts", 57.6)
    assert written.outcome is Outcome.UNCHANGED
    assert home.told == []


async def test_a_value_is_scaled_as_the_block_says_now(home: Bench) -> None:
    home.gateway.set_word(64112, 4, 0xFFFE, 3)
    home.gateway.set_word(64112, 11, 5760, 3)
    await home.write(3, "absorb_volts", 56.4)
    assert [words for _, _, words in home.told] == [[5640]]


async def test_a_value_that_has_changed_since_the_preview_stays(home: Bench) -> None:
    pending = await home.gate(3).async_preview("absorb_volts", 56.4, "owner")
    home.gateway.set_word(64112, 11, 580, 3)
    with pytest.raises(ValueChangedError):
        await home.gate(3).async_confirm(pending.token, "owner")
    assert home.told == []


async def test_what_was_written_is_known_without_another_poll(home: Bench) -> None:
    await home.mate3.async_poll({(home.device(3), "absorb_volts")})
    await home.write(3, "absorb_volts", 56.4)
    assert home.mate3.known_settings()[home.device(3)]["absorb_volts"] == 56.4


@pytest.mark.parametrize(
    ("port", "key", "value", "did", "offset", "word"),
    [
        (3, "bulk_current", 45.5, 64112, 16, 455),
        (3, "aux_divert_relative_volts", -2.5, 64112, 50, 0xFFE7),
        (3, "mppt_mode", "u_pick", 64112, 20, 1),
        (1, "float_volts", 53.8, 64116, 13, 538),
        (1, "grid_input_mode", "grid_zero", 64116, 27, 6),
        (1, "low_battery_cut_out_voltage", 46.0, 64116, 38, 460),
        (5, "relay_soc_low", 55, 64119, 23, 55),
        (None, "hbx_mode", "soc", 64110, 330, 2),
        (None, "ags_2_min_start_voltage", 43.6, 64110, 295, 436),
        (None, "sched_1_ac_mode_start", time(6, 45), 64110, 411, 6),
        (None, "set_absorb_voltage", 56.0, 64120, 14, 560),
        (None, "set_ags_op_mode", "auto", 64120, 21, 2),
    ],
)
async def test_settings_reach_their_registers(
    home: Bench,
    port: int | None,
    key: str,
    value: Value,
    did: int,
    offset: int,
    word: int,
) -> None:
    written = await home.write(port, key, value)
    assert written.outcome is Outcome.WRITTEN
    assert home.gateway.word(did, offset, port) == word
    ((_, address, words),) = home.told
    assert address == home.gateway.address_of(did, offset, port)
    assert words[0] == word
    assert await home.value(port, key) == value


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "key", "value", "kind"),
    [
        (3, "absorb_volts", 35.9, "value_out_of_range"),
        (3, "absorb_volts", 68.3, "value_out_of_range"),
        (3, "absorb_volts", 0, "value_out_of_range"),
        (3, "absorb_volts", -57.6, "value_out_of_range"),
        (3, "absorb_volts", 5760, "value_out_of_range"),
        (3, "absorb_volts", float("nan"), "value_out_of_range"),
        (3, "absorb_volts", float("inf"), "value_out_of_range"),
        (3, "absorb_volts", 57.65, "value_not_representable"),
        (3, "absorb_volts", "57.6", "value_not_representable"),
        (3, "absorb_volts", True, "value_not_representable"),
        (3, "bulk_current", 200.1, "value_out_of_range"),
        (3, "aux_control", "remote", "value_not_an_option"),
        (3, "aux_control", 2, "value_not_an_option"),
        (3, "aux_control", True, "value_not_an_option"),
        (3, "grid_tie_mode", 1, "value_not_an_option"),
        (3, "grid_tie_mode", "on", "value_not_an_option"),
        (5, "relay_soc_low", 101, "value_out_of_range"),
        (5, "relay_soc_low", 50.5, "value_not_representable"),
        (None, "inverter_mode", "standby", "value_not_an_option"),
        (None, "inverter_mode", 3, "value_not_an_option"),
        (None, "grid_use_interval_1_weekday_start", "21:30", "value_not_representable"),
        (
            None,
            "grid_use_interval_1_weekday_start",
            time(21, 30, 1),
            "value_not_representable",
        ),
        (3, "absorb_volts", TimeSlotChange(enabled=True), "value_not_representable"),
    ],
)
async def test_values_that_are_not_allowed_are_refused(
    home: Bench, port: int | None, key: str, value: Any, kind: str
) -> None:
    err = await refusal(home, port, key, value)
    assert isinstance(err, InvalidValueError)
    assert err.key == kind


@pytest.mark.parametrize(
    ("port", "key", "value", "kind"),
    [
        (3, "float_volts", 57.7, "value_above_other"),
        (3, "absorb_volts", 54.3, "value_below_other"),
        (1, "float_volts", 60.0, "value_above_other"),
        (1, "low_battery_cut_out_voltage", 55.0, "value_above_other"),
        (1, "low_battery_cut_in_voltage", 40.0, "value_below_other"),
        (None, "set_float_voltage", 60.0, "value_above_other"),
    ],
)
async def test_set_points_that_do_not_go_together_are_refused(
    home: Bench, port: int | None, key: str, value: float, kind: str
) -> None:
    """A battery that is floated above its absorb voltage is overcharged for ever."""
    err = await refusal(home, port, key, value)
    assert err.key == kind


@pytest.mark.parametrize(
    ("key", "value"), [("float_volts", 57.6), ("absorb_volts", 54.4)]
)
async def test_set_points_may_be_the_same(home: Bench, key: str, value: float) -> None:
    written = await home.write(3, key, value)
    assert written.outcome is Outcome.WRITTEN


async def test_limits_follow_the_nominal_voltage(slept: list[float]) -> None:
    def at_24_volts(gateway: SimulatedMate3) -> None:
        gateway.set_word(64110, 406, 24)
        gateway.set_word(64112, 11, 288, 3)
        gateway.set_word(64112, 15, 270, 3)

    async with bench_of("mate3s", slept, prepare=at_24_volts) as bench:
        err = await refusal(bench, 3, "absorb_volts", 57.6)
        assert err.key == "value_out_of_range"
        written = await bench.write(3, "absorb_volts", 28.2)
        assert written.outcome is Outcome.WRITTEN


@pytest.mark.parametrize(
    ("did", "port", "offset", "word", "key", "value"),
    [
        (64112, 3, 11, 0xFFFF, "absorb_volts", 57.6),
        (64112, 3, 34, 0xFFFF, "aux_control", "on"),
        (64112, 3, 50, 0x8000, "aux_divert_relative_volts", 1),
        (64110, None, 338, 0xFFFF, "grid_use_interval_1_weekday_start", time(1)),
        (64120, None, 11, 0xFFFF, "inverter_mode", "off"),
        (64120, None, 14, 0xFFFF, "set_absorb_voltage", 57.6),
    ],
)
async def test_what_a_device_does_not_have_is_not_written(
    home: Bench,
    did: int,
    port: int | None,
    offset: int,
    word: int,
    key: str,
    value: Value,
) -> None:
    home.gateway.set_word(did, offset, word, port)
    err = await refusal(home, port, key, value)
    assert err.key == "not_on_this_device"


async def test_a_command_is_not_sent_while_the_status_says_nothing(home: Bench) -> None:
    home.gateway.set_word(64120, 11, 0x8000)
    err = await refusal(home, None, "inverter_mode", "off")
    assert err.key == "not_on_this_device"


async def test_a_disabled_schedule_can_be_switched_on(home: Bench) -> None:
    assert await home.value(None, "sched_1_ac_mode") == "disabled"
    written = await home.write(None, "sched_1_ac_mode", "backup")
    assert written.outcome is Outcome.WRITTEN


async def test_a_signed_number_can_leave_minus_one(home: Bench) -> None:
    home.gateway.set_word(64112, 50, 0xFFFF, 3)
    assert await home.value(3, "aux_divert_relative_volts") == -0.1
    written = await home.write(3, "aux_divert_relative_volts", 0.5)
    assert written.outcome is Outcome.WRITTEN


async def test_a_schedule_can_be_disabled(home: Bench) -> None:
    home.gateway.set_word(64110, 410, 4)
    written = await home.write(None, "sched_1_ac_mode", "disabled")
    assert written.outcome is Outcome.WRITTEN
    assert home.gateway.word(64110, 410) == 0xFFFF


@pytest.mark.parametrize("word", [0x8000, 11, 0x7FFF])
async def test_nothing_is_scaled_by_a_factor_that_is_none(
    home: Bench, word: int
) -> None:
    home.gateway.set_word(64112, 4, word, 3)
    err = await refusal(home, 3, "absorb_volts", 56.4)
    assert isinstance(err, DeviceError)


@pytest.mark.parametrize(
    ("port", "key"),
    [(1, "high_battery_cut_out_voltage"), (1, "low_battery_cut_out_delay")],
)
async def test_what_lies_beyond_the_block_is_no_setting(
    slept: list[float], port: int, key: str
) -> None:
    async with bench_of("mate3-311", slept, installer=True) as bench:
        err = await refusal(bench, port, key, 60)
        assert isinstance(err, UnknownSettingError)
        assert bench.taken_requests() == []


@pytest.mark.parametrize(
    ("port", "key", "value"),
    [
        (1, "ac_output_voltage", 110),
        (1, "grid_upper_input_voltage_limit", 140),
        (1, "grid_tie_enable", True),
        (5, "battery_capacity", 800),
        (None, "auto_reboot", "24_hours"),
        (None, "set_time_zone", 1.0),
    ],
)
async def test_only_installers_write_what_can_do_harm(
    home: Bench, slept: list[float], port: int | None, key: str, value: Value
) -> None:
    err = await refusal(home, port, key, value)
    assert isinstance(err, InstallerError)
    assert home.taken_requests() == []
    async with bench_of("mate3s", slept, installer=True) as bench:
        assert bench.told == []
        written = await bench.write(port, key, value)
        assert written.outcome in (Outcome.WRITTEN, Outcome.UNCHANGED)


# -- another device ------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["preview", "confirm"])
@pytest.mark.parametrize(
    "change",
    [
        lambda gateway: gateway.chain.swap_ports(1, 3),
        lambda gateway: gateway.chain.reorder([4, 3]),
        lambda gateway: gateway.chain.move_port(64111, 3, 7),
        lambda gateway: gateway.chain.remove_device(1),
        lambda gateway: gateway.chain.add_device(3, 2),
        lambda gateway: gateway.set_word(64112, 82, 0x4158, 3),  # model
        lambda gateway: gateway.set_word(64112, 52, 9, 3),  # firmware
        lambda gateway: gateway.set_word(64112, 1, 64116, 3),
        lambda gateway: gateway.set_word(64112, 2, 89, 3),
    ],
    ids=["swap", "reorder", "move", "remove", "add", "model", "fw", "did", "length"],
)
async def test_another_device_is_not_written_to(
    home: Bench, when: str, change: Callable[[SimulatedMate3], None]
) -> None:
    gate = home.gate(3)
    if when == "preview":
        change(home.gateway)
        with pytest.raises(WrongDeviceError):
            await gate.async_preview("absorb_volts", 56.4, "owner")
    else:
        pending = await gate.async_preview("absorb_volts", 56.4, "owner")
        change(home.gateway)
        with pytest.raises(WrongDeviceError, match="port 3"):
            await gate.async_confirm(pending.token, "owner")
    assert home.told == []
    assert home.records == []


async def test_a_device_without_data_is_not_written_to(home: Bench) -> None:
    pending = await home.gate(3).async_preview("absorb_volts", 56.4, "owner")
    home.gateway.lose_data(3, 3600)
    with pytest.raises(DeviceError):
        await home.gate(3).async_confirm(pending.token, "owner")
    assert home.told == []


def stranger(mac: str = "0090EA-FFFFFF") -> SimulatedMate3:
    """Return another gateway that is like ours in all but its address."""
    gateway = still()
    set_text(gateway, 64110, MAC_OFFSET, 7, mac)
    return gateway


@pytest.mark.parametrize(
    ("port", "key"), [(3, "absorb_volts"), (None, "set_absorb_voltage")]
)
@pytest.mark.parametrize("mac", ["0090EA-FFFFFF", ""])
async def test_another_gateway_behind_a_new_link_is_not_written_to(
    home: Bench, port: int | None, key: str, mac: str
) -> None:
    pending = await home.gate(port).async_preview(key, 56.4, "owner")
    home.box.gateway = stranger(mac)
    home.simulator.disconnect_clients()
    with pytest.raises((WrongDeviceError, NotIdentifiedError)):
        await home.gate(port).async_confirm(pending.token, "owner")
    assert home.told == []


def without_mac(gateway: SimulatedMate3) -> None:
    """Let a gateway tell no hardware address."""
    set_text(gateway, 64110, MAC_OFFSET, 7, "")
    set_text(gateway, 1, SERIAL_OFFSET, 16, "OURS")


async def test_a_gateway_that_goes_by_its_serial_number_is_asked_for_it(
    slept: list[float],
) -> None:
    async with bench_of("mate3s", slept, prepare=without_mac) as bench:
        assert bench.mate3.system.id == "OURS"
        pending = await bench.gate(3).async_preview("absorb_volts", 56.4, "owner")
        other = stranger("")
        set_text(other, 1, SERIAL_OFFSET, 16, "THEIRS")
        bench.box.gateway = other
        bench.simulator.disconnect_clients()
        with pytest.raises((WrongDeviceError, NotIdentifiedError)):
            await bench.gate(3).async_confirm(pending.token, "owner")
        assert bench.told == []


async def test_a_gateway_that_goes_by_its_serial_number_is_written_to(
    slept: list[float],
) -> None:
    async with bench_of("mate3s", slept, prepare=without_mac) as bench:
        written = await bench.write(3, "absorb_volts", 56.4)
        assert written.outcome is Outcome.WRITTEN


# -- what the device makes of it ---------------------------------------------------------------------


def test_a_setting_is_looked_at_after_four_tenths_one_and_two_seconds() -> None:
    assert list(accumulate(SETTLE)) == pytest.approx([0.4, 1.0, 2.0])
    assert COMMAND_SETTLE[:3] == SETTLE
    assert sum(COMMAND_SETTLE) >= 10


async def test_a_value_that_the_device_ignores_is_told(home: Bench) -> None:
    home.box.takes_nothing = True
    with pytest.raises(KeptOldValueError):
        await home.write(3, "absorb_volts", 56.4)
    assert home.slept == list(SETTLE)
    assert len(home.told) == 1
    assert home.records[0].outcome is Outcome.KEPT_OLD_VALUE


@pytest.mark.parametrize(("after", "looks"), [(0.3, 1), (0.9, 2), (1.9, 3)])
async def test_a_value_that_is_applied_late_is_waited_for(
    home: Bench, after: float, looks: int
) -> None:
    home.simulator.faults = ["ignore,op=write"]

    def apply(number: int, is_write: bool) -> None:
        if sum(home.slept) >= after:
            home.gateway.set_word(64112, 11, 564, 3)

    pending = await home.gate(3).async_preview("absorb_volts", 56.4, "owner")
    home.box.before = apply
    written = await home.gate(3).async_confirm(pending.token, "owner")
    assert written.outcome is Outcome.WRITTEN
    assert len(home.slept) == looks


async def test_a_value_that_the_device_clamps_is_told(home: Bench) -> None:
    home.simulator.faults = ["clamp=570,op=write"]
    with pytest.raises(HoldsOtherValueError) as caught:
        await home.write(3, "absorb_volts", 56.4)
    assert "57" in caught.value.details["current"]
    assert home.records[0].outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("limits", "value", "words"),
    [
        ((480, 560), 57.0, "above the device's limit"),
        ((570, 600), 56.4, "below the device's limit"),
    ],
)
async def test_what_the_gateway_says_against_a_value_is_told(
    home: Bench, limits: tuple[int, int], value: float, words: str
) -> None:
    home.gateway.limits[64112, 11] = limits
    with pytest.raises(RefusedError, match=words):
        await home.write(3, "absorb_volts", value)
    assert home.gateway.word(64112, 11, 3) == 576
    assert home.records[0].outcome is Outcome.NOT_WRITTEN


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0x0004, "not valid"),
        (0x0400, "locked on the gateway's display"),
        (0x0401, "above the device's limit, settings are locked"),
    ],
)
async def test_other_reasons_are_told_too(home: Bench, bits: int, words: str) -> None:
    home.box.takes_nothing = True
    home.box.after_store = lambda: home.gateway.set_word(64110, ERROR, bits)
    with pytest.raises(RefusedError, match=words):
        await home.write(3, "absorb_volts", 56.4)


@pytest.mark.parametrize("bits", [0x0008, 0x0010, 0x7BF8, 0xFFFF, 0x8001])
async def test_what_has_nothing_to_do_with_it_is_not_told(
    home: Bench, bits: int
) -> None:
    home.box.takes_nothing = True
    home.box.after_store = lambda: home.gateway.set_word(64110, ERROR, bits)
    with pytest.raises(KeptOldValueError):
        await home.write(3, "absorb_volts", 56.4)


@pytest.mark.parametrize("bits", [0x0001, 0x0002, 0x0007, 0x0407])
async def test_an_old_complaint_does_not_spoil_a_good_write(
    home: Bench, bits: int
) -> None:
    home.gateway.set_word(64110, ERROR, bits)
    home.box.after_store = lambda: home.gateway.set_word(64110, ERROR, bits)
    written = await home.write(3, "absorb_volts", 56.4)
    assert written.outcome is Outcome.WRITTEN
    assert written.error is None


async def test_complaints_are_only_asked_for_after_a_write(home: Bench) -> None:
    error = home.gateway.address_of(64110, ERROR)
    await home.driver(3).async_read("absorb_volts")
    assert error not in {request.address for request in home.taken_requests()}


# -- blank after a write --------------------------------------------------------------------------


async def test_a_register_that_stays_blank_after_a_write_is_unknown(
    home: Bench,
) -> None:
    home.gateway.sentinels_after_write = 60
    written = await home.write(3, "absorb_volts", 56.4)
    assert written.outcome is Outcome.UNKNOWN
    assert written.error is None
    assert written.after is None
    assert len(home.told) == 1


@pytest.mark.parametrize("seconds", [0.3, 0.8, 1.5])
async def test_a_register_that_is_blank_for_a_moment_is_read_again(
    home: Bench, seconds: float
) -> None:
    home.gateway.sentinels_after_write = seconds
    written = await home.write(3, "absorb_volts", 56.4)
    assert written.outcome is Outcome.WRITTEN


async def test_a_blank_register_and_a_complaint_are_a_refusal(home: Bench) -> None:
    home.gateway.sentinels_after_write = 60
    home.box.after_store = lambda: home.gateway.set_word(64110, ERROR, 1)
    with pytest.raises(RefusedError):
        await home.write(3, "absorb_volts", 56.4)


@pytest.mark.parametrize(("seconds", "known"), [(0.8, True), (60, False)])
async def test_a_device_that_is_without_data_after_a_write(
    home: Bench, seconds: float, known: bool
) -> None:
    home.box.after_store = lambda: home.gateway.lose_data(3, seconds)
    pending = await home.gate(3).async_preview("absorb_volts", 56.4, "owner")
    if known:
        written = await home.gate(3).async_confirm(pending.token, "owner")
        assert written.outcome is Outcome.WRITTEN
    else:
        with pytest.raises(OutcomeUnknownError):
            await home.gate(3).async_confirm(pending.token, "owner")
    assert len(home.told) == 1


async def test_a_map_that_changes_after_a_write_leaves_it_unknown(home: Bench) -> None:
    home.box.after_store = lambda: home.gateway.chain.reorder([4, 3])
    with pytest.raises(OutcomeUnknownError):
        await home.write(3, "absorb_volts", 56.4)
    assert len(home.told) == 1


# -- commands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "offset", "word", "bits"),
    [
        ("inverter_mode", "off", 8, 1, 0x0008),
        ("inverter_mode", "search", 8, 2, 0x0010),
        ("ac_input_use", False, 7, 2, 0),
        ("grid_tie", False, 9, 2, 0),
        ("inverter_charger_mode", "off", 10, 1, 0x0080),
        ("inverter_charger_mode", "on", 10, 3, 0x0200),
        ("bulk_charge", False, 6, 2, 0),
        ("equalize", True, 6, 3, 0x0400),
    ],
)
@pytest.mark.parametrize("delay", [0.0, 0.3, 4.0])
async def test_a_command_is_confirmed_by_the_status(
    home: Bench, key: str, value: Value, offset: int, word: int, bits: int, delay: float
) -> None:
    home.gateway.command_delay = delay
    written = await home.write(None, key, value)
    assert written.outcome is Outcome.WRITTEN
    assert home.told == [(6, home.gateway.address_of(64120, offset), [word])]
    assert home.gateway.word(64120, offset) == 0
    assert home.gateway.word(64120, 11) & bits == bits
    assert await home.value(None, key) == value


async def test_a_command_that_has_its_effect_already_is_not_sent(home: Bench) -> None:
    written = await home.write(None, "inverter_mode", "on")
    assert written.outcome is Outcome.UNCHANGED
    assert home.told == []


async def test_a_command_without_effect_is_told(home: Bench) -> None:
    home.box.takes_nothing = True
    with pytest.raises(KeptOldValueError):
        await home.write(None, "inverter_mode", "off")
    assert home.slept == list(COMMAND_SETTLE)
    assert len(home.told) == 1


async def test_bulk_charging_is_commanded_even_if_it_shows(home: Bench) -> None:
    written = await home.write(None, "bulk_charge", True)
    assert written.outcome is Outcome.UNKNOWN
    assert written.error is None
    assert home.told == [(6, home.gateway.address_of(64120, 6), [1])]


async def test_bulk_charging_of_older_firmware_is_taken_as_it_is(
    slept: list[float],
) -> None:
    async with bench_of("mate3-311", slept) as bench:
        written = await bench.write(None, "bulk_charge", True)
        assert written.outcome is Outcome.UNKNOWN
        assert written.error is None
        assert bench.told == [(6, bench.gateway.address_of(64120, 6), [1])]


async def test_commands_do_not_wear_flash_out(home: Bench) -> None:
    with patch("custom_components.local_solar.write_budget.PER_DAY", 2):
        for mode in ("off", "on") * 3:
            written = await home.write(None, "inverter_mode", mode)
            assert written.outcome is Outcome.WRITTEN
        await home.write(3, "absorb_volts", 56.4)
        await home.write(3, "absorb_volts", 56.6)
        with pytest.raises(WriteError) as caught:
            await home.write(3, "absorb_volts", 56.8)
    assert caught.value.key == "write_rate_limited"
    assert len(home.told) == 8


@pytest.mark.parametrize(
    ("variant", "port", "key", "did", "offset", "words"),
    [
        ("mate3s", 3, "aux_control", 64112, 34, {"off": 0, "auto": 1, "on": 2}),
        ("mate3s", 1, "aux_control", 64116, 41, {"off": 0, "auto": 1, "on": 2}),
        ("mate3s", 1, "aux_relay_control", 64116, 47, {"off": 0, "on": 1, "auto": 2}),
        ("mate3s", 5, "relay_control", 64119, 18, {"off": 0, "auto": 1, "on": 2}),
        ("fx", 2, "aux_control", 64114, 38, {"off": 0, "auto": 1, "on": 2}),
    ],
)
async def test_switches_are_set_by_the_numbers_of_their_device(
    slept: list[float],
    variant: str,
    port: int,
    key: str,
    did: int,
    offset: int,
    words: dict[str, int],
) -> None:
    async with bench_of(variant, slept) as bench:
        for value, word in words.items():
            await bench.write(port, key, value)
            assert bench.gateway.word(did, offset, port) == word


async def test_a_relay_of_other_numbers_comes_with_a_warning(home: Bench) -> None:
    assert "other way round" in home.gate(1).setting("aux_relay_control").note


# -- a link that breaks -----------------------------------------------------------------------------

MESSAGES: Final = 7
"""More than any of these changes takes."""


def check(bench: Bench, said: Written[str] | WriteError, new: int) -> None:
    """Check that what was said is no more than what can be known."""
    writes = [stored for stored in bench.box.stored if stored[0] is bench.gateway]
    assert len(bench.box.stored) <= 1
    holds = bench.gateway.word(64112, 11, 3) == new
    if isinstance(said, Written):
        assert said.outcome is Outcome.WRITTEN
        assert holds
    elif isinstance(said, NotWrittenError):
        assert not holds
    else:
        assert isinstance(said, LOST), repr(said)
        if not isinstance(said, OutcomeUnknownError):
            assert writes == []


async def confirmed(bench: Bench, token: str) -> Written[str] | WriteError:
    """Confirm a change and return what is said."""
    try:
        return await bench.gate(3).async_confirm(token, "owner")
    except WriteError as err:
        return err


@pytest.mark.parametrize("number", range(MESSAGES))
@pytest.mark.parametrize("fault", ["disconnect", "drop", "deaf"])
async def test_a_link_that_breaks_at_any_message(
    hurried: Bench, number: int, fault: str
) -> None:
    home = hurried
    pending = await home.gate(3).async_preview("absorb_volts", 56.4, "owner")
    home.box.start_over()
    home.taken_requests()

    home.simulator.faults = [f"{fault},every={number + 1},times=1"]
    said = await confirmed(home, pending.token)
    check(home, said, 564)


@pytest.mark.parametrize("number", range(MESSAGES))
async def test_another_gateway_at_any_message_gets_nothing(
    home: Bench, number: int
) -> None:
    pending = await home.gate(3).async_preview("absorb_volts", 56.4, "owner")
    home.box.start_over()
    ours, theirs = home.gateway, stranger()

    def exchange(at: int, is_write: bool) -> None:
        # What comes over an old link cannot reach another gateway.
        if at >= number and not is_write and home.box.gateway is ours:
            home.box.gateway = theirs
            home.simulator.disconnect_clients()

    home.box.before = exchange
    said = await confirmed(home, pending.token)
    assert [gateway for gateway, _, _ in home.box.stored if gateway is theirs] == []
    if isinstance(said, Written):
        assert ours.word(64112, 11, 3) == 564


class Hasty:
    """A unit behind which the gateway is exchanged right after an answer has come."""

    def __init__(self, bench: Bench, number: int, turns: int) -> None:
        """Exchange it after answer ``number``, and go on after so many turns of the loop."""
        self._bench = bench
        self._left = number
        self._turns = turns
        self.theirs = stranger()

    def __getattr__(self, name: str) -> Any:
        """Do all else as the unit does."""
        return getattr(self._bench.unit, name)

    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        """Read."""
        words = await self._bench.unit.read_holding_registers(address, count)
        self._left -= 1
        if self._left == 0:
            self._bench.box.gateway = self.theirs
            self._bench.simulator.disconnect_clients()
            for _ in range(self._turns):
                await asyncio.sleep(0)
        return words


@pytest.mark.parametrize(
    ("number", "turns"),
    [
        # The link is lost, but that has not come through when the write is sent.
        (1, 0),
        *((1, 50), (2, 0), (2, 50), (3, 0)),
    ],
)
async def test_a_gateway_exchanged_between_reading_and_writing_gets_nothing(
    home: Bench, number: int, turns: int
) -> None:
    unit = Hasty(home, number + 2, turns)
    driver = DeviceSettings(
        unit,
        home.mate3,
        home.device(3),
        installer=False,
    )
    gate = WriteGate[str](driver, WriteBudget({}, _keep), lambda gate, written: None)
    # Two readings: who it is, and the block.
    pending = await gate.async_preview("absorb_volts", 56.4, "owner")
    with suppress(WriteError):
        await gate.async_confirm(pending.token, "owner")
    assert [where for where, _, _ in home.box.stored if where is unit.theirs] == []


async def test_a_silent_gateway_is_told_of(hurried: Bench) -> None:
    hurried.gateway.silent = True
    with pytest.raises(DeviceError):
        await hurried.gate(3).async_preview("absorb_volts", 56.4, "owner")


# -- what a driver is -------------------------------------------------------------------------------


async def test_breaks_are_counted_until_nobody_watches(home: Bench) -> None:
    driver = home.driver(3)
    await driver.async_read("absorb_volts")
    assert driver.breaks == 0
    await hang_up(home)
    await driver.async_read("absorb_volts")
    assert driver.breaks == 1
    driver.stop_watching()
    await hang_up(home)
    await driver.async_read("float_volts")
    assert driver.breaks == 1


async def test_settings_that_share_flash_are_told_apart_by_device(home: Bench) -> None:
    cells = {home.gate(port).setting("absorb_volts").wears for port in (1, 3, 4)}
    assert len(cells) == 3


async def test_messages_name_the_device(home: Bench) -> None:
    home.gateway.chain.swap_ports(1, 3)
    with pytest.raises(WrongDeviceError) as caught:
        await home.gate(3).async_preview("absorb_volts", 56.4, "owner")
    expected = caught.value.details["expected"]
    assert expected == "charge controller on port 3 (FM80-150VDC)"
    assert {item.family for item in home.mate3.system.equipment} == {
        *(Family.INVERTER, Family.CHARGE_CONTROLLER, Family.BATTERY_MONITOR)
    }
