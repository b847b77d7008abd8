"""Recorded packets, held against what is known of each."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Any, Final

from custom_components.local_solar.growatt.datalogger.meters import meter_values
from custom_components.local_solar.growatt.datalogger.packets import Packet
from custom_components.local_solar.growatt.datalogger.records import (
    Answer,
    MeterLog,
    MeterRecord,
    Parameter,
    Record,
    RecordError,
    RegisterRecord,
    StickRecord,
    commanded,
    decode,
)
from custom_components.local_solar.growatt.datalogger.stream import Noise, Stream

RECORDED: Final = (
    Path(__file__).parents[2] / "shared" / "captures" / "datalogger" / "records.jsonl"
)

_DEVICE_CODE: Final = 43
_METER_VALUES: Final = {
    "v1_V": "grid_l1_voltage",
    "i1_A": "grid_l1_current",
    "p_total_W": "grid_power",
    "f_Hz": "grid_frequency",
    "e_pos_kWh": "grid_import_energy_total",
    "e_neg_kWh": "grid_export_energy_total",
}

type Facts = Mapping[str, Any]
type Check = tuple[str, object, object]
"""What is compared, what was decoded, and what is known."""


@dataclass(slots=True)
class Verdict:
    """What came of recorded packets."""

    whole: int = 0
    cut: int = 0
    """Packets that were published in part, and must be waited for."""
    spoilt: int = 0
    """Packets whose text another buffer overwrote: they must be refused."""
    fields: int = 0
    """What was compared."""
    wrong: list[str] = field(default_factory=list)


def check_recorded(lines: Iterable[str]) -> Verdict:
    """Decode packets and compare them with what is known of them."""
    verdict = Verdict()
    wrong = verdict.wrong
    for line in lines:
        given: Facts = json.loads(line)
        facts: Facts = given["decoded"]
        raw = bytes.fromhex(given["hex"])
        stream = Stream()
        items = stream.feed(raw)
        if facts.get("truncated"):
            verdict.cut += 1
            if items or stream.unfinished != raw:
                wrong.append(f"{given['id']}: it is not waited for")
            continue
        if _is_spoilt(facts):
            verdict.spoilt += 1
            if not _is_refused(items):
                wrong.append(f"{given['id']}: it is not refused")
            continue
        verdict.whole += 1
        if len(items) != 1 or not isinstance(packet := items[0], Packet):
            wrong.append(f"{given['id']}: {len(items)} items")
            continue
        try:
            for what, ours, known in _checks(packet, given, facts):
                verdict.fields += 1
                if ours != known:
                    wrong.append(f"{given['id']}: {what} is {ours!r}, not {known!r}")
        except RecordError as err:
            wrong.append(f"{given['id']}: {err}")
    return verdict


def _is_spoilt(facts: Facts) -> bool:
    return not "".join(facts.get("csv_first", ())).isascii()


def _is_refused(items: list[Packet | Noise]) -> bool:
    (packet,) = items
    assert isinstance(packet, Packet)
    try:
        decode(packet)
    except RecordError:
        return True
    return False


def _checks(packet: Packet, given: Facts, facts: Facts) -> Iterator[Check]:
    yield "transaction", packet.transaction, facts["tid"]
    yield "protocol", packet.protocol, given["protocol"]
    yield "unit", packet.unit, facts["unit"]
    yield "type", packet.type, int(given["record_type"][:2], 16)
    yield "checksum", packet.is_intact, facts["crc_ok"] is not False
    if given["direction"] == "logger->server":
        yield from _checks_of_record(decode(packet), facts)
    elif "ack_payload_plain" in facts:
        yield "payload", packet.body.hex(), facts["ack_payload_plain"]
    else:
        yield from _checks_of_command(packet, facts)


def _checks_of_command(packet: Packet, facts: Facts) -> Iterator[Check]:
    first, last = commanded(packet) or (None, None)
    for key in ("param", "first_param", "register", "start"):
        if key in facts:
            yield key, first, facts[key]
    for key in ("last_param", "end"):
        if key in facts:
            yield key, last, facts[key]


def _checks_of_record(record: Record, facts: Facts) -> Iterator[Check]:
    if "datalogger_serial" in facts:
        yield "logger", record.logger, facts["datalogger_serial"]
    if isinstance(record, RegisterRecord | MeterRecord | StickRecord) and (
        "inverter_serial" in facts
    ):
        yield "inverter", record.inverter, facts["inverter_serial"]
    if isinstance(record, RegisterRecord | MeterRecord | MeterLog) and (
        record.at is not None
    ):
        yield "time", f"{record.at:%Y-%m-%d %H:%M:%S}", facts["timestamp"]
    match record:
        case RegisterRecord():
            yield from _checks_of_registers(record, facts)
        case Parameter():
            yield "parameter", record.number, facts["param"]
            yield "value", record.text, facts["value"]
        case Answer():
            for key in ("param", "register", "start"):
                if key in facts:
                    yield key, record.first, facts[key]
            if "status" in facts:
                yield "status", record.status, facts["status"]
            if "values" in facts:
                yield "words", list(record.words), facts["values"]
        case MeterLog():
            # Lists end with a comma.
            yield "fields", len(record.numbers) + 1, facts["csv_fields"]
            yield "a list of an SDM630", meter_values(record) is not None, True
            count = len(facts["csv_first"])
            known = tuple(float(text) for text in facts["csv_first"])
            yield "first numbers", record.numbers[:count], known
        case MeterRecord():
            values = meter_values(record) or {}
            for name, key in _METER_VALUES.items():
                yield key, values.get(key), facts["values"][name]


def _checks_of_registers(record: RegisterRecord, facts: Facts) -> Iterator[Check]:
    spans = [[first, first + len(words) - 1] for first, words in record.blocks]
    if "groups" in facts:
        yield "groups", spans, facts["groups"]
    if "group_count" in facts:
        yield "number of groups", len(spans), facts["group_count"]
    code = facts.get("values", {}).get("holding_43_dtc")
    if code is not None:
        (first, words), *_ = record.blocks
        yield "type code", words[_DEVICE_CODE - first], code
