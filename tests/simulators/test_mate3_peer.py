"""An independent client, the library mate3, reads and sets a simulated gateway.

It needs Python 3.7 and has an environment of its own. What it finds is compared with what
the integration's tables find in the same words.
"""

import asyncio
from dataclasses import dataclass
import json
import os
from pathlib import Path
import re
from typing import Any, Final

import pytest

from custom_components.local_solar.modbus.codecs import CLOCK, Integer
from custom_components.local_solar.outback.block import Row
from custom_components.local_solar.outback.blocks import BLOCKS
from custom_components.local_solar.outback.codecs import HOUR_MINUTE
from simulators.clock import SimulatedClock
from simulators.datasets import Source
from simulators.mate3.chain import (
    CHARGE_CONTROLLER,
    FLEXNET_DC_CONFIG,
    GATEWAY,
    Block,
    Chain,
)
from simulators.mate3.gateway import Mate3Simulator

ROOT: Final = Path(__file__).parents[2]
CLIENT: Final = (
    Path(os.environ.get("LOCAL_SOLAR_ENV", ROOT / ".env")) / "mate3" / "bin" / "mate3"
)
DUMP: Final = ROOT.parent / "shared" / "captures" / "outback" / "mate3s_dump.json"
PATIENCE: Final = 60.0

WRONG: Final = {
    "todays_minimum_battery_time": "it takes the high word for the first one",
    "todays_maximum_battery_time": "it takes the high word for the first one",
    "gateway_type": "it does not know the type of a MATE3s",
    "web_reporting_base_url": "it takes words of 0xFFFF for text",
}
"""Fields that it gets wrong, and why."""

BEYOND: Final = {
    *("charger_kwh", "output_kw", "buy_kw", "sell_kw", "charge_kw", "load_kw"),
    *("ac_couple_kw", "gt_number", "low_battery_cut_out_delay", "ee_write_enable"),
    *("high_battery_cut_out_voltage", "high_battery_cut_in_voltage"),
    "high_battery_cut_out_delay",
}
"""Fields that the shorter blocks of a MATE3 do not have."""

_NUMBER: Final = re.compile(r": (-?\d+)>$")
_CLOCK_PARTS: Final = ("year", "month", "day", "hour", "minute", "second")


@dataclass(frozen=True, slots=True)
class Found:
    """What our tables find in a field: the raw value, ``None`` for none, and its power of ten."""

    raw: int | str | None
    exponent: int = 0


async def _run(port: int, command: str, *options: str) -> str:
    """Run the client and return what it prints."""
    if not CLIENT.exists():
        pytest.skip("scripts/setup has found no Python 3.7 for the environment mate3")
    process = await asyncio.create_subprocess_exec(
        CLIENT,
        *(command, "--host", "127.0.0.1", "--port", str(port), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def _read(port: int) -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = json.loads(
        await _run(port, "read", "--format", "json")
    )
    return devices


def _simulator(source: Source | None, variant: str = "mate3s") -> Mate3Simulator:
    """Return one whose clock stands still, so that nothing changes meanwhile."""
    return Mate3Simulator(source, variant=variant, clock=SimulatedClock(speed=0))


def _find(block: Block, name: str) -> Found | None:
    """Return what we find, ``None`` for a field that lies beyond the block."""
    for row in BLOCKS[block.did].rows:
        if row.name == name and row.sends_to is None:
            return _of_row(block, row) if block.has(row.end - 1) else None
        if row.register.codec in (HOUR_MINUTE, CLOCK):
            for place, part in enumerate(_parts(row)):
                if part == name:
                    return Found(block[row.offset + place])
    raise AssertionError(f"our tables of {block.did} have no {name}")


def _parts(row: Row) -> tuple[str, ...]:
    """Return the client's names of the words of a time."""
    if row.register.codec is CLOCK:
        return _CLOCK_PARTS
    name = row.name
    if name.startswith("sched_"):
        name = name.removesuffix("_start")
    return f"{name}_hour", f"{name}_minute"


def _of_row(block: Block, row: Row) -> Found:
    raw = row.register.codec.decode(
        [block[offset] for offset in range(row.offset, row.end)]
    )
    if raw in row.register.sentinels or raw == "":
        return Found(None)
    assert raw is None or isinstance(raw, int | str)
    if not row.scale_factor:
        return Found(raw)
    factor = BLOCKS[block.did].row(row.scale_factor)
    exponent = Integer(signed=True).decode([block[factor.offset]])
    return Found(raw, exponent)


def _as_found(field: dict[str, Any]) -> Found:
    """Return what the client found; options and bits as numbers."""
    raw, exponent = field["raw_value"], field["scale_factor"] or 0
    if not field["implemented"]:
        return Found(None)
    if isinstance(raw, str) and raw.startswith("<"):
        number = _NUMBER.search(raw)
        assert number is not None, raw
        return Found(int(number[1]))
    if isinstance(raw, int):
        assert field["value"] == pytest.approx(raw * 10.0**exponent)
    return Found(raw, exponent)


def _compare(chain: Chain, devices: list[dict[str, Any]]) -> tuple[int, set[str]]:
    """Compare all fields; return how many were equal, and which were not compared."""
    by_address = {chain.address_of(block): block for block in chain.blocks}
    equal = 0
    left_out: set[str] = set()
    for device in devices:
        block = by_address[device["address"]]
        for name, field in device["values"].items():
            ours = None if name in WRONG else _find(block, name)
            if ours is None:
                left_out.add(name)
                continue
            theirs = _as_found(field)
            if ours.raw is None:
                assert theirs.raw is None, (block.did, name, theirs)
            else:
                assert theirs == ours, (block.did, name)
            equal += 1
    return equal, left_out


async def test_client_finds_in_a_recorded_dump_what_we_find() -> None:
    if not DUMP.exists():
        pytest.skip("the recorded dump is not part of the repository")
    async with _simulator(DUMP) as simulator:
        devices = await _read(await simulator.start_tcp())
        asked = [(request.unit, request.exception) for request in simulator.requests]
    # It reads one field beyond both inverters: the number of the next block.
    assert _compare(Chain.load(DUMP), devices) == (711, {*WRONG, "gt_number"})
    assert sum(len(device["values"]) for device in devices) == 717
    assert asked == [(0, None)] * len(asked)
    assert len(asked) == 48


@pytest.mark.parametrize(
    ("variant", "equal", "left_out"),
    [
        ("mate3s", 601, set()),
        ("split-stack", 873, set()),
        ("fx", 558, set()),
        # Shorter blocks, beyond which it reads on.
        ("mate3-311", 477, BEYOND),
    ],
)
async def test_client_finds_in_made_up_systems_what_we_find(
    variant: str, equal: int, left_out: set[str]
) -> None:
    async with _simulator(None, variant) as simulator:
        devices = await _read(await simulator.start_tcp())
        found = _compare(simulator.mate3.chain, devices)
    assert found == (equal, {*WRONG, *left_out})


async def test_client_lists_the_devices() -> None:
    async with _simulator(None) as simulator:
        out = await _run(await simulator.start_tcp(), "devices")
    lines = [line.split() for line in out.splitlines()[2:]]
    assert sorted((name, port) for name, _, port in lines) == [
        ("ChargeController", "3"),
        ("ChargeController", "4"),
        ("ChargeControllerConfiguration", "3"),
        ("ChargeControllerConfiguration", "4"),
        ("FLEXnetDCConfiguration", "5"),
        ("FNDC", "5"),
        ("Mate3", "None"),
        ("RadianInverterConfiguration", "1"),
        ("SplitPhaseRadianInverter", "1"),
    ]
    addresses = {int(address) for _, address, _ in lines}
    chain = simulator.mate3.chain
    assert chain.address_of(chain.block(CHARGE_CONTROLLER, 4)) in addresses


async def test_what_the_client_sets_is_set() -> None:
    async with _simulator(None) as simulator:
        await _run(
            await simulator.start_tcp(),
            "write",
            *("--set", "fndc.config.charged_volts=56.3"),
            *("--set", "mate3.system_name='Cabin'"),
            *("--set", "mate3.ags_fault_time=7"),
        )
    mate3 = simulator.mate3
    assert mate3.word(FLEXNET_DC_CONFIG, 11) == 563
    assert [mate3.word(GATEWAY, place) for place in range(167, 171)] == [
        *(0x4361, 0x6269, 0x6E00, 0),
    ]
    assert mate3.word(GATEWAY, 284) == 7
    assert [request.op for request in simulator.writes] == ["write_multiple"] * 3
