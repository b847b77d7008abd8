"""The actions: reading registers, and changing settings with an explicit confirmation.

Only administrators may call them; automations that nobody started may, too.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from datetime import time
from typing import Any, Final

import probatio

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.service import (
    async_get_device_and_config_entry,
    async_register_admin_service,
)
from homeassistant.util import dt as dt_util

from .battery_control import BatteryControl
from .const import CONF_KIND, DOMAIN
from .coordinators.base import LocalSolarCoordinator
from .coordinators.gateway import GatewayCoordinator
from .datalogger_list import listed_dataloggers
from .dataset_files import async_write_dataset
from .energy_history_import import async_import_energy_history
from .modbus.image import Space
from .points import (
    AC_CHARGE,
    SLOT_PARTS,
    SLOT_WITHOUT_GRID_CHARGE,
    Point,
    PowerCommand,
    TimeSlotChange,
    Value,
    Wanted,
)
from .registers import ParameterReading, RegisterReading
from .responses import (
    ATTR_ADDRESS,
    ATTR_REGISTER,
    ATTR_SPACE,
    ATTR_TOKEN,
    ATTR_VALUE,
    PARAMETER,
    preview_response,
    reading_response,
    result_response,
)
from .values import Given, NotAValueError, as_text, parse
from .write_gate import Outcome
from .writing import Asker, Writing

ATTR_COUNT: Final = "count"
ATTR_CONFIRM: Final = "confirm"
ATTR_EXPECTED: Final = "expected"
ATTR_ONLY_IF_DIFFERENT: Final = "only_if_different"
ATTR_SLOT: Final = "slot"
ATTR_MODE: Final = "mode"
ATTR_GRID_CHARGE: Final = "grid_charge"
ATTR_POWER: Final = "power"
ATTR_DURATION: Final = "duration"
ATTR_MAX_SIZE: Final = "max_size"

MAX_WORDS: Final = 125
"""The most registers that one message can bring."""

MAX_MINUTES: Final = 24 * 60
"""The longest command to a battery. There is none without end."""

MEGABYTE: Final = 1_000_000
MAX_MEGABYTES: Final = 1000
"""The most that a capture may take of the disk: 50 MB are a day of a busy bus."""

_DEVICE: Final = {probatio.Required(ATTR_DEVICE_ID): cv.string}

_KEY: Final = probatio.All(cv.string, cv.slug)
_VALUE: Final = probatio.Any(bool, int, float, str, time, dict)


def _whole_number(value: object) -> int:
    """Return a number that was given as such, or as text. Raises ``Invalid``."""
    number = None if isinstance(value, bool) else probatio.Coerce(float)(value)
    if number is None or not number.is_integer():
        raise probatio.Invalid("expected a whole number")
    return int(number)


_WORD_ADDRESS: Final = probatio.All(probatio.Coerce(int), probatio.Range(0, 0xFFFF))

READ_REGISTER: Final = probatio.Schema(
    {
        **_DEVICE,
        probatio.Optional(ATTR_REGISTER): _KEY,
        probatio.Optional(ATTR_SPACE): probatio.Any(PARAMETER, probatio.Coerce(Space)),
        probatio.Optional(ATTR_ADDRESS): _WORD_ADDRESS,
        probatio.Optional(ATTR_COUNT, default=1): probatio.All(
            probatio.Coerce(int), probatio.Range(1, MAX_WORDS)
        ),
    }
)
PREVIEW_WRITE: Final = probatio.Schema(
    {
        **_DEVICE,
        probatio.Required(ATTR_REGISTER): _KEY,
        probatio.Required(ATTR_VALUE): _VALUE,
    }
)
TOKEN: Final = probatio.Schema({**_DEVICE, probatio.Required(ATTR_TOKEN): cv.string})
SET_REGISTER: Final = probatio.Schema(
    {
        **_DEVICE,
        probatio.Required(ATTR_REGISTER): _KEY,
        probatio.Required(ATTR_VALUE): _VALUE,
        probatio.Required(ATTR_CONFIRM): cv.boolean,
        probatio.Optional(ATTR_EXPECTED): _VALUE,
        probatio.Optional(ATTR_ONLY_IF_DIFFERENT, default=True): cv.boolean,
    }
)
SET_TIME_SLOT: Final = probatio.Schema(
    {
        **_DEVICE,
        probatio.Required(ATTR_SLOT): probatio.All(
            probatio.Coerce(int), probatio.Range(min=1)
        ),
        probatio.Required(ATTR_CONFIRM): cv.boolean,
        probatio.Optional("start"): cv.time,
        probatio.Optional("end"): cv.time,
        probatio.Optional(ATTR_MODE): cv.string,
        probatio.Optional("days"): cv.string,
        probatio.Optional(ATTR_POWER): probatio.Coerce(int),
        probatio.Optional("enabled"): cv.boolean,
        probatio.Optional(ATTR_GRID_CHARGE): cv.boolean,
    }
)
CONTROL_BATTERY: Final = probatio.Schema(
    {
        **_DEVICE,
        probatio.Required(ATTR_POWER): probatio.All(
            _whole_number, probatio.Range(-100, 100)
        ),
        probatio.Required(ATTR_DURATION): probatio.All(
            _whole_number, probatio.Range(1, MAX_MINUTES)
        ),
        probatio.Required(ATTR_CONFIRM): cv.boolean,
    }
)
RELEASE_BATTERY: Final = probatio.Schema(
    {**_DEVICE, probatio.Required(ATTR_CONFIRM): cv.boolean}
)
IMPORT_ENERGY_HISTORY: Final = probatio.Schema(
    {**_DEVICE, probatio.Optional(ATTR_CONFIRM, default=False): cv.boolean}
)
START_CAPTURE: Final = probatio.Schema(
    {
        **_DEVICE,
        probatio.Optional(ATTR_MAX_SIZE, default=50): probatio.All(
            _whole_number, probatio.Range(1, MAX_MEGABYTES)
        ),
    }
)
DEVICE: Final = probatio.Schema(_DEVICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """An action that was called, and the device it is for."""

    hass: HomeAssistant
    call: ServiceCall
    device: str
    """Id of the device in our own vocabulary."""
    coordinator: LocalSolarCoordinator

    @classmethod
    def of(cls, call: ServiceCall) -> _Call:
        """Look the device up. Raises ``ServiceValidationError``."""
        device, entry = async_get_device_and_config_entry(
            call.hass, DOMAIN, call.data[ATTR_DEVICE_ID], include_child_devices=False
        )
        coordinator: LocalSolarCoordinator = entry.runtime_data
        (identifier,) = (
            name for domain, name in device.identifiers if domain == DOMAIN
        )
        return cls(
            hass=call.hass, call=call, device=identifier, coordinator=coordinator
        )

    @property
    def writing(self) -> Writing:
        """The way to the device. Raises ``ServiceValidationError`` if it is shut."""
        if not self.coordinator.drivers():
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="no_settings",
                translation_placeholders={"device": self.coordinator.name},
            )
        if (writing := self.coordinator.writing) is None:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="writes_disabled",
                translation_placeholders={"device": self.coordinator.name},
            )
        return writing

    @property
    def battery_control(self) -> BatteryControl:
        """The commands to the battery. Raises ``ServiceValidationError`` if it takes none."""
        control = self.coordinator.battery_control
        if control is None or not control.is_of(self.device):
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="no_battery_control",
                translation_placeholders={"device": self.coordinator.name},
            )
        return control

    @property
    def gateway(self) -> GatewayCoordinator:
        """The gateway. Raises ``ServiceValidationError`` if the device is something else."""
        if not isinstance(self.coordinator, GatewayCoordinator):
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="not_a_gateway",
                translation_placeholders={"device": self.coordinator.name},
            )
        return self.coordinator

    def check_confirmed(self) -> None:
        """Raise ``ServiceValidationError`` unless the caller has confirmed."""
        if not self.call.data[ATTR_CONFIRM]:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="confirmation_required",
                translation_placeholders={"action": f"{DOMAIN}.{self.call.service}"},
            )

    async def async_asker(self) -> Asker:
        """Return who called."""
        return await Asker.async_of(
            self.hass, self.call.context, f"{DOMAIN}.{self.call.service}"
        )

    async def async_try(self, key: str, wanted: Wanted, asker: Asker) -> None:
        """Raise ``HomeAssistantError`` if a change would be refused now."""
        pending = await self.writing.async_preview(self.device, key, wanted, asker)
        self.writing.cancel(self.device, pending.token)

    def find_slot(self, number: int, mode: str | None) -> Point:
        """Return the time slot of a number. Raises ``ServiceValidationError``.

        The mode says which schedule it is in, where a device has several. Without a mode
        it is the one whose slots have modes to choose from. Nothing else decides that: a
        part that a slot lacks must be refused, and not change another schedule.
        """
        slots = self.writing.time_slots(self.device)
        if not slots:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="no_time_slots",
                translation_placeholders={"device": self.coordinator.name},
            )
        modes = list(dict.fromkeys(mode for slot in slots for mode in slot.options))
        if mode is None:
            found = [slot for slot in slots if len(slot.options) > 1]
            if not found and len(modes) == 1:
                found = slots
        else:
            found = [slot for slot in slots if mode in slot.options]
        if not found:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="slot_mode_needed",
                translation_placeholders={
                    "device": self.coordinator.name,
                    "modes": ", ".join(modes),
                },
            )
        for slot in found:
            if slot.index == number:
                return slot
        numbers = sorted(slot.index for slot in found if slot.index is not None)
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_such_slot",
            translation_placeholders={
                "device": self.coordinator.name,
                "slot": str(number),
                "slots": ", ".join(map(str, numbers)),
            },
        )

    def parse(self, point: Point, given: Given) -> Value | TimeSlotChange:
        """Return the value that is meant. Raises ``ServiceValidationError``."""
        try:
            return parse(point, given)
        except NotAValueError as err:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="value_not_representable",
                translation_placeholders={
                    "device": self.coordinator.name,
                    "register": point.key,
                    "value": str(given),
                    "reason": str(err),
                },
            ) from err


async def async_read_register(call: ServiceCall) -> ServiceResponse:
    """Read a point by its key, or any registers."""
    data = call.data
    request = _Call.of(call)
    coordinator = request.coordinator
    by_key, by_address = (
        ATTR_REGISTER in data,
        ATTR_SPACE in data or ATTR_ADDRESS in data,
    )
    if by_key == by_address or (
        by_address and not {ATTR_SPACE, ATTR_ADDRESS} <= {*data}
    ):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="register_or_address"
        )
    reading: RegisterReading | ParameterReading
    if by_key:
        reading = await coordinator.async_read_register(
            request.device, data[ATTR_REGISTER]
        )
    elif data[ATTR_SPACE] == PARAMETER:
        reading = await coordinator.async_read_parameter(
            request.device, data[ATTR_ADDRESS]
        )
    else:
        reading = await coordinator.async_read_registers(
            request.device, data[ATTR_SPACE], data[ATTR_ADDRESS], data[ATTR_COUNT]
        )
    return reading_response(reading)


async def async_preview_write(call: ServiceCall) -> ServiceResponse:
    """Say what a change would do; the token that comes with it confirms it."""
    request = _Call.of(call)
    writing, data = request.writing, call.data
    point = writing.find(request.device, data[ATTR_REGISTER])
    pending = await writing.async_preview(
        request.device,
        point.key,
        request.parse(point, data[ATTR_VALUE]),
        await request.async_asker(),
    )
    return preview_response(pending)


async def async_confirm_write(call: ServiceCall) -> ServiceResponse:
    """Make a previewed change."""
    request = _Call.of(call)
    written = await request.writing.async_confirm(
        request.device, call.data[ATTR_TOKEN], await request.async_asker()
    )
    return result_response(written) if call.return_response else None


async def async_cancel_write(call: ServiceCall) -> None:
    """Forget a previewed change."""
    request = _Call.of(call)
    request.writing.cancel(request.device, call.data[ATTR_TOKEN])


async def async_set_register(call: ServiceCall) -> ServiceResponse:
    """Change a setting in one call, which is its own confirmation."""
    request = _Call.of(call)
    writing, data = request.writing, call.data
    request.check_confirmed()
    point = writing.find(request.device, data[ATTR_REGISTER])
    expected: Value | None = None
    if ATTR_EXPECTED in data:
        wanted = request.parse(point, data[ATTR_EXPECTED])
        if isinstance(wanted, TimeSlotChange):
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="expected_of_slot"
            )
        expected = wanted
    written = await writing.async_write(
        request.device,
        point.key,
        request.parse(point, data[ATTR_VALUE]),
        await request.async_asker(),
        expected=expected,
        only_if_different=data[ATTR_ONLY_IF_DIFFERENT],
    )
    return result_response(written) if call.return_response else None


async def async_set_time_slot(call: ServiceCall) -> ServiceResponse:
    """Change a time slot as a whole; what is not given stays as it is."""
    request = _Call.of(call)
    writing, data = request.writing, call.data
    request.check_confirmed()
    asker = await request.async_asker()
    point = request.find_slot(data[ATTR_SLOT], data.get(ATTR_MODE))
    slot = {part: data[part] for part in SLOT_PARTS if part in data}
    wanted = request.parse(point, slot)
    grid_charge: bool | None = data.get(ATTR_GRID_CHARGE)
    if grid_charge is None:
        written = await writing.async_write(request.device, point.key, wanted, asker)
        return result_response(written) if call.return_response else None
    # What is charged with must not change for a slot that cannot be.
    await request.async_try(point.key, wanted, asker)
    charge = await writing.async_write(request.device, AC_CHARGE, grid_charge, asker)
    try:
        written = await writing.async_write(
            request.device,
            point.key,
            wanted,
            asker,
            accepted=(SLOT_WITHOUT_GRID_CHARGE,),
        )
    except HomeAssistantError as err:
        if charge.outcome is Outcome.UNCHANGED:
            raise
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="slot_failed_after_grid_charge",
            translation_placeholders={
                "error": str(err),
                "grid_charge": as_text(grid_charge),
            },
        ) from err
    return result_response(written) if call.return_response else None


async def async_dump_registers(call: ServiceCall) -> ServiceResponse:
    """Write all registers to a file that the simulator can serve."""
    request = _Call.of(call)
    dump = await request.coordinator.async_dump_registers(request.device)
    try:
        path = await async_write_dataset(
            request.hass, request.coordinator.config_entry.data[CONF_KIND], dump
        )
    except OSError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="dump_not_written",
            translation_placeholders={"error": err.strerror or str(err)},
        ) from err
    counts = {space: len(words) for space, words in dump.image.dump().items()}
    return {"path": path, **counts, "missing": dict(dump.missing)}


async def async_import_history(call: ServiceCall) -> ServiceResponse:
    """Import what an inverter counted before; without a confirmation, only say what."""
    request = _Call.of(call)
    return await async_import_energy_history(
        request.hass,
        request.coordinator,
        request.device,
        confirm=call.data[ATTR_CONFIRM],
    )


async def async_list_devices(call: ServiceCall) -> ServiceResponse:
    """Say what devices there are behind the same link as one of them."""
    coordinator = _Call.of(call).coordinator
    registry = dr.async_get(call.hass)
    devices: list[Any] = []
    for device in coordinator.devices:
        identity = device.identity
        registered = registry.async_get_device_by_identifier(
            (DOMAIN, identity.id), coordinator.config_entry.entry_id
        )
        devices.append(
            {
                "device_id": registered and registered.id,
                "name": registered and (registered.name_by_user or registered.name),
                "kind": identity.kind.removesuffix("_on_port"),
                "manufacturer": identity.manufacturer,
                "model": identity.model,
                "port": identity.port,
                "firmware": identity.firmware,
                "serial_number": identity.serial_number,
            }
        )
    return {"devices": devices}


async def async_list_dataloggers(call: ServiceCall) -> ServiceResponse:
    """Say which dataloggers report here, and which inverters they report."""
    loggers: list[Any] = [*listed_dataloggers(call.hass)]
    return {"dataloggers": loggers}


async def async_control_battery(call: ServiceCall) -> ServiceResponse:
    """Tell the battery what to do for some time, after which it is released."""
    request = _Call.of(call)
    writing, data = request.writing, call.data
    request.check_confirmed()
    control = request.battery_control
    command = PowerCommand(power=data[ATTR_POWER], minutes=data[ATTR_DURATION])
    written = await control.async_start(writing, command, await request.async_asker())
    until = control.until and dt_util.as_local(control.until)
    response = {
        **result_response(written),
        "until": until and until.isoformat(timespec="seconds"),
    }
    return response if call.return_response else None


async def async_release_battery(call: ServiceCall) -> ServiceResponse:
    """End a command to the battery before its time; also while writing is switched off."""
    request = _Call.of(call)
    request.check_confirmed()
    written = await request.battery_control.async_release(await request.async_asker())
    return result_response(written) if call.return_response else None


async def async_start_capture(call: ServiceCall) -> ServiceResponse:
    """Record what the clients of a gateway say, from now on."""
    gateway = _Call.of(call).gateway
    path = await gateway.captures.async_start(call.data[ATTR_MAX_SIZE] * MEGABYTE)
    gateway.show_capture()
    return {"path": path} if call.return_response else None


async def async_stop_capture(call: ServiceCall) -> ServiceResponse:
    """End that, and say what there is."""
    gateway = _Call.of(call).gateway
    captured = await gateway.captures.async_stop()
    gateway.show_capture()
    response: dict[str, Any] = asdict(captured)
    return response if call.return_response else None


type _Handler = Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse | None]]

ACTIONS: Final[Mapping[str, tuple[_Handler, probatio.Schema, SupportsResponse]]] = {
    "read_register": (async_read_register, READ_REGISTER, SupportsResponse.ONLY),
    "preview_write": (async_preview_write, PREVIEW_WRITE, SupportsResponse.ONLY),
    "confirm_write": (async_confirm_write, TOKEN, SupportsResponse.OPTIONAL),
    "cancel_write": (async_cancel_write, TOKEN, SupportsResponse.NONE),
    "set_register": (async_set_register, SET_REGISTER, SupportsResponse.OPTIONAL),
    "set_time_slot": (async_set_time_slot, SET_TIME_SLOT, SupportsResponse.OPTIONAL),
    "dump_registers": (async_dump_registers, DEVICE, SupportsResponse.ONLY),
    "list_devices": (async_list_devices, DEVICE, SupportsResponse.ONLY),
    "list_dataloggers": (
        async_list_dataloggers,
        probatio.Schema({}),
        SupportsResponse.ONLY,
    ),
    "control_battery": (
        async_control_battery,
        CONTROL_BATTERY,
        SupportsResponse.OPTIONAL,
    ),
    "release_battery": (
        async_release_battery,
        RELEASE_BATTERY,
        SupportsResponse.OPTIONAL,
    ),
    "import_energy_history": (
        async_import_history,
        IMPORT_ENERGY_HISTORY,
        SupportsResponse.ONLY,
    ),
    "start_capture": (async_start_capture, START_CAPTURE, SupportsResponse.OPTIONAL),
    "stop_capture": (async_stop_capture, DEVICE, SupportsResponse.OPTIONAL),
}
"""Name -> what it does, what it takes, whether it answers."""


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    for name, (handler, schema, supports_response) in ACTIONS.items():
        async_register_admin_service(
            hass, DOMAIN, name, handler, schema, supports_response
        )
