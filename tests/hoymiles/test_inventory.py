"""What is known to be behind a DTU, and how that changes."""

from dataclasses import replace
from typing import Final

from custom_components.local_solar.hoymiles.inventory import (
    Inventory,
    Inverter,
    Stocktaking,
)
from custom_components.local_solar.hoymiles.records import AppInfo, DtuInfo, RealData

DTU: Final = "414393100001"
INVERTER: Final = 0x141293100001
NOTHING: Final = RealData("", 0, 1, 0, (), (), (), 0, 0)
KNOWN: Final = Inventory(
    serial=DTU,
    software=0x1101,
    hardware=0x1000,
    inverters=(Inverter(serial=INVERTER, part_number=0x10214201, inputs=(1, 2)),),
)
EMPTY_INFO: Final = AppInfo(
    dtu_serial="",
    time=0,
    page_count=0,
    page_index=0,
    dtu=DtuInfo(
        device_kind=0,
        software_version=0,
        hardware_version=0,
        signal_strength=0,
        error_code=0,
        feature_flags=0,
        wifi_version="",
        seed=b"",
    ),
    inverters=(),
    meters=(),
    features={},
)
"""What a frame without a payload says, which is a legal one."""


def test_dtu_that_does_not_say_who_it_is_stays_who_it_was() -> None:
    assert Stocktaking(KNOWN).take(EMPTY_INFO, NOTHING) == KNOWN


def test_version_that_is_left_out_takes_no_setting_away() -> None:
    info = replace(EMPTY_INFO, dtu_serial=DTU)
    known = Stocktaking(KNOWN).take(info, NOTHING)
    assert known.software == KNOWN.software
    assert known.takes_temporary_limit
