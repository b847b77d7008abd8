"""Write the simulator's datasets of the families of which no recording was at hand.

    python scripts/build_datasets.py           rewrite simulators/datasets/*.json
    python scripts/build_datasets.py --check   exit 1 if they are not up to date

Each is made from the register map of its family: a name plate, settings within their
limits, counters of some years, and the powers of one moment of the simulated plant, so
that everything adds up. No real device has these values.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
import json
from pathlib import Path
import sys
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from custom_components.local_solar.growatt.profiles.catalogue import profile_of  # noqa: E402
from custom_components.local_solar.growatt.profiles.profile import Part  # noqa: E402
from custom_components.local_solar.modbus.codecs import Bits, Integer  # noqa: E402
from custom_components.local_solar.modbus.register import Register  # noqa: E402
from custom_components.local_solar.points import Quantity, Value  # noqa: E402
from simulators.clock import SimulatedClock  # noqa: E402
from simulators.datasets import SHIPPED, Dataset, Table  # noqa: E402
from simulators.mutation import Mutation, counted, put  # noqa: E402

MOMENT: Final = datetime(2026, 4, 18, 10, 34, 56)
"""The moment of all datasets: a spring morning with the sun out."""

YEARS: Final = 2.0
FULL_LOAD_HOURS: Final = 950.0
"""Hours a year in which the sun gives the rated power, so to speak."""

PROTOCOL_2: Final = "min_5000tl_x"
"""The dataset whose holding registers 0 to 374 all Protocol II inverters start from."""

_BASE_END: Final = 375

WORDS_PER_LINE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """Volts, ampere-hours and percent of a battery."""

    voltage: float
    capacity: float
    soc: int = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a dataset is made from.

    ``rated`` is in VA. ``monitored`` is how many strings are measured one by one.
    ``values`` are values by key that this device has, beside those all have.
    """

    name: str
    what: str
    profile: str
    code: int
    serial: str
    firmware: str
    rated: float
    strings: int
    phases: int = 1
    battery: Battery | None = None
    vpp: bool = False
    monitored: int = 0
    values: Mapping[str, Value] = field(default_factory=dict)


_VPP: Final[Mapping[str, Value]] = {
    "vpp_version": 2.02,
    "vpp_ems_timeout": 60,
    "vpp_charge_stop_soc": 100,
    "vpp_discharge_stop_soc": 10,
    "vpp_load_first_stop_soc": 10,
    "vpp_off_grid_stop_soc": 10,
    "vpp_export_limit_rate": 100,
}

RECIPES: Final[tuple[Recipe, ...]] = (
    Recipe(
        name="mod_15000tl3_x",
        what="a MOD 15KTL3-X with 8 monitored strings",
        profile="mod_tl3_x",
        code=5002,
        serial="RPH0CEMOD1",
        firmware="DL1.0",
        rated=15000,
        strings=2,
        phases=3,
        monitored=8,
    ),
    Recipe(
        name="mod_10000tl3_xh",
        what="a MOD 10KTL3-XH with a battery of 10 kWh and the VPP protocol",
        profile="mod_tl3_xh",
        code=5400,
        serial="DFK0CEMXH1",
        firmware="DN1.0",
        rated=10000,
        strings=2,
        phases=3,
        battery=Battery(voltage=204.8, capacity=50),
        vpp=True,
    ),
    Recipe(
        name="sph_5000",
        what="a SPH 5000 with a battery of 6.5 kWh and the VPP protocol",
        profile="sph",
        code=3502,
        serial="NRC0CESPH1",
        firmware="RA1.0",
        rated=5000,
        strings=2,
        battery=Battery(voltage=51.2, capacity=126),
        vpp=True,
    ),
    Recipe(
        name="sph_10000tl3",
        what="a SPH 10000TL3 BH-UP with a battery of 10 kWh",
        profile="sph_tl3",
        code=3601,
        serial="QQQ0CEST31",
        firmware="YA1.0",
        rated=10000,
        strings=2,
        phases=3,
        battery=Battery(voltage=204.8, capacity=50),
    ),
    Recipe(
        name="spa_3000",
        what="a SPA 3000TL BL beside a PV inverter, with a battery of 6.5 kWh",
        profile="spa",
        code=3735,
        serial="WPD0CESPA1",
        firmware="RH1.0",
        rated=3000,
        strings=0,
        battery=Battery(voltage=51.2, capacity=126),
    ),
    Recipe(
        name="spf_5000es",
        what="an SPF 5000 ES with a lithium battery of 5 kWh",
        profile="spf",
        code=3400,
        serial="TTJ0CESPF1",
        firmware="067.02",
        rated=5000,
        strings=1,
        battery=Battery(voltage=51.2, capacity=100),
        values={
            "modbus_version": 0.26,
            "device_type_code_input": 3400,
            "rated_power": 5000.0,
            "max_charge_current": 60,
            "bulk_charge_voltage": 56.4,
            "float_charge_voltage": 54.0,
            "battery_type": "lithium",
            "output_voltage_type": "230_v",
        },
    ),
    Recipe(
        name="max_60000tl3",
        what="a MAX 60KTL3 LV with 16 monitored strings",
        profile="max_tl3",
        code=5000,
        serial="NAH0CEMAX1",
        firmware="TJ1.0",
        rated=60000,
        strings=6,
        phases=3,
        monitored=16,
    ),
    Recipe(
        name="wit_15000",
        what="a WIT 15K-HU with a battery of 20 kWh and the VPP protocol",
        profile="wit",
        code=5603,
        serial="0HU0CEWIT1",
        firmware="QQ1.0",
        rated=15000,
        strings=2,
        phases=3,
        battery=Battery(voltage=409.6, capacity=50),
        vpp=True,
    ),
    Recipe(
        name="mtls_4200",
        what="a 4200MTL-S of the old protocol",
        profile="v3_pv",
        code=210,
        serial="QQQ0CEMTL1",
        firmware="G.1.8",
        rated=4200,
        strings=2,
        values={"modbus_version": 3.05, "manufacturer": "Growatt"},
    ),
    Recipe(
        name="tl3s_12000",
        what="a 12000 TL3-S of the old protocol",
        profile="v3_pv",
        code=2049,
        serial="MVC0CETL31",
        firmware="dha1.0",
        rated=12000,
        strings=2,
        phases=3,
        values={"modbus_version": 3.05, "manufacturer": "Growatt"},
    ),
    Recipe(
        name="base_5000",
        what="an inverter of no known model that answers in the base registers",
        profile="tl_x_base",
        code=5999,
        serial="QQQ0CEBAS1",
        firmware="QQ1.0",
        rated=5000,
        strings=2,
    ),
)


class Made:
    """A dataset in the making."""

    def __init__(self, recipe: Recipe) -> None:
        """Take the rows of what the device of ``recipe`` has."""
        self.recipe = recipe
        self.rows = tuple(_rows(recipe))
        self._by_key = {row.key: row for row in self.rows}
        self.words: dict[Table, dict[int, int]] = {table: {} for table in Table}

    def make(self) -> dict[str, object]:
        """Return the document of the dataset."""
        self._fill_with_zeros()
        self._start_from_protocol_2()
        for row in self.rows:
            if row.point.setting is not None and not row.part_of:
                self._settle(row)
        for row in self.rows:
            self._give_state(row)
        self.words[Table.HOLDING] |= self._counts()
        for key, value in self._plate().items():
            self.put(key, value)
        for row in self.rows:
            if (flow := counted(row)) is not None and flow[1] == "total":
                self._put(row, round(self._lifetime(flow[0]), 1))
        Mutation(self.words, self.rows, SimulatedClock(MOMENT, speed=0))
        return {
            "_source": f"Made up for Local Solar: {self.recipe.what} on"
            f" {MOMENT:%Y-%m-%d at %H:%M:%S}. No real device has these values.",
            **{
                table.value: self._compact(words)
                for table, words in self.words.items()
                if words
            },
        }

    def put(self, key: str, value: Value) -> None:
        """Put a value into the row of a key, if the device has it."""
        if (row := self._by_key.get(key)) is not None:
            self._put(row, value)

    def _put(self, row: Register, value: Value) -> None:
        words = self.words[Table(row.space.value)]
        if isinstance(row.codec, Bits) and isinstance(value, int | str):
            put(words, row, value)
        else:
            words.update(enumerate(row.encode(value), row.address))

    def _fill_with_zeros(self) -> None:
        for row in self.rows:
            words = self.words[Table(row.space.value)]
            for address in range(row.address, row.end):
                words.setdefault(address, 0)

    def _start_from_protocol_2(self) -> None:
        """Take over name plate, grid protection and ratings from another dataset."""
        if self.recipe.profile in ("spf", "v3_pv"):
            return
        model = Dataset.load(PROTOCOL_2).words[Table.HOLDING]
        holding = self.words[Table.HOLDING]
        holding |= {at: word for at, word in model.items() if at < _BASE_END}

    def _settle(self, row: Register) -> None:
        """Give a setting a value within its limits, unless it has one."""
        words = self.words[Table(row.space.value)]
        held = row.decode([words.get(at, 0) for at in range(row.address, row.end)])
        setting = row.point.setting
        assert setting is not None
        if row.options is not None or not isinstance(row.codec, Integer):
            return
        low, high = setting.minimum, setting.maximum
        if isinstance(held, int | float) and (low or 0) <= held <= (high or held):
            return
        self._put(row, low if low is not None else 0)

    def _give_state(self, row: Register) -> None:
        """Give a row of states one of them, if 0 is none."""
        words = self.words[Table(row.space.value)]
        held = [words.get(at, 0) for at in range(row.address, row.end)]
        if (
            row.point.quantity is Quantity.STATE
            and not any(held)
            and row.decode(held) is None
            and row.point.options
        ):
            put(words, row, row.point.options[0])

    def _counts(self) -> dict[int, int]:
        """Return the words that say how much there is of what."""
        recipe = self.recipe
        if recipe.profile == "spf":
            return {}
        counts = {44: recipe.strings << 8 | recipe.phases}
        if recipe.monitored:
            counts[183] = recipe.monitored
        return counts

    def _plate(self) -> Mapping[str, Value]:
        recipe, battery = self.recipe, self.recipe.battery
        plate: dict[str, Value] = {
            "device_type_code": recipe.code,
            "firmware_version": recipe.firmware,
            "control_firmware_version": "ZAca",
            "serial_number": recipe.serial,
            "serial_number_long": recipe.serial,
            "serial_number_3000": recipe.serial,
            "vpp_serial_number": recipe.serial,
            "vpp_device_type_code": recipe.code,
            "vpp_rated_power": recipe.rated,
            "on_off": self._on(),
            "modbus_address": 1,
            "rated_apparent_power": recipe.rated,
            "active_power_limit": 100,
            "charge_power_rate": 100,
            "discharge_power_rate": 100,
            "charge_stop_soc": 100,
            "discharge_stop_soc": 10,
            "on_grid_discharge_stop_soc": 10,
            "load_first_min_soc": 10,
            "grid_frequency": 50.0,
            "ac_input_frequency": 50.0,
            "grid_l1_voltage": 230.0,
            "ac_input_voltage": 230.0,
            "run_time": 3600.0 * 24 * 365 * YEARS,
            "clock": MOMENT,
        }
        for n in range(1, recipe.strings + 1):
            plate[f"pv{n}_voltage"] = 360.0 if recipe.profile != "spf" else 180.0
        if battery is not None:
            plate |= {
                "battery_voltage": battery.voltage,
                "battery_soc": battery.soc,
                "bms_full_capacity": battery.capacity,
                "battery_soh": 99,
                "bms_cycle_count": 210,
                "battery_serial_number": f"0{recipe.serial[3:]}",
                "battery_pack_temperature": 23.0,
                "battery_converter_connected": "bdc1",
                "battery_monitor_code": "ZEBA",
                "battery_monitor_version": 2,
            }
        if recipe.vpp:
            plate |= _VPP
        plate |= recipe.values
        return plate

    def _on(self) -> Value:
        """Return the state of an inverter that is switched on."""
        row = self._by_key.get("on_off")
        options = (row and row.options) or {}
        return "inverter_on" if "inverter_on" in options.values() else True

    def _lifetime(self, flow: str) -> float:
        """Return what a flow has counted in kilowatt-hours."""
        made = self.recipe.rated / 1000 * FULL_LOAD_HOURS * YEARS
        shares = {
            "pv": 1.0,
            "": 0.97,
            "system": 0.98,
            "battery_charge": 0.3,
            "battery_discharge": 0.28,
            "grid_import": 0.25,
            "grid_export": 0.45,
            "load": 0.75,
            "self_use": 0.5,
            "ac_output": 0.8,
            "ac_discharge": 0.28,
            "ac_charge": 0.02,
        }
        if flow.startswith("pv") and flow[2:].isdecimal():
            return made / max(1, self.recipe.strings)
        return made * shares.get(flow, 0.0)

    def _compact(self, words: Mapping[int, int]) -> dict[str, int]:
        """Return the words that are not 0, and one of each group that has no other."""
        groups = {
            (first, last)
            for group in profile_of(
                self.recipe.profile, vpp=self.recipe.vpp
            ).groups.values()
            for first, last in group
        }
        kept = {address for address, word in words.items() if word}
        for first, last in groups:
            known = sorted(address for address in words if first <= address <= last)
            if known and not kept & set(known):
                kept.add(known[0])
        return {str(address): words[address] for address in sorted(kept)}


def _rows(recipe: Recipe) -> Iterator[Register]:
    """Go through the rows of the equipment that a device has."""
    counts = {Part.STRING: recipe.strings, Part.STRING_MONITOR: recipe.monitored}
    absent = {
        Part.BACKUP_BOX,
        Part.EXTERNAL_PV,
        Part.CONVERTER,
        Part.MODULE,
        Part.VPP_CLUSTER,
        Part.SYSTEM_MODE,
    }
    if recipe.phases != 3:
        absent.add(Part.THREE_PHASE)
    if recipe.battery is None:
        absent.add(Part.BATTERY)
    for section in profile_of(recipe.profile, vpp=recipe.vpp).sections:
        if section.part in absent:
            continue
        for row in section.rows:
            if (row.point.index or 0) <= counts.get(section.part, 99):
                yield row


def as_text(document: Mapping[str, object]) -> str:
    """Return a dataset as the files have it: ten words to a line."""
    parts = [f'  "_source": {json.dumps(document["_source"])}']
    for table in Table:
        words = document.get(table.value)
        if isinstance(words, Mapping):
            entries = [f'"{address}": {word}' for address, word in words.items()]
            lines = [
                ", ".join(entries[at : at + WORDS_PER_LINE])
                for at in range(0, len(entries), WORDS_PER_LINE)
            ]
            body = ",\n    ".join(lines)
            parts.append(f'  "{table.value}": {{\n    {body}\n  }}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(arguments: Iterable[str]) -> int:
    """Write the files, or compare them. Return the exit code."""
    stale = []
    for recipe in RECIPES:
        path = SHIPPED / f"{recipe.name}.json"
        text = as_text(Made(recipe).make())
        if "--check" not in arguments:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            stale.append(path.relative_to(ROOT))
    for name in stale:
        print(f"{name} is not up to date: run scripts/build_datasets.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
