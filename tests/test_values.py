"""Values of settings as people and automations write and read them."""

from collections.abc import Callable
from datetime import datetime, time
import json
from typing import Any

from hypothesis import example, given, strategies as st
import pytest

from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.modbus.errors import RegisterValueError
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import (
    Alarm,
    Point,
    PowerCommand,
    Quantity,
    Release,
    TimeSlot,
    TimeSlotChange,
    Value,
    Wanted,
)
from custom_components.local_solar.values import (
    Given,
    NotAValueError,
    as_json,
    as_text,
    is_same,
    parse,
)
from homeassistant.util.yaml import parse_yaml

MODES = ("load_first", "battery_first", "grid_first")

SETTINGS = {
    row.key: row
    for profile in PROFILES.values()
    for row in profile
    if row.point.setting is not None
}

minutes = st.times().map(lambda value: value.replace(second=0, microsecond=0))
slots = st.builds(
    TimeSlot,
    start=minutes,
    end=minutes,
    mode=st.sampled_from(MODES),
    enabled=st.booleans(),
)
alarms = st.frozensets(
    st.builds(
        Alarm,
        kind=st.sampled_from(["fault", "warning"]),
        code=st.integers(0, 999),
        subcode=st.integers(0, 9),
        text=st.text(min_size=1, max_size=9),
    ),
    max_size=3,
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.times()
    | st.sampled_from(["23:30", "on", " OFF ", "80", "-1e3", "1e999", *MODES]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["start", "end", "mode", "enabled"]) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


def point_of(quantity: Quantity, *options: str) -> Point:
    """Return a point that measures something."""
    return Point(key="key", name="Name", quantity=quantity, options=options)


FLAG = point_of(Quantity.FLAG)
COMMAND = point_of(Quantity.COMMAND)
TIME = point_of(Quantity.TIME_OF_DAY)
SLOT = point_of(Quantity.TIME_SLOT)
NUMBER = point_of(Quantity.PERCENT)
CHOICE = point_of(Quantity.STATE, *MODES)
SWITCH_LIKE = point_of(Quantity.STATE, "off", "on")


def values_of(row: Register) -> st.SearchStrategy[Value]:
    """Return the values that a setting can have."""
    setting = row.point.setting
    assert setting is not None
    match row.point.quantity:
        case Quantity.TIME_SLOT:
            return slots
        case Quantity.TIME_OF_DAY:
            return minutes
        case _ if row.options is not None:
            return st.sampled_from([*row.options.values()])
    assert setting.minimum is not None
    assert setting.maximum is not None
    assert setting.step is not None
    step = setting.step
    return st.integers(
        round(setting.minimum / step), round(setting.maximum / step)
    ).map(lambda steps: round(steps * step, 6))


def whole(wanted: Value | TimeSlotChange) -> Value:
    """Return a value; a change of all parts of a slot is the slot."""
    if isinstance(wanted, TimeSlotChange):
        slot = wanted.applied_to(None)
        assert slot is not None
        return slot
    return wanted


# -- there and back -------------------------------------------------------------------


@given(st.data(), st.sampled_from([*SETTINGS.values()]))
def test_what_a_setting_is_told_as_is_taken_back(
    data: st.DataObject, row: Register
) -> None:
    """The value in a response can be given to the next action, through JSON and YAML."""
    value = data.draw(values_of(row))
    told = as_json(value)
    for given_back in (json.loads(json.dumps(told)), in_yaml(json.dumps(told))):
        assert given_back == told
        assert is_same(whole(parse(row.point, given_back)), value)


def in_yaml(text: str) -> Any:
    """Return what an automation means that gives ``value: text``."""
    document = parse_yaml(f"value: {text}")
    assert isinstance(document, dict)
    return document["value"]


@given(st.data(), st.sampled_from([*SETTINGS.values()]))
def test_what_a_setting_reads_as_is_taken_too(
    data: st.DataObject, row: Register
) -> None:
    """Templates give text, whatever they hold."""
    value = data.draw(
        values_of(row).filter(lambda value: not isinstance(value, TimeSlot))
    )
    given_back = value if isinstance(value, str) else as_text(value)
    assert isinstance(given_back, str)
    assert is_same(whole(parse(row.point, f" {given_back} ")), value)


@given(slots)
def test_a_slot_reads_as_a_sentence_with_all_its_parts(slot: TimeSlot) -> None:
    text = as_text(slot)
    assert f"{slot.start:%H:%M}–{slot.end:%H:%M}" in text
    assert slot.mode.replace("_", " ") in text
    assert text.endswith(", on" if slot.enabled else ", off")


@given(anything, st.sampled_from([FLAG, COMMAND, TIME, SLOT, NUMBER, CHOICE]))
@example(10**400, FLAG)
@example(10**400, NUMBER)
@example({"start": None}, SLOT)
@example({1: 2}, SLOT)
def test_anything_is_taken_or_refused_with_a_reason(given: Given, point: Point) -> None:
    wanted: Wanted | None = None
    reason = ""
    try:
        wanted = parse(point, given)
    except NotAValueError as err:
        reason = str(err)
    if wanted is None:
        assert reason.startswith(("is ", "has "))
        return
    expected: dict[Quantity, type | tuple[type, ...]] = {
        Quantity.FLAG: bool,
        Quantity.COMMAND: bool,
        Quantity.TIME_OF_DAY: time,
        Quantity.TIME_SLOT: TimeSlotChange,
        Quantity.PERCENT: (int, float),
        Quantity.STATE: str,
    }
    assert isinstance(wanted, expected[point.quantity])
    assert isinstance(wanted, bool) is (
        point.quantity in (Quantity.FLAG, Quantity.COMMAND)
    )
    assert as_text(wanted) or wanted in ("", TimeSlotChange())


@given(anything, st.sampled_from([*SETTINGS.values()]))
@example(float("nan"), SETTINGS["active_power_limit"])
@example("1e999", SETTINGS["active_power_limit"])
@example(10**400, SETTINGS["active_power_limit"])
def test_nothing_that_is_given_gets_past_the_table_unless_it_fits(
    given: Given, row: Register
) -> None:
    try:
        wanted = parse(row.point, given)
    except NotAValueError:
        return
    if isinstance(wanted, TimeSlotChange):
        return
    try:
        words = row.encode(wanted)
    except RegisterValueError:
        return
    value = row.decode(list(words))
    assert value is not None
    assert is_same(value, wanted)


# -- giving ---------------------------------------------------------------------------


@pytest.mark.parametrize("given", [True, 1, 1.0, "1", "on", "ON", " true ", "yes"])
def test_on(given: Given) -> None:
    assert parse(FLAG, given) is True
    assert parse(COMMAND, given) is True


@pytest.mark.parametrize("given", [False, 0, 0.0, "0", "off", "Off", "false", "no"])
def test_off(given: Given) -> None:
    assert parse(FLAG, given) is False


@pytest.mark.parametrize("given", [2, -1, 0.5, "", "perhaps", "2", time(0), {}])
def test_neither_on_nor_off(given: Given) -> None:
    with pytest.raises(NotAValueError, match="is not on or off"):
        parse(FLAG, given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(80, 80), (12.5, 12.5), ("80", 80), ("80.0", 80), (" -12.5 ", -12.5)],
)
def test_a_number_may_be_text(given: Given, expected: float) -> None:
    number = parse(NUMBER, given)
    assert number == expected
    assert isinstance(number, int) is isinstance(expected, int)


@pytest.mark.parametrize("given", ["", "80 %", "80,5", "eighty", True, time(8), {}])
def test_no_number(given: Given) -> None:
    with pytest.raises(NotAValueError, match="is not a number"):
        parse(NUMBER, given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (time(23, 30), time(23, 30)),
        ("23:30", time(23, 30)),
        (" 01:05:00 ", time(1, 5)),
        ("00:00", time(0)),
    ],
)
def test_a_time_may_be_text(given: Given, expected: time) -> None:
    assert parse(TIME, given) == expected


@pytest.mark.parametrize("given", ["", "25:00", "7", "half past", True, {}, 12])
def test_no_time(given: Given) -> None:
    with pytest.raises(NotAValueError, match="is not a time of day"):
        parse(TIME, given)


@pytest.mark.parametrize("text", ["23:30", "20:00", "1:30"])
def test_a_time_without_quotes_is_refused_rather_than_taken_for_another(
    text: str,
) -> None:
    """YAML takes it for a number to the base of 60."""
    number = in_yaml(text)
    assert isinstance(number, int)
    with pytest.raises(NotAValueError, match="in quotes"):
        parse(TIME, number)
    with pytest.raises(NotAValueError, match="in quotes"):
        parse(SLOT, {"start": number})


@pytest.mark.parametrize("option", ["on", "off"])
def test_an_option_without_quotes_that_yaml_takes_for_a_truth_value_is_still_one(
    option: str,
) -> None:
    truth = in_yaml(option)
    assert isinstance(truth, bool)
    assert parse(SWITCH_LIKE, truth) == option


@pytest.mark.parametrize("given", [1, 2.5, time(1), {}])
def test_an_option_is_no_number(given: Given) -> None:
    with pytest.raises(NotAValueError, match="is not one of the options"):
        parse(CHOICE, given)


def test_parts_of_a_slot_that_are_not_given_are_left_as_they_are() -> None:
    slot = TimeSlot(start=time(1), end=time(5), mode="load_first", enabled=False)
    change = parse(SLOT, {"end": "06:00", "enabled": "on"})
    assert change == TimeSlotChange(end=time(6), enabled=True)
    assert isinstance(change, TimeSlotChange)
    assert change.applied_to(slot) == TimeSlot(
        start=time(1), end=time(6), mode="load_first", enabled=True
    )
    assert change.applied_to(None) is None
    assert parse(SLOT, {"power": "-50", "days": "week"}) == TimeSlotChange(
        power=-50, days="week"
    )
    assert parse(SLOT, {}) == parse(SLOT, {"mode": None}) == TimeSlotChange()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("01:00-05:00", "is not a time slot"),
        (True, "is not a time slot"),
        ({"begin": "01:00"}, "has no part begin: there are start, end, mode, days,"),
        ({"start": "25:00"}, "is not a time of day"),
        ({"enabled": "perhaps"}, "is not on or off"),
        ({"power": "much"}, "is not a number"),
        ({"power": 12.5}, "is not a whole number of per cent"),
        ({"power": float("inf")}, "is not a whole number of per cent"),
    ],
)
def test_no_slot(given: Given, says: str) -> None:
    with pytest.raises(NotAValueError, match=says):
        parse(SLOT, given)


@pytest.mark.parametrize("given", [50, True, "charge", {"power": 50}], ids=str)
def test_command_to_a_battery_is_no_value_that_could_be_given(given: Given) -> None:
    point = Point(key="it", name="It", quantity=Quantity.POWER_COMMAND)
    with pytest.raises(NotAValueError, match="control_battery"):
        parse(point, given)


# -- telling --------------------------------------------------------------------------


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.datetimes()
    | minutes
    | slots
    | st.builds(PowerCommand, power=st.integers(), minutes=st.integers(0))
    | alarms
)
def test_every_value_can_be_told_as_json_and_as_text(value: Value | None) -> None:
    assert json.loads(json.dumps(as_json(value))) == as_json(value)
    assert as_text(value) or value == ""


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "%", "unknown"),
        (True, None, "on"),
        (False, None, "off"),
        (80, "%", "80 %"),
        (12.5, "%", "12.5 %"),
        (0.30000000000000004, None, "0.3"),
        (10, None, "10"),
        ("battery_first", None, "battery first"),
        (time(1, 30), None, "01:30"),
        (datetime(2026, 1, 2, 3, 4, 5, 6), None, "2026-01-02 03:04:05"),
        (frozenset(), None, "none"),
        (
            frozenset({Alarm(kind="fault", code=302, subcode=0, text="No grid")}),
            None,
            "No grid",
        ),
        (
            TimeSlotChange(start=time(1), mode="grid_first", enabled=False),
            None,
            "start 01:00, mode grid first, enabled off",
        ),
        (
            TimeSlot(start=time(1), end=time(2), mode="vpp", power=-50, enabled=True),
            None,
            "01:00–02:00, vpp, -50 %, on",
        ),
        (
            TimeSlot(start=time(23), end=time(6), mode="grid_output"),
            None,
            "23:00–06:00, grid output",
        ),
        (TimeSlotChange(power=0, days="week"), None, "days week, power 0 %"),
        (PowerCommand(power=50, minutes=30), None, "charge 50 % for 30 min"),
        (PowerCommand(power=-5, minutes=1), None, "discharge 5 % for 1 min"),
        (PowerCommand(power=0, minutes=90), None, "idle for 90 min"),
        (PowerCommand(power=9, minutes=0), None, "charge 9 % without end"),
        (
            Release(
                command=PowerCommand(power=50, minutes=30),
                before=(0, 0, 0),
                authority=True,
            ),
            None,
            "off",
        ),
    ],
    ids=str,
)
def test_values_read_well_in_a_sentence(
    value: Wanted | None, unit: str | None, text: str
) -> None:
    assert as_text(value, unit) == text


def test_alarms_are_told_in_order() -> None:
    later = Alarm(kind="warning", code=401, subcode=0, text="Meter")
    first = Alarm(kind="fault", code=302, subcode=0, text="No grid")
    assert as_json(frozenset({later, first})) == ["No grid", "Meter"]
    assert as_text(frozenset({later, first})) == "No grid, Meter"


# -- comparing ------------------------------------------------------------------------


@given(st.floats(-1e6, 1e6))
def test_numbers_are_the_same_but_for_rounding(number: float) -> None:
    assert is_same(number, number + 1e-9)
    assert not is_same(number, number + 0.01)


@pytest.mark.parametrize(
    ("one", "other"),
    [(True, 1), (False, 0), (1, None), (None, 0), ("1", 1), (time(1), "01:00")],
)
def test_what_is_of_another_kind_is_not_the_same(one: Value, other: Value) -> None:
    assert not is_same(one, other)
    assert not is_same(other, one)


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: True,
        lambda: "on",
        lambda: time(1),
        lambda: TimeSlot(start=time(1), end=time(2), mode="x", enabled=True),
    ],
)
def test_equal_values_are_the_same(make: Callable[[], Value | None]) -> None:
    assert is_same(make(), make())
