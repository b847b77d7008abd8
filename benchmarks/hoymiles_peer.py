"""Measures ours beside hoymiles-wifi, in the environment of that client.

    .env/peer/bin/python -m benchmarks.hoymiles_peer decode < JOB
    .env/peer/bin/python -m benchmarks.hoymiles_peer import ours|theirs
    .env/peer/bin/python -m benchmarks.hoymiles_peer pages < JOB

Prints JSON. There is no Home Assistant in that environment: the protocol of the
integration is imported without what is around it. ``benchmarks.hoymiles`` runs this.
"""

# Nothing else is imported before it is needed: what that takes is one of the results.
from importlib import import_module
import sys
from types import ModuleType

STANDARD = (
    *("array", "asyncio", "collections.abc", "dataclasses", "datetime", "enum"),
    *("hashlib", "itertools", "logging", "operator", "pathlib", "random", "struct"),
    *("time", "typing"),
)

_FOLDER = __file__.rpartition("/benchmarks/")[0] + "/custom_components/local_solar"


def _make_importable() -> None:
    """Put an empty package around the protocol."""
    package = ModuleType("custom_components.local_solar")
    package.__path__ = [_FOLDER]
    sys.modules[package.__name__] = package


# -- memory ---------------------------------------------------------------------------


def _resident() -> tuple[int, int]:
    """Return how much memory the process takes, and the most that it ever took, in kB."""
    now = peak = 0
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        for line in file:
            if line.startswith("VmRSS:"):
                now = int(line.split()[1])
            elif line.startswith("VmHWM:"):
                peak = int(line.split()[1])
    return now, peak


def measure_import(whose: str) -> dict[str, float]:
    """Return the kB that a client takes when it is imported.

    What both need of the standard library is in any Home Assistant and counts for none.
    """
    _make_importable()
    for name in STANDARD:
        import_module(name)
    before, count = _resident()[0], len(sys.modules)
    if whose == "ours":
        import custom_components.local_solar.hoymiles.client  # noqa: F401, PLC0415
    else:
        import hoymiles_wifi.dtu  # type: ignore[import-not-found]  # noqa: F401, PLC0415
    now, peak = _resident()
    return {
        "resident": now - before,
        "peak": peak - before,
        "modules": len(sys.modules) - count,
    }


# -- decoding -------------------------------------------------------------------------


def measure_decode(job: dict[str, list[str] | int]) -> list[dict[str, float]]:
    """Return the microseconds from the bytes of each frame to records or messages.

    Both take turns, so that what disturbs one disturbs the other.
    """
    from time import perf_counter  # noqa: PLC0415

    from hoymiles_wifi.dtu import DTU  # noqa: PLC0415
    from hoymiles_wifi.protobuf import RealDataNew_pb2  # type: ignore[import-not-found]  # noqa: PLC0415

    _make_importable()
    from custom_components.local_solar.hoymiles import records  # noqa: PLC0415
    from custom_components.local_solar.hoymiles.frame import FrameReader  # noqa: PLC0415

    client = DTU("127.0.0.1")
    reader = FrameReader()
    octets = b""

    def ours() -> records.RealData:
        (frame,) = reader.feed(octets)
        return records.real_data(frame.payload)

    def theirs() -> object:
        return client.parse_response(octets, RealDataNew_pb2.RealDataNewReqDTO, False)

    frames, rounds = job["frames"], job["rounds"]
    assert isinstance(frames, list)
    assert isinstance(rounds, int)
    results = []
    for digits in frames:
        octets = bytes.fromhex(digits)
        assert len(ours().panels) == len(theirs().pv_data)  # type: ignore[attr-defined]
        best = {"ours": float("inf"), "theirs": float("inf")}
        for _ in range(rounds):
            # Single calls: what is short finds a quiet moment on a busy computer, too.
            for name, function in (("ours", ours), ("theirs", theirs)):
                started = perf_counter()
                function()
                best[name] = min(best[name], (perf_counter() - started) * 1e6)
        results.append(best)
    return results


# -- pages ----------------------------------------------------------------------------


def measure_pages(job: dict[str, str | int]) -> dict[str, float]:
    """Return the seconds in which both read all values of a DTU, and how many inputs."""
    import asyncio  # noqa: PLC0415

    return asyncio.run(_async_measure_pages(job))


async def _async_measure_pages(job: dict[str, str | int]) -> dict[str, float]:
    from datetime import UTC, datetime  # noqa: PLC0415
    from time import perf_counter  # noqa: PLC0415

    from hoymiles_wifi.dtu import DTU  # noqa: PLC0415

    _make_importable()
    from custom_components.local_solar.hoymiles.client import DtuClient, Session  # noqa: PLC0415
    from custom_components.local_solar.hoymiles.records import RealData  # noqa: PLC0415

    host, port, rounds = str(job["host"]), int(job["port"]), int(job["rounds"])

    class AtPort(DTU):  # type: ignore[misc]
        """The client at another port than its own."""

        async def async_send_request(
            self, *arguments: object, **options: object
        ) -> object:
            """Send a request."""
            return await super().async_send_request(
                *arguments, dtu_port=port, **options
            )

    async def all_values(session: Session) -> RealData:
        return await session.async_real_data()

    ours = DtuClient(host, port, lambda: datetime.now(UTC))
    result = {"ours": float("inf"), "theirs": float("inf")}
    for _ in range(rounds):
        started = perf_counter()
        values = await ours.async_in_session(all_values)
        result["ours"] = min(result["ours"], perf_counter() - started)

        started = perf_counter()
        message = await AtPort(host).async_get_real_data_new()
        result["theirs"] = min(result["theirs"], perf_counter() - started)
        assert message is not None
        result["our inputs"] = len(values.panels)
        result["their inputs"] = len(message.pv_data)
        result["pages"] = values.page_count
    return result


def main() -> None:
    """Measure what the arguments say."""
    result: object
    if sys.argv[1] == "import":
        result = measure_import(sys.argv[2])
    import json  # noqa: PLC0415

    if sys.argv[1] == "decode":
        result = measure_decode(json.load(sys.stdin))
    elif sys.argv[1] == "pages":
        result = measure_pages(json.load(sys.stdin))
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
