"""What is said when a change does not come about."""

from typing import ClassVar


class WriteError(Exception):
    """A change that did not come about. ``key`` and ``details`` name the message to show."""

    key: str = "write_failed"
    callers_fault: ClassVar[bool] = True
    """Whether asking differently helps, rather than mending the device or the link."""

    def __init__(self, reason: str = "", **details: str) -> None:
        """Say why; ``details`` go into the message."""
        super().__init__(reason or self.key)
        self.details = {"reason": reason, **details}


class UnknownSettingError(WriteError):
    """The device has nothing of this name."""

    key = "unknown_register"


class NotASettingError(WriteError):
    """It can be read, but no table says that it may be written."""

    key = "not_a_setting"


class InstallerError(WriteError):
    """It is for who installed the device, and the owner has not allowed such changes."""

    key = "installer_only"


class NeverWriteError(WriteError):
    """The tables say that it must not be written, and why."""

    key = "never_write"


class InvalidValueError(WriteError):
    """The table says that this value is not allowed."""

    def __init__(self, kind: str, reason: str = "", **details: str) -> None:
        """Say what kind of mistake it is: the key of a message."""
        super().__init__(reason, **details)
        self.key = kind


class UnknownTokenError(WriteError):
    """No change waits under this token: expired, used, cancelled, of another device."""

    key = "unknown_token"


class ValueChangedError(WriteError):
    """The device no longer holds what the change was made for."""

    key = "value_changed"


class DoubtfulError(WriteError):
    """There is something to think over first. ``key`` is that of the doubt."""

    def __init__(self, doubt: str, **details: str) -> None:
        """Name the doubt."""
        super().__init__(**details)
        self.key = doubt


class TooOftenError(WriteError):
    """The register lives in flash and was written too often."""

    key = "write_rate_limited"


class ClosedError(WriteError):
    """The entry is being unloaded, or writing was switched off."""

    key = "writes_closed"


class WrongDeviceError(WriteError):
    """Another device answers there."""

    key = "wrong_device"
    callers_fault = False

    def __init__(self, expected: str, found: str) -> None:
        """Name both."""
        super().__init__(
            f"expected {expected}, found {found}", expected=expected, found=found
        )


class DeviceError(WriteError):
    """The device cannot be asked: silent, unreachable, garbled."""

    key = "communication_error"
    callers_fault = False


class NotReadableError(DeviceError):
    """The device answers, but refuses to tell what it holds."""

    key = "not_readable"


class NotIdentifiedError(DeviceError):
    """The device answers, but does not say who it is in the place where its model does."""

    key = "not_identified"


class NotSentError(WriteError):
    """The device could not be asked any more before anything was sent to it."""

    key = "communication_error"
    callers_fault = False


class RefusedError(WriteError):
    """The device answered no. It is sure that nothing was written."""

    key = "write_refused"
    callers_fault = False


class KeptOldValueError(WriteError):
    """The device answered yes and still holds the old value."""

    key = "kept_old_value"
    callers_fault = False


class NotWrittenError(WriteError):
    """The device did not answer the write, and holds the old value."""

    key = "not_written"
    callers_fault = False


class HoldsOtherValueError(WriteError):
    """The device holds neither the old nor the new value: firmware with limits of its own."""

    key = "holds_other_value"
    callers_fault = False


class OutcomeUnknownError(WriteError):
    """The device could not be asked what it holds now."""

    key = "outcome_unknown"
    callers_fault = False
