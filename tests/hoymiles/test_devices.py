"""The devices of a DTU and what they have."""

from dataclasses import replace
from typing import Final

from hypothesis import given, settings
import pytest

from custom_components.local_solar.hoymiles import points
from custom_components.local_solar.hoymiles.devices import devices, every_point
from custom_components.local_solar.hoymiles.inventory import Inventory, Inverter
from custom_components.local_solar.points import Visibility

from .test_inventory import DTU, INVENTORIES, INVERTER, METER

ONE: Final = Inventory(
    serial=DTU,
    software=0x1101,
    inverters=(Inverter(serial=INVERTER, part_number=0x10214201, inputs=(1, 2)),),
    meters=(METER,),
)


def test_everything_is_reached_through_the_dtu() -> None:
    dtu, *others = devices(ONE)
    assert dtu.identity.via is None
    assert {device.identity.via for device in others} == {dtu.identity.id}
    assert len({device.identity.id for device in devices(ONE)}) == 3


def test_integrated_dtu_and_its_inverter_are_two_devices() -> None:
    inventory = replace(ONE, serial=f"{INVERTER:012X}")
    ids = [device.identity.id for device in devices(inventory)]
    assert len({*ids}) == len(ids)


def test_several_inverters_are_told_apart_by_their_numbers() -> None:
    two = replace(ONE, inverters=(*ONE.inverters, Inverter(serial=INVERTER + 1)))
    kinds = [device.identity.kind for device in devices(two)]
    assert kinds == ["dtu", "numbered_inverter", "numbered_inverter", "meter"]
    assert [device.identity.kind for device in devices(ONE)][1] == "inverter"


def test_temporary_limit_has_the_limits_of_its_inverter() -> None:
    (limit,) = (
        point for point in devices(ONE)[1].points if point.key == points.TEMPORARY_LIMIT
    )
    rule = limit.setting
    assert rule is not None
    assert (rule.minimum, rule.maximum, rule.step) == (16, 800, 1)
    assert not rule.persistent


@pytest.mark.parametrize(
    "inventory",
    [
        replace(ONE, software=0x1100),
        replace(ONE, inverters=(Inverter(serial=INVERTER, part_number=0),)),
        replace(
            ONE, serial="413093100010", inverters=(Inverter(serial=0x112493100011),)
        ),
    ],
)
def test_temporary_limit_is_missing_where_it_cannot_be_told_in_watts(
    inventory: Inventory,
) -> None:
    keys = {point.key for point in devices(inventory)[1].points}
    assert points.TEMPORARY_LIMIT not in keys
    assert points.STORED_LIMIT.key in keys


def test_stored_limit_is_no_everyday_setting() -> None:
    rule = points.STORED_LIMIT.setting
    assert rule is not None
    assert rule.persistent
    assert not rule.everyday
    assert rule.spacing is not None
    assert rule.spacing.total_seconds() >= 60
    assert points.STORED_LIMIT.visibility is Visibility.OFFERED


@given(inventory=INVENTORIES)
@settings(max_examples=40)
def test_keys_of_a_device_are_unique_and_few(inventory: Inventory) -> None:
    inventory = replace(
        inventory,
        inverters=tuple(
            replace(inverter, inputs=tuple(sorted({*inverter.inputs})))
            for inverter in inventory.inverters
        ),
    )
    known = {point.translation_key for point in every_point()}
    for device in devices(inventory):
        keys = [point.key for point in device.points]
        assert len({*keys}) == len(keys)
        offered = [
            point for point in device.points if point.visibility is not Visibility.RAW
        ]
        assert len(offered) <= 100
        assert {point.translation_key for point in device.points} <= known
