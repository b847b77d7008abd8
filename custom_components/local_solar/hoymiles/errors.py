"""What can go wrong between a DTU and us. Each message says what happened."""


class DtuError(Exception):
    """A DTU could not be asked."""


class FrameError(DtuError):
    """What came is no frame: garbled, of an impossible length, or not to be decrypted."""


class MessageError(FrameError):
    """The frame is whole, but holds no message of the kind that was asked for."""


class UnreachableError(DtuError):
    """No connection: wrong address, asleep, or it refuses to be asked so often."""


class SilentError(DtuError):
    """It took the connection and does not answer."""


class EvictedError(DtuError):
    """It closed the connection: another program connected, or it restarts."""


class RefusedCommandError(DtuError):
    """It says no to a command, or the inverter did not carry it out."""


class UnsupportedError(DtuError):
    """It says who it is, and gives no data: its firmware cannot."""


class WrongDtuError(DtuError):
    """Another DTU answers there."""

    def __init__(self, expected: str, found: str) -> None:
        """Name both serial numbers."""
        super().__init__(f"expected DTU {expected}, found {found}")
        self.expected = expected
        self.found = found
