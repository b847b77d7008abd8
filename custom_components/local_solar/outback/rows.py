"""The words that the tables of blocks are written with."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from ..modbus.codecs import S16, U16, U32_LOW_FIRST, Codec, Text
from ..modbus.image import Space
from ..modbus.register import Register
from ..points import Point, Quantity, Rhythm, Setting, Visibility
from .block import PORT, Nominal, Row
from .codecs import BITS, HOUR_MINUTE, Bit, Shown

SHOWN: Final = Visibility.SHOWN
OFFERED: Final = Visibility.OFFERED
RAW: Final = Visibility.RAW

type Options = Mapping[int, str | bool]

UNITS: Final[Mapping[Quantity, str]] = {
    Quantity.POWER: "kW",
    Quantity.ENERGY_TODAY: "kWh",
    Quantity.ENERGY_TOTAL: "kWh",
    Quantity.VOLTAGE: "V",
    Quantity.CURRENT: "A",
    Quantity.FREQUENCY: "Hz",
    Quantity.TEMPERATURE: "°C",
    Quantity.STATE_OF_CHARGE: "%",
    Quantity.PERCENT: "%",
    Quantity.CAPACITY: "Ah",
}
"""The unit of a row that names none."""

NOT_AVAILABLE: Final[Mapping[Codec, int]] = {
    U16: 0xFFFF,
    S16: -0x8000,
    U32_LOW_FIRST: 0xFFFF_FFFF,
}
"""What stands for "not available" (SunSpec 12041)."""

NO_DATA: Final = {0x7FFF, 0x8000}
"""What a gateway gives now and then for powers and the energies of a day, as owners of
Radian inverters found; no such device has megawatts."""

_NEVER_SO_MUCH: Final = {Quantity.POWER, Quantity.ENERGY_TODAY}

DECIMALS: Final = {"": 0, "ac_voltage_scale_factor": 0}
"""Digits behind the point of what is told in whole units: without a scale, or with this one,
which is 0 everywhere."""

DISABLED_ENABLED: Final[Options] = {0: False, 1: True}
ENABLED_DISABLED: Final[Options] = {0: True, 1: False}

ACRONYMS: Final = {"ac", "pv"}

BATTERY_RANGE: Final = (0.75, 1.42)
"""What any set-point of a battery lies within, in multiples of the nominal voltage: from 9
to 17 V of a 12 V battery. The devices have narrower limits of their own."""


def _row(
    rhythm: Rhythm,
    offset: int,
    codec: Codec,
    name: str,
    label: str,
    quantity: Quantity,
    scale_factor: str = "",
    visibility: Visibility = RAW,
    /,
    *,
    key: str = "",
    unit: str | None = None,
    index: int | None = None,
    options: Options | None = None,
    diagnostic: bool = False,
    setting: Setting | None = None,
    nominal: Nominal = Nominal.NOTHING,
    at_most: str = "",
    at_least: str = "",
    write_only: bool = False,
    sends_to: int | None = None,
    decimals: int | None = None,
    note: str = "",
    never_write: str = "",
) -> Row:
    """Return a row: place, codec, maker's name, our name, quantity, scale factor."""
    sentinels = {NOT_AVAILABLE[codec]} if codec in NOT_AVAILABLE else set()
    if codec == U16 and quantity in _NEVER_SO_MUCH:
        sentinels |= NO_DATA
    point = Point(
        key=key or name,
        name=label,
        quantity=quantity,
        unit=unit or UNITS.get(quantity),
        visibility=visibility,
        rhythm=rhythm,
        index=index,
        options=tuple(
            dict.fromkeys(
                text for text in (options or {}).values() if isinstance(text, str)
            )
        ),
        setting=setting,
        diagnostic=diagnostic,
        decimals=DECIMALS.get(scale_factor) if decimals is None else decimals,
    )
    return Row(
        name=name,
        register=Register(
            point=point,
            space=Space.HOLDING,
            address=offset - 1,
            codec=codec,
            options=options,
            sentinels=frozenset(sentinels),
            note=note,
            never_write=never_write,
        ),
        scale_factor=scale_factor,
        write_only=write_only,
        sends_to=sends_to,
        nominal=nominal,
        at_most=at_most,
        at_least=at_least,
    )


live_row: Final = partial(_row, Rhythm.LIVE)
"""A row of what a device measures."""

config_row: Final = partial(_row, Rhythm.SETTINGS)
"""A row of what its owner set, or what it is."""


# -- what every block has ----------------------------------------------------------------


def header(rhythm: Rhythm = Rhythm.LIVE, prefix: str = "") -> tuple[Row, Row]:
    """Return the rows of a block's number and length.

    ``prefix`` stands before the keys of what another block of the same device has, too.
    """
    return (
        _row(rhythm, 1, U16, "did", "Block", Quantity.CODE, key=f"{prefix}did"),
        _row(
            rhythm,
            2,
            U16,
            "length",
            "Block length",
            Quantity.CODE,
            key=f"{prefix}length",
        ),
    )


def device_header(rhythm: Rhythm = Rhythm.LIVE, prefix: str = "") -> tuple[Row, ...]:
    """Return the rows of number, length and the port that the device is on."""
    port = _row(rhythm, 3, U16, PORT, "Port", Quantity.CODE, key=f"{prefix}{PORT}")
    return (*header(rhythm, prefix), port)


config_header: Final = partial(device_header, Rhythm.SETTINGS, "config_")
"""The rows at the start of a block with the configuration of a device."""


def scales(
    offset: int, *names: str, rhythm: Rhythm = Rhythm.LIVE, prefix: str = ""
) -> Iterator[Row]:
    """Go through the rows of scale factors that follow each other from ``offset``."""
    for place, name in enumerate(names, offset):
        label = f"{name.replace('_', ' ').capitalize()} scale factor"
        full = f"{name}_scale_factor"
        key = f"{prefix}{full}"
        yield _row(rhythm, place, S16, full, label, Quantity.CODE, key=key)


config_scales: Final = partial(scales, rhythm=Rhythm.SETTINGS, prefix="config_")
"""Scale factors in a block with the configuration of a device."""


def firmware(offset: int, prefix: str = "") -> Iterator[Row]:
    """Go through the three rows of a firmware's number."""
    for place, part in enumerate(("major", "mid", "minor"), offset):
        name = f"{prefix}{part}_firmware_number"
        label = name.replace("_", " ").capitalize()
        yield config_row(place, U16, name, label, Quantity.CODE)


def text(
    offset: int,
    words: int,
    name: str,
    label: str,
    never_write: str = "",
    *,
    write_only: bool = False,
) -> Row:
    """Return the row of a text of two characters a register."""
    return config_row(
        offset,
        Text(words),
        name,
        label,
        Quantity.TEXT,
        never_write=never_write,
        write_only=write_only,
    )


# -- settings --------------------------------------------------------------------------


def number(
    offset: int,
    codec: Codec,
    name: str,
    label: str,
    quantity: Quantity,
    limits: tuple[float, float],
    scale_factor: str = "",
    visibility: Visibility = RAW,
    /,
    *,
    step: float | None = None,
    unit: str | None = None,
    nominal: Nominal = Nominal.NOTHING,
    at_most: str = "",
    at_least: str = "",
    everyday: bool = False,
    installer: bool = False,
    persistent: bool = True,
    note: str = "",
) -> Row:
    """Return the row of a number that may be set within ``limits``.

    ``step`` is what the scale factor makes of 1, a tenth unless told otherwise.
    """
    if step is None:
        step = 0.1 if scale_factor else 1
    minimum, maximum = limits
    return config_row(
        offset,
        codec,
        name,
        label,
        quantity,
        scale_factor,
        visibility,
        unit=unit,
        setting=Setting(
            minimum=minimum,
            maximum=maximum,
            step=step,
            everyday=everyday,
            installer=installer,
            persistent=persistent,
        ),
        nominal=nominal,
        at_most=at_most,
        at_least=at_least,
        note=note,
    )


def battery_volts(
    offset: int,
    name: str,
    label: str,
    scale_factor: str = "dc_voltage_scale_factor",
    visibility: Visibility = RAW,
    /,
    *,
    everyday: bool = False,
    installer: bool = False,
    at_most: str = "",
    at_least: str = "",
) -> Row:
    """Return the row of a set-point of the battery's voltage.

    ``at_most`` and ``at_least`` name other set-points of the same block.
    """
    return number(
        offset,
        U16,
        name,
        label,
        Quantity.VOLTAGE,
        BATTERY_RANGE,
        scale_factor,
        visibility,
        nominal=Nominal.BATTERY,
        everyday=everyday,
        installer=installer,
        at_most=at_most,
        at_least=at_least,
    )


def switch(
    offset: int,
    name: str,
    label: str,
    visibility: Visibility = RAW,
    /,
    *,
    options: Options = DISABLED_ENABLED,
    everyday: bool = False,
    installer: bool = False,
    note: str = "",
) -> Row:
    """Return the row of something that is on or off."""
    return config_row(
        offset,
        U16,
        name,
        label,
        Quantity.FLAG,
        "",
        visibility,
        options=options,
        setting=Setting(everyday=everyday, installer=installer),
        note=note,
    )


def choice(
    offset: int,
    name: str,
    label: str,
    options: Options,
    visibility: Visibility = RAW,
    /,
    *,
    codec: Codec = U16,
    everyday: bool = False,
    installer: bool = False,
    persistent: bool = True,
    note: str = "",
) -> Row:
    """Return the row of a setting with a few options."""
    return config_row(
        offset,
        codec,
        name,
        label,
        Quantity.STATE,
        "",
        visibility,
        options=options,
        setting=Setting(everyday=everyday, installer=installer, persistent=persistent),
        note=note,
    )


def time_of_day(
    offset: int,
    name: str,
    label: str,
    visibility: Visibility = RAW,
    /,
    *,
    everyday: bool = False,
) -> Row:
    """Return the row of a time of day: the hour and, behind it, the minute."""
    return config_row(
        offset,
        HOUR_MINUTE,
        name,
        label,
        Quantity.TIME_OF_DAY,
        "",
        visibility,
        setting=Setting(everyday=everyday),
    )


def command(
    offset: int,
    sends_to: int,
    key: str,
    label: str,
    options: Options,
    shown: Shown,
    /,
    *,
    reads_back: bool = True,
) -> Row:
    """Return the row of a command: shown in the status word, written to another register.

    ``options`` are the commands by number. What a command brings about may depend on more
    than the command (``reads_back``): a full battery takes no bulk charge.
    """
    is_switch = all(isinstance(option, bool) for option in options.values())
    return live_row(
        offset,
        shown,
        key,
        label,
        Quantity.FLAG if is_switch else Quantity.STATE,
        "",
        OFFERED,
        options=options,
        setting=Setting(persistent=False, reads_back=reads_back),
        sends_to=sends_to,
    )


# -- bit fields ------------------------------------------------------------------------


def bit(
    offset: int,
    mask: int,
    name: str,
    label: str,
    quantity: Quantity = Quantity.FLAG,
    visibility: Visibility = RAW,
    /,
    *,
    rhythm: Rhythm = Rhythm.LIVE,
) -> Row:
    """Return the row of one bit of a bit field."""
    return _row(
        rhythm,
        offset,
        Bit(mask),
        name,
        label,
        quantity,
        "",
        visibility,
        options=DISABLED_ENABLED,
        diagnostic=True,
    )


def bit_field(
    offset: int,
    name: str,
    label: str,
    bits: Mapping[int, str],
    quantity: Quantity,
    /,
    *,
    prefix: str,
    rhythm: Rhythm = Rhythm.LIVE,
) -> Iterator[Row]:
    """Go through the row of a bit field, and the rows of its bits, named by mask.

    ``prefix`` stands before the names of the bits, to tell them from others.
    """
    yield _row(rhythm, offset, BITS, name, label, Quantity.CODE)
    for mask, what in bits.items():
        label = f"{prefix.rstrip('_').capitalize()}: {words_of(what)}"
        yield bit(
            offset, mask, f"{prefix}{what}", label, quantity, OFFERED, rhythm=rhythm
        )


def words_of(name: str) -> str:
    """Return the words of a name: ``low_ac_output_voltage`` -> ``low AC output voltage``."""
    return " ".join(
        word.upper() if word in ACRONYMS else word for word in name.split("_")
    )
