"""The commands ``datalogger`` and ``growatt-cloud``."""

import argparse
from collections.abc import Collection, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, Final, override

from simulators.cli import (
    Address,
    Commands,
    add_clock_options,
    add_duration,
    add_time_options,
    announce,
    not_negative,
    port_number,
    positive,
    serve,
)
from simulators.clock import SimulatedClock
from simulators.errors import SimulatorError
from simulators.growatt import DEFAULT_DATASET

from .cloud import CloudConnection, Habits, SimulatedCloud, Wish
from .faults import EXPLANATION, Rogue
from .inverters import SimulatedInverter
from .packets import PROTOCOLS
from .records_file import load_recordings, replays
from .stick import INTERVAL, SERIAL, MeterKind, SimulatedStick, Timing

_SERVER: Final = Address("127.0.0.1", 5279)
_CLOUD: Final = Address("127.0.0.1", 5280)
"""Another port than that of a server in Home Assistant, so that both can run on one computer."""

_MOST_STICKS: Final = 10_000


def register(commands: Commands) -> None:
    """Add the subcommands."""
    _register_sticks(commands)
    _register_cloud(commands)


# -- datalogger --------------------------------------------------------------------------


@dataclass(slots=True)
class StickOption:
    """A stick of the command line and the inverters that belong to it."""

    serial: str
    protocol: int | None = None
    inverters: list[tuple[str, str]] = field(default_factory=list)
    """Serial numbers and datasets."""


class StickOptions(argparse.Action):
    """Gathers ``--stick`` and ``--inverter``, whose order matters."""

    @override
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        sticks: list[StickOption] = namespace.sticks or []
        namespace.sticks = sticks
        serial, has_value, value = str(values).partition("=")
        if option_string == "--stick":
            if any(stick.serial == serial for stick in sticks):
                raise argparse.ArgumentError(self, f"{serial} is given twice")
            protocol = self._protocol(value) if has_value else None
            sticks.append(StickOption(serial, protocol))
        elif not value:
            raise argparse.ArgumentError(self, f"{values!r} is not SERIAL=DATASET")
        else:
            if not sticks:
                sticks.append(StickOption(SERIAL))
            sticks[-1].inverters.append((serial, value))

    def _protocol(self, text: str) -> int:
        if text not in map(str, PROTOCOLS):
            raise argparse.ArgumentError(
                self, f"{text!r} is not a protocol: 0, 2, 5, 6"
            )
        return int(text)


def _register_sticks(commands: Commands) -> None:
    parser = commands.add_parser(
        "datalogger",
        help="Growatt sticks (ShineWiFi, ShineLAN) that report inverters to a server",
        description=(
            "Growatt dataloggers with inverters. They listen to nothing: they connect to a"
            " server, and try again for ever. Without --stick, --count and --replay there"
            f" is one, {SERIAL}, and behind it the shipped dataset {DEFAULT_DATASET}."
        ),
    )
    parser.add_argument(
        "--server",
        metavar="HOST:PORT",
        type=_server,
        default=_SERVER,
        help="where they report to (%(default)s)",
    )
    _add_what_there_is(parser)
    _add_behaviour(parser)
    add_clock_options(parser)
    add_duration(parser)
    parser.epilog = EXPLANATION
    parser.set_defaults(run=run_sticks)


def _add_what_there_is(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what there is")
    group.add_argument(
        "--stick",
        action=StickOptions,
        dest="sticks",
        metavar="SERIAL[=PROTOCOL]",
        help="a stick; may be repeated",
    )
    group.add_argument(
        "--inverter",
        action=StickOptions,
        dest="sticks",
        metavar="SERIAL=DATASET",
        help="an inverter of the --stick before it, on its next unit from 1 on",
    )
    group.add_argument(
        "--count",
        metavar="N",
        type=_count,
        default=0,
        help="so many sticks more, each with an inverter of the default dataset",
    )
    group.add_argument(
        "--protocol",
        metavar="N",
        type=int,
        choices=PROTOCOLS,
        default=6,
        help="protocol of sticks that have none of their own: 0, 2, 5 or 6 (%(default)s)",
    )
    group.add_argument(
        "--meter",
        nargs="?",
        const=MeterKind.WORDS,
        choices=list(MeterKind),
        type=MeterKind,
        help="a meter: words that come through the inverter (default), or text",
    )
    group.add_argument(
        "--replay", metavar="FILE", help="send recorded packets, a JSON line for each"
    )


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what they do")
    group.add_argument(
        "--interval",
        metavar="S",
        type=positive,
        default=INTERVAL,
        help="seconds between live records, until the server says otherwise (%(default)g)",
    )
    group.add_argument(
        "--reconnect",
        metavar="S",
        type=positive,
        default=Timing().longest_reconnect,
        help="seconds between two attempts to connect, in the end (%(default)g)",
    )
    group.add_argument(
        "--clock",
        metavar="KIND",
        help="their clocks: right, zero or garbage in records, constant for whoever asks,"
        " frozen, off=SECONDS, drift=SECONDS in an hour",
    )
    group.add_argument(
        "--encrypted",
        action="store_true",
        help="they have the newer firmware that nobody can read",
    )
    group.add_argument(
        "--extra-blocks", action="store_true", help="they send records 38, too"
    )
    group.add_argument(
        "--rogue",
        dest="rogues",
        metavar="ROGUE",
        action="append",
        default=[],
        help="what they do wrong, see below; may be repeated",
    )
    group.add_argument(
        "--seed",
        metavar="N",
        type=int,
        help="makes what is random the same in every run",
    )


async def run_sticks(options: argparse.Namespace) -> None:
    """Report until stopped. Raises ``SimulatorError`` on bad input."""
    server: Address = options.server
    at = (server.host, server.port)
    sticks = _sticks(options, at)
    recordings = load_recordings(options.replay) if options.replay else []
    replayed = replays(recordings, at)
    async with AsyncExitStack() as stack:
        for stick in sticks:
            await stack.enter_async_context(stick)
        for replay in replayed:
            await stack.enter_async_context(replay)
        names = [stick.serial for stick in sticks]
        names += [recording.logger for recording in recordings]
        for name in names:
            print(f"running datalogger {name} to {server}", flush=True)
        await serve(options.duration)


def _sticks(
    options: argparse.Namespace, server: tuple[str, int]
) -> list[SimulatedStick]:
    clock = SimulatedClock(options.start, options.speed)
    wanted: list[StickOption] = list(options.sticks or [])
    taken = {stick.serial for stick in wanted}
    wanted += map(StickOption, islice(_free("XGD0S", taken), options.count))
    if not wanted and not options.replay:
        wanted = [StickOption(SERIAL)]
    serials = [serial for stick in wanted for serial, _ in stick.inverters]
    if twice := {serial for serial in serials if serials.count(serial) > 1}:
        raise SimulatorError(f"inverter {min(twice)} is given twice")
    free = _free("SNL0S", set(serials))
    for stick in wanted:
        if not stick.inverters:
            stick.inverters.append((next(free), DEFAULT_DATASET))
    return [_stick(stick, options, server, clock) for stick in wanted]


def _free(prefix: str, taken: Collection[str]) -> Iterator[str]:
    """Yield serial numbers that nobody has."""
    for number in count(1):
        if (serial := f"{prefix}{number:05}") not in taken:
            yield serial


def _stick(
    option: StickOption,
    options: argparse.Namespace,
    server: tuple[str, int],
    clock: SimulatedClock,
) -> SimulatedStick:
    inverters = [
        SimulatedInverter(unit, dataset, serial)
        for unit, (serial, dataset) in enumerate(option.inverters, 1)
    ]
    if options.mutate:
        for inverter in inverters:
            inverter.live(clock, sleeps=options.sleep)
    return SimulatedStick(
        option.serial,
        server,
        inverters,
        protocol=options.protocol if option.protocol is None else option.protocol,
        interval=options.interval,
        timing=Timing(longest_reconnect=options.reconnect),
        clock=clock,
        stick_clock=options.clock,
        meter=options.meter,
        extra_blocks=options.extra_blocks,
        encrypted=options.encrypted,
        rogues=[Rogue.parse(text) for text in options.rogues],
        seed=options.seed,
        record=False,
    )


# -- growatt-cloud -----------------------------------------------------------------------


def _register_cloud(commands: Commands) -> None:
    parser = commands.add_parser(
        "growatt-cloud",
        help="a stand-in for the server that Growatt dataloggers report to",
        description="Takes the reports of dataloggers, reads their parameters and sets"
        " their clocks.",
    )
    parser.add_argument(
        "--host", default=_CLOUD.host, help="address to listen on (%(default)s)"
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=port_number,
        default=_CLOUD.port,
        help="port to listen on (%(default)s); 0 takes a free one",
    )
    _add_habits(parser)
    _add_wishes(parser)
    group = parser.add_argument_group("what lives")
    add_time_options(group)
    add_duration(parser)
    parser.set_defaults(run=run_cloud)


def _add_habits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what it does always")
    for flag, text in {
        "--no-ack": "acknowledges nothing",
        "--no-echo": "does not answer pings",
        "--no-parameters": "reads no parameters of loggers that have connected",
        "--no-clock": "does not set the clock",
        "--glue": "sends an answer and a command after it in one piece",
    }.items():
        group.add_argument(flag, action="store_true", help=text)
    group.add_argument(
        "--delay",
        metavar="S",
        type=not_negative,
        default=0.0,
        help="seconds that its answers come late (0)",
    )


def _add_wishes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "what it does to each logger once, after its first live record"
    )
    for flag, metavar, kind, text in (
        ("--move-server", "HOST:PORT", _move_server, "send it to another server"),
        ("--update", "URL", _update, "start an update of its firmware"),
        ("--read", "A[-B]", _read, "read holding registers of unit 1"),
        ("--write", "A=WORD[,WORD...]", _write, "write them: one by 06, several by 10"),
        ("--set-interval", "MIN", _set_interval, "set minutes between live records"),
    ):
        group.add_argument(
            flag,
            dest="wishes",
            metavar=metavar,
            type=kind,
            action="append",
            default=[],
            help=text,
        )
    wishes: dict[str, tuple[Wish, str]] = {
        "--read-password": (
            CloudConnection.read_wifi_password,
            "read its Wi-Fi password",
        ),
        "--restart": (CloudConnection.restart_logger, "let it restart"),
        "--garbage": (_send_garbage, "send bytes that are no packet"),
        "--hang-up": (CloudConnection.hang_up, "close the connection"),
    }
    for flag, (wish, text) in wishes.items():
        group.add_argument(
            flag, dest="wishes", action="append_const", const=wish, help=text
        )


async def run_cloud(options: argparse.Namespace) -> None:
    """Serve until stopped. Raises ``SimulatorError`` on bad input."""
    cloud = SimulatedCloud(
        options.host,
        options.port,
        clock=SimulatedClock(options.start, options.speed),
        habits=Habits(
            acknowledges=not options.no_ack,
            echoes=not options.no_echo,
            reads_parameters=not options.no_parameters,
            sets_clock=not options.no_clock,
            glues=options.glue,
            delay=options.delay,
        ),
        wishes=options.wishes,
        record=False,
    )
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(cloud)
        except OSError as err:
            address = Address(options.host, options.port)
            raise SimulatorError(
                f"cannot listen on {address}: {err.strerror or err}"
            ) from None
        announce("growatt-cloud", Address(options.host, cloud.port))
        await serve(options.duration)


def _send_garbage(connection: CloudConnection) -> None:
    connection.send(bytes(range(0xF0, 0x100)) * 2)


def _move_server(text: str) -> Wish:
    address = _server(text)
    return lambda connection: connection.move_server(address.host, address.port)


def _update(text: str) -> Wish:
    return lambda connection: connection.start_update(text)


def _set_interval(text: str) -> Wish:
    positive(text)
    return lambda connection: connection.set_interval(text)


def _read(text: str) -> Wish:
    first, _, last = text.partition("-")
    start, end = _word(first), _word(last or first)
    return lambda connection: connection.read_registers(start, end)


def _write(text: str) -> Wish:
    register, _, values = text.partition("=")
    address, words = _word(register), [_word(value) for value in values.split(",")]
    if len(words) == 1:
        return lambda connection: connection.write_register(address, words[0])
    return lambda connection: connection.write_registers(address, words)


def _word(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 6 and int(text) <= 0xFFFF:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 65535")


def _server(text: str) -> Address:
    address = Address.parse(text)
    if not address.port:
        raise argparse.ArgumentTypeError(f"{text!r} has no port")
    return address


def _count(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 6:
        if 1 <= int(text) <= _MOST_STICKS:
            return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a number of sticks, from 1 to {_MOST_STICKS}"
    )
