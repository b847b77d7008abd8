"""Talks to one DTU: short sessions, one at a time.

A DTU serves one connection; a newer one closes the older. While it is connected it does
not report to the vendor's cloud, and it locks itself up when it is asked too often.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
import logging
import os
import random
import socket
from typing import Final, Protocol

from . import messages, records
from .cipher import Cipher
from .commands import (
    ALARMS,
    APP_INFO,
    CLOUD_COMMAND,
    COMMAND,
    COMMAND_STATUS,
    CONFIG,
    KINDS,
    NETWORK_INFO,
    OLD_REAL_DATA,
    REAL_DATA,
    Action,
    Command,
)
from .errors import (
    EvictedError,
    FrameError,
    MessageError,
    RefusedCommandError,
    SilentError,
    UnreachableError,
    WrongDtuError,
)
from .frame import MAX_SEQUENCE, Extension, Frame, FrameReader, encode, reply_to
from .messages import Field
from .records import AlarmList, AppInfo, Config, NetworkInfo, RealData
from .serial_number import as_text, normalise_dtu

_LOGGER = logging.getLogger(__name__)

PORT: Final = 10081

REQUEST_TIMEOUT: Final = 10.0
"""Seconds for a connection, and for an answer."""

SESSION_TIMEOUT: Final = 45.0
"""Seconds that the DTU is occupied at most."""

COMMAND_TIMEOUT: Final = 30.0
"""Seconds in which a command must have been carried out; about 4 are usual."""

STATUS_INTERVAL: Final = 1.0

MAX_PAGES: Final = 64
"""More than the 99 inverters of the largest DTU take."""

MAX_ANSWER: Final = 0x40000
"""Bytes of all pages; an inverter with four inputs takes some 200."""

_SEGMENT: Final = 0x10000

_TAKES_CLOUD_COMMAND: Final = frozenset(
    {
        Action.DTU_RESTART,
        Action.INVERTER_RESTART,
        Action.INVERTER_START,
        Action.INVERTER_SHUTDOWN,
    }
)
"""Actions that clients in the field send with the cloud's id; the others they do not."""


class Page(Protocol):
    """One page of an answer."""

    @property
    def time(self) -> int:
        """When the values are of."""

    @property
    def page_count(self) -> int:
        """How many there are."""

    @property
    def page_index(self) -> int:
        """Which one it is, counted from 0."""


class DtuClient:
    """The way to one DTU."""

    def __init__(
        self,
        host: str,
        port: int,
        now: Callable[[], datetime],
        serial: str | None = None,
    ) -> None:
        """Reach the DTU at ``host``.

        ``now`` gives the local time with its zone, which every request carries.
        ``serial`` is what the DTU must say that it is.
        """
        self.host = host
        self.port = port
        self.serial = serial
        self._now = now
        self._lock = asyncio.Lock()
        self._cipher: Cipher | None = None
        self._knows_key = False
        self._lessons = 0
        """How often the DTU was asked how to encrypt."""
        # A nonce derives from the sequence number: it must not start at the same each time.
        self._sequence = random.randrange(MAX_SEQUENCE)
        self._transaction = 0
        self.heard: dict[str, list[bytes]] = {}
        """The payloads of the last reply of each kind, page by page."""

    @property
    def is_encrypted(self) -> bool:
        """Whether the DTU wanted encrypted requests when it was asked last."""
        return self._cipher is not None

    async def async_in_session[Result](
        self,
        work: Callable[[Session], Awaitable[Result]],
        *,
        again: bool = True,
        with_key: bool = True,
    ) -> Result:
        """Do something in a session of its own. Raises ``DtuError``.

        The session begins with the question how to encrypt if that is not known; a
        storage gateway does not know it (not ``with_key``). With ``again`` the work is
        done once more with a new key if the DTU seems to have restarted: it then answers
        nothing, zeros or garbage.
        """
        async with self._lock:
            if not with_key:
                return await self._async_once(work)
            if not self._knows_key:
                return await self._async_once(_after_app_info(work))
            cipher, lessons = self._cipher, self._lessons
            try:
                return await self._async_once(work)
            except MessageError:
                raise  # it was decrypted, so that the key is right
            except (FrameError, SilentError, EvictedError) as err:
                if self._lessons != lessons:
                    raise  # the key is of this very session
                self._knows_key = False
                if not again or cipher is None:
                    raise
                _LOGGER.debug("%s: %s; asking for a new key", self.host, err)
                return await self._async_once(_after_app_info(work))

    async def _async_once[Result](
        self, work: Callable[[Session], Awaitable[Result]]
    ) -> Result:
        reader, writer = await self._async_connect()
        try:
            async with asyncio.timeout(SESSION_TIMEOUT):
                return await work(Session(self, reader, writer))
        except TimeoutError as err:
            raise SilentError(f"was not done within {SESSION_TIMEOUT:g} s") from err
        except OSError as err:
            raise EvictedError(f"the connection was lost: {err}") from err
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _async_connect(
        self,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                return await asyncio.open_connection(self.host, self.port)
        except TimeoutError as err:
            raise UnreachableError(
                f"{self.host}:{self.port} did not take a connection within"
                f" {REQUEST_TIMEOUT:g} s"
            ) from err
        except OSError as err:
            raise UnreachableError(f"{self.host}:{self.port}: {_reason(err)}") from err

    # -- for sessions -------------------------------------------------------------

    def next_sequence(self) -> int:
        """Return the number of the next request."""
        self._sequence = (self._sequence + 1) % MAX_SEQUENCE
        return self._sequence

    def next_transaction(self) -> int:
        """Return the number of the next command: the time, and never the same twice."""
        now = int(self._now().timestamp())
        self._transaction = max(now, self._transaction + 1)
        return self._transaction

    def today(self) -> date:
        """Return the day it is here."""
        return self._now().date()

    def clock(self) -> dict[str, Field]:
        """Return the time as every request carries it."""
        now = self._now()
        offset = now.utcoffset()
        return {
            "time": int(now.timestamp()),
            "utc_offset": int(offset.total_seconds()) if offset else 0,
        }

    def clock_text(self) -> dict[str, Field]:
        """Return the time as some requests carry it besides."""
        text = self._now().strftime("%Y-%m-%d %H:%M:%S")
        return {"local_time_text": text.encode()}

    @property
    def cipher(self) -> Cipher | None:
        """What encrypts requests, if the DTU wants that."""
        return self._cipher

    def learn(self, info: AppInfo) -> Cipher | None:
        """Take in how the DTU wants to be asked."""
        self._knows_key = True
        self._lessons += 1
        if not info.dtu.encrypts:
            self._cipher = None
        elif self._cipher is None or self._cipher.seed != info.dtu.seed:
            self._cipher = Cipher(info.dtu.seed)
        return self._cipher

    def check_serial(self, serial: str) -> None:
        """Raise ``WrongDtuError`` if another DTU answers. Some replies leave it out."""
        found = normalise_dtu(serial)
        if self.serial is not None and found and found != self.serial:
            raise WrongDtuError(self.serial, found)


class Session:
    """One connection to a DTU. All methods raise ``DtuError``."""

    def __init__(
        self,
        client: DtuClient,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Talk over a connection that is open."""
        self._client = client
        self._reader = reader
        self._writer = writer
        self._frames = FrameReader(client.cipher)
        self._waiting: list[Frame] = []
        self._info: AppInfo | None = None

    # -- reading ------------------------------------------------------------------

    async def async_app_info(self) -> AppInfo:
        """Ask what the DTU is and what is behind it; learn how to encrypt.

        Within a session it is asked once.
        """
        if self._info is not None:
            return self._info
        first, *others = await self.async_pages(
            APP_INFO, records.app_info, self._page_request
        )
        self._client.check_serial(first.dtu_serial)
        self._frames.cipher = self._client.learn(first)
        self._info = replace(
            first,
            inverters=_joined(first.inverters, *(page.inverters for page in others)),
            meters=_joined(first.meters, *(page.meters for page in others)),
        )
        return self._info

    async def async_real_data(self, *, old: bool = False) -> RealData:
        """Ask for the values of now: all pages of one moment, or none.

        ``old`` asks as DTUs of older generations want it.
        """
        command = OLD_REAL_DATA if old else REAL_DATA
        parse = records.old_real_data if old else records.real_data
        pages = await self.async_pages(command, parse, self._page_request)
        if len({page.time for page in pages}) > 1:
            # The DTU took new values in between.
            pages = await self.async_pages(command, parse, self._page_request)
        if len({page.time for page in pages}) > 1:
            raise MessageError("the pages of its values are of different times")
        first = pages[0]
        self._client.check_serial(first.dtu_serial)
        return replace(
            first,
            inverters=_joined(*(page.inverters for page in pages)),
            panels=_joined(*(page.panels for page in pages)),
            meters=_joined(*(page.meters for page in pages)),
            dtu_power=max(page.dtu_power for page in pages),
            dtu_energy_today=max(page.dtu_energy_today for page in pages),
        )

    async def async_config(self) -> Config:
        """Ask what is set in the DTU."""
        config = records.config(await self.async_ask(CONFIG, self._client.clock()))
        self._client.check_serial(config.dtu_serial)
        return config

    async def async_network_info(self) -> NetworkInfo:
        """Ask how the DTU is connected."""
        return records.network_info(
            await self.async_ask(NETWORK_INFO, self._client.clock())
        )

    async def async_alarms(self) -> AlarmList:
        """Ask for the events of all inverters, which the DTU collects first."""
        await self.async_command(Action.COLLECT_ALARMS)
        pages = await self.async_pages(ALARMS, records.alarm_list, self._page_request)
        return replace(pages[0], alarms=_joined(*(page.alarms for page in pages)))

    def _page_request(self, page: int) -> Mapping[str, Field]:
        return {
            **self._client.clock(),
            **self._client.clock_text(),
            "page_index": page,
        }

    async def async_pages[P: Page](
        self,
        command: Command,
        parse: Callable[[bytes], P],
        request: Callable[[int], Mapping[str, Field]],
        extension: Extension | None = None,
    ) -> list[P]:
        """Ask for all pages of an answer: all of them, or none."""
        pages: list[P] = []
        payloads: list[bytes] = []
        while not pages or len(pages) < pages[0].page_count:
            index = len(pages)
            payload = await self.async_ask(command, request(index), extension)
            if sum(map(len, payloads)) + len(payload) > MAX_ANSWER:
                raise MessageError(f"{command.reply} has more than {MAX_ANSWER} bytes")
            page = parse(payload)
            if page.page_index != index:
                raise MessageError(
                    f"page {page.page_index} of {command.reply} instead of {index}"
                )
            if page.page_count > MAX_PAGES:
                raise MessageError(f"{command.reply} has {page.page_count} pages")
            pages.append(page)
            payloads.append(payload)
        self._client.heard[command.reply] = payloads
        return pages

    # -- commands -----------------------------------------------------------------

    async def async_command(
        self,
        action: Action,
        serials: Sequence[int] = (),
        data: str = "",
    ) -> None:
        """Give a command and wait until it is carried out.

        ``serials`` are the inverters it is for. Raises ``RefusedCommandError`` if the DTU
        or an inverter says no, another ``DtuError`` if it is not known what became of it.
        """
        transaction = self._client.next_transaction()
        request: dict[str, Field] = {
            "time": self._client.clock()["time"],
            "action": int(action),
            "device_kind": KINDS.get(action, 0),
            "page_count": 1,
            "transaction_id": transaction,
            "data": data.encode("ascii"),
            "inverter_serials": list(serials),
        }
        ack = records.command_ack(await self.async_ask(COMMAND, request))
        if ack.error_code and action in _TAKES_CLOUD_COMMAND:
            ack = records.command_ack(await self.async_ask(CLOUD_COMMAND, request))
        self._client.check_serial(ack.dtu_serial)
        if ack.error_code:
            raise RefusedCommandError(f"the DTU answered error {ack.error_code}")
        if action is not Action.DTU_RESTART:
            await self._async_until_done(request, frozenset(serials))

    async def _async_until_done(
        self, request: Mapping[str, Field], serials: frozenset[int]
    ) -> None:
        """Ask what becomes of a command until nothing runs any more."""
        about = {
            "action": request["action"],
            "transaction_id": request["transaction_id"],
        }
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                while not await self._async_is_done(about, serials):
                    await asyncio.sleep(STATUS_INTERVAL)
        except TimeoutError as err:
            raise SilentError(
                f"the command was taken, but not carried out within"
                f" {COMMAND_TIMEOUT:g} s"
            ) from err

    async def _async_is_done(
        self, about: Mapping[str, Field], serials: frozenset[int]
    ) -> bool:
        request = {"time": self._client.clock()["time"], **about}
        status = records.command_status(await self.async_ask(COMMAND_STATUS, request))
        if (status.action, status.transaction_id) != (
            about["action"],
            about["transaction_id"],
        ):
            return False
        failed = status.failed & serials if serials else status.failed
        for serial in sorted(failed):
            code = status.errors.get(serial)
            raise RefusedCommandError(
                "the inverter did not carry it out"
                + ("" if code is None else f" (error {code})")
            )
        return not status.running and serials <= status.succeeded

    # -- frames -------------------------------------------------------------------

    async def async_ask(
        self,
        command: Command,
        fields: Mapping[str, Field],
        extension: Extension | None = None,
    ) -> bytes:
        """Send a request and return the payload of its reply; all else is dropped.

        ``extension`` is for storage gateways: the reply must be of the same one.
        """
        # What came before the question is not the answer to it.
        self._waiting.clear()
        sequence = self._client.next_sequence()
        payload = messages.encode(command.request, fields)
        request = Frame(command.id, sequence, payload, extension)
        self._writer.write(encode(request, self._frames.cipher))
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                await self._writer.drain()
                while True:
                    frame = await self._async_next_frame()
                    if (frame.command, frame.sequence) == (
                        reply_to(command.id),
                        sequence,
                    ):
                        _check_gateway(extension, frame.extension)
                        self._client.heard[command.reply] = [frame.payload]
                        return frame.payload
                    _LOGGER.debug(
                        "%s: dropped %04X, number %s",
                        self._client.host,
                        frame.command,
                        frame.sequence,
                    )
        except TimeoutError as err:
            raise SilentError(
                f"no answer to {command.request} within {REQUEST_TIMEOUT:g} s"
            ) from err
        except ConnectionError as err:
            raise EvictedError(f"the connection was lost: {err}") from err

    async def _async_next_frame(self) -> Frame:
        while not self._waiting:
            if not (data := await self._reader.read(_SEGMENT)):
                raise EvictedError(
                    "it closed the connection: another program may have connected"
                )
            self._waiting = self._frames.feed(data)
        return self._waiting.pop(0)


def _reason(err: OSError) -> str:
    """Return why there is no connection, without the addresses that the error names."""
    if isinstance(err, socket.gaierror):
        return "no device in your network has this name"
    if err.errno is None:
        return "none of its addresses takes a connection"
    return os.strerror(err.errno).lower()


def _after_app_info[Result](
    work: Callable[[Session], Awaitable[Result]],
) -> Callable[[Session], Awaitable[Result]]:
    """Return the work with the question for a new key before it."""

    async def with_key(session: Session) -> Result:
        await session.async_app_info()
        return await work(session)

    return with_key


def _check_gateway(asked: Extension | None, answered: Extension | None) -> None:
    """Raise ``WrongDtuError`` if another gateway answers. Either may leave it out."""
    if asked is None or answered is None or not (asked.gateway and answered.gateway):
        return
    if asked.gateway != answered.gateway:
        raise WrongDtuError(as_text(asked.gateway), as_text(answered.gateway))


def _joined[Item](*parts: Sequence[Item]) -> tuple[Item, ...]:
    return tuple(item for part in parts for item in part)
