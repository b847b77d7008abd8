"""A real Home Assistant as a child, on this computer only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
import json
import os
from pathlib import Path
import re
import shutil
import socket
from typing import Final, NoReturn
from zoneinfo import available_timezones

from .client import Client
from .errors import DemoError
from .process import ROOT, Child

HOST: Final = "127.0.0.1"
READY_WITHIN: Final = 90.0

RESTART_EXIT_CODE: Final = 100
"""What Home Assistant ends with if its owner wants it to be started again."""

INTEGRATION: Final = ROOT / "custom_components" / "local_solar"

CONFIGURATION: Final = """\
homeassistant:
  name: Home
  unit_system: metric
  time_zone: {time_zone}
  country: ES
  currency: EUR
frontend:
config:
history:
logbook:
energy:
recorder:
  commit_interval: 1
{recorder}logger:
  default: warning
  logs:
    custom_components.local_solar: info
"""

STAND_INS: Final = {
    "pymicro_vad": "class MicroVad:\n    pass\n",
    "pyspeex_noise": "class AudioProcessor:\n    pass\n",
}
"""Modules of the voice components: the packages would have to be compiled, nobody speaks
here, and without them Home Assistant cannot list its actions, so its web page stays empty."""

WITHOUT: Final = ",".join(module.replace("_", "-") for module in STAND_INS)
"""Packages that are not to be installed."""


_RECORD: Final = re.compile(
    r"\d{4}-\d\d-\d\d \S+ (?P<level>[A-Z]+) \([^)]*\) \[(?P<logger>[^\]]+)\] (?P<text>.*)"
)
_BAD: Final = frozenset({"WARNING", "ERROR", "CRITICAL"})
_NOT_MEANT: Final = (
    # That is always said.
    "We found a custom integration local_solar which has not been",
    # A state is written in no time, unless others keep the computer busy.
    "Updating state for ",
)


class HomeAssistant:
    """One installation of Home Assistant: a configuration folder and a port."""

    def __init__(
        self,
        python: Path,
        folder: Path,
        port: int,
        time_zone: str | None = None,
        database: str | None = None,
    ) -> None:
        """Write the configuration.

        Args:
            python: the interpreter of an environment, beside which ``hass`` is.
            folder: a new folder for all that it writes.
            port: where it serves its web page.
            time_zone: its time zone, by default this computer's.
            database: the URL of the recorder's database, by default a file of its own.

        """
        self.url: Final = f"http://{HOST}:{port}"
        self.folder: Final = folder
        self.starts = 0
        self._command = (
            *(python.with_name("hass"), "--config", folder),
            *("--skip-pip-packages", WITHOUT, "--log-no-color"),
        )
        self._child: Child | None = None
        self._stand_ins = folder / "stand_ins"
        for path in (folder, self._stand_ins, folder / ".storage"):
            path.mkdir()
        for module, source in STAND_INS.items():
            (self._stand_ins / f"{module}.py").write_text(source, encoding="utf-8")
        # A copy: the checkout may change while it runs.
        shutil.copytree(
            INTEGRATION,
            folder / "custom_components" / INTEGRATION.name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        (folder / "configuration.yaml").write_text(
            CONFIGURATION.format(
                time_zone=time_zone or own_time_zone(),
                recorder=f"  db_url: {database}\n" if database else "",
            ),
            encoding="utf-8",
        )
        for key, (version, data) in _storage(port).items():
            (folder / ".storage" / key).write_text(
                json.dumps(
                    {"version": version, "minor_version": 1, "key": key, "data": data}
                ),
                encoding="utf-8",
            )

    async def start(self) -> None:
        """Start it; it will take some time. Raises ``DemoError`` if that cannot be done."""
        self.starts += 1
        log = self.folder / f"output-{self.starts}.log"
        self._child = Child("Home Assistant", self._command, log, self._stand_ins)
        await self._child.start()

    async def ready(self) -> None:
        """Wait until it serves its web page. Raises ``DemoError`` if it does not."""
        assert self._child is not None
        async with Client(self.url) as client:
            await self._child.wait_for(
                client.answers, READY_WITHIN, "does not serve its web page"
            )

    async def stop(self) -> None:
        """Stop it in an orderly way."""
        if self._child is not None:
            await self._child.stop()

    async def restart(self) -> None:
        """Stop and start it and wait until it is ready. Raises ``DemoError``."""
        await self.stop()
        await self.start()
        await self.ready()

    async def keep_running(self) -> NoReturn:
        """Start it again whenever its owner restarts it.

        Raises ``DemoError`` if it ends in another way.
        """
        while True:
            assert self._child is not None
            if await self._child.ended() != RESTART_EXIT_CODE:
                raise DemoError(
                    f"Home Assistant has stopped; the last it said: {self._child.last_words}"
                )
            await self.start()

    @property
    def complaints(self) -> list[str]:
        """What it has said against Local Solar since it was last started."""
        return [] if self._child is None else complaints_in(self._child.output)


@asynccontextmanager
async def running_home_assistant(
    python: Path,
    folder: Path,
    port: int,
    time_zone: str | None = None,
    database: str | None = None,
) -> AsyncIterator[HomeAssistant]:
    """Run a new Home Assistant (see there for the arguments), which is not ready yet.

    Raises ``DemoError``.
    """
    home_assistant = HomeAssistant(python, folder, port, time_zone, database)
    try:
        await home_assistant.start()
        yield home_assistant
    finally:
        await home_assistant.stop()


def _storage(port: int) -> dict[str, tuple[int, object]]:
    """Return what the files in ``.storage`` hold at first, with the version of each."""
    http = {
        "server_host": [HOST],
        "server_port": port,
        "cors_allowed_origins": [],
        "login_attempts_threshold": -1,
        "ip_ban_enabled": False,
        "ssl_profile": "intermediate_v6",
        "use_x_frame_options": True,
        "created_at": datetime.now(UTC).isoformat(),
        "error": None,
        "error_message": None,
    }
    return {
        # Settings in YAML would wait for a person to confirm them.
        "http": (3, {"stable": http, "pending": None, "yaml_migration_done": True}),
        # All but the user: the other steps set up what asks the internet.
        "onboarding": (4, {"done": ["core_config", "analytics", "integration"]}),
        # Not to be announced in the network.
        "core.network": (1, {"configured_adapters": ["lo"]}),
    }


def own_time_zone() -> str:
    """Return the name of this computer's time zone, UTC if it cannot be found out."""
    link = os.path.realpath("/etc/localtime")
    for name in (os.environ.get("TZ", ""), link.partition("/zoneinfo/")[2]):
        if name in available_timezones():
            return name
    return "UTC"


def free_port(wanted: int = 0) -> int:
    """Return a port that nobody uses: ``wanted``, or any.

    Raises ``DemoError`` if it is in use.
    """
    try:
        with socket.create_server((HOST, wanted)) as server:
            port: int = server.getsockname()[1]
            return port
    except OSError as err:
        reason = os.strerror(err.errno) if err.errno else str(err)
        raise DemoError(
            f"port {wanted} cannot be used: {reason}; choose another with --port"
        ) from None


def complaints_in(lines: list[str]) -> list[str]:
    """Return the warnings and errors of a log that are Local Solar's, or about it."""
    complaints: list[str] = []
    complaint = None
    for line in lines:
        if record := _RECORD.match(line):
            complaint = line if record["level"] in _BAD else None
            if complaint and _is_ours(record["logger"], record["text"]):
                complaints.append(line)
                complaint = None
        elif complaint and _is_ours("", line):
            # A traceback that leads through Local Solar.
            complaints.append(complaint)
            complaint = None
    return complaints


def _is_ours(logger: str, text: str) -> bool:
    return not text.startswith(_NOT_MEANT) and (
        logger.startswith("custom_components.local_solar")
        or "local_solar" in text
        or "Detected blocking call" in text
    )
