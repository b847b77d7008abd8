"""Reading the files that simulators are started with."""

from pathlib import Path

from .errors import SimulatorError


def read_text(path: str | Path, name: object = None) -> str:
    """Return the text of a file, which messages call ``name``. Raises ``SimulatorError``."""
    name = name or path
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as err:
        raise SimulatorError(f"{name}: cannot be read: {err.strerror or err}") from None
    except UnicodeDecodeError:
        raise SimulatorError(f"{name}: is not a text file in UTF-8") from None
