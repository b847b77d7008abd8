"""Finding out what answers at an address."""

import pytest

from custom_components.local_solar.hoymiles.client import DtuClient
from custom_components.local_solar.hoymiles.errors import (
    DtuError,
    UnreachableError,
    WrongDtuError,
)
from custom_components.local_solar.hoymiles.inventory import Inventory
from custom_components.local_solar.hoymiles.probe import (
    async_identify,
    stored_inventory,
)

from .test_client import A301, INTEGRATED, NOON, STICK, answers, make_rig

pytestmark = pytest.mark.usefixtures("socket_enabled")


@pytest.mark.parametrize("encrypt", [False, True])
@pytest.mark.parametrize("name", [INTEGRATED, "hms-2000dw-4t", STICK, "stick-20"])
async def test_dtu_tells_what_is_behind_it(name: str, encrypt: bool) -> None:
    async with make_rig(name, encrypt=encrypt) as rig:
        found = await async_identify(rig.client)
        assert isinstance(found, Inventory)
        assert {*rig.sim.asked()} == {A301}
        assert found.serial == rig.sim.serial
        assert found.software == rig.sim.firmware
        assert {inverter.serial for inverter in found.inverters} == {*rig.sim.inverters}
        for inverter in found.inverters:
            model = rig.sim.inverters[inverter.serial].spec.model
            assert len(inverter.inputs) == model.inputs
            assert inverter.model.rated_power == model.rated_power
            assert inverter.three_phase is (model.phases == 3)
        assert found.is_integrated is rig.sim.integrated
        assert stored_inventory(found.to_json()) == found


async def test_nobody_is_said_to_be_nobody() -> None:
    client = DtuClient("127.0.0.1", 1, lambda: NOON.astimezone())
    with pytest.raises(UnreachableError):
        await async_identify(client)


async def test_another_dtu_is_told_apart() -> None:
    async with make_rig() as rig:
        rig.client.serial = "414393100099"
        with pytest.raises(WrongDtuError):
            await async_identify(rig.client)


async def test_dtu_that_does_not_say_who_it_is_cannot_be_added() -> None:
    """Everything is named after its serial number."""
    async with make_rig() as rig:
        with answers(A301, lambda _, right: {}), pytest.raises(DtuError):
            await async_identify(rig.client)
