"""Models: from prefixes of serial numbers and from part numbers; versions."""

from collections.abc import Callable
import csv
from pathlib import Path
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.hoymiles.models import (
    PART_NUMBERS,
    PREFIXES,
    DtuModel,
    InverterModel,
    Kind,
    dtu_model,
    dtu_version,
    inverter_hardware,
    inverter_model,
    inverter_software,
    is_three_phase_meter,
    meter_model,
)

FACTS: Final = Path(__file__).parents[3] / "shared" / "facts"
PREFIX_FACTS: Final = FACTS / "hoymiles_sn_prefixes.csv"
PART_FACTS: Final = FACTS / "hoymiles_part_numbers.csv"

INT32: Final = st.integers(-(1 << 31), (1 << 31) - 1)
INT64: Final = st.integers(-(1 << 63), (1 << 63) - 1)

DISPUTED: Final = frozenset({"1125", "1144", "1361", "1382", "1400", "1410", "2821"})
"""Prefixes whose power the sources disagree about."""

INTEGRATED_DTUS: Final = ("1403", "1412", "1222", "4141", "4143", "4144")


def serial(prefix: str) -> int:
    return int(f"{prefix}93100001", 16)


def inverter(
    name: str,
    *,
    rated_power: int | None = None,
    inputs: int | None,
    three_phase: bool = False,
    integrated: bool = False,
) -> InverterModel:
    """Return a model, plain unless told otherwise."""
    return InverterModel(
        name=name,
        rated_power=rated_power,
        inputs=inputs,
        three_phase=three_phase,
        integrated=integrated,
    )


# -- tables ---------------------------------------------------------------------------


def test_keys_of_the_tables_are_upper_case_hex_digits() -> None:
    assert all(f"{int(prefix, 16):04X}" == prefix for prefix in PREFIXES)
    assert all(f"{int(part, 16):06X}" == part for part in PART_NUMBERS)


def test_names_of_parts_tell_their_power() -> None:
    for model in PART_NUMBERS.values():
        assert str(model.rated_power) in model.name


@pytest.mark.skipif(
    not PREFIX_FACTS.exists(), reason="the collected facts are not here"
)
def test_prefixes_are_those_of_the_facts() -> None:
    with PREFIX_FACTS.open(encoding="utf-8") as file:
        facts = {fact["prefix_hex"]: fact for fact in csv.DictReader(file)}
    assert PREFIXES.keys() == facts.keys()
    for digits, prefix in PREFIXES.items():
        fact = facts[digits]
        assert prefix.kind == fact["kind"].replace("+", "_"), digits
        inputs = fact["dc_inputs"]
        assert prefix.inputs == (int(inputs) if inputs.isdecimal() else None), digits
        if digits in DISPUTED:
            assert prefix.power_class is None
        else:
            assert (prefix.power_class or "").removesuffix(" W") == fact[
                "power_class_w"
            ], digits
        if prefix.kind not in (Kind.STORAGE, Kind.REPEATER):
            assert families(prefix.family) == families(fact["family"]), digits


def families(text: str) -> set[str]:
    names = text.removesuffix(" (integrated)").removeprefix("DTU-").split(" / ")
    return set(names)


@pytest.mark.skipif(not PART_FACTS.exists(), reason="the collected facts are not here")
def test_part_numbers_are_those_of_the_facts_and_one_of_an_owner() -> None:
    with PART_FACTS.open(encoding="utf-8") as file:
        facts = {
            fact["part_number_prefix_hex"]: (fact["model"], int(fact["rated_w"]))
            for fact in csv.DictReader(file)
        }
    assert {
        part: (model.name, model.rated_power) for part, model in PART_NUMBERS.items()
    } == facts | {"102142": ("HMS-800W-2T", 800)}


# -- inverters ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "part_number", "expected"),
    [
        ("1144", 0x10214101, inverter("HMS-800-2T", rated_power=800, inputs=2)),
        ("1164", 0x10227110, inverter("HMS-2000-4T", rated_power=2000, inputs=4)),
        ("1400", 0x10207102, inverter("HMS-500-1T v2", rated_power=500, inputs=1)),
        (
            "1382",
            0x10333101,
            inverter("HMT-2250-6T", rated_power=2250, inputs=6, three_phase=True),
        ),
    ],
)
def test_the_part_number_tells_the_exact_model(
    prefix: str, part_number: int, expected: InverterModel
) -> None:
    assert inverter_model(serial(prefix), part_number) == expected


@pytest.mark.parametrize(
    ("prefix", "part_number", "name"),
    [
        # As an owner reported it.
        ("1412", 0x10214201, "HMS-800W-2T"),
        ("1412", 0x10214101, "HMS-800W-2T"),
        ("1412", 0x10217105, "HMS-1000W-2T"),
        ("1403", 0x10207102, "HMS-500W-1T v2"),
        ("1222", 0x10227110, "HMS-2000DW-4T"),
        ("1410", 0x10214101, "HMS-800-2T"),
    ],
)
def test_an_inverter_that_is_its_own_dtu_has_w_in_its_name(
    prefix: str, part_number: int, name: str
) -> None:
    model = inverter_model(serial(prefix), part_number)
    assert model.name == name
    assert model.integrated == ("W-" in name)
    assert model.rated_power == int(name.split("-")[1].rstrip("DW"))


def test_a_part_number_that_arrives_negative_is_understood() -> None:
    part_number = int.from_bytes(bytes.fromhex("F1011400"), signed=True)
    assert part_number < 0
    assert inverter_model(serial("2821"), part_number) == inverter(
        "HERF-800", rated_power=800, inputs=2
    )


@pytest.mark.parametrize("part_number", [None, 0, 0x7FFFFFFF, -1])
@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("1412", inverter("HMS-W 800W/1000W", inputs=2, integrated=True)),
        ("1222", inverter("HMS-DW 2000DW", inputs=4, integrated=True)),
        ("1121", inverter("HM 300/350/400 W", inputs=1)),
        ("1144", inverter("HMS", inputs=2)),
        ("1361", inverter("HMT", inputs=4, three_phase=True)),
        ("1520", inverter("MIT 4000/5000 W", inputs=None, three_phase=True)),
        ("1A2B", inverter("Microinverter (1A2B)", inputs=None)),
        ("10C0", inverter("Microinverter (10C0)", inputs=None)),
    ],
)
def test_without_a_known_part_number_the_family_is_named(
    prefix: str, part_number: int | None, expected: InverterModel
) -> None:
    assert inverter_model(serial(prefix), part_number) == expected


def test_a_part_number_helps_where_the_prefix_is_unknown() -> None:
    assert inverter_model(serial("1A2B"), 0x10334101) == inverter(
        "Microinverter (1A2B)", inputs=None
    )
    assert inverter_model(serial("1A2B"), 0x10324100) == inverter(
        "HMT-1600-4T", rated_power=1600, inputs=4, three_phase=True
    )


@given(INT64, st.none() | INT32)
def test_any_inverter_has_a_name(number: int, part_number: int | None) -> None:
    model = inverter_model(number, part_number)
    assert model.name
    if part_number is None:
        assert model.rated_power is None


@pytest.mark.parametrize("part", PART_NUMBERS)
def test_the_last_byte_of_a_part_number_is_only_a_revision(part: str) -> None:
    names = {
        inverter_model(serial("1143"), int(f"{part}{revision:02X}", 16)).name
        for revision in range(256)
    }
    assert names == {PART_NUMBERS[part].name}


# -- DTUs and meters ------------------------------------------------------------------


@pytest.mark.parametrize("prefix", INTEGRATED_DTUS)
def test_a_dtu_inside_an_inverter_is_told_from_a_stick(prefix: str) -> None:
    expected = DtuModel(name="integrated DTU", integrated=True)
    assert dtu_model(f"{prefix}93100001") == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("4130A01CED0B", "DTU-WLite / Lite-S / W100"),
        ("10f893100001", "DTU-Pro"),
        ("D03093100001J", "DTU-SLS"),
        ("430193100001", "DTS-WIFI-G1"),
        ("1A2B93100001", "DTU (1A2B)"),
        # The prefix of an inverter that is none.
        ("112493100001", "DTU (1124)"),
        ("", "DTU"),
        (" \0", "DTU"),
    ],
)
def test_a_dtu_of_its_own_is_named_by_its_prefix(text: str, name: str) -> None:
    assert dtu_model(text) == DtuModel(name=name, integrated=False)


@given(st.text())
def test_any_dtu_has_a_name(text: str) -> None:
    assert dtu_model(text).name


@pytest.mark.parametrize(
    ("prefix", "name", "three_phase"),
    [
        ("10C0", "DDSU666", False),
        ("37FF", "DTSU666", True),
        ("1A2B", "Meter (1A2B)", False),
        ("1412", "Meter (1412)", False),
    ],
)
def test_meters_are_named_by_their_prefix(
    prefix: str, name: str, three_phase: bool
) -> None:
    assert meter_model(serial(prefix)) == name
    assert is_three_phase_meter(serial(prefix)) is three_phase


@given(INT64)
def test_any_meter_has_a_name(number: int) -> None:
    assert meter_model(number)
    assert is_three_phase_meter(number) in (False, True)


# -- versions -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "text"),
    [(0x010B, "00.01.11"), (0x1101, "01.01.01"), (4105, "01.00.09")],
)
def test_versions_of_a_dtu(version: int, text: str) -> None:
    assert dtu_version(version) == text


def test_versions_of_an_inverter() -> None:
    assert inverter_software(10008) == "01.00.08"
    assert inverter_software(10103) == "01.01.03"
    assert inverter_hardware(0x100) == "00.04.00"


FORMATS: Final[dict[str, Callable[[int | None], str | None]]] = {
    "dtu": dtu_version,
    "inverter_software": inverter_software,
    "inverter_hardware": inverter_hardware,
}

each_format = pytest.mark.parametrize("text_of", FORMATS.values(), ids=FORMATS)


@each_format
def test_a_missing_version_has_no_text(
    text_of: Callable[[int | None], str | None],
) -> None:
    assert text_of(None) is text_of(0) is None


@each_format
@given(version=INT32.filter(bool))
def test_any_version_has_a_text(
    text_of: Callable[[int | None], str | None], version: int
) -> None:
    text = text_of(version)
    assert text is not None
    assert "-" not in text


@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 255))
def test_parts_of_a_dtu_version_do_not_touch_each_other(
    major: int, minor: int, patch: int
) -> None:
    text = dtu_version(major << 12 | minor << 8 | patch)
    if major or minor or patch:
        assert text == f"{major:02}.{minor:02}.{patch:02}"
