"""Polling a DTU: what is asked when, and what its answers are worth."""

from collections.abc import Iterator
from datetime import datetime
import time
from typing import Final
from unittest.mock import patch

import pytest

from custom_components.local_solar.hoymiles import dtu as dtu_module
from custom_components.local_solar.hoymiles.dtu import (
    EVENTS_AGAIN,
    INFO_INTERVAL,
    NEW_AGAIN,
    STUCK_AFTER,
    Dtu,
)
from custom_components.local_solar.hoymiles.errors import (
    DtuError,
    EvictedError,
    SilentError,
    UnreachableError,
    UnsupportedError,
)
from custom_components.local_solar.hoymiles.messages import Fields
from custom_components.local_solar.points import PointId, Value

from .test_client import (
    A301,
    A303,
    A304,
    A309,
    A311,
    A314,
    COLLECT_ALARMS,
    INTEGRATED,
    STICK,
    Rig,
    TellingDtu,
    answers,
    make_rig,
    sent,
)

pytestmark = pytest.mark.usefixtures("socket_enabled")

EVERYTHING: Final[set[PointId]] = {
    ("any", key) for key in ("ac_power", "cloud_connected", "alarms")
}
NOTHING: Final[set[PointId]] = set()


class Time:
    """The time of a driver, ahead of the real one."""

    ahead = 0.0

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> Iterator[Time]:
    """Time that can be moved."""
    with patch.object(dtu_module, "time", Time()) as clock:
        yield clock


def wait(rig: Rig, clock: Time, seconds: float) -> None:
    """Let time pass, for the driver and for the DTU."""
    clock.ahead += seconds
    rig.sim.advance(seconds)


async def polled(rig: Rig) -> dict[str, Value | None]:
    """Poll, and return what the DTU itself shows."""
    return dict((await rig.dtu.async_poll(EVERYTHING)).snapshot[rig.dtu.id])


async def polled_inverter(rig: Rig, number: int = 0) -> dict[str, Value | None]:
    """Poll, and return what an inverter shows."""
    snapshot = (await rig.dtu.async_poll(EVERYTHING)).snapshot
    return dict(snapshot[rig.dtu.inventory.inverters[number].id])


def collections(sim: TellingDtu) -> int:
    """Return how often the DTU had to collect its events."""
    return sum(command.action == COLLECT_ALARMS for command in sim.commands)


# -- values ---------------------------------------------------------------------------


@pytest.mark.parametrize("encrypt", [False, True])
@pytest.mark.parametrize(
    "inventory", [INTEGRATED, "hms-2000dw-4t", STICK, "stick-20", "three-phase"]
)
async def test_poll_shows_what_the_devices_do(inventory: str, encrypt: bool) -> None:
    async with make_rig(inventory, encrypt=encrypt) as rig:
        poll = await rig.dtu.async_poll(EVERYTHING)
        assert not poll.failed
        now = rig.sim.clock.now()
        power = 0.0
        assert len(rig.dtu.inventory.inverters) == len(rig.sim.inverters)
        for found in rig.dtu.inventory.inverters:
            shown = poll.snapshot[found.id]
            inverter = rig.sim.inverters[found.serial]
            grid = inverter.grid(now)
            power += grid.active_power / 10
            assert shown["connected"] is True
            assert shown["ac_power"] == grid.active_power / 10
            assert shown["grid_l1_voltage"] == grid.voltage / 10
            assert shown["inverter_temperature"] == grid.temperature / 10
            assert shown["energy_today"] == pytest.approx(
                sum(map(int, inverter.energy_today)) / 1000
            )
            assert shown["energy_total"] == pytest.approx(
                sum(map(int, inverter.energy_total)) / 1000
            )
            assert found.inputs == tuple(range(1, inverter.spec.model.inputs + 1))
            assert ("grid_l3_voltage" in shown) is (inverter.spec.model.phases == 3)
        dtu = poll.snapshot[rig.dtu.id]
        assert dtu["ac_power"] == pytest.approx(power)
        assert not sent(rig.sim)


async def test_poll_is_one_session() -> None:
    async with make_rig(STICK) as rig:
        before = rig.sim.counters.connections
        for _ in range(3):
            await rig.dtu.async_poll(EVERYTHING)
        assert rig.sim.counters.connections == before + 3
        assert rig.sim.counters.evictions == 0


async def test_sums_that_the_dtu_leaves_out_are_made() -> None:
    async with make_rig(STICK) as rig:
        with_sums = await polled(rig)
        rig.sim.set_faults("missing-total")
        assert await polled(rig) == with_sums


async def test_inverter_out_of_reach_keeps_its_counters_and_nothing_else() -> None:
    async with make_rig(STICK) as rig:
        before = await polled_inverter(rig, 1)
        inverter = rig.sim.inverters[rig.dtu.inventory.inverters[1].serial]
        inverter.out_of_reach = True
        after = await polled_inverter(rig, 1)
        assert after["connected"] is False
        assert after["energy_total"] == before["energy_total"]
        for key in ("ac_power", "pv1_power", "grid_l1_voltage", "inverter_temperature"):
            assert key in before
            assert key not in after
        assert "energy_today" not in after
        assert (await polled(rig))["energy_total"] is not None
        inverter.out_of_reach = False
        assert (await polled_inverter(rig, 1))["connected"] is True


async def test_stick_at_night_shows_counters_and_no_0() -> None:
    async with make_rig(STICK, at=datetime(2026, 6, 21, 1)) as rig:
        poll = await rig.dtu.async_poll(EVERYTHING)
        assert poll.snapshot[rig.dtu.id]["ac_power"] == 0
        assert "energy_today" not in poll.snapshot[rig.dtu.id]
        for found in rig.dtu.inventory.inverters:
            shown = poll.snapshot[found.id]
            assert shown["connected"] is False
            total = shown["energy_total"]
            assert isinstance(total, float)
            assert total > 0
            assert not [key for key in shown if key.endswith("_today")]


async def test_integrated_dtu_is_not_there_at_night() -> None:
    async with make_rig() as rig:
        await polled(rig)
        rig.sim.clock.advance(12 * 3600)
        rig.client.port = 1
        with pytest.raises(UnreachableError):
            await polled(rig)


@pytest.mark.parametrize("factor", [1.0, 0.1, 10.0, 2.5])
async def test_readings_of_a_meter_are_multiplied(factor: float) -> None:
    async with make_rig(STICK) as rig:
        dtu = Dtu(rig.client, rig.dtu.inventory, meter_factor=factor)
        snapshot = (await dtu.async_poll(EVERYTHING)).snapshot
        plain = (await rig.dtu.async_poll(EVERYTHING)).snapshot
        (meter,) = (found.identity.id for found in dtu.devices[-1:])
        for key, value in plain[meter].items():
            if key.endswith(("power", "energy_total")):
                assert isinstance(value, int | float)
                assert snapshot[meter][key] == pytest.approx(value * factor)
            else:
                assert snapshot[meter][key] == value


async def test_counter_that_was_garbled_once_is_right_again_in_the_next_poll() -> None:
    """The guard of counters waits for that; it cannot if the sum holds on to it."""

    def garble(request: Fields, right: Fields) -> Fields:
        panels: list[Fields] = []
        for panel in right["panels"]:  # type: ignore[union-attr]
            assert isinstance(panel, dict)
            panels.append({**panel, "energy_total": 900_000_000})
        return {**right, "panels": panels}

    async with make_rig() as rig:
        right = (await polled(rig))["energy_total"]
        with answers(A311, garble):
            await polled(rig)
        assert (await polled(rig))["energy_total"] == right


@pytest.mark.parametrize("port", [-1, 0, 9])
async def test_input_that_cannot_be_counts_in_no_sum(port: int) -> None:
    def add(request: Fields, right: Fields) -> Fields:
        (inverter,) = rig.sim.inverters
        panel: Fields = {
            "serial": inverter,
            "port": port,
            "power": 1000,
            "energy_today": 5000,
            "energy_total": 5000,
        }
        return {**right, "panels": [*right["panels"], panel]}  # type: ignore[misc]

    async with make_rig(faults=["missing-total"]) as rig:
        before = (await rig.dtu.async_poll(EVERYTHING)).snapshot
        with answers(A311, add):
            after = (await rig.dtu.async_poll(EVERYTHING)).snapshot
        assert after == before


# -- generations ----------------------------------------------------------------------


@pytest.mark.parametrize("inventory", [STICK, "stick-20", "three-phase", INTEGRATED])
async def test_old_dtu_is_understood(inventory: str, clock: Time) -> None:
    async with make_rig(inventory, faults=["no-real-data-new"]) as rig:
        poll = await rig.dtu.async_poll(EVERYTHING)
        now = rig.sim.clock.now()
        for found in rig.dtu.inventory.inverters:
            inverter = rig.sim.inverters[found.serial]
            shown = poll.snapshot[found.id]
            assert shown["ac_power"] == inverter.grid(now).active_power / 10
            assert shown["energy_total"] == pytest.approx(
                sum(map(int, inverter.energy_total)) / 1000
            )
        dtu = poll.snapshot[rig.dtu.id]
        assert dtu["ac_power"] == pytest.approx(
            sum(found.grid(now).active_power for found in rig.sim.inverters.values())
            / 10
        )
        asked = len(rig.sim.asked(A311))
        for _ in range(5):
            await polled(rig)
        assert len(rig.sim.asked(A311)) == asked  # it is known to be an old one
        wait(rig, clock, NEW_AGAIN + 1)
        await polled(rig)
        assert len(rig.sim.asked(A311)) > asked


async def test_meter_of_an_old_dtu_shows_no_voltage_of_0() -> None:
    """The old message tells neither voltage nor current of a meter."""
    async with make_rig(STICK, faults=["no-real-data-new"]) as rig:
        poll = await rig.dtu.async_poll(EVERYTHING)
        meter = poll.snapshot[rig.dtu.devices[-1].identity.id]
        assert meter["grid_power"] is not None
        assert meter["grid_import_energy_total"]
        for key in ("grid_l1_voltage", "grid_l2_voltage", "grid_l1_current"):
            assert key not in meter


async def test_old_dtu_that_was_updated_is_asked_in_the_new_way(clock: Time) -> None:
    async with make_rig(STICK, faults=["no-real-data-new"]) as rig:
        await polled(rig)
        rig.sim.set_faults()
        wait(rig, clock, NEW_AGAIN + 1)
        await polled(rig)
        assert rig.sim.asked(A303, A311)[-1] == A311
        await polled(rig)
        assert rig.sim.asked(A303, A311)[-1] == A311


@pytest.mark.parametrize("times", [1, 2])
async def test_dtu_that_closes_the_connection_is_not_an_old_one(times: int) -> None:
    """The app has connected, or another program."""
    async with make_rig() as rig:
        rig.sim.set_faults(f"evict,command=A311,times={times}")
        for _ in range(times):
            with pytest.raises(EvictedError):
                await polled(rig)
        await polled(rig)
        assert not rig.sim.asked(A303)


async def test_dtu_that_closes_the_connection_again_and_again_may_be_an_old_one() -> (
    None
):
    async with make_rig(STICK) as rig:
        rig.sim.set_faults("evict,command=A311")
        for _ in range(5):
            try:
                await polled(rig)
                break
            except EvictedError:
                continue
        assert rig.sim.asked(A303)
        rig.sim.requests.clear()
        await polled(rig)
        assert not rig.sim.asked(A311)


@pytest.mark.parametrize("fault", ["silent", "evict", "zero-bytes"])
async def test_dtu_that_answered_in_the_new_way_is_never_taken_for_an_old_one(
    fault: str,
) -> None:
    async with make_rig() as rig:
        await polled(rig)
        rig.sim.set_faults(f"{fault},command=A311")
        for _ in range(6):
            with pytest.raises(DtuError):
                await polled(rig)
        assert not rig.sim.asked(A303)


async def test_dtu_without_values_is_named_with_its_firmware() -> None:
    async with make_rig("stick-20", faults=["no-data"]) as rig:
        with pytest.raises(UnsupportedError, match=r"00\.08\.03.*no values"):
            await polled(rig)


# -- values that hang -----------------------------------------------------------------


async def test_values_that_hang_are_not_shown(clock: Time) -> None:
    async with make_rig(STICK) as rig:
        await polled(rig)
        rig.sim.set_faults("stuck")
        await polled(rig)
        wait(rig, clock, STUCK_AFTER + 1)
        poll = await rig.dtu.async_poll(EVERYTHING)
        assert "repeats" in poll.failed["values"]
        assert "ac_power" not in poll.snapshot.get(rig.dtu.id, {})
        for found in rig.dtu.inventory.inverters:
            assert poll.snapshot[found.id] == {"connected": False}
        rig.sim.set_faults()
        poll = await rig.dtu.async_poll(EVERYTHING)
        assert not poll.failed
        assert poll.snapshot[rig.dtu.id]["ac_power"]


async def test_values_that_stay_the_same_at_night_do_not_hang(clock: Time) -> None:
    async with make_rig(STICK, at=datetime(2026, 6, 21, 1), faults=["stuck"]) as rig:
        for _ in range(3):
            poll = await rig.dtu.async_poll(EVERYTHING)
            assert not poll.failed
            clock.ahead += STUCK_AFTER + 1


async def test_clock_that_stands_at_0_says_nothing(clock: Time) -> None:
    async with make_rig() as rig:
        with answers(A311, lambda _, right: {**right, "time": 0}):
            for _ in range(3):
                assert not (await rig.dtu.async_poll(EVERYTHING)).failed
                clock.ahead += STUCK_AFTER + 1


async def test_clock_that_counts_from_boot_is_no_trouble(clock: Time) -> None:
    async with make_rig(knows_time=False) as rig:
        for _ in range(3):
            assert (await polled(rig))["ac_power"]
            wait(rig, clock, STUCK_AFTER + 1)


# -- what is asked seldom -------------------------------------------------------------


async def test_slow_questions_are_asked_seldom(clock: Time) -> None:
    async with make_rig() as rig:
        for _ in range(5):
            await polled(rig)
        for command in (A301, A309, A314):
            assert len(rig.sim.asked(command)) == 1
        assert len(rig.sim.asked(A311)) == 5
        wait(rig, clock, INFO_INTERVAL + 1)
        await polled(rig)
        for command in (A301, A309, A314):
            assert len(rig.sim.asked(command)) == 2
        rig.dtu.hurry()
        await polled(rig)
        assert len(rig.sim.asked(A301)) == len(rig.sim.asked(A309)) == 3


async def test_what_nobody_wants_is_not_asked_for() -> None:
    async with make_rig() as rig:
        rig.sim.start_alarm(121)
        for _ in range(2):
            await rig.dtu.async_poll(NOTHING)
        assert not rig.sim.asked(A314, A304)
        assert not collections(rig.sim)


@pytest.mark.parametrize("command", [A309, A314])
@pytest.mark.parametrize("fault", ["silent", "evict", "crc", "zero-bytes"])
async def test_slow_question_that_fails_does_not_spoil_the_values(
    command: int, fault: str, clock: Time
) -> None:
    async with make_rig() as rig:
        rig.sim.set_faults(f"{fault},command={command:04X}")
        for _ in range(4):
            poll = await rig.dtu.async_poll(EVERYTHING)
            assert poll.snapshot[rig.dtu.id]["ac_power"]
            assert poll.failed or fault == "evict"
        assert len(rig.sim.asked(command)) == 1
        rig.sim.set_faults()
        wait(rig, clock, INFO_INTERVAL + 1)
        poll = await rig.dtu.async_poll(EVERYTHING)
        assert not poll.failed


async def test_slow_questions_take_only_so_long() -> None:
    async with make_rig(command_time=3600) as rig:
        rig.sim.start_alarm(121)
        with patch.object(dtu_module, "REST_TIMEOUT", 0.1):
            for _ in range(3):
                poll = await rig.dtu.async_poll(EVERYTHING)
                assert poll.snapshot[rig.dtu.id]["ac_power"]
                assert poll.failed
        assert collections(rig.sim) == 1  # it is not occupied at every poll


# -- events ---------------------------------------------------------------------------


async def test_events_are_asked_for_when_a_counter_moves() -> None:
    async with make_rig(STICK) as rig:
        for _ in range(3):
            await polled(rig)
        first = collections(rig.sim)
        assert first == 1
        serial = rig.dtu.inventory.inverters[1].serial
        rig.sim.start_alarm(121, serial)
        shown = await polled_inverter(rig, 1)
        assert collections(rig.sim) == first + 1
        assert shown["problem"] is True
        assert shown["last_event"] == "overtemperature"
        assert (await polled_inverter(rig, 0))["problem"] is False
        for _ in range(3):
            await polled(rig)
        assert collections(rig.sim) == first + 1


async def test_end_of_an_event_is_asked_for_now_and_then(clock: Time) -> None:
    """No counter moves then."""
    async with make_rig() as rig:
        rig.sim.start_alarm(121)
        assert (await polled_inverter(rig))["problem"] is True
        rig.sim.end_alarm(121)
        assert (await polled_inverter(rig))["problem"] is True
        wait(rig, clock, EVENTS_AGAIN + 1)
        assert (await polled_inverter(rig))["problem"] is False
        wait(rig, clock, EVENTS_AGAIN + 1)
        count = collections(rig.sim)
        await polled(rig)
        assert collections(rig.sim) == count


async def test_inverters_that_come_and_go_are_no_reason_to_collect_events() -> None:
    """At dawn twenty come one after the other."""
    async with make_rig(STICK) as rig:
        await polled(rig)
        inverter = rig.sim.inverters[max(rig.sim.inverters)]
        for number in range(6):
            inverter.out_of_reach = bool(number % 2)
            await polled(rig)
        assert collections(rig.sim) == 1


@pytest.mark.parametrize(
    "fault",
    [
        *("failed-command=5", "refuses-a305=5", "silent,command=A305"),
        *("silent,command=A304", "silent,command=A306", "evict,command=A305"),
        *("evict,command=A304", "crc,command=A304", "zero-bytes,command=A306"),
    ],
)
@pytest.mark.parametrize("encrypt", [False, True])
async def test_events_that_cannot_be_had_do_not_spoil_the_values(
    fault: str, encrypt: bool, clock: Time
) -> None:
    async with make_rig(STICK, encrypt=encrypt) as rig:
        rig.sim.start_alarm(121)
        rig.sim.set_faults(fault)
        for _ in range(4):
            poll = await rig.dtu.async_poll(EVERYTHING)
            assert poll.snapshot[rig.dtu.id]["ac_power"]
            assert poll.snapshot[rig.dtu.inventory.inverters[0].id]["ac_power"]
        assert collections(rig.sim) == 1  # it is not bothered at every poll
        rig.sim.set_faults()
        wait(rig, clock, EVENTS_AGAIN + 1)
        poll = await rig.dtu.async_poll(EVERYTHING)
        assert not poll.failed
        assert poll.snapshot[rig.dtu.inventory.inverters[0].id]["problem"] is True


async def test_events_on_several_pages_are_all_taken() -> None:
    async with make_rig(STICK) as rig:
        for number in range(30):
            rig.sim.start_alarm(200 + number % 9, is_moment=True)
        rig.sim.start_alarm(121)
        assert (await polled_inverter(rig, 0))["last_event"] == "overtemperature"
        assert len(rig.sim.asked(A304)) == 3


# -- looks -----------------------------------------------------------------


async def test_look_tells_what_is_held_now() -> None:
    async with make_rig(firmware="1.0.9") as rig:
        await polled(rig)
        (inverter,) = rig.sim.inverters.values()
        inverter.stored_limit = 500
        known = await rig.dtu.async_look()
        assert known.config is not None
        assert known.config.power_limit == 500
        rig.sim.set_faults("silent,command=A309")
        assert (await rig.dtu.async_look()).config is None


async def test_dtu_tells_how_often_it_reports() -> None:
    async with make_rig(upload_interval=15) as rig:
        assert rig.dtu.upload_interval is None
        await polled(rig)
        assert rig.dtu.upload_interval == 15


# -- sums and inventories -------------------------------------------------------------


@pytest.mark.parametrize("faults", [(), ("missing-total",)])
async def test_energy_of_the_day_does_not_fall_when_an_inverter_goes_to_sleep(
    faults: tuple[str, ...],
) -> None:
    """In the evening one after the other goes. Some DTUs leave the sum to us."""
    async with make_rig(STICK, faults=faults) as rig:
        before = (await polled(rig))["energy_today"]
        assert isinstance(before, float)
        rig.sim.inverters[max(rig.sim.inverters)].out_of_reach = True
        rig.sim.advance(60)
        after = (await polled(rig)).get("energy_today")
        assert after is None or (isinstance(after, float) and after >= before)


async def test_input_that_has_no_panel_hides_no_lifetime_energy() -> None:
    async with make_rig() as rig:
        (inverter,) = rig.sim.inverters.values()
        inverter.energy_total[1] = 0
        inverter.energy_total[0] = 1_234_567.0
        snapshot = (await rig.dtu.async_poll(EVERYTHING)).snapshot
        (device,) = (found.id for found in rig.dtu.inventory.inverters)
        assert snapshot[device]["energy_total"] == pytest.approx(1234.567)
        assert snapshot[rig.dtu.id]["energy_total"] == pytest.approx(1234.567)
        assert "pv2_energy_total" not in snapshot[device]


async def test_one_lost_answer_does_not_make_a_dtu_an_old_one() -> None:
    """The old message has no limit and no sums, and another layout for three phases."""
    async with make_rig() as rig:
        rig.sim.set_faults(f"silent,command={A311:04X},times=1")
        for _ in range(3):
            try:
                await polled(rig)
            except SilentError:
                continue
        assert rig.sim.asked(A303, A311)[-1] == A311


async def test_looks_at_settings_do_not_make_an_inverter_disappear() -> None:
    """A write looks several times within seconds; a list is worth one of a poll."""
    async with make_rig(STICK) as rig:
        await polled(rig)
        del rig.sim.inverters[max(rig.sim.inverters)]
        for _ in range(5):
            await rig.dtu.async_look()
        assert len(rig.dtu.inventory.inverters) == 3
