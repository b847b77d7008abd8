"""Steps that add or change a Growatt inverter reached over Modbus."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from modbus_connection import ModbusConnectionError, ModbusError, ModbusUnit
import probatio

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigFlowResult,
)
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)

from ..const import (
    CONF_IDENTIFICATION,
    CONF_INVENTORY,
    CONF_KIND,
    CONF_LINK,
    CONF_UNIT_ID,
    DEFAULT_SPACING,
    DEFAULT_UNIT_ID,
    DOMAIN,
    KIND_DATALOGGER,
    KIND_GATEWAY,
    KIND_GROWATT,
    LOGGER,
)
from ..growatt.datalogger.stored import inverters_in
from ..growatt.identify import Identification, NoSerialNumberError, identify
from ..growatt.known_inverter import MANUFACTURER
from ..growatt.probe import DEVICE_TYPE_CODE
from ..modbus.image import Space
from ..modbus.reader import is_silence, read_words
from ..modbus_link import REQUEST_TIMEOUT, ModbusLink, explain
from .modbus_link import (
    CONF_SEARCH,
    KINDS,
    RTU_TCP,
    SECTION_MORE,
    SERIAL,
    TCP,
    UserInput,
    input_from_link,
    kind_of,
    link_from_input,
    link_schema,
    unit_section,
)
from .reconfigured import ReconfigurableFlow
from .trial import FormError, held_units, needs_relink, temporary_unit

SCAN_LAST_UNIT: Final = 32
"""As many inverters as one RS-485 line takes."""

SCAN_TIMEOUT: Final = 1.0
"""Seconds to wait for a unit in a scan; an inverter answers one register within 0.1 s."""


class GrowattFlow(ReconfigurableFlow):
    """Adds an inverter, or moves one to another link."""

    _link: ModbusLink | None = None
    _scan: asyncio.Task[list[int]] | None = None
    _step: str = ""
    _found: Sequence[int] = ()

    @property
    def _growatt_entries(self) -> list[ConfigEntry]:
        return [
            entry
            for entry in self._async_current_entries(include_ignore=False)
            if entry.data.get(CONF_KIND) == KIND_GROWATT
        ]

    @property
    def _gateways(self) -> set[str]:
        """Entries that share a bus: the units that they hold may be inverters to be added."""
        return {
            entry.entry_id
            for entry in self._async_current_entries(include_ignore=False)
            if entry.data.get(CONF_KIND) == KIND_GATEWAY
        }

    def _growatt_menu(self) -> list[str]:
        """Return the menu's items for this family."""
        items = [f"growatt_{kind}" for kind in KINDS]
        if self._growatt_entries and self.source != SOURCE_RECONFIGURE:
            items.append("growatt_same_link")
        return items

    async def async_step_growatt_tcp(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """An inverter behind a Modbus TCP address."""
        return await self._step_link(TCP, user_input)

    async def async_step_growatt_rtu_tcp(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """An inverter behind a bridge that passes RTU frames."""
        return await self._step_link(RTU_TCP, user_input)

    async def async_step_growatt_serial(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """An inverter on a serial adapter."""
        return await self._step_link(SERIAL, user_input)

    async def _step_link(
        self, kind: str, user_input: UserInput | None
    ) -> ConfigFlowResult:
        """Ask for a link and see who is there."""
        self._step = f"growatt_{kind}"
        schema = link_schema(kind)
        suggested = user_input or self._current_link_input(kind)
        if user_input is None:
            return self._show(schema, suggested)
        link = await link_from_input(self.hass, kind, user_input)
        return await self._go_on(schema, user_input, link)

    async def async_step_growatt_same_link(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """Another inverter on a link that is known."""
        self._step = "growatt_same_link"
        links = {
            link.address: link
            for entry in self._growatt_entries
            if (link := ModbusLink.from_json(entry.data[CONF_LINK]))
        }
        schema = probatio.Schema(
            {
                probatio.Required(CONF_LINK, default=next(iter(links))): SelectSelector(
                    SelectSelectorConfig(
                        options=[
                            SelectOptionDict(value=address, label=address)
                            for address in links
                        ],
                        mode=SelectSelectorMode.DROPDOWN,
                    )
                ),
                **unit_section(self._next_unit_id()),
            }
        )
        if user_input is None:
            return self._show(schema, {})
        return await self._go_on(schema, user_input, links[user_input[CONF_LINK]])

    def _units_on(self, link: ModbusLink) -> set[int]:
        """Return the unit ids of inverters already added on a link."""
        own = self._reconfigured
        return {
            entry.data[CONF_UNIT_ID]
            for entry in self._growatt_entries
            if entry is not own and ModbusLink.from_json(entry.data[CONF_LINK]) == link
        }

    def _next_unit_id(self) -> int:
        used = {entry.data[CONF_UNIT_ID] for entry in self._growatt_entries}
        return next(unit for unit in range(1, 248) if unit not in used)

    def _current_link_input(self, kind: str) -> UserInput:
        """Return what the form holds at first when an entry is reconfigured."""
        if self.source != SOURCE_RECONFIGURE:
            return {}
        entry = self._get_reconfigure_entry()
        link = ModbusLink.from_json(entry.data[CONF_LINK])
        return (
            input_from_link(link, entry.data[CONF_UNIT_ID])
            if kind_of(link) == kind
            else {}
        )

    async def _go_on(
        self, schema: probatio.Schema, user_input: UserInput, link: ModbusLink
    ) -> ConfigFlowResult:
        """Search the bus or try the unit; show the form again if that fails."""
        self._link = link
        more = user_input[SECTION_MORE]
        if more[CONF_SEARCH]:
            return await self.async_step_growatt_scan()
        try:
            return await self._try_unit(link, more[CONF_UNIT_ID])
        except FormError as err:
            return self._show(schema, user_input, err)

    def _show(
        self,
        schema: probatio.Schema,
        suggested: Mapping[str, object],
        err: FormError | None = None,
    ) -> ConfigFlowResult:
        return self.async_show_form(
            step_id=self._step,
            data_schema=self.add_suggested_values_to_schema(schema, suggested),
            errors={"base": err.key} if err else {},
            description_placeholders=err.placeholders if err else None,
        )

    # -- trying a unit ------------------------------------------------------------

    async def _try_unit(self, link: ModbusLink, unit_id: int) -> ConfigFlowResult:
        """Finish with the inverter that answers. Raises ``FormError``."""
        entry = self._reconfigured
        relinking = entry is not None and needs_relink(entry, link)
        if relinking and entry is not None:
            await self.hass.config_entries.async_unload(entry.entry_id)
        try:
            identified = await self._identify(link, unit_id)
            await self.async_set_unique_id(identified.serial_number)
        finally:
            if relinking and entry is not None and self.unique_id != entry.unique_id:
                await self.hass.config_entries.async_setup(entry.entry_id)
        data = {
            CONF_KIND: KIND_GROWATT,
            CONF_LINK: link.to_json(),
            CONF_UNIT_ID: unit_id,
            CONF_IDENTIFICATION: identified.to_json(),
        }
        if entry is not None:
            self._abort_if_unique_id_mismatch(reason="wrong_inverter")
            return self.async_update_reload_and_abort(entry, data_updates=data)
        self._abort_if_unique_id_configured()
        if self._is_behind_datalogger(identified.serial_number):
            return self.async_abort(reason="behind_datalogger")
        return self.async_create_entry(
            title=f"{MANUFACTURER} {identified.model}", data=data
        )

    def _is_behind_datalogger(self, serial: str) -> bool:
        """Return whether a datalogger reports an inverter: it must not be there twice."""
        return any(
            serial in inverters_in(entry.data[CONF_INVENTORY])
            for entry in self._async_current_entries(include_ignore=False)
            if entry.data.get(CONF_KIND) == KIND_DATALOGGER
        )

    async def _identify(self, link: ModbusLink, unit_id: int) -> Identification:
        """Ask who is there. Raises ``FormError`` with what the owner can do."""
        where = {"address": link.address, "unit_id": str(unit_id)}
        async with temporary_unit(
            self.hass, link, unit_id, REQUEST_TIMEOUT, DEFAULT_SPACING / 1000
        ) as unit:
            try:
                return await identify(unit)
            except NoSerialNumberError as err:
                LOGGER.debug("%s unit %s: %s", link.address, unit_id, err)
                raise FormError("no_serial_number", **where) from None
            except ModbusError as err:
                LOGGER.debug("%s unit %s: %s", link.address, unit_id, err)
                problem = explain(err, link, connected=unit.connected)
                raise FormError(problem, **where, error=str(err)) from None

    # -- searching the bus --------------------------------------------------------

    async def async_step_growatt_scan(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """Ask one unit id after the other."""
        if self._scan is None:
            self._scan = self.hass.async_create_task(
                self._async_scan(), f"{DOMAIN} unit scan"
            )
        if not self._scan.done():
            return self.async_show_progress(
                step_id="growatt_scan",
                progress_action="scan",
                progress_task=self._scan,
                description_placeholders={
                    "address": self._link.address if self._link else "",
                    "last": str(SCAN_LAST_UNIT),
                },
            )
        return self.async_show_progress_done(next_step_id="growatt_found")

    async def _async_scan(self) -> list[int]:
        """Return the unit ids that answer. Raises ``FormError``."""
        assert self._link is not None
        found: list[int] = []
        known = self._units_on(self._link) | held_units(
            self.hass, self._link, besides=self._gateways
        )
        # All units are held to the end, so that the link is not opened anew for each.
        async with AsyncExitStack() as stack:
            for unit_id in range(1, SCAN_LAST_UNIT + 1):
                if unit_id not in known:
                    unit = await stack.enter_async_context(
                        temporary_unit(self.hass, self._link, unit_id, SCAN_TIMEOUT)
                    )
                    if await _answers(unit, self._link, unit_id):
                        found.append(unit_id)
                self.async_update_progress(unit_id / SCAN_LAST_UNIT)
        return found

    async def async_step_growatt_found(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """Let the owner choose among the units that answered."""
        assert self._link is not None
        if self._scan is not None:
            scan, self._scan = self._scan, None
            try:
                self._found = await scan
            except FormError as err:
                return self._back_to_link(err)
            if not self._found:
                return self._back_to_link(
                    FormError("scan_found_nothing", address=self._link.address)
                )
            user_input = None
        failure = None
        if user_input is not None:
            try:
                return await self._try_unit(self._link, int(user_input[CONF_UNIT_ID]))
            except FormError as err:
                failure = err
        self._step = "growatt_found"
        options = [str(unit_id) for unit_id in self._found]
        schema = probatio.Schema(
            {
                probatio.Required(CONF_UNIT_ID, default=options[0]): SelectSelector(
                    SelectSelectorConfig(options=options, mode=SelectSelectorMode.LIST)
                )
            }
        )
        return self._show(schema, user_input or {}, failure)

    def _back_to_link(self, err: FormError) -> ConfigFlowResult:
        """Show the form that asked for the link again, with what went wrong."""
        assert self._link is not None
        kind = kind_of(self._link)
        self._step = f"growatt_{kind}"
        return self._show(
            link_schema(kind), input_from_link(self._link, DEFAULT_UNIT_ID), err
        )


async def _answers(unit: ModbusUnit, link: ModbusLink, unit_id: int) -> bool:
    """Return whether a unit answers at all. Raises ``FormError`` if the link is down."""
    try:
        await read_words(unit, Space.HOLDING, DEVICE_TYPE_CODE, 1)
    except ModbusError as err:
        down = isinstance(err, ModbusConnectionError) or (
            is_silence(err) and not unit.connected
        )
        if not down:
            return False
        raise FormError(
            explain(err, link, connected=unit.connected),
            address=link.address,
            unit_id=str(unit_id),
            error=str(err),
        ) from None
    return True
