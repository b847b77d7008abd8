"""Tables as a terminal shows them."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress


def text_table(
    header: Sequence[str], rows: Iterable[Sequence[object]]
) -> Iterator[str]:
    """Yield the lines of a table; numbers stand at the right, empty columns are left out."""
    lines = [[_cell(value) for value in row] for row in rows]
    if not lines:
        return
    used = [any(line[column][0] for line in lines) for column in range(len(header))]
    header = list(compress(header, used))
    lines = [list(compress(line, used)) for line in lines]
    widths = [
        max(
            len(line[column][0])
            for line in [[(name, False) for name in header], *lines]
        )
        for column in range(len(header))
    ]
    names = (name.ljust(width) for name, width in zip(header, widths, strict=True))
    yield "  ".join(names).rstrip()
    for line in lines:
        cells = (
            text.rjust(width) if is_number else text.ljust(width)
            for (text, is_number), width in zip(line, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _cell(value: object) -> tuple[str, bool]:
    """Return the text of a value, and whether it is a number."""
    if value is None:
        return "", False
    if isinstance(value, float):
        return f"{value:.10g}", True
    return str(value), isinstance(value, int) and not isinstance(value, bool)
