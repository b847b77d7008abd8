"""What the maker's server may tell a logger."""

from struct import pack
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.datalogger.packets import (
    Packet,
    Protocol,
    Type,
    encode,
    serial_field,
)
from custom_components.local_solar.growatt.datalogger.parameters import (
    SECRET,
    ParameterNumber,
)
from custom_components.local_solar.growatt.datalogger.policy import (
    Permission,
    Policy,
    Verdict,
)
from custom_components.local_solar.growatt.datalogger.records import (
    Command,
    read_holding,
    read_parameters,
    write_holding,
    write_holdings,
    write_parameter,
)

from .recordings import COMMANDS, Recording, each_of, packet_of

LOGGER: Final = "XGD0SIM001"

NONE, SETTINGS, TAKEOVER, NEVER = Permission

POLICIES: Final = [
    Policy(settings=settings, takeover=takeover)
    for settings in (False, True)
    for takeover in (False, True)
]
PASSES: Final = {
    NONE: POLICIES,
    SETTINGS: [policy for policy in POLICIES if policy.settings],
    TAKEOVER: [policy for policy in POLICIES if policy.takeover],
    NEVER: [],
}

OF_REPORTS: Final = (
    *(Type.ANNOUNCE, Type.LIVE, Type.BUFFERED, Type.VPP, Type.MORE),
    *(Type.METER, Type.METER_LOG, Type.METER_REPORT),
)

protocols = st.sampled_from(Protocol)
policies = st.sampled_from(POLICIES)
numbers = st.integers(0, 0xFFFF) | st.integers(0, 100)
octets = st.integers(0, 0xFF)


def packet(
    kind: int, body: bytes, protocol: Protocol = Protocol.LONG_SERIALS, unit: int = 1
) -> Packet:
    """Return a packet of the server."""
    return packet_of(encode(1, protocol, unit, kind, body))


def told(command: Command, protocol: Protocol = Protocol.LONG_SERIALS) -> Packet:
    """Return a command of the server."""
    return packet_of(command.encode(1, protocol, LOGGER))


def needs(wanted: Packet) -> Permission:
    """Return what a packet needs, and hold all policies against it."""
    verdicts = [policy.judge(wanted) for policy in POLICIES]
    (need,) = {verdict.needs for verdict in verdicts}
    assert [
        policy
        for policy, verdict in zip(POLICIES, verdicts, strict=True)
        if verdict.passes
    ] == PASSES[need]
    return need


# -- the table ------------------------------------------------------------------------------

TABLE: Final = [
    # Everyday.
    ("read one", read_parameters(4, 4), NONE),
    ("read what Growatt reads", read_parameters(4, 21), NONE),
    ("read the clock", read_parameters(31, 31), NONE),
    ("read the signal", read_parameters(76, 76), NONE),
    ("read up to the secrets", read_parameters(4, 55), NONE),
    ("read behind the secrets", read_parameters(58, 80), NONE),
    ("set the clock", write_parameter(31, "2026-11-21 15:40:00"), NONE),
    # Secrets.
    ("read the Wi-Fi's name", read_parameters(56, 56), NEVER),
    ("read the Wi-Fi's password", read_parameters(57, 57), NEVER),
    ("read both", read_parameters(56, 57), NEVER),
    ("read into them", read_parameters(4, 56), NEVER),
    ("read from them on", read_parameters(57, 80), NEVER),
    ("read across them", read_parameters(0, 0xFFFF), NEVER),
    ("read backwards", read_parameters(57, 56), NEVER),
    ("read backwards elsewhere", read_parameters(21, 4), NEVER),
    # Settings of the logger like those of the inverter.
    ("set the interval", write_parameter(4, "1"), SETTINGS),
    ("set the time zone", write_parameter(30, "1"), SETTINGS),
    ("restart", write_parameter(32, "1"), SETTINGS),
    # Taking it over.
    ("move to an address", write_parameter(17, "192.0.2.1"), TAKEOVER),
    ("move to a port", write_parameter(18, "5279"), TAKEOVER),
    ("move to a name", write_parameter(19, "server.example"), TAKEOVER),
    ("load firmware", write_parameter(80, "http://server.example/x"), TAKEOVER),
    ("update from", write_parameter(11, "##192.0.2.1/app/xml/#80#"), TAKEOVER),
    ("resolve names by", write_parameter(12, "192.0.2.1"), TAKEOVER),
    ("use as a gateway", write_parameter(26, "192.0.2.1"), TAKEOVER),
    ("join another Wi-Fi", write_parameter(56, "other"), TAKEOVER),
    ("with its password", write_parameter(57, "secret"), TAKEOVER),
    ("set what nobody knows", write_parameter(9999, "1"), TAKEOVER),
    # The inverter.
    ("read holding", read_holding(1, 0, 45), SETTINGS),
    ("write holding", write_holding(1, 0, 0), SETTINGS),
    ("write holdings", write_holdings(1, 1080, [1, 2, 3]), SETTINGS),
]


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    ("command", "need"),
    [pytest.param(command, need, id=name) for name, command, need in TABLE],
)
def test_every_command_needs_what_it_can_do(
    command: Command, need: Permission, protocol: Protocol
) -> None:
    wanted = told(command, protocol)
    assert needs(wanted) is need
    assert Policy().judge(wanted) == Verdict(
        needs=need,
        passes=need is NONE,
        type=command.type,
        unit=command.unit,
        first=command.first,
        last=command.last,
    )


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    ("kind", "body", "need"),
    [
        *((kind, b"\0", NONE) for kind in OF_REPORTS),
        *((kind, b"\3", NONE) for kind in OF_REPORTS),
        *((kind, b"", NEVER) for kind in OF_REPORTS),
        *((kind, bytes(50), NEVER) for kind in OF_REPORTS),
        (Type.PING, LOGGER.encode(), NONE),
        # A report of new firmware is acknowledged like any other.
        (0x77, b"\0", NONE),
        (0x77, b"", NEVER),
        (0x77, b"\0\0", NEVER),
        # What is never acknowledged.
        (Type.STICK, b"\0", NEVER),
        (Type.SESSION_KEY, b"\0", NEVER),
        (Type.SESSION_KEY, bytes(32), NEVER),
        *(
            (kind, body, NEVER)
            for kind in (
                *(Type.READ_HOLDING, Type.WRITE_HOLDING, Type.WRITE_HOLDINGS),
                *(Type.READ_PARAMETERS, Type.WRITE_PARAMETER),
            )
            for body in (b"", b"\0", b"XGD0SIM001\0\4")
        ),
    ],
)
def test_everything_else_passes_only_as_an_acknowledgement(
    kind: int, body: bytes, need: Permission, protocol: Protocol
) -> None:
    assert needs(packet(kind, body, protocol)) is need


@pytest.mark.parametrize("protocol", Protocol)
def test_nothing_hides_behind_a_harmless_command(protocol: Protocol) -> None:
    move = pack(">HH", ParameterNumber.SERVER_NAME, 2) + b"me"
    for command in (
        write_parameter(ParameterNumber.CLOCK, "2026-11-21 15:40:00"),
        read_parameters(4, 21),
    ):
        wanted = told(command, protocol)
        longer = wanted._replace(body=wanted.body + move)
        assert needs(longer) is NEVER
    # A clock that takes more characters than there are, or fewer.
    for size in (0, 18, 20, 0xFFFF):
        body = serial_field(LOGGER, protocol) + pack(">HH", 31, size) + b"2" * 19
        assert needs(packet(Type.WRITE_PARAMETER, body, protocol)) is NEVER


def test_what_is_damaged_does_not_pass() -> None:
    for _, command, need in TABLE:
        bad = told(command)._replace(is_intact=False)
        for policy in POLICIES:
            verdict = policy.judge(bad)
            assert not verdict.passes
            assert verdict.needs is need


NEEDED: Final = {
    "v2-sci-31": TAKEOVER,
    "v2-sci-33": SETTINGS,
    "v6-06req-spf": SETTINGS,
    "v6-05req-unit51": SETTINGS,
    "syn-v6-05req-range": SETTINGS,
    "syn-v5-05req": SETTINGS,
    "syn-v6-18req-server-ip": TAKEOVER,
    "syn-v6-18req-reboot": SETTINGS,
}
"""What recorded commands need that are not for everyday."""


@each_of(COMMANDS)
def test_recorded_words_of_servers_pass_if_they_are_for_everyday(
    it: Recording,
) -> None:
    assert needs(it.packet) is NEEDED.get(it.id, NONE)


# -- whatever may come ----------------------------------------------------------------------


@st.composite
def anything(draw: st.DrawFn) -> Packet:
    """Draw what a server could send: commands, and bodies like them."""
    protocol = draw(protocols)
    kind = draw(st.sampled_from([*Type]) | octets)
    tail = draw(
        st.builds(lambda a, b: pack(">HH", a, b), numbers, numbers)
        | st.builds(
            lambda a, text: pack(">HH", a, len(text)) + text, numbers, st.binary()
        )
        | st.binary(max_size=12)
    )
    named = draw(st.booleans())
    body = serial_field(LOGGER, protocol) * named + tail
    return packet(kind, body, protocol, draw(octets))


@given(anything(), policies)
def test_nothing_that_changes_anything_passes_without_leave(
    wanted: Packet, policy: Policy
) -> None:
    verdict = policy.judge(wanted)
    needs(wanted)
    at = wanted.protocol.serial_bytes
    number = int.from_bytes(wanted.body[at : at + 2])
    if verdict.passes and wanted.type in (
        *(Type.READ_HOLDING, Type.WRITE_HOLDING, Type.WRITE_HOLDINGS),
    ):
        assert policy.settings
    if verdict.passes and wanted.type == Type.WRITE_PARAMETER:
        everyday = number in (4, 30, 32)
        assert number == 31 or (policy.settings if everyday else policy.takeover)


@given(numbers, numbers, protocols, policies)
def test_the_password_is_never_read(
    first: int, last: int, protocol: Protocol, policy: Policy
) -> None:
    verdict = policy.judge(told(read_parameters(first, last), protocol))
    wanted = range(min(first, last), max(first, last) + 1)
    if any(number in wanted for number in SECRET):
        assert not verdict.passes
    else:
        assert verdict.passes is (first <= last)
