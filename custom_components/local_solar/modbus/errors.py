"""What can be wrong with a value that someone wants to write."""


class RegisterValueError(ValueError):
    """A value cannot be put into a register. The message names register, value and cure."""

    def __init__(self, key: str, value: object, reason: str) -> None:
        """Say that ``value`` does not fit the register ``key`` because of ``reason``."""
        super().__init__(f"{key}: {value!r} {reason}")
        self.key = key
        self.value = value
        self.reason = reason


class ValueOutOfRangeError(RegisterValueError):
    """The value lies outside the limits of the setting or of the register's type."""


class ValueNotRepresentableError(RegisterValueError):
    """The value lies between two values that the register can hold, or has the wrong type."""


class ValueNotAnOptionError(RegisterValueError):
    """The value is not one of the register's options."""
