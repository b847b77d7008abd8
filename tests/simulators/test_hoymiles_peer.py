"""An independent client, hoymiles-wifi, understands what simulated DTUs say, and so do we.

Each value that it finds in a reply is compared with what the integration's messages find
in the same reply. It reads once, at most 1024 bytes, and connects for each request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from custom_components.local_solar.hoymiles import messages
from simulators.clock import SimulatedClock
from simulators.hoymiles.dtu import SimulatedDtu
from simulators.hoymiles.server import running_dtu
from tests.hoymiles.peer import numbered, run_peer, unknown_to

CAPTURES: Final = (
    Path(__file__).parents[3] / "shared" / "captures" / "hoymiles" / "frames.jsonl"
)

INVERTER: Final = "141293100001"
GATEWAY: Final = 0x430193100003
HYBRID: Final = 0x200393100004


@dataclass(frozen=True, slots=True)
class Call:
    """A method of the client and the message that it returns."""

    name: str
    reply: str
    arguments: tuple[Any, ...] = ()

    @property
    def as_json(self) -> list[Any]:
        """What the client is told."""
        return [self.name, *self.arguments]


READS: Final = (
    Call("get_real_data_new", "RealDataReply"),
    Call("get_real_data", "OldRealDataReply"),
    Call("get_config", "ConfigReply"),
    Call("network_info", "NetworkInfoReply"),
    Call("app_information_data", "AppInfoReply"),
    # It takes the reply for another message, of the cloud's, with other numbers.
    Call("get_information_data", "CloudInfoReport"),
    Call("app_get_hist_power", "HistoryPowerReply"),
    Call("heartbeat", "HeartbeatFromDtu"),
)
WRITES: Final = (
    Call("set_power_limit", "CommandAck", (55,)),
    Call("set_power_limit_temporary", "CommandAck", (123.4,)),
    Call("enable_performance_data_mode", "CommandAck"),
    Call("get_alarm_list", "CommandAck"),
    Call("turn_off_inverter", "CommandAck", (INVERTER,)),
    Call("turn_on_inverter", "CommandAck", (INVERTER,)),
    Call("reboot_inverter", "CommandAck", (INVERTER,)),
    Call("update_dtu_firmware", "CommandAck", ("http://example.test/x.bin",)),
    Call("set_wifi", "SetConfigReply", ("net", "pass")),
    # The last one: an encrypting DTU has another key after that.
    Call("restart_dtu", "CommandAck"),
)
GATEWAY_CALLS: Final = (
    Call("get_gateway_info", "GatewayInfoReply"),
    Call("get_gateway_network_info", "GatewayNetworkReply", (GATEWAY,)),
    Call("get_energy_storage_registry", "StorageRegistryReply", (GATEWAY,)),
    Call("get_energy_storage_data", "StorageDataReply", (GATEWAY, HYBRID)),
    Call(
        "set_energy_storage_working_mode",
        "StorageUserSetReply",
        (GATEWAY, HYBRID, "SELF_USE"),
    ),
)


UNKNOWN_TO_IT: Final = {
    "StorageDataReply": {"12.1.10", "12.1.13", "12.1.16", "12.1.17", "12.1.18"}
}
"""Fields of newer firmware that the client has no names for, by message."""


def _dtu(inventory: str, *, encrypt: bool = False, hour: int = 13) -> SimulatedDtu:
    clock = SimulatedClock(datetime(2026, 6, 21, hour, 7), speed=0)
    dtu = SimulatedDtu(
        inventory, clock=clock, encrypt=encrypt, command_time=0, seed=1, refresh=0
    )
    dtu.restart_time = 0
    if dtu.inverters:
        dtu.start_alarm(72)
    return dtu


async def _results(dtu: SimulatedDtu, calls: Sequence[Call]) -> dict[str, Any]:
    async with running_dtu(dtu) as address:
        results: dict[str, Any] = await run_peer(
            "calls",
            job={
                "host": address.host,
                "port": address.port,
                "seed": dtu.encryption_seed.hex(),
                "calls": [call.as_json for call in calls],
            },
        )
    return results


def _ours(dtu: SimulatedDtu, call: Call, sequences: Sequence[int]) -> dict[str, Any]:
    """Return what our messages find in the replies to a call, by field number."""
    first, last = sequences
    replies = [
        request.reply or b""
        for request in dtu.requests
        if first <= request.sequence <= last
    ]
    if call.name == "set_wifi":
        del replies[0]  # the configuration, which it reads first
    # Pages that follow each other are one message with all of them, as it merges them.
    fields = messages.decode(call.reply, b"".join(replies))
    if call.name == "app_get_hist_power":
        start = messages.decode(call.reply, replies[0])["absolute_start"]
        fields["absolute_start"] = start
    return numbered(call.reply, fields)


def _compare(dtu: SimulatedDtu, calls: Sequence[Call], results: dict[str, Any]) -> None:
    for call in calls:
        result = results[call.name]
        assert result["reply"] is not None, call.name
        ours = _ours(dtu, call, result["sequences"])
        left_out = unknown_to(result["known"], ours)
        assert left_out == UNKNOWN_TO_IT.get(call.reply, set()), call.name
        assert result["reply"] == ours, call.name


def _assert_obeyed(dtu: SimulatedDtu) -> None:
    assert [
        (record.command, record.action, record.text, record.result)
        for record in dtu.commands
    ] == [
        (0xA305, 8, "A:550,B:0,C:0\r", "success"),
        (0xA305, 211, "S:1,P:1234\r", "success"),
        (0xA305, 33, "", "success"),
        (0xA305, 50, "", "success"),
        (0x2305, 7, "", "success"),
        (0x2305, 6, "", "success"),
        (0x2305, 8195, "", "success"),
        (0x2305, 2, "http://example.test/x.bin\r", "failed"),
        (0xA310, 0, "", "success"),
        (0x2305, 1, "", "success"),
    ]
    named = [record.serials for record in dtu.commands if record.serials]
    assert named == [(int(INVERTER, 16),)] * 3
    (inverter,) = dtu.inverters.values()
    assert inverter.stored_limit == 550
    assert inverter.temporary_limit is None  # gone with the restart


async def test_client_finds_what_we_find() -> None:
    dtu = _dtu("hms-800w-2t")
    calls = (*READS, *WRITES)
    results = await _results(dtu, calls)
    _compare(dtu, calls, results)
    _assert_obeyed(dtu)
    real = results["get_real_data_new"]["reply"]
    assert len(real["11"]) == 2
    history = results["app_get_hist_power"]["reply"]
    assert len(history["13"]) == 157


async def test_client_finds_what_we_find_in_encrypted_replies() -> None:
    dtu = _dtu("hms-800w-2t", encrypt=True)
    seed = dtu.encryption_seed
    calls = (*READS, *WRITES)
    results = await _results(dtu, calls)
    # It holds the plain reply for an encrypted one.
    assert results["heartbeat"]["reply"] is None
    _compare(dtu, [call for call in calls if call.name != "heartbeat"], results)
    _assert_obeyed(dtu)
    app_info = results["app_information_data"]["reply"]
    assert app_info["8"]["27"] == seed.hex() != dtu.encryption_seed.hex()
    assert app_info["8"]["24"] >> 25 & 1


@pytest.mark.parametrize("encrypt", [False, True])
async def test_client_finds_what_we_find_on_three_pages(encrypt: bool) -> None:
    dtu = _dtu("stick-3", encrypt=encrypt)
    calls = [call for call in READS if call.name != "heartbeat"]
    results = await _results(dtu, calls)
    _compare(dtu, calls, results)
    first, last = results["get_real_data_new"]["sequences"]
    assert last - first == 2
    real = results["get_real_data_new"]["reply"]
    assert [len(real[number]) for number in ("9", "10", "11", "6")] == [2, 1, 9, 1]


async def test_client_finds_what_we_find_behind_a_storage_gateway() -> None:
    dtu = _dtu("storage", hour=9)  # the battery is neither empty nor full
    results = await _results(dtu, GATEWAY_CALLS)
    _compare(dtu, GATEWAY_CALLS, results)
    assert [record.command for record in dtu.commands] == [0xC308]


async def test_messages_load_beside_those_of_the_client() -> None:
    if not CAPTURES.exists():
        pytest.skip("the recorded frames are not part of the repository")
    assert await run_peer("captures", str(CAPTURES)) == {"read": 91, "wrong": []}
