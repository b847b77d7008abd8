"""What a DTU can be asked, and what it can be told to do."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple


class Command(NamedTuple):
    """A request to a DTU; the reply has an id that is 0x100 less."""

    id: int
    request: str
    """Name of its message."""
    reply: str


APP_INFO: Final = Command(0xA301, "AppInfoRequest", "AppInfoReply")
"""What it is and what is behind it. Always in plain text: it tells how to decrypt the rest."""
OLD_REAL_DATA: Final = Command(0xA303, "OldRealDataRequest", "OldRealDataReply")
ALARMS: Final = Command(0xA304, "AlarmRequest", "AlarmReply")
COMMAND: Final = Command(0xA305, "CommandRequest", "CommandAck")
COMMAND_STATUS: Final = Command(0xA306, "CommandStatusRequest", "CommandStatusReply")
CONFIG: Final = Command(0xA309, "ConfigRequest", "ConfigReply")
REAL_DATA: Final = Command(0xA311, "RealDataRequest", "RealDataReply")
NETWORK_INFO: Final = Command(0xA314, "NetworkInfoRequest", "NetworkInfoReply")
CLOUD_COMMAND: Final = Command(0x2305, "CommandRequest", "CommandAck")
"""The id that the vendor's cloud gives commands with; some firmware takes no other."""

GATEWAY_INFO: Final = Command(0xDB01, "GatewayInfoRequest", "GatewayInfoReply")
STORAGE_REGISTRY: Final = Command(
    0xC302, "StorageRegistryRequest", "StorageRegistryReply"
)
STORAGE_DATA: Final = Command(0xC303, "StorageDataRequest", "StorageDataReply")


class Action(IntEnum):
    """What a command does. Others that DTUs know can destroy or lock something: not here."""

    DTU_RESTART = 1
    INVERTER_RESTART = 3
    INVERTER_START = 6
    INVERTER_SHUTDOWN = 7
    STORED_LIMIT = 8
    """Share of the rated power, kept in the inverter's flash."""
    FAST_DATA = 33
    """Asks the inverters all the time, until the DTU restarts."""
    CLEAR_ALARMS = 42
    COLLECT_ALARMS = 50
    """Makes the list of events that ``ALARMS`` then gives. Changes nothing."""
    TEMPORARY_LIMIT = 211
    """Watts, kept until the inverter restarts."""


KINDS: Final[Mapping[Action, int]] = {
    Action.INVERTER_RESTART: 3,
    Action.INVERTER_START: 1,
    Action.INVERTER_SHUTDOWN: 1,
}
"""The kind of device that clients in the field give with an action, 0 with all others: 1 is
a DTU, 3 a microinverter."""
