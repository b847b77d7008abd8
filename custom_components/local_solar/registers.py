"""Looking at registers and parameters of a device: what actions may ask a coordinator for."""

from collections.abc import Mapping
from dataclasses import dataclass

from .modbus.image import RegisterImage, Space
from .points import Point, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterReading:
    """Words that were just read, and what they mean.

    ``point`` is set if a point was asked for; ``values`` are those of all points that lie
    in the words as a whole.
    """

    space: Space
    address: int
    words: tuple[int, ...]
    values: Mapping[str, Value | None]
    point: Point | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterReading:
    """A numbered parameter that was just read, and what it means.

    ``point`` is set if a point was asked for, and then ``value`` is its value.
    """

    number: int
    text: str
    point: Point | None = None
    value: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterDump:
    """All registers of a device, without serial numbers, and why keys are missing."""

    image: RegisterImage
    missing: Mapping[str, str]
    source: str
    """What the dump is of."""
    is_flat: bool = False
    """Whether files of it hold holding registers and nothing else, as other programs for
    such devices keep them."""
