"""Systems that the simulator can be: their blocks, made from OutBack's register document.

Words stand in the order of the document (2019-07). All names and numbers are invented.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from simulators.errors import SimulatorError

from .chain import (
    CHARGE_CONTROLLER,
    CHARGE_CONTROLLER_CONFIG,
    FLEXNET_DC,
    FLEXNET_DC_CONFIG,
    FX,
    FX_CONFIG,
    GATEWAY,
    HEADER_WORDS,
    RADIAN_CONFIG,
    SINGLE_PHASE,
    SPLIT_PHASE,
    SYSTEM_CONTROL,
    Block,
    Chain,
)

DEFAULT_VARIANT: Final = "mate3s"

_NONE: Final = 0xFFFF
"""Not available, in an unsigned register."""

_NO_SIGNED: Final = 0x8000
"""Not available, in a signed register."""

_MAC: Final = "0090EA-000001"

type Word = int | list[int]
"""A word, or several that belong together."""


def _text(words: int, text: str = "") -> list[int]:
    """Return the words of a text: two characters each, the rest 0."""
    octets = text.encode("ascii").ljust(2 * words, b"\0")
    return [
        int.from_bytes(octets[place : place + 2]) for place in range(0, 2 * words, 2)
    ]


def _block(did: int, length: int, words: Iterable[Word]) -> Block:
    """Return a block of a length. What a newer document has beyond it is left out."""
    flat = [did, length]
    for word in words:
        flat += word if isinstance(word, list) else [word]
    if len(flat) < length + HEADER_WORDS:
        raise ValueError(f"block {did} has {len(flat) - HEADER_WORDS} words")
    return Block([word & 0xFFFF for word in flat[: length + HEADER_WORDS]])


# --- the gateway's own blocks ---


def _common(model: str, version: str, serial: str) -> Block:
    return _block(
        1,
        65,
        (
            *(_text(16, "OutBack_Power"), _text(16, model), _text(8)),
            *(_text(8, version), _text(16, serial), 0),
        ),
    )


def _gateway(
    *,
    kind: int,
    firmware: tuple[int, int, int],
    zone: tuple[int, int],
    name: str,
    password: int = _NONE,
    hub: int = 10,
) -> Block:
    """Return the block of a gateway.

    ``kind`` is 2 for a MATE3 and 3 for a MATE3s, ``zone`` the time zone and its scale
    factor, ``password`` what its unreadable words read.
    """
    quiet = [0] * 8  # weekday and weekend, start and stop, hour and minute
    return _block(
        GATEWAY,
        420,
        (
            *(*firmware, 0, _text(7, _MAC), [password] * 8),
            # DHCP, address, gateway, netmask, name servers, Modbus port
            *(1, [0xC0A8, 0x0132], [0xC0A8, 0x0101], [0xFFFF, 0xFF00]),
            *([0xC0A8, 0x0101], [0, 0], 502),
            # e-mail
            *(_text(20), _text(16), 0, _text(8), _text(20), 0, 8),
            *(_text(25), _text(20), _text(20), 0),
            *(_text(30, name), _text(15), _text(20)),
            *(_text(8), _text(8)),  # passwords of FTP and telnet
            *(1, 365, 1),  # data log: interval in min, days, kind
            *(_text(20, "pool.ntp.org"), 1, zone[0]),
            *(
                1,
                1,
                0,
            ),  # float coordination, charge termination, grid tie by FLEXnet-DC
            *(-1, -1),  # scale factors: volts, hours
            # AGS: mode, port, port type, generator, absorb V and h, fault, cool, warm (min)
            *(0, 1, 0, 0, 576, 20, 5, 3, 1),
            *(
                0,
                10,
                0,
                0,
                15,
                4,
            ),  # exercise: mode, hour, minute, day, period, interval
            *(1, 0, 440, 0, 472, 0, 490),  # sell mode; 2 min, 2 h and 24 h start
            *(0, 4, 5, 1, 5),  # load start: mode, kW, delay; stop: kW, delay
            *(
                0,
                40,
                85,
                0,
                14,
            ),  # SOC start: mode, start, stop; full charge: mode, days
            *(0, quiet, 0, quiet, [0, 0]),  # must run, quiet time, run time
            *(0, 488, 5, 540, 5, 45, 85),  # HBX: mode, connect, disconnect
            *(0, 22, 0, 6, 0, 22, 0, 8, 0),  # grid use 1: mode, weekday, weekend
            *(0, 12, 0, 14, 0),  # grid use 2
            *(0, 0, 0, 0, 0),  # grid use 3
            *(0, 40, 5, 10, 492, 540),  # load grid transfer
            *(0, 200, 0, 1),  # global charger control, AC coupling
            *([_NONE, _NONE], [password] * 20, 0),  # update lock, portal, logged in
            *(hub, 3, 1, 0),  # kind and firmware of the HUB
            *(2026, 6, 21, 12, 0, 0),
            *(24, _NO_SIGNED, 0),  # °C: battery, ambient; scale factor
            *(0, 0, 0x00FF, kind, 48, 520),  # error, status, update, kind, volts, volts
            *(2, 0),  # AC reconnect delay, multi-phase coordination
            *(-1, 0, 0, -1, 0, 0, -1, 0, 0),  # schedules of the AC mode: none
            *(0, zone[1], 0, 0),  # auto reboot, scale factor of the time zone, spare
        ),
    )


def _system_control(
    length: int = 27, *, status: int, sell: int = 528, limits: tuple[int, int, int]
) -> Block:
    """Return the block of system control.

    ``limits`` are those of charging, AC1 and AC2 in 0.1 A.
    """
    return _block(
        SYSTEM_CONTROL,
        length,
        (
            *(-1, -1, -1),  # scale factors: DC volts, AC amps, time
            *(0, 0, 0, 0, 0, status),  # commands, which read 0
            *(sell, 300, 576, 20, 544, 10, *limits),
            *(0, 0, 0),  # generator: mode, state, timer
            *([0, 0], [0, 0], _NONE, _NONE),  # last start, how long; off-line frequency
        ),
    )


def _aggregate(
    did: int, volts: int, amps: int, kw: int, *, hertz: int, mode: int, used: bool
) -> Block:
    """Return the SunSpec block that adds up all inverters. ``kw`` is in 10 W."""
    phases = {101: (volts, _NONE), 102: (volts // 2, volts // 2)}[did]
    legs = (amps, _NONE) if did == 101 else (amps, amps)
    return _block(
        did,
        50,
        (
            *(amps * (did - 100), *legs, _NONE, 0),
            *(volts if did == 102 else _NONE, _NONE, _NONE, *phases, _NONE, 0),
            *(kw, -2, hertz, -1, kw, -2, 0, -2, 0, -2),
            *([0, 0], 0, _NONE, 0, 520, -1, _NO_SIGNED, -1),
            *(38, 36, 41, 35, 0),
            *(4 if used else 7, mode),  # a dropped AC input counts as a fault
            *([0, 0 if used else 4], [0, 0], [0, 0]),
            *([0, _NONE], [_NONE, _NONE], [_NONE, _NONE]),
        ),
    )


def _optics() -> Block:
    kinds = (15, 15, 15, 15, 15, 15, 60, 15)
    words = [[0, 0, 0, 0, 0, 0, timeout] for timeout in kinds]
    words[2] = [590, 640, 611, 4, 0, 0, 15]
    words[4] = [601, 2100, 748, 52, 0, 0, 15]
    return _block(64255, 56, words)


def _nameplates() -> Iterable[Block]:
    """Go through the blocks that newer firmware has, as far as is known: their numbers."""
    for did, length in ((120, 26), (121, 30), (122, 44), (123, 24), (124, 24)):
        yield _block(did, length, [4, *[_NONE] * (length - 1)])


# --- what is on the HUB ---


def _controller(
    port: int,
    model: str,
    *,
    amps: int,
    watts: int,
    lifetime: int,
    wide: bool = False,
) -> tuple[Block, Block]:
    """Return the blocks of a charge controller.

    ``amps`` is its limit in A, ``lifetime`` its energy in kWh; ``wide`` says that it
    takes arrays of 300 V.
    """
    array, voc = (2410, 2980) if wide else (872, 1101)
    current = round(watts / 5.2)
    live = (
        *(port, -1, -1, 0, 0, -1),
        *(520, array, current, round(watts * 10 / array), 2, watts),
        *(498, 541, voc, voc // 10 + 2, 62, 119),
        *(lifetime, lifetime // 5, amps * 51, 612, voc + 240, 0),
        *((41, 33) if wide else (_NO_SIGNED, _NO_SIGNED)),
    )
    config = (
        *(port, -1, -1, -1, 0, 0, -1, 0),  # scale factors, faults
        *(
            576,
            20,
            10,
            500,
            544,
            amps * 10,
        ),  # absorb V, h, A; rebulk V; float V; limit A
        *(600, 1, 0),  # EQ V, h, days
        *(0, 1, 2, 770, 0),  # MPPT, sweep width, sweep maximum, duty cycle, grid tie
        *(1, 530, 630, 5 if wide else _NONE),  # temperature compensation
        *(2, 60, 6, 5),  # restart, wake-up V, snooze A, wake-up interval
        *(4, 0, 0, 1),  # AUX: remote, off, state, polarity
        *(440, 500, 5, 560, 1400, 30),  # disconnect V, reconnect V, s; fan V; PV limit
        *(100, 4, 1, 1, 460),  # night light, error V
        *(50, 8, 0, 2),  # diversion
        *(3, 3, 0, 0, 0),  # firmware, day of the data log
        *(119, 62, 588, 3010, 95, 40, 498, 541, voc // 10),  # log of that day
        *(1059, 0, 14969, 0, 16391, 0, 0),  # tokens that clear logs; calibration
        *(_text(9), _text(9, model)),
    )
    return (
        _block(CHARGE_CONTROLLER, 26, live),
        _block(CHARGE_CONTROLLER_CONFIG, 88, config),
    )


def _split_phase(port: int, *, master: bool = True) -> tuple[Block, Block]:
    """Return the blocks of a split-phase Radian, GS8048A."""
    live = (
        *(port, -1, 0, 0, -1),
        *(
            8,
            0,
            0,
            3,
            121,
            0,
            120,
        ),  # L1: output, charge, buy, sell A; grid, gen, output V
        *(8, 0, 0, 3, 121, 0, 120),  # L2
        *(
            9,
            0,
            0,
            520,
            544,
            0,
            0,
        ),  # mode, errors, warnings; battery V, target; AUX, relay
        *(41, 38, 39, 42, 38, 40, 24),  # °C: left, right, battery
        *(0, 600, 242, 1, 236, 246, 0),  # input: kind, Hz, V, in use, least, most; sell
        *(-1, 8, 0, 31, 0, 62, 8, 0, 31, 0, 62, 0),  # kWh
        *(19, 0, 7, 0, 12, 0, 1),  # kW: output, buy, sell, charge, load, AC coupled; GT
    )
    return (
        _block(SPLIT_PHASE, 59, live),
        _radian_config(port, "GS8048A", master=master, radian=True, volts=120),
    )


def _single_phase(
    port: int, model: str, *, length: int, config_length: int, master: bool = True
) -> tuple[Block, Block]:
    """Return the blocks of a VFXR: no relay, one module."""
    absent = [_NO_SIGNED] * 3
    live = (
        *(port, -1, 0, 0, -1),
        *(9, 0, 0, 0, 121, 0, 120),
        *(2, 0, 0, 520, 544, 0, _NONE),
        *(39, 33, 38, absent, 24),
        *(0, 600, 121, 0, 117, 124, 0x10),
        *(-1, 4, 0, 0, 0, 98, 0),
        *(11, 0, 0, 0, 11, 0, 0),
    )
    return (
        _block(SINGLE_PHASE, length, live),
        _radian_config(
            port, model, master=master, radian=False, volts=120, length=config_length
        ),
    )


def _radian_config(
    port: int,
    model: str,
    *,
    master: bool,
    radian: bool,
    volts: int,
    length: int = 89,
) -> Block:
    """Return the block with the configuration of a Radian or a FXR, which has no relay."""
    low, high = volts * 9 // 10, volts * 11 // 10
    relay = (4, 2, 560, 5, 520, 50) if radian else [_NONE] * 6
    cut_out = (20, 640, 600, 20, 0) if radian else [_NONE] * 5
    return _block(
        RADIAN_CONFIG,
        length,
        (
            *(port, -1, -1, 0, -1, 1, 6, 11),  # scale factors, firmware
            *(576, 20, 544, 10, 500, 600, 10),  # absorb, float, re-float, EQ
            *(30, 8, 60, 0),  # search, priority of the inputs
            *(
                500,
                300,
                120,
                1,
                0,
            ),  # limits: grid, generator, charger A; charger, AC coupled
            *(2, low, high, 1000, 20),  # grid: mode, V, delays
            *(1, low, high, 1000, 5),  # generator
            *(volts, 440, 500),  # output V, cut-out V, cut-in V
            *(4, 1, 560, 5, 520, 50, *relay),  # AUX, relay
            *(10 if master else 12, 0, 1),  # stacking, power save
            *(528, 0, 1, 0, 0, 0, 0),  # sell V, grid tie, calibration
            *(500, 488, 5, 528, 60),  # re-bulk; mini grid; grid zero
            *(_text(9, f"SIM{port:05}"), _text(9, model)),
            *(3 if radian else _NONE, 0, *cut_out),
        ),
    )


def _fx(port: int, *, master: bool = True) -> tuple[Block, Block]:
    """Return the blocks of a VFX3048E."""
    live = (
        *(port, -1, 0, 0, -1),
        *(
            4,
            0,
            0,
            0,
            230,
            2,
            0,
            0,
        ),  # output, charge, buy, sell A; V; mode, errors, warnings
        *(520, 544, 0, 34, 31, 35),  # battery V, target; AUX; °C
        *(500, 0, 0, 0, 0, 0x20),  # input: Hz, V, in use, least, most; sell
        *(-1, 0, 0, 64, 0, 9, 0, 0, 0, 9, 0),  # kWh, kW
    )
    config = (
        *(port, -1, -1, 0, -1, 1, 4, 9),
        *(576, 20, 544, 10, 500, 600, 10, 30, 8, 60),
        *(0, 1, 300, 140, 140, 1),  # input: kind, support; limits A; charger
        *(208, 252, 6, 207, 253, 60, 5),  # input V and delays: grid, generator
        *(230, 440, 500),
        *(4, 1, 520, 440, 4, 560, 9, 560, 5, 580, 5),  # AUX
        *(0 if master else 1, 0, 1),  # stacking, power save
        *(528, 0, 1, 0, 0, 0),
        *(_text(9), _text(9, "VFX3048E")),
    )
    return _block(FX, 36, live), _block(FX_CONFIG, 72, config)


def _monitor(port: int, *, pv: int, load: int) -> tuple[Block, Block]:
    """Return the blocks of a FLEXnet-DC: charge controllers on A, inverters on B, C off.

    ``pv`` and ``load`` are what these bring and draw, in 0.1 A at 52 V.
    """
    live = (
        *(port, -1, -1, -1, -2, -2),
        *(pv, -load, 0, 520, pv - load, 24, 0),  # shunts, V, A, °C, flags
        *(119, 620, -96, -480, 0, 0),  # Ah and kWh by shunt
        *(pv, load),  # in and out: A, kW; net kW
        *(round(pv * 0.52), round(load * 0.52), round((pv - load) * 0.52)),
        *(12, 78, 55, 81),  # days since charged; SOC, least, most
        *(119, 620, 96, 480, 23, 140, 22, 135),  # today: in, out, net; corrected net
        *(498, [0, 0], 541, [0, 0]),  # least and most V, and when
        *(94, 91, 812, 164),  # charge factor, efficiency, days at 100 %, kAh
        *(119, 620, 0, 0, 921, 530, 0, 0),  # shunt A: returned, removed, highest rates
        *(0, 0, 96, 480, 0, 0, -1106, -575),  # shunt B
        *(0, 0, 0, 0, 0, 0, 0, 0),  # shunt C
        *(17519, 0, 6149, 0, 16147, 0),  # tokens that clear the highest rates
    )
    config = (
        *(port, -1, -1, -2, 1, 1, 71),
        *(
            400,
            572,
            30,
            80,
            94,
            0,
            0,
            1,
        ),  # battery: Ah, V, min, A, %; shunts on, on, off
        *(1, 1, 560, 500, 95, 60, 5, 1),  # relay
        *(0, 0, 61, 402, 2105, 388, 2024, 14, 81, 28937, 0),  # data log of a day
        *(_text(9), _text(9, "FLEXnet DC")),
    )
    return _block(FLEXNET_DC, 76, live), _block(FLEXNET_DC_CONFIG, 52, config)


# --- systems ---


def _mate3s(firmware: tuple[int, int, int] = (1, 4, 2)) -> tuple[Block, Block]:
    version = f"{firmware[0]:03}.{firmware[1]:03}.{firmware[2]:03}.0317"
    return (
        _common("MATE3S", version, "MA0000F0000001"),
        _gateway(kind=3, firmware=firmware, zone=(-700, -2), name="Simulated home"),
    )


def _mate3() -> tuple[Block, Block]:
    return (
        _common("MATE3", "003.011.000.0000", "MA0000F0000002"),
        _gateway(
            kind=2,
            firmware=(3, 11, 0),
            zone=(-8, 0),
            name="Simulated cabin",
            password=0,
        ),
    )


# AC in use, inverter on, grid tie, charger in automatic mode, bulk
_HOME_STATUS: Final = 0x0004 | 0x0020 | 0x0040 | 0x0100 | 0x0800
# Inverter on, charger in automatic mode, bulk as MATE3 have it
_CABIN_STATUS: Final = 0x0020 | 0x0100 | 0x0001


def _home() -> list[Block]:
    return [
        *_mate3s(),
        _system_control(status=_HOME_STATUS, limits=(120, 500, 300)),
        _aggregate(102, 240, 8, 190, hertz=600, mode=9, used=True),
        _optics(),
        *_split_phase(1),
        *_controller(3, "FM80-150VDC", amps=80, watts=1650, lifetime=10234),
        *_controller(4, "FM80-150VDC", amps=80, watts=1350, lifetime=9121),
        *_monitor(5, pv=577, load=402),
    ]


def _short_blocks() -> list[Block]:
    return [
        *_mate3(),
        _system_control(status=_CABIN_STATUS, limits=(120, 300, 300)),
        _aggregate(101, 120, 9, 110, hertz=600, mode=2, used=False),
        _optics(),
        *_single_phase(1, "VFXR3648A", length=39, config_length=84),
        *_controller(2, "FM80-150VDC", amps=80, watts=1840, lifetime=6120),
        *_monitor(3, pv=354, load=227),
    ]


def _fx_system() -> list[Block]:
    return [
        *_mate3(),
        _system_control(status=_CABIN_STATUS, limits=(140, 300, 140)),
        _aggregate(101, 230, 8, 180, hertz=500, mode=2, used=False),
        _optics(),
        *_fx(1),
        *_fx(2, master=False),
        *_controller(3, "FM80-150VDC", amps=80, watts=2410, lifetime=12011),
        *_monitor(4, pv=463, load=372),
    ]


def _split_stack() -> list[Block]:
    return [
        *_mate3s((1, 4, 7)),
        _system_control(status=_HOME_STATUS, limits=(120, 500, 300)),
        _aggregate(102, 240, 24, 570, hertz=600, mode=9, used=True),
        _optics(),
        *_split_phase(1),
        *_split_phase(2, master=False),
        *_split_phase(3, master=False),
        *_controller(
            4, "FM100-300VDC", amps=100, watts=3320, lifetime=20871, wide=True
        ),
        *_controller(5, "FM80-150VDC", amps=80, watts=2205, lifetime=17002),
        *_monitor(10, pv=1062, load=1179),
    ]


def _new_firmware() -> list[Block]:
    return [
        *_mate3s((1, 6, 0)),
        _system_control(25, status=_HOME_STATUS, limits=(120, 500, 300)),
        _aggregate(102, 240, 8, 190, hertz=600, mode=9, used=True),
        _optics(),
        *_nameplates(),
        *_split_phase(1),
        *_controller(3, "FM80-150VDC", amps=80, watts=1650, lifetime=10234),
        *_controller(4, "FM60-150VDC", amps=60, watts=990, lifetime=8012),
        *_monitor(5, pv=507, load=402),
    ]


VARIANTS: Final[Mapping[str, Callable[[], list[Block]]]] = {
    DEFAULT_VARIANT: _home,
    "mate3-311": _short_blocks,
    "fx": _fx_system,
    "split-stack": _split_stack,
    "new-firmware": _new_firmware,
}
"""Name of a system -> what makes its blocks."""


def build(variant: str = DEFAULT_VARIANT) -> Chain:
    """Return a new system. Raises ``SimulatorError`` for a name that is none."""
    if (make := VARIANTS.get(variant)) is None:
        raise SimulatorError(f"{variant!r} is not one of {', '.join(VARIANTS)}")
    return Chain(variant, make())
