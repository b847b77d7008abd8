"""Shares a link with programs outside Home Assistant, as the owner of an entry wants it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Final, override

from modbus_connection import ModbusUnit

from homeassistant.components.modbus import async_get_unit
from homeassistant.const import ATTR_DEVICE_ID, EVENT_HOMEASSISTANT_STOP
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryError, HomeAssistantError

from ..const import (
    CONF_DONGLE_WRITES,
    CONF_KIND,
    CONF_LEAST_GAP,
    CONF_LINK,
    CONF_MAX_AGE,
    CONF_PEERS,
    CONF_RANGES,
    CONF_REQUEST_TIMEOUT,
    CONF_UNITS,
    CONF_WRITERS,
    DEFAULT_LEAST_GAP,
    DEFAULT_MAX_AGE,
    DEFAULT_REQUEST_TIMEOUT,
    DOMAIN,
    KIND_GROWATT,
)
from ..gateway.bus import Pace
from ..gateway.devices import Observer, gateway_device
from ..gateway.gateway import Gateway
from ..gateway.points import CAPTURING
from ..gateway.policy import Policy, Span, parse_network
from ..modbus_link import ModbusLink
from ..points import PointId, Value
from ..writing import EVENT_WRITE
from .base import LocalSolarConfigEntry, LocalSolarCoordinator
from .gateway_blocked import BlockedWrites
from .gateway_captures import Captures
from .gateway_diagnosis import diagnosed_gateway
from .gateway_listeners import Listeners, listeners_of
from .gateway_neighbours import entries_on, has_device, loaded_on
from .gateway_safety import Never, OffGridWatch
from .gateway_writes import GatewayWriter

UNTIL_KNOWN: Final = timedelta(seconds=5)
"""Between two looks while nobody has asked for anything."""


class GatewayCoordinator(LocalSolarCoordinator):
    """Runs the gateway of one link. What is polled are its own counts."""

    poll_interval = timedelta(seconds=30)

    gateway: Gateway
    captures: Captures
    _units: Mapping[int, ModbusUnit]
    listeners: Listeners
    _watch: OffGridWatch
    _observer: Observer

    def __init__(self, hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
        """Share the link of ``entry``."""
        super().__init__(hass, entry)
        self.link = ModbusLink.from_json(entry.data[CONF_LINK])
        self.gateway_id = f"gateway_{entry.entry_id}"
        self._pace = _pace(entry, self.link)
        self.set_devices((gateway_device(self.gateway_id),))

    @property
    @override
    def address(self) -> str:
        return self.link.address

    # -- life -----------------------------------------------------------------------

    @override
    async def _async_setup(self) -> None:
        """Open all ways in. Whether the units answer does not matter yet."""
        hass, entry = self.hass, self.config_entry
        self._units = {unit: self._get_unit(unit) for unit in entry.data[CONF_UNITS]}
        blocked = BlockedWrites(hass, entry.title)
        self.gateway = Gateway(
            self._units,
            policy=_policy(entry, may_write=self.may_write),
            pace=self._pace,
            writer=GatewayWriter(hass, self.link, blocked),
        )
        self._watch = OffGridWatch(hass, entry, self.link, self._units, self._forbid)
        self._forbid(self._watch.never())
        self.captures = Captures(hass, entry.title, self.gateway)
        self._observer = Observer(self.gateway, monotonic())
        self.listeners = listeners_of(hass, entry, self.gateway)
        entry.async_on_unload(self._async_stop)
        entry.async_on_unload(
            hass.bus.async_listen_once(EVENT_HOMEASSISTANT_STOP, self._async_shut_down)
        )
        entry.async_on_unload(hass.bus.async_listen(EVENT_WRITE, self._forget_written))
        await self.gateway.start()
        await self.listeners.async_open()

    def _get_unit(self, unit_id: int) -> ModbusUnit:
        try:
            unit = async_get_unit(
                self.hass, self.config_entry, self.link.params, unit_id
            )
        except HomeAssistantError as err:
            raise ConfigEntryError(
                translation_domain=DOMAIN,
                translation_key="link_in_use",
                translation_placeholders={"address": self.link.address},
            ) from err
        unit.set_message_spacing(self._pace.first_gap)
        # The link may outlive this entry in others' hands.
        self.config_entry.async_on_unload(partial(self._release, unit_id, unit))
        return unit

    @callback
    def _release(self, unit_id: int, unit: ModbusUnit) -> None:
        """Take back what the gateway needed of the link, unless the unit has another user."""
        if not any(loaded_on(self.hass, self.link, unit_id)):
            unit.require_timeout(None)
            unit.set_message_spacing(0.0)

    async def _async_shut_down(self, _: Event) -> None:
        await self._async_stop()

    async def _async_stop(self) -> None:
        """Let nobody in any more, end what is recorded, leave the bus alone."""
        await self.listeners.async_close()
        await self.captures.async_close()
        await self.gateway.stop()

    # -- what others do on the link -------------------------------------------------

    @callback
    def _forbid(self, never: Never) -> None:
        """Let nobody touch registers of some units."""
        self.gateway.policy = replace(self.gateway.policy, never=never)

    @callback
    def _forget_written(self, event: Event[Mapping[str, object]]) -> None:
        """Hand out nothing old of a unit that Home Assistant itself has written to."""
        device = event.data.get(ATTR_DEVICE_ID)
        for unit in self._units:
            if not isinstance(device, str) or any(
                has_device(self.hass, entry, device)
                for entry in entries_on(self.hass, self.link, unit)
            ):
                self.gateway.forget(unit)

    # -- polling --------------------------------------------------------------------

    @override
    async def _async_poll(
        self, wanted: set[PointId]
    ) -> dict[str, dict[str, Value | None]]:
        await self.listeners.async_open()
        self._keep_pace()
        self._watch.look(self.gateway.units_silent)
        values = self._observer.values(
            monotonic(), is_capturing=self.captures.is_running
        )
        return {self.gateway_id: values}

    def _keep_pace(self) -> None:
        """Tell the link again what units need: another user that has gone took that back.

        Devices of other makers than Growatt have their own pace, which their entries keep.
        """
        for unit_id, unit in self._units.items():
            users = loaded_on(self.hass, self.link, unit_id)
            if all(user.data[CONF_KIND] == KIND_GROWATT for user in users):
                unit.require_timeout(self._pace.timeout)

    @override
    async def _async_probe(self) -> bool:
        return True

    @override
    def _until_next_poll(self, took: timedelta) -> timedelta:
        """Look again soon while nobody has asked for anything: it is not known who answers."""
        usual = super()._until_next_poll(took)
        return usual if self._observer.is_known else min(usual, UNTIL_KNOWN)

    # -- captures -------------------------------------------------------------------

    @callback
    def show_capture(self) -> None:
        """Show at once whether something is recorded."""
        self.take_report({self.gateway_id: {CAPTURING.key: self.captures.is_running}})

    # -- diagnostics ----------------------------------------------------------------

    @override
    async def async_diagnose(self) -> Mapping[str, object]:
        return diagnosed_gateway(self.gateway, self.listeners, self.captures.running)


def _pace(entry: LocalSolarConfigEntry, link: ModbusLink) -> Pace:
    """Return how the bus is treated, as the owner wants it."""
    options = entry.options
    return Pace(
        max_age=options.get(CONF_MAX_AGE, DEFAULT_MAX_AGE),
        timeout=options.get(CONF_REQUEST_TIMEOUT, DEFAULT_REQUEST_TIMEOUT),
        least_gap=options.get(CONF_LEAST_GAP, DEFAULT_LEAST_GAP) / 1000,
        has_transactions=link.host is not None,
    )


def _policy(entry: LocalSolarConfigEntry, *, may_write: bool) -> Policy:
    """Return what clients may do, as the owner wants it. Nobody writes unless that is on."""
    options = entry.options
    writers = options.get(CONF_WRITERS, ()) if may_write else ()
    return Policy(
        peers=tuple(map(parse_network, options.get(CONF_PEERS, ()))),
        ranges=tuple(map(Span.parse, options.get(CONF_RANGES, ()))),
        writers=tuple(map(parse_network, writers)),
        dongle_writes=may_write and options.get(CONF_DONGLE_WRITES, False),
    )
