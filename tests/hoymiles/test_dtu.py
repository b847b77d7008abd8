"""Polling a DTU: what is asked when, and what its answers are worth."""

from typing import Final

import pytest

from custom_components.local_solar.hoymiles.errors import SilentError
from custom_components.local_solar.points import PointId, Value

from .test_client import A303, A311, STICK, Rig, make_rig

pytestmark = pytest.mark.usefixtures("socket_enabled")

EVERYTHING: Final[set[PointId]] = {
    ("any", key) for key in ("ac_power", "cloud_connected", "alarms")
}


async def polled(rig: Rig) -> dict[str, Value | None]:
    """Poll, and return what the DTU itself shows."""
    return dict((await rig.dtu.async_poll(EVERYTHING)).snapshot[rig.dtu.id])


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
