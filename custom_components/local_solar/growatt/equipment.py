"""What equipment an inverter has, and the rows of a map that are about it."""

from dataclasses import dataclass, field, replace
from typing import Final

from ..modbus.register import Register
from ..points import Point
from .battery import VOLTAGE_KEYS
from .identify import Identification
from .profiles.profile import OFFERED, Part, Profile

_ON_BATTERY: Final = frozenset(
    {Part.BATTERY, Part.CONVERTER, Part.MODULE, Part.VPP_CLUSTER}
)

METERED: Final = frozenset(
    {
        f"{what}{counted}"
        for what in ("grid_import", "grid_export", "load")
        for counted in ("_power", "_energy_today", "_energy_total")
    }
    | {"grid_power"}
)
"""Points that stay 0 without a meter: then they are offered, not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentRows:
    """The rows that an inverter has, by key: its own and its battery's."""

    inverter: dict[str, Register] = field(default_factory=dict)
    battery: dict[str, Register] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What was found out about one inverter, and what its owner said.

    ``work_mode`` is which of its two meanings the work mode has, if that is known.
    """

    identified: Identification
    work_mode: Part | None = None

    def rows(self, profile: Profile, voltage_scale: float | None) -> PresentRows:
        """Return the rows of ``profile`` that are about what is there.

        ``voltage_scale`` is that of the battery's voltage where it is not the map's.
        """
        present = PresentRows()
        for section in profile.sections:
            rows = present.battery if section.part in _ON_BATTERY else present.inverter
            for row in section.rows:
                if not self.has(section.part, row.point.index or 0):
                    continue
                if row.key in profile.read_only or not self.identified.knows_settings:
                    row = replace(row, point=replace(row.point, setting=None))
                if voltage_scale is not None and row.key in VOLTAGE_KEYS:
                    row = replace(row, scale=voltage_scale)
                rows[row.key] = replace(row, point=self.as_shown(row.point))
        return present

    def as_shown(self, point: Point) -> Point:
        """Return a point as it is shown: what only a meter knows is 0 without one."""
        if point.key in METERED and not self.identified.meter:
            return replace(point, visibility=OFFERED)
        return point

    def has(self, part: Part, index: int) -> bool:
        """Return whether there is the equipment that a row is about."""
        identified = self.identified
        match part:
            case Part.STRING:
                return index <= identified.strings
            case Part.STRING_MONITOR:
                return 0 < index <= identified.monitored_strings
            case Part.THREE_PHASE:
                return identified.phases == 3
            case Part.BATTERY:
                return identified.battery
            case Part.MODULE:
                return index <= identified.modules
            case Part.BACKUP_BOX | Part.EXTERNAL_PV:
                return identified.backup_box
            case Part.PRIORITY_MODE | Part.SYSTEM_MODE:
                return part is self.work_mode
            case Part.VPP:
                return identified.vpp
            case Part.CONVERTER | Part.VPP_CLUSTER:
                return False  # no recording shows one in use
            case Part.INVERTER | Part.BACKUP:
                return True
