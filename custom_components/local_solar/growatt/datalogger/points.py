"""The points of a logger and of the server that loggers report to."""

from typing import Final

from ...points import Point, Quantity, Rhythm, Setting, Visibility
from .parameters import ParameterNumber

_SHOWN: Final = Visibility.SHOWN
_OFFERED: Final = Visibility.OFFERED

LAST_RECORD: Final = Point(
    key="last_record",
    name="Last record",
    quantity=Quantity.MOMENT,
    visibility=_SHOWN,
    diagnostic=True,
)
RECORDS: Final = Point(
    key="records", name="Records", quantity=Quantity.COUNT, visibility=_OFFERED
)
REJECTED: Final = Point(
    key="rejected_records",
    name="Rejected records",
    quantity=Quantity.COUNT,
    visibility=_SHOWN,
)
BLOCKED: Final = Point(
    key="blocked_commands",
    name="Blocked server commands",
    quantity=Quantity.COUNT,
    visibility=_SHOWN,
)
CLOCK_OFFSET: Final = Point(
    key="clock_offset",
    name="Clock offset",
    quantity=Quantity.DURATION,
    unit="s",
    visibility=_OFFERED,
    diagnostic=True,
)
CLOUD_CONNECTED: Final = Point(
    key="cloud_connected",
    name="Cloud connection",
    quantity=Quantity.CONNECTIVITY,
    visibility=_OFFERED,
    diagnostic=True,
)
"""Whether what it reports reaches the maker's server."""

BLOCKED_COMMAND: Final = "blocked"
ALLOWED_COMMAND: Final = "allowed"

SERVER_COMMAND: Final = Point(
    key="server_command",
    name="Server command",
    quantity=Quantity.OCCURRENCES,
    visibility=_SHOWN,
    options=(BLOCKED_COMMAND, ALLOWED_COMMAND),
    diagnostic=True,
)
"""What the maker's server wants of a logger that is not for everyday."""

REPORT_INTERVAL: Final = Point(
    key="report_interval",
    name="Report interval",
    quantity=Quantity.DURATION,
    unit="min",
    visibility=_SHOWN,
    rhythm=Rhythm.SETTINGS,
    setting=Setting(minimum=0.1, maximum=60, step=0.1, everyday=True),
    diagnostic=True,
)
SERVER_ADDRESS: Final = Point(
    key="server_address",
    name="Server address",
    quantity=Quantity.TEXT,
    rhythm=Rhythm.SETTINGS,
    setting=Setting(),
)
SERVER_PORT: Final = Point(
    key="server_port",
    name="Server port",
    quantity=Quantity.CODE,
    rhythm=Rhythm.SETTINGS,
    setting=Setting(minimum=1, maximum=65535, step=1),
)
SERVER_NAME: Final = Point(
    key="server_name",
    name="Server name",
    quantity=Quantity.TEXT,
    rhythm=Rhythm.SETTINGS,
    setting=Setting(),
)
RESTART: Final = Point(
    key="restart",
    name="Restart",
    quantity=Quantity.COMMAND,
    visibility=_OFFERED,
    setting=Setting(persistent=False),
)

PARAMETERS: Final = {
    REPORT_INTERVAL.key: ParameterNumber.INTERVAL,
    SERVER_ADDRESS.key: ParameterNumber.SERVER_ADDRESS,
    SERVER_PORT.key: ParameterNumber.SERVER_PORT,
    SERVER_NAME.key: ParameterNumber.SERVER_NAME,
}
"""Which parameter holds a setting."""

LOGGERS_CONNECTED: Final = Point(
    key="loggers_connected",
    name="Connected dataloggers",
    quantity=Quantity.COUNT,
    visibility=_SHOWN,
)
REFUSED: Final = Point(
    key="refused_connections",
    name="Refused connections",
    quantity=Quantity.COUNT,
    visibility=_SHOWN,
)

SERVER_POINTS: Final = (LOGGERS_CONNECTED, REFUSED)
