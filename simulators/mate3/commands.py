"""What commands and switches do to the states of the devices on the HUB.

Commands to system control (64120) are for all inverters and chargers at once. They read 0;
what they did shows in the control status (64120/11) and in the states of the devices.
"""

from collections.abc import Callable
from datetime import datetime
from enum import IntEnum, IntFlag
from typing import Final

from .chain import (
    CHARGE_CONTROLLER,
    CHARGE_CONTROLLER_CONFIG,
    FLEXNET_DC,
    FX,
    FX_CONFIG,
    GATEWAY,
    RADIAN_CONFIG,
    SINGLE_PHASE,
    SPLIT_PHASE,
    SYSTEM_CONTROL,
    Block,
    Chain,
)
from .registers import PLACES, reads, show, show_pair

INVERTERS: Final = (FX, SPLIT_PHASE, SINGLE_PHASE)

_MATE3: Final = 2
"""Type of gateway; 3 is a MATE3s."""


class Status(IntFlag):
    """Bits of the control status (64120/11)."""

    ABSORB = 0x0001
    FLOAT = 0x0002
    AC_USE = 0x0004
    INVERTER_OFF = 0x0008
    INVERTER_SEARCH = 0x0010
    INVERTER_ON = 0x0020
    GRID_TIE = 0x0040
    CHARGER_OFF = 0x0080
    CHARGER_AUTO = 0x0100
    CHARGER_ON = 0x0200
    EQUALIZE = 0x0400
    BULK = 0x0800
    SD_CARD = 0x1000
    REPLAY_FILE = 0x2000
    SD_CARD_ERROR = 0x4000


OLD_BULK: Final = Status.ABSORB
"""The bit of bulk charging in the documents of 2016, which MATE3 keep to."""

INVERTER_MODES: Final = (
    Status.INVERTER_OFF | Status.INVERTER_SEARCH | Status.INVERTER_ON
)
CHARGER_MODES: Final = Status.CHARGER_OFF | Status.CHARGER_AUTO | Status.CHARGER_ON


class Phase(IntEnum):
    """How batteries are charged; also the state of a charge controller (64111/13)."""

    SILENT = 0
    FLOAT = 1
    BULK = 2
    ABSORB = 3
    EQUALIZE = 4


class Mode(IntEnum):
    """What an inverter does."""

    OFF = 0
    SEARCHING = 1
    INVERTING = 2
    CHARGING = 3
    SILENT = 4
    FLOAT = 5
    EQUALIZE = 6
    CHARGER_OFF = 7
    SUPPORT = 8
    SELLING = 9
    PASS_THROUGH = 10
    OFFSETTING = 14


class Generator(IntEnum):
    """State of the generator (64120/22)."""

    STOPPED = 0
    STARTING = 1
    RUNNING = 2
    WARM_UP = 3
    COOL_DOWN = 4
    AWAITING_AC = 5


_PHASE_BITS: Final = {
    Phase.BULK: Status.BULK,
    Phase.ABSORB: Status.ABSORB,
    Phase.EQUALIZE: Status.EQUALIZE,
    Phase.FLOAT: Status.FLOAT,
}
_SELL_DISABLED: Final = 0x20
_FIRST_SETPOINT: Final = PLACES[SYSTEM_CONTROL]["set_sell_voltage"].offset

_SETPOINTS: Final = {
    "set_sell_voltage": "sell_volts",
    "set_absorb_voltage": "absorb_volts",
    "set_absorb_time": "absorb_time_hours",
    "set_float_voltage": "float_volts",
    "set_float_time": "float_time_hours",
    "set_inverter_charger_current_limit": "charger_ac_input_current_limit",
    "set_inverter_ac1_current_limit": "grid_ac_input_current_limit",
    "set_inverter_ac2_current_limit": "gen_ac_input_current_limit",
}
"""Setting for all -> the same one of each inverter. All have a scale factor of -1."""

_NAME_OF: Final = {
    did: {place.offset: name for name, place in places.items()}
    for did, places in PLACES.items()
}

type Later = Callable[[Callable[[], None]], None]
"""Does something after the time that the gateway takes to have it done."""


class Commands:
    """Carries out what is written, on the blocks of a chain."""

    def __init__(self, chain: Chain, later: Later, utc: Callable[[], datetime]) -> None:
        """Act on a chain. ``utc`` tells the gateway's time in UTC."""
        self._chain = chain
        self._later = later
        self._utc = utc
        self.relay_on = 1
        """Word of 64116/47 that switches a Radian's relay on: 1 in the documents, 2 if
        they have a misprint and it is as with all other switches."""
        self.forced: Phase | None = None
        """How batteries are charged by command, whatever their state."""
        self.generator_started: datetime | None = None
        """When the generator was started (UTC), ``None`` while it stands still."""

    # --- what is ---

    @property
    def status(self) -> Status:
        """The control status."""
        control = self._chain.find(SYSTEM_CONTROL)
        word = reads(control, "control_status") if control is not None else None
        return Status(word or 0)

    @property
    def bulk(self) -> Status:
        """The bit of bulk charging that this kind of gateway has."""
        gateway = self._chain.find(GATEWAY)
        kind = reads(gateway, "gateway_type") if gateway is not None else None
        return OLD_BULK if kind == _MATE3 else Status.BULK

    @property
    def phase(self) -> Phase | None:
        """How batteries are charged, by the control status."""
        for phase in (Phase.EQUALIZE, Phase.BULK, Phase.ABSORB, Phase.FLOAT):
            if self._bit_of(phase) & self.status:
                return phase
        return None

    def _bit_of(self, phase: Phase) -> Status:
        if phase is Phase.BULK:
            return self.bulk
        if phase is Phase.ABSORB and self.bulk is OLD_BULK:
            return Status(0)
        return _PHASE_BITS.get(phase, Status(0))

    def inverters(self) -> list[Block]:
        """Return the blocks of all inverters."""
        return [block for block in self._chain.blocks if block.did in INVERTERS]

    # --- what is written ---

    def written(self, block: Block, offset: int, word: int) -> None:
        """Take in a word that was written. It has its effect later."""
        name = _NAME_OF.get(block.did, {}).get(offset)
        if name is None:
            return
        match block.did:
            case 64120:
                self._control(name, word)
            case 64112 if name == "aux_control":
                self._switch(block.port, (CHARGE_CONTROLLER_CONFIG,), "aux_state", word)
            case 64114 if name == "aux_control":
                self._switch(block.port, (FX,), "aux_output_state", word)
            case 64116 if name == "aux_control":
                self._switch(
                    block.port, (SPLIT_PHASE, SINGLE_PHASE), "aux_output_state", word
                )
            case 64116 if name == "aux_relay_control":
                self._switch(
                    block.port,
                    (SPLIT_PHASE, SINGLE_PHASE),
                    "aux_relay_output_state",
                    word,
                    self.relay_on,
                )
            case 64119 if name == "relay_control":
                self._later(lambda: self._switch_monitor(block.port, on=word == 2))
            case _:
                pass

    def _switch(
        self, port: int | None, dids: tuple[int, ...], name: str, word: int, on: int = 2
    ) -> None:
        """Switch an output. In automatic mode there is no reason for it to be on."""

        def act() -> None:
            for did in dids:
                if (block := self._chain.find(did, port)) is not None:
                    show(block, name, word == on)

        self._later(act)

    def _switch_monitor(self, port: int | None, *, on: bool) -> None:
        if (block := self._chain.find(FLEXNET_DC, port)) is not None:
            flags = reads(block, "status_flags") or 0
            show(block, "status_flags", flags & ~1 | on)

    def _control(self, name: str, word: int) -> None:
        """Carry out a command to all."""
        act: Callable[[], None]
        match name:
            case "bulk_charge_enable_disable":
                act = lambda: self._charge(word)  # noqa: E731
            case "inverter_ac_drop_use":
                act = lambda: self._change(Status.AC_USE, use=word == 1)  # noqa: E731
            case "set_inverter_mode":
                bit = (
                    Status.INVERTER_OFF,
                    Status.INVERTER_SEARCH,
                    Status.INVERTER_ON,
                )[word - 1]
                act = lambda: self._choose(INVERTER_MODES, bit)  # noqa: E731
            case "grid_tie_mode":
                act = lambda: self._tie(on=word == 1)  # noqa: E731
            case "set_inverter_charger_mode":
                act = lambda: self._set_chargers(word)  # noqa: E731
            case "set_ags_op_mode":
                act = lambda: self._generator(word)  # noqa: E731
            case _ if name in _SETPOINTS:
                act = lambda: self._set_all(_SETPOINTS[name], word)  # noqa: E731
            case _:
                return
        self._later(act)

    def _charge(self, word: int) -> None:
        """Start bulk (1) or equalizing (3), or stop either (2, 4) and go on in float."""
        self.forced = {1: Phase.BULK, 3: Phase.EQUALIZE}.get(word, Phase.FLOAT)
        self.show_phase(self.forced)
        for block in self._chain.blocks:
            if block.did == CHARGE_CONTROLLER:
                show(block, "charger_state", self.forced)
        self.settle()

    def show_phase(self, phase: Phase | None) -> None:
        """Let the control status say how batteries are charged."""
        status = self.status & ~(
            Status.ABSORB | Status.FLOAT | Status.EQUALIZE | Status.BULK
        )
        if phase is not None:
            status |= self._bit_of(phase)
        self._set_status(status)

    def _change(self, bit: Status, *, use: bool) -> None:
        self._set_status(self.status | bit if use else self.status & ~bit)
        self.settle()

    def _choose(self, group: Status, bit: Status) -> None:
        self._set_status(self.status & ~group | bit)
        self.settle()

    def _tie(self, *, on: bool) -> None:
        self._change(Status.GRID_TIE, use=on)
        for block in self.inverters():
            flags = reads(block, "sell_status") or 0
            show(
                block,
                "sell_status",
                flags & ~_SELL_DISABLED | (0 if on else _SELL_DISABLED),
            )

    def _set_chargers(self, word: int) -> None:
        """Switch the chargers of inverters off (1), to automatic mode (2) or on (3)."""
        bit = (Status.CHARGER_OFF, Status.CHARGER_AUTO, Status.CHARGER_ON)[word - 1]
        for block in self._chain.blocks:
            if block.did == RADIAN_CONFIG:
                show(block, "charger_operating_mode", word > 1)
            elif block.did == FX_CONFIG:
                show(block, "charger_operating_mode", word - 1)
        self._choose(CHARGER_MODES, bit)

    def _set_all(self, name: str, word: int) -> None:
        """Set the same set-point of each inverter."""
        for block in self._chain.blocks:
            if (
                block.did in (RADIAN_CONFIG, FX_CONFIG)
                and reads(block, name) is not None
            ):
                block[PLACES[block.did][name].offset] = word

    def _set_status(self, status: Status) -> None:
        if (control := self._chain.find(SYSTEM_CONTROL)) is not None:
            show(control, "control_status", status)

    # --- inverters ---

    def settle(self) -> None:
        """Bring the states of all inverters in line with the control status."""
        mode = self._mode()
        used = bool(self.status & Status.AC_USE)
        for block in self.inverters():
            show(block, "ac_input_state", used)
            show(block, "inverter_operating_mode", mode)
        self.show_aggregate(mode)

    def _mode(self) -> Mode:
        status = self.status
        if status & Status.INVERTER_OFF:
            return Mode.OFF
        if status & Status.INVERTER_SEARCH:
            return Mode.SEARCHING
        if not status & Status.AC_USE:
            return Mode.INVERTING
        if status & Status.CHARGER_OFF:
            return Mode.CHARGER_OFF
        return {
            Phase.BULK: Mode.CHARGING,
            Phase.ABSORB: Mode.CHARGING,
            Phase.EQUALIZE: Mode.EQUALIZE,
            Phase.FLOAT: Mode.FLOAT,
        }.get(self.phase or Phase.SILENT, Mode.PASS_THROUGH)

    def show_aggregate(self, mode: Mode) -> None:
        """Let the SunSpec block tell the mode. A dropped AC input counts as a fault there."""
        for block in self._chain.blocks:
            if block.did in (101, 102, 103):
                show(block, "status_vendor", mode)
                show(block, "status", 4 if self.status & Status.AC_USE else 7)

    # --- generator ---

    def _generator(self, word: int) -> None:
        """Start (1) or stop (0) the generator, which must be enabled; leave it alone (2)."""
        gateway = self._chain.find(GATEWAY)
        enabled = gateway is not None and reads(gateway, "ags_mode")
        if word == 1 and enabled and self.generator_started is None:
            self.generator_started = self._utc()
            self._show_generator(Generator.STARTING)
            self._later(lambda: self._show_generator(Generator.RUNNING))
        elif word == 0 and self.generator_started is not None:
            self.show_generator_time()
            self.generator_started = None
            self._show_generator(Generator.COOL_DOWN)
            self._later(lambda: self._show_generator(Generator.STOPPED))

    def _show_generator(self, state: Generator) -> None:
        if (control := self._chain.find(SYSTEM_CONTROL)) is None:
            return
        if (state in (Generator.STARTING, Generator.RUNNING)) != (
            self.generator_started is not None
        ):
            return  # it was told otherwise meanwhile
        show(control, "ags_operational_state", state)
        show(control, "ags_operational_state_timer", 0)
        if (started := self.generator_started) is not None:
            epoch = datetime(1970, 1, 1)
            show_pair(
                control,
                "gen_last_run_start_time_gmt",
                int((started - epoch).total_seconds()),
            )

    def show_generator_time(self) -> None:
        """Let the registers tell for how long the generator has run."""
        control = self._chain.find(SYSTEM_CONTROL)
        if control is None or self.generator_started is None:
            return
        seconds = max(0, int((self._utc() - self.generator_started).total_seconds()))
        show(control, "ags_operational_state_timer", seconds)
        show_pair(control, "gen_last_start_run_duration", seconds)
