"""Measures the library mate3, in its environment with Python 3.7.

    .env/mate3/bin/python -m benchmarks.outback_peer HOST PORT

Prints JSON: how often it has read everything after it had connected, which is a read of
everything as well, and the least seconds of one. ``benchmarks.outback`` runs this.
"""

import json
import sys
import time

READS = 3


def main() -> None:
    """Measure what listens at the address."""
    from loguru import logger  # type: ignore[import-not-found]  # noqa: PLC0415
    from mate3.api import Mate3Client  # type: ignore[import-not-found]  # noqa: PLC0415

    logger.disable("mate3")
    seconds = []
    with Mate3Client(sys.argv[1], int(sys.argv[2])) as client:
        for _ in range(READS):
            began = time.perf_counter()
            client.read_all()
            seconds.append(time.perf_counter() - began)
    json.dump({"reads": READS, "seconds": min(seconds)}, sys.stdout)


# Not a benchmark by itself, so without what scripts/bench takes for the sign of one.
main()
