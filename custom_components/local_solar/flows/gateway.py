"""Steps that add or change a gateway, which shares one Modbus bus with other programs."""

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
import re
from typing import Final

from modbus_connection import ModbusError, ModbusUnit
import probatio

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.data_entry_flow import AbortFlow, section
from homeassistant.helpers.selector import (
    BooleanSelector,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
)

from ..const import (
    CONF_KIND,
    CONF_LINK,
    CONF_UNIT_ID,
    CONF_UNITS,
    DEFAULT_SPACING,
    DEFAULT_UNIT_ID,
    KIND_GATEWAY,
    KIND_GROWATT,
    KIND_OUTBACK,
    LOGGER,
)
from ..modbus.image import Space
from ..modbus.reader import read_words
from ..modbus_link import REQUEST_TIMEOUT, LinkProblem, ModbusLink, explain
from .gateway_listeners import GatewayListenersFlow
from .modbus_link import (
    KINDS,
    RTU_TCP,
    SECTION_MORE,
    SERIAL,
    TCP,
    UserInput,
    fields_from_link,
    kind_of,
    link_fields,
    link_from_input,
)
from .trial import FormError, needs_relink, temporary_unit

CONF_ANYWAY: Final = "set_up_anyway"

PROBED: Final = 0
"""Holding register that is asked to see who is there. Any answer will do, a refusal too:
what is behind a gateway may be of any maker."""

MOST_UNITS: Final = 8
LAST_UNIT: Final = 247
"""Unit ids go from 1 to 247 (MODBUS over Serial Line V1.02, 2.2)."""

NO_ANSWER: Final = "gateway_no_answer"

_UNITS: Final = re.compile(r"\s*\d{1,3}(?:[\s,;]+\d{1,3})*[\s,;]*", re.ASCII)


class GatewayFlow(GatewayListenersFlow):
    """Adds a gateway, or changes what it shares and how it is reached."""

    async def async_step_gateway(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """Ask which bus is shared."""
        return self.async_show_menu(
            step_id="gateway", menu_options=self._gateway_menu()
        )

    async def async_step_gateway_reconfigure(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """Ask whether it is still the same bus."""
        return self.async_show_menu(
            step_id="gateway_reconfigure",
            menu_options=["gateway_listeners", *self._gateway_menu()],
        )

    def _gateway_menu(self) -> list[str]:
        known = ["gateway_shared"] if self._known_buses() else []
        return [*known, *(f"gateway_{kind}" for kind in KINDS)]

    async def async_step_gateway_shared(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """A link that other entries use."""
        known = self._known_buses()
        links = {link.address: link for link in known}
        fields: dict[probatio.Marker, object] = {
            probatio.Required(CONF_LINK, default=next(iter(links))): SelectSelector(
                SelectSelectorConfig(
                    options=[
                        SelectOptionDict(
                            value=link.address,
                            label=f"{link.address} (unit ID {_text_of(units)})",
                        )
                        for link, units in known.items()
                    ],
                    mode=SelectSelectorMode.DROPDOWN,
                )
            ),
            # Empty means those that are known, as these depend on the link.
            probatio.Optional(CONF_UNITS): TextSelector(),
        }
        if user_input is None:
            return self._show_bus("shared", fields, self._shared_at_first(known))
        link = links[user_input[CONF_LINK]]
        typed = (user_input.get(CONF_UNITS) or "").strip() or _text_of(known[link])
        return await self._async_take_bus("shared", fields, user_input, link, typed)

    async def async_step_gateway_tcp(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """A bus behind a Modbus TCP address."""
        return await self._async_step_bus(TCP, user_input)

    async def async_step_gateway_rtu_tcp(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """A bus behind a bridge that passes RTU frames."""
        return await self._async_step_bus(RTU_TCP, user_input)

    async def async_step_gateway_serial(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """A bus on a serial adapter."""
        return await self._async_step_bus(SERIAL, user_input)

    async def _async_step_bus(
        self, kind: str, user_input: UserInput | None
    ) -> ConfigFlowResult:
        fields = link_fields(kind) | {
            probatio.Required(CONF_UNITS, default=str(DEFAULT_UNIT_ID)): TextSelector()
        }
        if user_input is None:
            return self._show_bus(kind, fields, self._bus_at_first(kind))
        link = await link_from_input(self.hass, kind, user_input)
        typed = user_input[CONF_UNITS]
        return await self._async_take_bus(kind, fields, user_input, link, typed)

    async def _async_take_bus(
        self,
        way: str,
        fields: Mapping[probatio.Marker, object],
        user_input: UserInput,
        link: ModbusLink,
        typed: str,
    ) -> ConfigFlowResult:
        """Go on with a bus that works; show its form again if it does not."""
        if link.params.endpoint in self._shared_by_others():
            raise AbortFlow("already_configured")
        anyway = user_input[SECTION_MORE][CONF_ANYWAY]
        try:
            units = _units_of(typed)
            await self._async_try_bus(link, units, anyway=anyway)
        except FormError as err:
            return self._show_bus(way, fields, user_input, err)
        self._bus, self._bus_units = link, units
        return await self.async_step_gateway_listeners()

    def _show_bus(
        self,
        way: str,
        fields: Mapping[probatio.Marker, object],
        suggested: UserInput,
        err: FormError | None = None,
    ) -> ConfigFlowResult:
        anyway = probatio.Required(CONF_ANYWAY, default=False)
        more = section(
            probatio.Schema({anyway: BooleanSelector()}),
            # What the error tells of can be seen then.
            {"collapsed": err is None or err.key != NO_ANSWER},
        )
        return self.async_show_form(
            step_id=f"gateway_{way}",
            data_schema=self.add_suggested_values_to_schema(
                probatio.Schema({**fields, probatio.Required(SECTION_MORE): more}),
                suggested,
            ),
            errors={err.field: err.key} if err else {},
            description_placeholders=err.placeholders if err else None,
        )

    def _bus_at_first(self, kind: str) -> UserInput:
        """Return what the form holds at first when an entry is reconfigured."""
        if (entry := self._reconfigured) is None:
            return {}
        link = ModbusLink.from_json(entry.data[CONF_LINK])
        fields = fields_from_link(link) if kind_of(link) == kind else {}
        return fields | {CONF_UNITS: _text_of(entry.data[CONF_UNITS])}

    def _shared_at_first(self, known: Mapping[ModbusLink, list[int]]) -> UserInput:
        """Return what the form holds at first; unit ids only if it is clear of which link."""
        if (entry := self._reconfigured) is not None:
            link = ModbusLink.from_json(entry.data[CONF_LINK])
            if link in known:
                units = _text_of(entry.data[CONF_UNITS])
                return {CONF_LINK: link.address, CONF_UNITS: units}
        if len(known) == 1:
            return {CONF_UNITS: _text_of(*known.values())}
        return {}

    def _known_buses(self) -> dict[ModbusLink, list[int]]:
        """Return the links that inverters are reached over, with the unit ids known there."""
        taken = self._shared_by_others()
        found: dict[ModbusLink, list[int]] = {}
        for entry in self._async_current_entries(include_ignore=False):
            if entry.data.get(CONF_KIND) in (KIND_GROWATT, KIND_OUTBACK):
                link = ModbusLink.from_json(entry.data[CONF_LINK])
                unit_id = entry.data[CONF_UNIT_ID]
                if link.params.endpoint not in taken and _is_unit(unit_id):
                    found.setdefault(link, []).append(unit_id)
        return {link: sorted(set(units))[:MOST_UNITS] for link, units in found.items()}

    def _shared_by_others(self) -> set[tuple[object, ...]]:
        """Return what other gateways share, as Home Assistant tells links apart."""
        return {
            ModbusLink.from_json(entry.data[CONF_LINK]).params.endpoint
            for entry in self._other_entries()
            if entry.data.get(CONF_KIND) == KIND_GATEWAY
        }

    async def _async_try_bus(
        self, link: ModbusLink, units: Iterable[int], *, anyway: bool
    ) -> None:
        """Ask all units for something.

        Raises ``FormError`` if the link does not work, or a unit is silent and that is not
        expected (``anyway``).
        """
        entry = self._reconfigured
        relinked = entry if entry is not None and needs_relink(entry, link) else None
        if relinked is not None:
            await self.hass.config_entries.async_unload(relinked.entry_id)
        try:
            silent = await self._async_ask(link, units)
        finally:
            if relinked is not None:
                # The form that follows may be left open for long, or for good.
                await self.hass.config_entries.async_setup(relinked.entry_id)
        if silent and not anyway:
            raise FormError(NO_ANSWER, address=link.address, unit_ids=_text_of(silent))

    async def _async_ask(self, link: ModbusLink, units: Iterable[int]) -> list[int]:
        """Return the units that do not answer. Raises ``FormError`` if the link is down."""
        silent: list[int] = []
        # All units are held to the end, so that the link is not opened anew for each.
        async with AsyncExitStack() as stack:
            for unit_id in units:
                unit = await stack.enter_async_context(
                    temporary_unit(
                        self.hass,
                        link,
                        unit_id,
                        REQUEST_TIMEOUT,
                        DEFAULT_SPACING / 1000,
                    )
                )
                if not await _answers(unit, link, unit_id):
                    silent.append(unit_id)
        return silent


async def _answers(unit: ModbusUnit, link: ModbusLink, unit_id: int) -> bool:
    """Return whether a unit answers at all. Raises ``FormError`` if the link is down."""
    try:
        await read_words(unit, Space.HOLDING, PROBED, 1)
    except ModbusError as err:
        LOGGER.debug("%s unit %s: %s", link.address, unit_id, err)
        problem = explain(err, link, connected=unit.connected)
        if problem is LinkProblem.NO_ANSWER:
            return False
        if problem is LinkProblem.REQUEST_REFUSED:
            return True
        raise FormError(
            problem, address=link.address, unit_id=str(unit_id), error=str(err)
        ) from None
    return True


def _units_of(typed: str) -> list[int]:
    """Return the unit ids of a text such as ``1, 2``. Raises ``FormError``."""
    units: set[int] = set()
    if _UNITS.fullmatch(typed):
        units = {int(word) for word in re.findall(r"\d+", typed)}
    if not 1 <= len(units) <= MOST_UNITS or not all(map(_is_unit, units)):
        raise FormError("bad_units", field=CONF_UNITS)
    return sorted(units)


def _is_unit(unit_id: int) -> bool:
    return 1 <= unit_id <= LAST_UNIT


def _text_of(units: Iterable[int]) -> str:
    return ", ".join(map(str, units))
