"""What can be wrong with a gateway, beyond a link that does not work."""


class Mate3Error(Exception):
    """A gateway cannot be used as it answers now. The message says what it answers."""


class NotSunSpecError(Mate3Error):
    """There is no SunSpec map where OutBack's gateways have theirs."""


class EncryptedError(Mate3Error):
    """The registers are scrambled: an AXS port with encryption switched on."""


class NotOutBackError(Mate3Error):
    """It is a SunSpec map, of something else."""


class BrokenMapError(Mate3Error):
    """The chain of blocks does not come to an end."""


class NoDataError(Mate3Error):
    """The gateway has no data of a device for now, as it does while it starts."""


class MapChangedError(Mate3Error):
    """The blocks are no longer where they were: a device was added, removed or moved."""


class BlankError(Mate3Error):
    """The gateway has no data of one block for now."""
