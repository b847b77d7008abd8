"""Asking inverters behind loggers for settings, which no record tells.

Loggers are slow, and many do not answer such questions at all. So it is done beside
everything else, one inverter at a time for itself, and ever less often where it is in vain.
"""

from collections.abc import Callable, Coroutine, Iterable
import time
from typing import Any, Final

from ..const import LOGGER
from ..growatt.datalogger.fleet import ReportedInverter
from ..modbus.image import Space
from ..points import PointId, Value

FIRST_PAUSE: Final = 600.0
LAST_PAUSE: Final = 6 * 3600.0
"""Seconds after which a logger that gives no settings is asked for them again."""


class SettingsRounds:
    """Asks the inverters of one listener."""

    def __init__(
        self,
        create_task: Callable[[Coroutine[Any, Any, None]], object],
        report: Callable[
            [ReportedInverter, dict[str, dict[str, Value | None]]], object
        ],
    ) -> None:
        """Ask in tasks of its own, and report what was answered."""
        self._create_task = create_task
        self._report = report
        self._asked: set[str] = set()
        self._pauses: dict[str, tuple[float, float]] = {}
        """When who gave nothing is asked again, and how long that was put off."""

    def ask(self, inverter: ReportedInverter, wanted: Iterable[PointId]) -> None:
        """Have settings read that are due of the wanted points."""
        known, serial = inverter.inverter, inverter.serial
        if known is None or not inverter.unit.connected or serial in self._asked:
            return
        if time.monotonic() < self._pauses.get(serial, (0.0, 0.0))[0]:
            return
        settings = {
            (device, key)
            for device, key in wanted
            if device in (known.id, known.battery_id)
            and (row := known.register(key)) is not None
            and row.space is Space.HOLDING
        }
        if settings:
            self._asked.add(serial)
            self._create_task(self._async_ask(inverter, settings))

    def forget(self, serial: str) -> None:
        """Ask an inverter without delay if it comes back."""
        self._pauses.pop(serial, None)

    async def _async_ask(
        self, inverter: ReportedInverter, settings: set[PointId]
    ) -> None:
        assert inverter.inverter is not None
        serial = inverter.serial
        try:
            poll = await inverter.inverter.async_poll(settings)
        finally:
            self._asked.discard(serial)
        if poll.asleep is None:
            self._pauses.pop(serial, None)
            self._report(inverter, poll.snapshot)
            return
        # It is no less awake for that.
        _, before = self._pauses.get(serial, (0.0, FIRST_PAUSE / 2))
        pause = min(2 * before, LAST_PAUSE)
        self._pauses[serial] = (time.monotonic() + pause, pause)
        LOGGER.debug("No settings for %.0f s: %s", pause, poll.asleep)
