"""The integration's source files, parsed: what tests about the code itself look at."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = "custom_components.local_solar"
FOLDER: Final = ROOT / "custom_components" / "local_solar"


@dataclass(frozen=True, slots=True)
class Source:
    """One module of the integration. ``name`` is relative to it: ``growatt.identify``."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders of the module and its own name; empty for the package itself."""
        return tuple(self.name.split(".")) if self.name else ()

    @property
    def is_package(self) -> bool:
        """Whether it is a folder's ``__init__``."""
        return self.path.name == "__init__.py"

    def imports(self) -> Iterator[str]:
        """Go through the full names of all that is imported, wherever it stands."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names=names):
                    yield from (alias.name for alias in names)
                case ast.ImportFrom(module=module, names=names, level=level):
                    base = ".".join(
                        part for part in (self._base(level), module) if part
                    )
                    yield from (f"{base}.{alias.name}" for alias in names)

    def _base(self, level: int) -> str:
        """Return what the dots of a relative import stand for."""
        if not level:
            return ""
        parts = [*PACKAGE.split("."), *self.parts]
        up = level - 1 if self.is_package else level
        return ".".join(parts[: len(parts) - up])

    def value_of(self, node: ast.expr) -> object:
        """Return what a name or constant stands for, ``None`` if that is not plain."""
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                full = ".".join(part for part in (PACKAGE, self.name) if part)
                return getattr(import_module(full), name, None)
            case ast.Attribute(value=ast.Name(id=owner), attr=attribute):
                return getattr(self.value_of(ast.Name(owner)), attribute, None)
        return None


@cache
def sources() -> Mapping[str, Source]:
    """Return all modules of the integration by name."""
    found = {}
    for path in sorted(FOLDER.rglob("*.py")):
        parts = path.relative_to(FOLDER).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Source(name, path, ast.parse(path.read_text("utf-8"), str(path)))
    return found


def module_of(imported: str) -> str | None:
    """Return which module of the integration an imported name is of, if of any."""
    if imported != PACKAGE and not imported.startswith(f"{PACKAGE}."):
        return None
    parts = imported.removeprefix(PACKAGE).strip(".").split(".")
    while parts and ".".join(parts) not in sources():
        parts.pop()
    return ".".join(parts)
