"""Every row of the collected facts has its row in the tables, or a reason why not."""

from collections import Counter
import csv
from typing import Final

import pytest

from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.growatt.profiles.meter import METER, MeterRow
from custom_components.local_solar.growatt.profiles.vpp import OVERLAY
from custom_components.local_solar.modbus.register import Register

from . import test_profiles, test_vpp
from .helpers import FACTS

REGISTERS: Final = FACTS / "growatt_registers.csv"

TABLES: Final = {
    **{key: tuple(profile) for key, profile in PROFILES.items()},
    "vpp": tuple(row for section in OVERLAY for row in section.rows),
}
"""Profile of the facts -> rows of input and holding registers. ``meter_fc20`` is a table
that no profile has: it is read by a function of the maker's own."""

_LOW_WORD: Final = (
    "its low word alone is a row: the high one, in another group, can only be 0"
)

LEFT_OUT: Final = {
    ("sph", "ac_charge_energy_today"): _LOW_WORD,
    ("sph_tl3", "ac_charge_energy_today"): _LOW_WORD,
    ("spa", "ac_charge_energy_today"): _LOW_WORD,
    ("spf", "battery_serial_number"): "on both sides of the end of a group",
    ("spf", "grid_code_parameters"): "longer than a group: in a row for each",
    ("v3_pv", "energy_by_hour"): "longer than a group: in a row for each",
}
"""Profile and name of a fact that no single row has -> why. ``test_profiles.py`` holds
what there is in its place."""

NUMBER: Final = 3123
"""So many facts were collected."""


def facts() -> list[dict[str, str]]:
    """Return all collected facts."""
    with REGISTERS.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def name_of(fact: dict[str, str]) -> str:
    """Return the key of the row that tells a fact alone."""
    if fact["profile"] == "vpp":
        return test_vpp.key_of(fact)
    return test_profiles.key_of(fact["profile"], fact["name"])


def rows_of(fact: dict[str, str]) -> list[Register | MeterRow]:
    """Return the rows that tell a fact: one of its name, or several for its parts."""
    address, words = int(fact["address"]), int(fact["count"])
    if fact["profile"] == "meter_fc20":
        return [
            row
            for row in METER
            if (row.address, row.codec.words) == (address, words)
            and row.point.key == fact["name"]
        ]
    there: list[Register | MeterRow] = [
        row
        for row in TABLES[fact["profile"]]
        if (row.space, row.address, row.words) == (fact["space"], address, words)
    ]
    if len(test_profiles.codecs_of(fact)) > 1:
        return there if len(there) > 1 else []
    return [
        row for row in there if isinstance(row, Register) and row.key == name_of(fact)
    ]


@pytest.mark.skipif(not REGISTERS.exists(), reason="the collected facts are not here")
def test_every_fact_is_in_a_table_or_left_out_for_a_reason() -> None:
    found = facts()
    assert len(found) == NUMBER
    assert {fact["profile"] for fact in found} == {*TABLES, "meter_fc20"}
    without_a_row = Counter(
        (fact["profile"], fact["name"]) for fact in found if not rows_of(fact)
    )
    assert without_a_row == dict.fromkeys(LEFT_OUT, 1)
