"""Grid profiles: named by country and standard, with the version."""

from pathlib import Path
import re
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.hoymiles.grid_profiles import (
    GRID_PROFILES,
    grid_profile,
)

FACTS: Final = Path(__file__).parents[3] / "shared" / "facts" / "hoymiles.md"


@pytest.mark.parametrize(
    ("profile_id", "version", "name"),
    [
        (0x0300, 0x2001, "DE VDE-AR-N 4105:2018 2.0.1"),
        (0x0301, 0x1000, "DE VDE-AR-N 4105:2011 1.0.0"),
        (0x0D04, 0x1203, "FR NF EN 50549 1.2.3"),
        (0x3700, 0x200A, "CH 2.0.10"),
    ],
)
def test_a_known_profile_is_named_with_its_version(
    profile_id: int, version: int, name: str
) -> None:
    assert grid_profile(profile_id, version) == name


@pytest.mark.parametrize(
    ("profile_id", "version", "name"),
    [
        (0x1234, 0x2001, "0x1234 2.0.1"),
        (0x0001, 0x2001, "0x0001 2.0.1"),
        (-1, 0x2001, "0xFFFFFFFF 2.0.1"),
    ],
)
def test_an_unknown_profile_is_named_by_its_id(
    profile_id: int, version: int, name: str
) -> None:
    assert grid_profile(profile_id, version) == name


def test_no_profile_has_no_name() -> None:
    assert grid_profile(0, 0) is None
    assert grid_profile(0, 0x2001) is None


def test_a_missing_version_is_left_out() -> None:
    assert grid_profile(0x0300, 0) == "DE VDE-AR-N 4105:2018"
    assert grid_profile(0x1234, 0) == "0x1234"


@given(
    st.integers(-(1 << 31), (1 << 31) - 1).filter(bool),
    st.integers(-(1 << 31), (1 << 31) - 1),
)
def test_whatever_a_device_sends_has_a_name(profile_id: int, version: int) -> None:
    assert grid_profile(profile_id, version)


@pytest.mark.skipif(not FACTS.exists(), reason="the collected facts are not here")
def test_every_profile_of_the_facts_is_known() -> None:
    line = next(
        line
        for line in FACTS.read_text("utf-8").splitlines()
        if "Grid profile ids" in line
    )
    listed = line.partition("Layout")[0].partition(":")[2]
    found = {
        int(digits, 16): name
        for digits, name in re.findall(r"\b([0-9A-F]{4}) ((?:[A-Z]{2} ?){1,2})", listed)
    }
    assert found.keys() == GRID_PROFILES.keys()
    for profile_id, country in found.items():
        assert GRID_PROFILES[profile_id].startswith(country[:2])
