"""Commands to the battery: what is sent, in which order, and what gives the battery back."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from hypothesis import given, strategies as st
from modbus_connection import IllegalDataAddressError, IllegalFunctionError
import pytest

from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.models import Certainty
from custom_components.local_solar.growatt.profiles.catalogue import profile_of
from custom_components.local_solar.growatt.remote_power import (
    AUTHORITY as AUTHORITY_KEY,
    COMMAND,
    LONGEST,
    RemotePower,
)
from custom_components.local_solar.points import (
    BATTERY_COMMAND,
    COMMANDED_UNTIL,
    IN_FLASH,
    PowerCommand,
    Release,
    TimeSlotChange,
    Wanted,
)
from custom_components.local_solar.write_errors import (
    DeviceError,
    InvalidValueError,
    NotASettingError,
    NotReadableError,
    RefusedError,
    TooOftenError,
    UnknownSettingError,
    ValueChangedError,
    WriteError,
)
from custom_components.local_solar.write_gate import Change, Outcome
from tests.simulated import IDENTIFIED, VPP, Rig, make_rig

from .test_settings import INVERTER, SERIAL, Bench

AUTHORITY: Final = 30100
REMOTE: Final = 30407

CHARGE: Final = PowerCommand(power=50, minutes=30)
DISCHARGE: Final = PowerCommand(power=-40, minutes=15)
CHARGE_WORDS: Final = [1, 30, 50]
DISCHARGE_WORDS: Final = [1, 15, 0x10000 - 40]

SPEAKS_VPP: Final = replace(IDENTIFIED, vpp=True)


_ROWS: Final = {row.key: row for row in profile_of(INVERTER.profile, vpp=True)}
REMOTE_POWER: Final = RemotePower(_ROWS[AUTHORITY_KEY], _ROWS[BATTERY_COMMAND])


def release(
    command: PowerCommand = CHARGE,
    *,
    authority: bool = True,
    before: tuple[int, ...] = (0, 0, 0),
) -> Release:
    """Return the end of a command that found nothing."""
    return Release(command=command, before=before, authority=authority)


@pytest.fixture
def bench() -> Bench:
    """An inverter with the VPP protocol that has no command."""
    bench = Bench(identified=replace(INVERTER, vpp=True))
    bench.unit.holding.update(VPP)
    return bench


def put(bench: Bench, authority: int, *command: int) -> None:
    """Set the registers of control and command."""
    bench.unit.holding[AUTHORITY] = authority
    bench.unit.holding.update(enumerate(command, REMOTE))


def held(bench: Bench) -> list[object]:
    """Return the registers of control and command."""
    return [
        bench.unit.holding[at] for at in (AUTHORITY, REMOTE, REMOTE + 1, REMOTE + 2)
    ]


async def change(bench: Bench, wanted: Wanted) -> Change:
    return await bench.change(BATTERY_COMMAND, wanted)


# -- words ----------------------------------------------------------------------------


@given(st.integers(-100, 100), st.integers(1, LONGEST))
def test_a_command_comes_back_from_its_words(power: int, minutes: int) -> None:
    command = PowerCommand(power=power, minutes=minutes)
    words = COMMAND.encode(command)
    assert words == (1, minutes, power % 0x10000)
    assert COMMAND.decode(words) == command


@given(st.lists(st.integers(0, 0xFFFF), min_size=3, max_size=3))
def test_any_words_are_a_command_or_none(words: list[int]) -> None:
    command = COMMAND.decode(words)
    if command is not None and command.minutes:
        assert list(COMMAND.encode(command)) == words


@pytest.mark.parametrize(
    "command",
    [
        PowerCommand(power=101, minutes=1),
        PowerCommand(power=-101, minutes=1),
        PowerCommand(power=1, minutes=0),
        PowerCommand(power=1, minutes=-1),
        PowerCommand(power=1, minutes=LONGEST + 1),
    ],
    ids=str,
)
async def test_a_command_beyond_the_limits_or_without_end_is_refused(
    bench: Bench, command: PowerCommand
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        await change(bench, command)
    assert caught.value.key == "value_out_of_range"


@pytest.mark.parametrize(
    "wanted",
    [
        True,
        False,
        50,
        "charge",
        TimeSlotChange(enabled=True),
        PowerCommand(power=True, minutes=5),
        PowerCommand(power=0.5, minutes=5),  # type: ignore[arg-type]
    ],
    ids=str,
)
async def test_what_is_no_command_is_refused(bench: Bench, wanted: Wanted) -> None:
    with pytest.raises(InvalidValueError) as caught:
        await change(bench, wanted)
    assert caught.value.key == "value_not_representable"


# -- where there is none --------------------------------------------------------------


@pytest.mark.parametrize(
    "identified",
    [INVERTER, replace(INVERTER, vpp=True, battery=False)],
    ids=["no protocol", "no battery"],
)
def test_without_battery_or_protocol_there_are_no_commands(
    identified: Identification,
) -> None:
    bench = Bench(identified=identified)
    with pytest.raises(UnknownSettingError):
        bench.settings.setting(BATTERY_COMMAND)
    points = {point for device in bench.inverter.devices for point in device.points}
    assert COMMANDED_UNTIL not in points


def test_a_map_that_is_only_the_closest_one_gives_no_commands() -> None:
    identified = replace(INVERTER, vpp=True, certainty=Certainty.GUESSED)
    bench = Bench(identified=identified)
    with pytest.raises(NotASettingError):
        bench.settings.setting(BATTERY_COMMAND)
    points = {point for device in bench.inverter.devices for point in device.points}
    assert COMMANDED_UNTIL not in points


def test_a_command_wears_what_control_is_kept_in(bench: Bench) -> None:
    setting = bench.settings.setting(BATTERY_COMMAND)
    assert setting.wears == f"{SERIAL}/{AUTHORITY}"
    assert setting.address == REMOTE
    assert setting.point.setting is None
    keys = [row.key for row in bench.settings.rows(BATTERY_COMMAND)]
    assert keys == ["vpp_control_authority", BATTERY_COMMAND]


@pytest.mark.parametrize("address", [AUTHORITY, REMOTE])
async def test_a_unit_that_lacks_a_register_cannot_be_commanded(
    bench: Bench, address: int
) -> None:
    bench.unit.fail_read(address, IllegalDataAddressError())
    with pytest.raises(NotReadableError):
        await bench.settings.async_read(BATTERY_COMMAND)


@pytest.mark.parametrize(
    "words",
    [(2, 0, 0, 0), (0, 2, 0, 0), (0, 0, LONGEST + 1, 0), (0, 0, 0, 101)],
    ids=str,
)
async def test_registers_that_hold_something_else_are_left_alone(
    bench: Bench, words: tuple[int, ...]
) -> None:
    put(bench, *words)
    with pytest.raises(InvalidValueError) as caught:
        await change(bench, CHARGE)
    assert caught.value.key == "present_value_unknown"
    assert caught.value.details["raw"] == " ".join(map(str, words))


# -- what is sent ---------------------------------------------------------------------


async def test_control_is_taken_before_the_command_is_given(bench: Bench) -> None:
    await bench.write(BATTERY_COMMAND, CHARGE)
    assert bench.unit.writes == [(6, AUTHORITY, [1]), (16, REMOTE, CHARGE_WORDS)]


async def test_control_that_is_there_is_not_written_again(bench: Bench) -> None:
    put(bench, 1, *CHARGE_WORDS)
    await bench.write(BATTERY_COMMAND, DISCHARGE)
    assert bench.unit.writes == [(16, REMOTE, DISCHARGE_WORDS)]


async def test_the_end_stops_the_command_before_control_is_given_back(
    bench: Bench,
) -> None:
    put(bench, 1, *CHARGE_WORDS)
    await bench.write(BATTERY_COMMAND, release())
    assert bench.unit.writes == [(6, REMOTE, [0]), (6, AUTHORITY, [0])]
    assert held(bench) == [0, 0, 30, 50]


async def test_control_that_was_there_before_stays(bench: Bench) -> None:
    put(bench, 1, *CHARGE_WORDS)
    await bench.write(BATTERY_COMMAND, release(authority=False))
    assert bench.unit.writes == [(6, REMOTE, [0])]
    assert held(bench)[:2] == [1, 0]


async def test_control_is_given_back_even_if_the_command_cannot_be_stopped(
    bench: Bench,
) -> None:
    put(bench, 1, *CHARGE_WORDS)
    no = IllegalFunctionError()
    bench.unit.errors = [no, no, None]
    await bench.write(BATTERY_COMMAND, release())
    assert bench.unit.writes[-1] == (6, AUTHORITY, [0])
    assert held(bench)[0] == 0


async def test_a_unit_that_takes_no_function_16_gets_the_switch_last(
    bench: Bench,
) -> None:
    bench.unit.refused_functions = {16: IllegalFunctionError()}
    await bench.write(BATTERY_COMMAND, CHARGE)
    assert bench.unit.writes == [
        (6, AUTHORITY, [1]),
        (16, REMOTE, CHARGE_WORDS),
        (6, REMOTE + 2, [50]),
        (6, REMOTE + 1, [30]),
        (6, REMOTE, [1]),
    ]


async def test_a_unit_without_the_protocol_is_told_nothing_but_the_first_message(
    bench: Bench,
) -> None:
    no = IllegalFunctionError()
    bench.unit.refused_functions = {6: no, 16: no}
    await bench.fails(RefusedError, BATTERY_COMMAND, CHARGE)
    assert {address for _, address, _ in bench.unit.writes} == {AUTHORITY}


async def test_a_command_that_is_refused_after_control_was_taken_is_no_plain_refusal(
    bench: Bench,
) -> None:
    no = IllegalFunctionError()
    bench.unit.errors = [None, no, no]
    await bench.fails(DeviceError, BATTERY_COMMAND, CHARGE)
    assert held(bench)[0] == 1


# -- whose command it is --------------------------------------------------------------


async def test_a_command_without_control_is_none(bench: Bench) -> None:
    put(bench, 0, *CHARGE_WORDS)
    assert (await bench.settings.async_read(BATTERY_COMMAND)).value is False
    put(bench, 1, *CHARGE_WORDS)
    assert (await bench.settings.async_read(BATTERY_COMMAND)).value == CHARGE


@pytest.mark.parametrize(
    "words",
    [
        CHARGE_WORDS,
        [1, 12, 50],  # counted down
        [1, 0, 50],
        [0, 30, 50],  # ended, but control was not given back yet
        [0, 0, 0],
        [1, 99, 7],  # what was there before
    ],
    ids=str,
)
async def test_what_is_ours_is_ended(bench: Bench, words: list[int]) -> None:
    put(bench, 1, *words)
    wanted = await change(bench, release(before=(1, 99, 7)))
    assert wanted.raw[:2] == (0, 0)


@given(
    enabled=st.integers(0, 1),
    minutes=st.integers(0, LONGEST),
    power=st.integers(-100, 100),
)
def test_until_a_start_was_read_back_all_that_is_held_is_ours(
    enabled: int, minutes: int, power: int
) -> None:
    reading = REMOTE_POWER.reading([1], [enabled, minutes, power % 0x10000])
    wanted = replace(release(), in_doubt=True)
    assert REMOTE_POWER.change(wanted, reading).raw[:2] == (0, 0)


@pytest.mark.parametrize("words", [[1, 31, 50], [1, 30, 51], [1, 30, 0]], ids=str)
async def test_what_somebody_else_has_told_is_left(
    bench: Bench, words: list[int]
) -> None:
    put(bench, 1, *words)
    with pytest.raises(ValueChangedError):
        await change(bench, release())


async def test_nothing_is_ended_without_control(bench: Bench) -> None:
    put(bench, 0, 1, 31, 77)
    reading = await bench.settings.async_read(BATTERY_COMMAND)
    wanted = bench.settings.change(BATTERY_COMMAND, release(), reading)
    assert bench.settings.holds(wanted, reading)


async def test_only_what_changes_control_goes_to_flash(bench: Bench) -> None:
    assert (await change(bench, CHARGE)).persistent
    assert (await change(bench, CHARGE)).warnings == (IN_FLASH,)
    put(bench, 1, *CHARGE_WORDS)
    assert not (await change(bench, DISCHARGE)).persistent
    assert not (await change(bench, DISCHARGE)).warnings
    assert (await change(bench, release())).persistent
    assert not (await change(bench, release(authority=False))).persistent


async def test_a_change_brings_what_takes_it_back(bench: Bench) -> None:
    put(bench, 0, 0, 3, 4)
    assert (await change(bench, CHARGE)).undo == release(before=(0, 3, 4))
    put(bench, 1, 1, 3, 4)
    assert (await change(bench, CHARGE)).undo == release(
        before=(1, 3, 4), authority=False
    )


def test_a_command_is_a_whole(bench: Bench) -> None:
    assert bench.settings.as_whole(BATTERY_COMMAND, CHARGE) == (BATTERY_COMMAND, CHARGE)


async def test_the_end_of_a_command_fits_no_other_setting(bench: Bench) -> None:
    with pytest.raises(InvalidValueError):
        await bench.change("charge_stop_soc", release())


# -- through the gate -----------------------------------------------------------------


def registers(rig: Rig) -> list[int]:
    """Return the registers of control and command."""
    return [*rig.simulator.holding(AUTHORITY), *rig.simulator.holding(REMOTE, 3)]


async def give(rig: Rig, wanted: PowerCommand | Release) -> Outcome:
    """Tell the battery something."""
    written = await rig.gate.async_write(
        BATTERY_COMMAND, wanted, "owner", only_if_different=isinstance(wanted, Release)
    )
    return written.outcome


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(
        "custom_components.local_solar.write_gate.SETTLE", (0.0, 0.0, 0.0)
    )
    return iter(())


async def test_a_command_is_given_changed_repeated_and_ended(
    socket_enabled: None,
) -> None:
    async with make_rig(VPP, identified=SPEAKS_VPP) as rig:
        assert await give(rig, CHARGE) is Outcome.WRITTEN
        assert registers(rig) == [1, *CHARGE_WORDS]
        for command in (DISCHARGE, DISCHARGE, CHARGE):
            assert await give(rig, command) is Outcome.WRITTEN
        assert [write.address for write in rig.simulator.told] == [
            AUTHORITY,
            REMOTE,
            REMOTE,
            REMOTE,
            REMOTE,
        ]
        assert await give(rig, release()) is Outcome.WRITTEN
        assert registers(rig)[:2] == [0, 0]
        assert await give(rig, release()) is Outcome.UNCHANGED


async def test_control_has_a_budget_that_its_end_may_exceed(
    socket_enabled: None,
) -> None:
    async with make_rig(VPP, identified=SPEAKS_VPP) as rig:
        await give(rig, CHARGE)
        assert await give(rig, release()) is Outcome.WRITTEN
        with pytest.raises(TooOftenError):
            await give(rig, CHARGE)
        assert registers(rig)[:2] == [0, 0]


async def test_a_unit_without_the_protocol_refuses(socket_enabled: None) -> None:
    registers_of_none: Mapping[int, int] = {**VPP, 30099: 0}
    async with make_rig(registers_of_none, identified=SPEAKS_VPP) as rig:
        with pytest.raises(RefusedError):
            await give(rig, CHARGE)
        assert rig.record.outcome is Outcome.NOT_WRITTEN
        assert registers(rig) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "fault",
    ["deaf", "drop", "disconnect", "exception=1", "exception=4", "ignore", "late=2"],
)
@pytest.mark.parametrize("number", range(1, 10))
async def test_whatever_goes_wrong_while_it_starts_its_end_gives_the_battery_back(
    socket_enabled: None, number: int, fault: str
) -> None:
    async with make_rig(VPP, identified=SPEAKS_VPP) as rig:
        rig.simulator.at({number: [fault]})
        with suppress(WriteError):
            await give(rig, CHARGE)
        rig.simulator.start_over()
        await give(rig, release())
        assert registers(rig)[0] == 0


@pytest.mark.parametrize("fault", ["deaf", "drop", "disconnect", "exception=4"])
@pytest.mark.parametrize("number", range(1, 10))
async def test_an_end_in_which_something_goes_wrong_can_be_tried_again(
    socket_enabled: None, number: int, fault: str
) -> None:
    held = {**VPP, AUTHORITY: 1, **dict(enumerate(CHARGE_WORDS, REMOTE))}
    async with make_rig(held, identified=SPEAKS_VPP) as rig:
        rig.simulator.at({number: [fault]})
        try:
            outcome = await give(rig, release())
        except WriteError:
            rig.simulator.start_over()
            await give(rig, release())
        else:
            assert outcome is Outcome.WRITTEN
        assert registers(rig)[0] == 0
