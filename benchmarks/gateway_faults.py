"""Units that are silent, late or garbled, for ``benchmarks.gateway``.

All cases run side by side, each with a line of 9600 baud and a gateway of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any, Final

from .asking import Answer
from .gateway_stand import LINKS, Clients, Proxy, Stand, distinct, resident_of
from .gateway_words import Block
from .report import Metric

OTHERS: Final = 8
GOOD_UNIT: Final = 1
BAD_UNIT: Final = 2
SHORT: Final = 10

KEPT_GOAL: Final = 10.0
"""Percent of their rate that the others may lose."""
WAIT_GOAL: Final = 1250.0
"""Milliseconds: the time in which a request must be answered, and 50 for clocks and wakings
of a busy computer. It is what comes on top of the usual wait, the p99 without the fault."""

MINUTE: Final = 60.0

LATE: Final = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
BURST: Final = 0.016
"""Seconds between two deliveries of a usual USB adapter."""
LONG: Final = 125

FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "silent unit": {"kind": "silent"},
    "answers 2 s late": {"kind": "late", "seconds": 2.0},
    "wrong CRCs": {"kind": "crc"},
    "answers 1 s late": {"kind": "late", "seconds": 1.0},
}
WITHIN_TIMEOUT: Final = "answers 1 s late"
"""Such a unit is slow and no more, as it answers in time: what it costs is reported."""

GONE_CLIENTS: Final = 8
GROWTH_GOAL: Final = 256.0
"""kB, of a process of some 40 MB."""
LONGEST_PROBE: Final = 60.0
"""Seconds between two attempts of the gateway, at most."""
TIMEOUT: Final = 1.2
_UNREACHABLE: Final = {"10", "11"}


@dataclass(slots=True, kw_only=True)
class _Case:
    """Eight clients of one unit, and one of another that will fail."""

    name: str
    line: Answer
    proxy: Proxy
    others: Clients
    bad: Clients
    calm: Answer | None = None
    beside: Answer | None = None

    @property
    def kept(self) -> float:
        """The share of their rate that the others keep."""
        assert self.calm is not None
        assert self.beside is not None
        return float(self.beside["rate"] / self.calm["rate"])


def _asked_of(unit: int, clients: int) -> list[list[Any]]:
    return [
        [block._replace(unit=unit) for block in plan]
        for plan in distinct(clients, 64, SHORT)
    ]


class Faults:
    """One unit fails, and what that costs those who ask another."""

    def __init__(self, stand: Stand) -> None:
        """Start all cases. The unit that fails later has been well until then."""
        self._stand = stand
        # One for each link: what they do together is a tenth of a core.
        self._processes = {link: stand.process() for link in ("pty", "rtu")}
        self._cases = [
            self._case(name, link)
            for link in ("pty", "rtu", "tcp")
            for name in FAULTS
            if link != "tcp" or FAULTS[name]["kind"] != "crc"
        ]

    def _case(self, name: str, link: str) -> _Case:
        line = self._stand.line(link)
        if link == "tcp":
            proxy = self._stand.anchor(line)
        else:
            proxy = self._stand.gateway(line, process=self._processes[link])
        return _Case(
            name=name,
            line=line,
            proxy=proxy,
            others=self._stand.clients(proxy, _asked_of(GOOD_UNIT, OTHERS)),
            bad=self._stand.clients(proxy, _asked_of(BAD_UNIT, 1)),
        )

    def _measured(self, seconds: float) -> list[Answer]:
        began = []
        for case in self._cases:
            case.others.reset()
            began.append(monotonic())
        sleep(seconds)
        reports = [case.others.report() for case in self._cases]
        return [
            {**report, "rate": report["answers"] / (report["at"] - at)}
            for report, at in zip(reports, began, strict=True)
        ]

    def settle(self) -> None:
        """Let those leave who asked the unit that will fail."""
        for case in self._cases:
            case.bad.stop()
        sleep(0.5)

    def calm(self, seconds: float) -> None:
        """Measure the others alone."""
        for case, report in zip(self._cases, self._measured(seconds), strict=True):
            case.calm = report

    def beside(self, seconds: float) -> None:
        """Let the unit fail, and measure the others beside the one who asks it."""
        for case in self._cases:
            self._stand.set_faults(case.line, unit2=FAULTS[case.name])
            case.bad = self._stand.clients(case.proxy, _asked_of(BAD_UNIT, 1))
        for case, report in zip(self._cases, self._measured(seconds), strict=True):
            case.beside = report
        for case in self._cases:
            case.others.stop()
            case.bad.stop()

    def metrics(self, *, strict: bool) -> Iterator[Metric]:
        """Return what it has cost them; ``strict``: a minute, so that goals count."""
        anchors = {
            case.name: case for case in self._cases if case.line["link"] == "tcp"
        }
        for case in self._cases:
            if case.line["link"] == "tcp":
                continue
            anchor = anchors.get(case.name)
            assert case.calm is not None
            assert case.beside is not None
            counts = strict and case.name != WITHIN_TIMEOUT
            yield Metric(
                metric=f"{case.name}, {LINKS[case.line['link']]}: others lose",
                value=100 * (1 - case.kept),
                unit="%",
                reference=100 * (1 - anchor.kept) if anchor else None,
                goal=KEPT_GOAL if counts else None,
            )
            yield Metric(
                metric="  longest wait of the others",
                value=case.beside["longest"] * 1000,
                unit="ms",
                reference=case.calm["longest"] * 1000,
            )
            yield Metric(
                metric="  beyond the usual (p99 without)",
                value=1000 * (case.beside["longest"] - case.calm["p99"]),
                unit="ms",
                reference=1000 * (anchor.beside["longest"] - anchor.calm["p99"])
                if anchor and anchor.beside and anchor.calm
                else None,
                goal=WAIT_GOAL if counts else None,
            )
            yield Metric(
                metric="  exceptions that the others got",
                value=sum(case.beside["exceptions"].values()),
                unit="",
                reference=sum(anchor.beside["exceptions"].values())
                if anchor and anchor.beside
                else None,
                goal=0,
            )


def _of_three_units() -> list[list[Block]]:
    """Return reads of four clients: of units in turn, three of them of the same length."""
    plans = distinct(3, 63, SHORT) + distinct(1, 63, 2 * SHORT)
    return [
        [block._replace(unit=1 + turn % 3) for turn, block in enumerate(plan)]
        for plan in plans
    ]


def faults(stand: Stand, calm: float, beside: float) -> Iterator[Metric]:
    """Measure so many seconds without faults, and with them."""
    cases = Faults(stand)
    sleep(min(4.0, 1.0 + calm))
    cases.settle()
    cases.calm(calm)
    cases.beside(beside)
    yield from cases.metrics(strict=beside >= MINUTE)


class Sweep:
    """Answers that come late now and then, or in bursts: whose are they taken for?"""

    def __init__(self, stand: Stand, late: Sequence[float]) -> None:
        """Start all cases in two processes: rates do not matter."""
        self._stand = stand
        processes = {link: stand.process() for link in ("pty", "rtu")}
        self._late: list[Clients] = []
        self._bursts: list[Clients] = []
        for link, process in processes.items():
            for seconds in late:
                for in_order in (False, True):
                    line = stand.line(link)
                    fault = {"kind": "late", "seconds": seconds, "in_order": in_order}
                    stand.set_faults(
                        line,
                        unit1={**fault, "every": 3},
                        unit2={**fault, "every": 7},
                        unit3={**fault, "every": 20},
                    )
                    proxy = stand.gateway(line, process=process)
                    self._late.append(stand.clients(proxy, _of_three_units()))
            line = stand.line(link, burst=BURST)
            proxy = stand.gateway(line, process=process)
            self._bursts.append(stand.clients(proxy, distinct(3, 64, LONG)))

    def metrics(self) -> Iterator[Metric]:
        """Return what has come."""
        late = [clients.stop() for clients in self._late]
        bursts = [clients.stop() for clients in self._bursts]
        for name, reports in (
            ("answers 0.5 to 3 s late", late),
            ("16 ms bursts, 125 registers", bursts),
        ):
            yield Metric(
                metric=f"{name}: wrong values",
                value=sum(report["mismatches"] for report in reports),
                unit="",
                reference=0,
                goal=0,
            )
            yield Metric(
                metric="  right ones",
                value=sum(report["answers"] for report in reports),
                unit="",
            )
            yield Metric(
                metric="  exceptions",
                value=sum(sum(report["exceptions"].values()) for report in reports),
                unit="",
            )
            yield Metric(
                metric="  least right ones of a case",
                value=min(report["answers"] for report in reports),
                unit="",
            )


def sweep(stand: Stand, late: Sequence[float], seconds: float) -> Iterator[Metric]:
    """Let clients ask for so long."""
    cases = Sweep(stand, late)
    sleep(seconds)
    yield from cases.metrics()


@dataclass(slots=True, kw_only=True)
class _Gone:
    """A device that goes away, and its clients."""

    link: str
    line: Answer
    proxy: Proxy
    clients: Clients
    report: Answer = field(default_factory=dict)
    resident: int = 0
    grown: int = 0
    back_at: float = 0.0


class Gone:
    """The device goes away, and comes back."""

    def __init__(self, stand: Stand, links: Sequence[str]) -> None:
        """Start a gateway for each link."""
        self._stand = stand
        self._cases: list[_Gone] = []
        for link in links:
            line = stand.line(link)
            proxy = stand.gateway(line)
            clients = stand.clients(
                proxy, distinct(GONE_CLIENTS, 64, SHORT), interval=0.5
            )
            self._cases.append(
                _Gone(link=link, line=line, proxy=proxy, clients=clients)
            )

    def leave(self) -> None:
        """Take the device away, or fall silent where nobody hangs up."""
        for case in self._cases:
            self._set(case, gone=True)
        sleep(0.5)
        for case in self._cases:
            case.clients.reset()

    def _set(self, case: _Gone, *, gone: bool) -> None:
        self._stand.device.ask(do="gone", name=case.line["name"], gone=gone)

    def settled(self) -> None:
        """Take note of the memory that the gateways have now."""
        for case in self._cases:
            case.resident = resident_of(case.proxy.pid)

    def come_back(self) -> None:
        """Bring the device back."""
        for case in self._cases:
            case.report = case.clients.report()
            case.grown = resident_of(case.proxy.pid) - case.resident
            case.clients.reset()
            self._set(case, gone=False)
            case.back_at = monotonic()

    def metrics(self) -> Iterator[Metric]:
        """Return what clients were told, and when they were served again."""
        for case in self._cases:
            while (first := case.clients.report()["first_at"]) is None and (
                monotonic() - case.back_at < 2 * LONGEST_PROBE
            ):
                sleep(0.1)
            case.clients.stop()
            back = 2 * LONGEST_PROBE if first is None else first - case.back_at
            yield from self._metrics(case, back)

    def _metrics(self, case: _Gone, back: float) -> Iterator[Metric]:
        report, told = case.report, case.report["exceptions"]
        right = sum(told.get(code, 0) for code in _UNREACHABLE)
        asked = report["answers"] + sum(told.values())
        yield Metric(
            metric=f"device gone, {LINKS[case.link]}: no exception 10, 11",
            value=asked - right + report["mismatches"] + report["lost"],
            unit="",
            goal=0,
        )
        yield Metric(metric="  exceptions 10 and 11", value=right, unit="")
        yield Metric(
            metric="  longest wait for one",
            value=report["longest"] * 1000,
            unit="ms",
        )
        yield Metric(
            metric="  memory that has grown meanwhile",
            value=case.grown / 1024,
            unit="kB",
            goal=GROWTH_GOAL,
        )
        yield Metric(
            metric="  seconds until it answers again once it is back",
            value=back,
            unit="s",
            goal=LONGEST_PROBE + TIMEOUT,
        )


def gone(stand: Stand, links: Sequence[str], seconds: float) -> Iterator[Metric]:
    """Let the device be away for so long."""
    cases = Gone(stand, links)
    sleep(4.0)
    cases.leave()
    sleep(seconds / 4)
    cases.settled()
    sleep(seconds * 3 / 4)
    cases.come_back()
    yield from cases.metrics()
