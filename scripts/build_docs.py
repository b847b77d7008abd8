"""Write the pages of the documentation that derive from the tables.

    python scripts/build_docs.py           rewrite the pages
    python scripts/build_docs.py --check   exit 1 if they are not up to date

Of ``docs/growatt.md`` it is what stands between comments that say so: what is read and
what may be set, by family. ``docs/growatt_registers.md`` lists the register maps and the
alarm codes, ``docs/growatt_models.md`` the type codes and prefixes that models are recognised by,
``docs/hoymiles_points.md`` the points, events and models of Hoymiles devices,
``docs/outback_registers.md`` the blocks of OutBack's gateways. A module of ``pages``
makes those of each family.
"""

from collections.abc import Iterator
from pathlib import Path
import sys
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.pages.growatt import models_page, registers_page  # noqa: E402
from scripts.pages.growatt_families import with_blocks  # noqa: E402
from scripts.pages.hoymiles import hoymiles_page  # noqa: E402
from scripts.pages.outback import outback_page  # noqa: E402

DOCS: Final = ROOT / "docs"


def rendered() -> Iterator[tuple[Path, str]]:
    """Go through the pages and the text each should have."""
    page = DOCS / "growatt.md"
    yield page, with_blocks(page.read_text("utf-8"))
    yield DOCS / "growatt_registers.md", registers_page()
    yield DOCS / "growatt_models.md", models_page()
    yield DOCS / "hoymiles_points.md", hoymiles_page()
    yield DOCS / "outback_registers.md", outback_page()


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale = [
        (path, text)
        for path, text in rendered()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    if "--check" in arguments:
        for path, _ in stale:
            print(f"{path.relative_to(ROOT)} is stale: run scripts/build_docs.py")
        return 1 if stale else 0
    for path, text in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
