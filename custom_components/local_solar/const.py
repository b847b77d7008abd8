"""Names that several modules of the integration share."""

import logging
from typing import Final

DOMAIN: Final = "local_solar"
LOGGER: Final = logging.getLogger(__package__)

CONF_KIND: Final = "kind"
"""What an entry is: a key of ``coordinators.COORDINATORS``."""
CONF_LINK: Final = "link"
CONF_UNIT_ID: Final = "unit_id"
CONF_IDENTIFICATION: Final = "identification"
CONF_SPACING: Final = "message_spacing"
"""Quiet time between messages, in milliseconds."""
CONF_MAX_WORDS: Final = "max_words"
CONF_PROFILE: Final = "profile"

CONF_WRITE_ACCESS: Final = "write_access"
WRITE_DISABLED: Final = "disabled"
WRITE_CONFIRM: Final = "confirm"
CONF_SYNC_CLOCK: Final = "sync_clock_daily"
CONF_WORK_MODE: Final = "work_mode"
"""Which of its two meanings the work mode of a hybrid has."""
WORK_MODE_UNKNOWN: Final = "unknown"

CONF_INVENTORY: Final = "inventory"
"""What is behind a DTU or gateway, as far as it is known."""
CONF_POLL_INTERVAL: Final = "poll_interval"
"""Seconds between two polls."""
CONF_LEAVE_CLOUD_FREE: Final = "leave_cloud_free"
CONF_METER_FACTOR: Final = "meter_factor"
CONF_LIVE_INTERVAL: Final = "live_interval"
"""Seconds between two polls of what is measured."""
CONF_INSTALLER_SETTINGS: Final = "installer_settings"
"""Whether settings may be changed that are for who installed a device."""

CONF_MODE: Final = "mode"
"""Whether what a datalogger reports goes on to its maker's server."""
MODE_STAND_ALONE: Final = "stand_alone"
MODE_WITH_CLOUD: Final = "with_cloud"
CONF_CLOUD_HOST: Final = "cloud_host"
CONF_CLOUD_PORT: Final = "cloud_port"
CONF_ALLOWED: Final = "allowed_dataloggers"
"""Serial numbers of the dataloggers that are listened to; none: all of them."""
CONF_CLOUD_SETTINGS: Final = "cloud_may_change_settings"
CONF_CLOUD_TAKEOVER: Final = "cloud_may_move_datalogger"
CONF_TAKE_DAMAGED: Final = "take_damaged_packets"

CONF_UNITS: Final = "units"
"""Unit ids that a gateway serves."""
CONF_RTU_PORT: Final = "rtu_port"
"""Port on which a gateway takes RTU frames; 0: none."""
CONF_TERMINALS: Final = "terminals"
"""How many pseudo-terminals a gateway offers to programs of this computer."""
CONF_DONGLE_DEVICE: Final = "dongle_device"
"""Serial port to which the maker's stick is wired; empty: none."""
CONF_DONGLE_BAUDRATE: Final = "dongle_baudrate"
"""Speed of that port, as text."""
CONF_PEERS: Final = "peers"
"""IP addresses and networks from which a gateway takes connections; none: all."""
CONF_RANGES: Final = "ranges"
"""Registers that clients of a gateway may read, as text; none: all."""
CONF_MAX_AGE: Final = "max_age"
"""Seconds for which a gateway answers with what it has read before."""
CONF_REQUEST_TIMEOUT: Final = "request_timeout"
"""Seconds that a gateway waits for an answer."""
CONF_LEAST_GAP: Final = "least_gap"
"""Quiet time between messages that a gateway never goes below, in milliseconds."""
CONF_WRITERS: Final = "writers"
"""IP addresses and networks whose programs may write through a gateway."""
CONF_DONGLE_WRITES: Final = "dongle_writes"
"""Whether the maker's stick may write through a gateway."""
CONF_NEVER: Final = "never"
"""What was found out of registers that must not be touched: spans as texts, by unit id."""

KIND_DATALOGGER: Final = "growatt_datalogger"
KIND_GATEWAY: Final = "gateway"
KIND_GROWATT: Final = "growatt"
KIND_HOYMILES: Final = "hoymiles"
KIND_OUTBACK: Final = "outback"

DEFAULT_UNIT_ID: Final = 1
DEFAULT_SPACING: Final = 850
"""Milliseconds; the least command period that Growatt's documents name."""
DEFAULT_MAX_WORDS: Final = 125

DEFAULT_POLL_INTERVAL: Final = 60
LEAST_POLL_INTERVAL: Final = 35
"""A DTU has new values every 30 seconds; below 32 its reports to the maker may stop."""
MOST_POLL_INTERVAL: Final = 600
DEFAULT_METER_FACTOR: Final = 1.0

DEFAULT_GATEWAY_PORT: Final = 5020
"""Where a gateway speaks Modbus TCP: 502, the usual one, is for the system's own programs."""
DEFAULT_MAX_AGE: Final = 1.0
DEFAULT_REQUEST_TIMEOUT: Final = 1.2
"""An inverter answers within 0.5 s at 9600 baud; the others wait no longer for a silent one."""
DEFAULT_LEAST_GAP: Final = 0

AUTOMATIC: Final = "automatic"
"""The profile option that leaves the choice to the identification."""
