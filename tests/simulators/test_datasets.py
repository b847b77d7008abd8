"""Datasets, captures and diagnostics downloads are one thing to a simulator."""

import json
from pathlib import Path

import pytest

from simulators.datasets import SHIPPED, Dataset, Table, as_dataset
from simulators.errors import SimulatorError

from .recordings import RECORDED, WIRE_LOG, Log, answer, read

CAPTURES = Path(__file__).parents[2].parent / "shared" / "captures" / "growatt"


def _write(folder: Path, content: object, name: str = "file.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_dataset_keeps_words_by_table_and_address(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        {"holding": {"30": 100}, "input": {"0": 401}, "_source": "somewhere"},
    )
    dataset = Dataset.load(path)
    assert dataset.words == {
        Table.HOLDING: {30: 100},
        Table.INPUT: {0: 401},
        Table.METER: {},
    }


def test_negative_words_are_twos_complement() -> None:
    dataset = Dataset.parse({"input": {"1": -2, "2": -32768}})
    assert dataset.words[Table.INPUT] == {1: 0xFFFE, 2: 0x8000}


def test_remarks_are_ignored_everywhere() -> None:
    dataset = Dataset.parse({"_note": 1, "holding": {"_note": "x", "1": 2}})
    assert dataset.words[Table.HOLDING] == {1: 2}


def test_a_shipped_dataset_is_found_by_its_name() -> None:
    assert Dataset.load("min_6000tl_xh").get(Table.HOLDING, 43) == 5100


def test_a_copy_does_not_change_the_original() -> None:
    original = Dataset.parse({"holding": {"1": 2}})
    copy = as_dataset(original)
    copy.words[Table.HOLDING][1] = 3
    assert original.get(Table.HOLDING, 1) == 2


@pytest.mark.parametrize(
    "registers",
    [
        {"registers": {"holding": {"1": 2}, "input": {"3": 4}}},
        {"device": {"deep": [{"holding": {"1": 2}, "input": {"3": 4}}]}},
        {"registers": {"SNL0DEMO01": {"holding": {"1": 2}, "input": {"3": 4}}}},
    ],
)
def test_diagnostics_download_is_a_dataset(
    tmp_path: Path, registers: dict[str, object]
) -> None:
    download = {
        "home_assistant": {"version": "2026.10.4"},
        "integration_manifest": {"domain": "local_solar"},
        "data": {"entry": {"title": "Inverter"}, **registers},
    }
    dataset = Dataset.load(_write(tmp_path, download))
    assert dataset.words[Table.HOLDING] == {1: 2}
    assert dataset.words[Table.INPUT] == {3: 4}


def test_redacted_words_are_left_out() -> None:
    dataset = Dataset.parse({"holding": {"23": "**REDACTED**", "30": 1}})
    assert dataset.words[Table.HOLDING] == {30: 1}


def _record(**changes: object) -> dict[str, object]:
    return {
        "ts": 1.0,
        "op": "read_input",
        "unit": 1,
        "addr": 3000,
        "count": 2,
        "regs": [1, 2],
        **changes,
    }


def _lines(*records: dict[str, object]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_capture_gives_the_words_seen_last(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        _lines(
            _record(),
            _record(addr=3001, regs=[7], count=1),
            _record(op="read_holding", addr=43, regs=[5100]),
            _record(op="write_single", addr=3, regs=[80]),
            _record(op="write_multiple", addr=45, regs=[26, 4]),
            _record(op="read_meter", addr=0, regs=[5]),
        ),
    )
    dataset = Dataset.load(path)
    assert dataset.words[Table.INPUT] == {3000: 1, 3001: 7}
    assert dataset.words[Table.HOLDING] == {43: 5100, 3: 80, 45: 26, 46: 4}
    assert dataset.words[Table.METER] == {0: 5}


def test_capture_takes_the_older_names_of_written_words(tmp_path: Path) -> None:
    single = _record(op="write_single", addr=3, value=80)
    several = _record(op="write_multiple", addr=4, values=[1, 2])
    del single["regs"], several["regs"]
    dataset = Dataset.load(_write(tmp_path, _lines(single, several)))
    assert dataset.words[Table.HOLDING] == {3: 80, 4: 1, 5: 2}


def test_capture_ignores_what_was_not_done(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        _lines(
            _record(),
            _record(op="write_single", addr=3, regs=[80], error=2),
            _record(op="write_single", addr=4, regs=[80], fault="deaf"),
            _record(op="write_single", addr=5, regs=[80], fault="delay+ignore"),
            _record(op="write_single", addr=6, regs=[80], fault="clamp"),
            _record(op="function_43", regs=[]),
            _record(addr=3005, regs=[]),
        ),
    )
    assert Dataset.load(path).words[Table.HOLDING] == {}


def test_capture_believes_writes_that_took_effect_late(tmp_path: Path) -> None:
    record = _record(op="write_single", addr=3, regs=[80], fault="late+drop")
    dataset = Dataset.load(_write(tmp_path, _lines(record)))
    assert dataset.words[Table.HOLDING] == {3: 80}


def test_capture_of_several_units_gives_the_one_that_is_wanted(tmp_path: Path) -> None:
    path = _write(tmp_path, _lines(_record(), _record(unit=2, regs=[8, 9])))
    assert Dataset.load(path, 2).words[Table.INPUT] == {3000: 8, 3001: 9}
    with pytest.raises(SimulatorError, match=r"of the units 1, 2: say which unit"):
        Dataset.load(path)
    with pytest.raises(SimulatorError, match=r"of the units 1, 2: not unit 3"):
        Dataset.load(path, 3)


def test_capture_of_a_gateway_gives_the_words_seen_last(tmp_path: Path) -> None:
    log = Log().see(3, 43, 5100).see(4, 3000, 1, 2).see(4, 3001, 7).see(0x20, 14, 5)
    log.ask(bytes.fromhex("06000300500000")[:5], bytes.fromhex("0600030050"))
    dataset = Dataset.load(log.write(tmp_path))
    assert dataset.words == {
        Table.HOLDING: {43: 5100, 3: 80},
        Table.INPUT: {3000: 1, 3001: 7},
        Table.METER: {14: 5},
    }


def test_capture_of_a_gateway_ignores_what_was_refused_or_not_answered(
    tmp_path: Path,
) -> None:
    write = bytes.fromhex("0600030050")
    log = Log().see(3, 43, 5100).ask(write, None).ask(write, b"\x86\x02")
    log.ask(read(3, 50, 1), b"\x83\x02").ask(b"\x2b\x0e", b"\x2b\x01")
    assert Dataset.load(log.write(tmp_path)).words[Table.HOLDING] == {43: 5100}


def test_capture_of_a_gateway_knows_its_units(tmp_path: Path) -> None:
    log = Log().see(3, 43, 5100)
    log.ask(read(3, 43, 1), answer(3, 5200), unit=2)
    log.ask(read(3, 43, 1), answer(3, 5300), unit=0)
    path = log.write(tmp_path)
    assert Dataset.load(path, 2).get(Table.HOLDING, 43) == 5200
    with pytest.raises(SimulatorError, match=r"of the units 1, 2: say which unit"):
        Dataset.load(path)


def test_wire_log_of_the_broker_is_a_dataset(tmp_path: Path) -> None:
    path = _write(tmp_path, WIRE_LOG)
    holding = Dataset.load(path).words[Table.HOLDING]
    assert holding[43] == 5100
    assert bytes.fromhex("58585830585858303030") == b"".join(
        holding[address].to_bytes(2) for address in range(209, 214)
    )
    assert 188 not in holding  # what was written to it was not answered


@pytest.mark.skipif(not RECORDED.is_file(), reason=f"no recording at {RECORDED}")
def test_the_recorded_bus_is_a_dataset() -> None:
    words = Dataset.load(RECORDED).words
    counts = {table: len(of_table) for table, of_table in words.items()}
    assert counts == {Table.HOLDING: 285, Table.INPUT: 375, Table.METER: 100}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: is not JSON"),
        ("{", "line 1: is not JSON"),
        ("[1]", "is not a dataset but a JSON array"),
        ("3", "is not a dataset but a JSON number"),
        ("null", "is not a dataset but a JSON null"),
        ("{}", "holds no registers"),
        ({"_note": 1}, "holds no registers"),
        ({"holding": {}}, "holds no registers"),
        ({"holdings": {"1": 2}}, "unknown key 'holdings', not one of holding, input"),
        ({"holding": [1]}, "holding is not an object of address: word"),
        ({"holding": {"x": 1}}, "holding: 'x' is not an address from 0 to 65535"),
        ({"holding": {"65536": 1}}, "holding: '65536' is not an address"),
        ({"holding": {"-1": 1}}, "holding: '-1' is not an address"),
        ({"holding": {"²": 1}}, "holding: '²' is not an address"),
        ({"input": {"1": 65536}}, "input 1: 65536 is not a whole number from -32768"),
        ({"input": {"1": -32769}}, "input 1: -32769 is not a whole number"),
        ({"input": {"1": "7"}}, "input 1: '7' is not a whole number"),
        ({"input": {"1": 1.5}}, "input 1: 1.5 is not a whole number"),
        ({"input": {"1": True}}, "input 1: True is not a whole number"),
        ({"data": {"entry": {}}}, "this diagnostics download holds no registers"),
        (
            {"data": {"a": {"holding": {}}, "b": [{"input": {}}]}},
            "holds registers of several devices: data.a, data.b.0",
        ),
        (_lines(_record(), {"op": "read_input"}) + "x", "line 3: is not JSON"),
        (_lines(_record()) + "[]", "line 2: is not an object"),
        (_lines(_record(addr=None)), "line 1: addr: None is not an address"),
        (_lines(_record(addr=65535)), "line 1: 2 words do not fit from 65535 on"),
        (_lines(_record(unit="a")), "line 1: unit 'a' is not a whole number"),
        (_lines(_record(regs="a")), "line 1: regs is not a list"),
        (_lines(_record(regs=[1, None])), "line 1: regs 1: None is not a whole"),
        (_lines(_record(regs=[])), "holds no registers"),
    ],
)
def test_bad_files_are_refused_with_one_line_that_says_where(
    tmp_path: Path, content: object, message: str
) -> None:
    path = _write(tmp_path, content)
    with pytest.raises(SimulatorError) as caught:
        Dataset.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="cannot be read: No such file"):
        Dataset.load(tmp_path / "missing.json")
    with pytest.raises(SimulatorError, match="cannot be read: Is a directory"):
        Dataset.load(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SimulatorError, match="is not a text file in UTF-8"):
        Dataset.load(tmp_path / "binary")


def test_shipped_datasets_say_that_they_are_made_up() -> None:
    for path in SHIPPED.glob("*.json"):
        assert "Made up" in json.loads(path.read_text())["_source"]


@pytest.mark.skipif(not CAPTURES.is_dir(), reason=f"no recorded data at {CAPTURES}")
@pytest.mark.parametrize(
    "name",
    [
        "derived_min_6000tl_xh_live_2025-09-21.json",
        "seed_dataset_min_6000xh_tl_masked.json",
    ],
)
def test_recorded_datasets_can_be_served(name: str) -> None:
    assert Dataset.load(CAPTURES / name).words[Table.INPUT][3000] == 1
