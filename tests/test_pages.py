"""The blocks of docs/growatt.md that are made from the tables."""

import pytest

from custom_components.local_solar.growatt.models import Family
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.points import Point, Quantity
from scripts.pages.folding import folded
from scripts.pages.growatt_about import ABOUT, NAMES
from scripts.pages.growatt_families import families, overview, with_blocks


def point(name: str, index: int | None = None) -> Point:
    """Return a point of this name."""
    return Point(key="any", name=name, quantity=Quantity.POWER, unit="W", index=index)


@pytest.mark.parametrize(
    ("points", "names"),
    [
        ([point("PV{n} power", n) for n in (1, 2, 3)], ["PV1-3 power"]),
        ([point("PV{n} power", 1)], ["PV1 power"]),
        ([point(f"Grid L{n} voltage") for n in (1, 2, 3)], ["Grid L1-L3 voltage"]),
        ([point("EPS L1 voltage")], ["EPS L1 voltage"]),
        ([point("Grid L1-L2 voltage")], ["Grid L1-L2 voltage"]),
        (
            [point("Load energy total"), point("Load energy today")],
            ["Load energy today and total"],
        ),
        ([point("PV energy total")], ["PV energy total"]),
        ([point("Status"), point("Fault")], ["Status", "Fault"]),
    ],
)
def test_names_that_differ_in_a_number_or_span_are_told_as_one(
    points: list[Point], names: list[str]
) -> None:
    assert folded(points) == names


def test_every_family_is_listed_with_what_is_known_of_its_facts() -> None:
    assert set(NAMES) == set(ABOUT) == set(Family)
    table, sections = "\n".join(overview()), "\n".join(families())
    for family in Family:
        assert f"| `{family}` |" in table
        assert f"### {NAMES[family]}\n" in sections


@pytest.mark.parametrize("family", Family)
def test_every_setting_of_a_family_is_on_the_page(family: Family) -> None:
    sections = "\n".join(families()).split("### ")
    (section,) = (part for part in sections if part.startswith(f"{NAMES[family]}\n"))
    missing = [
        row.key
        for row in PROFILES[family]
        if row.point.setting is not None
        and row.point.setting.everyday
        and row.part_of is None
        and row.point.quantity is not Quantity.TIME_SLOT
        and row.key not in ("priority_mode", *PROFILES[family].read_only)
        and row.point.name not in section
    ]
    assert missing == []


def test_a_page_keeps_what_is_written_by_hand() -> None:
    marks = [
        f"<!-- {edge} {name}: made by scripts/build_docs.py from the tables -->"
        for name in ("overview", "families")
        for edge in ("begin", "end")
    ]
    page = "by hand\n{}\nold\n{}\nin between\n{}\n{}\nby hand, too\n".format(*marks)

    made = with_blocks(page)

    assert "old" not in made.splitlines()
    assert made.startswith("by hand\n")
    assert "\nin between\n" in made
    assert made.endswith("\nby hand, too\n")
    assert with_blocks(made) == made


def test_a_page_without_its_marks_is_not_written() -> None:
    with pytest.raises(SystemExit, match="begin overview"):
        with_blocks("# Growatt inverters\n")
