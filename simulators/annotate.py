"""``annotate``: what a recorded bus says of an inverter's registers.

The report needs the register maps, which are imported only when it is made.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from .cli import Commands
from .datasets import Table
from .errors import SimulatorError
from .wire_log import load_recording

if TYPE_CHECKING:
    from .annotate_report import Report


def register(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "annotate",
        help="explain a recorded bus: which registers were read, and what they are",
        description=(
            "Reads a capture of the gateway, of a simulator, or a wire log of"
            " growatt-rtu-broker, and says who asked for what, which registers the maps"
            " know, and how those moved that no map knows. Serial numbers are masked."
        ),
    )
    parser.add_argument("capture", metavar="CAPTURE", type=Path, help="JSON lines")
    parser.add_argument(
        "--unit", metavar="N", type=_unit, help="the unit, if there are several"
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="register map to use; without it, it is told from the recording",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object in place of tables"
    )
    parser.add_argument(
        "--dataset",
        metavar="OUT",
        type=Path,
        help="write the words seen last as a dataset, serial numbers masked",
    )
    parser.set_defaults(run=run)


def _unit(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 4 and int(text) <= 0xFF:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to 255")


async def run(options: argparse.Namespace) -> None:
    """Print a report. Raises ``SimulatorError`` on bad input."""
    from .annotate_output import as_json, as_text  # noqa: PLC0415
    from .annotate_report import annotate  # noqa: PLC0415

    recording = load_recording(options.capture)
    report = await annotate(recording, unit=options.unit, profile=options.profile)
    if options.dataset is not None:
        _write_dataset(report, options.capture, options.dataset)
    if options.json:
        print(json.dumps(as_json(report), indent=1))
    else:
        print("\n".join(as_text(report)))


def _write_dataset(report: Report, capture: Path, path: Path) -> None:
    """Write the words of a report where the simulator finds them."""
    document: dict[str, object] = {
        "_source": f"Recorded: unit {report.unit} of {capture.name}, read with the map"
        f" {report.profile}. Serial numbers are masked."
    }
    for table in Table:
        words = report.dataset.words[table]
        document[table] = {str(address): words[address] for address in sorted(words)}
    try:
        if path.exists() and path.samefile(capture):
            raise SimulatorError(f"{path}: is the capture itself")
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as err:
        raise SimulatorError(
            f"{path}: cannot be written: {err.strerror or err}"
        ) from None
