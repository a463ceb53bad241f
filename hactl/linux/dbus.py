"""A connection to a message bus, shared by all who use it in an event loop, and made anew when it is lost.

jeepney writes and reads the messages. The connection and the dispatcher are of our own: jeepney's router stops for good
when a caller is cancelled at the moment at which his answer comes in.

A service may have a socket of its own beside the bus, as systemd has for root. There it sends every signal that it has,
unasked, and at a shutdown there are many: those that nobody waits for are dropped unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import structlog
from jeepney import DBusAddress, HeaderFields, Message, MessageType, new_method_call
from jeepney.bus import get_bus
from jeepney.low_level import calc_msg_size

from hactl.linux.errors import OperationError

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 10.0
_RECONNECT_S = 0.5
_BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")


class BusError(OperationError):
    """The bus cannot be reached, or was lost before the answer came."""


class CallError(OperationError):
    """The called answered with an error; `name` is its D-Bus name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name


# A signal that matches a rule; None: the bus was lost and is back, signals may have been missed.
Handler = Callable[[Message | None], None]


class Signal(NamedTuple):
    """Signals that are waited for: `member`, sent by `sender` for the object at `path`."""

    sender: str
    path: str
    member: str

    @property
    def rule(self) -> str:
        """The match rule by which a bus sends them."""
        return f"type='signal',sender='{self.sender}',path='{self.path}',member='{self.member}'"

    def matches(self, message: Message) -> bool:
        """Whether a message is one."""
        fields = message.header.fields
        return bool(fields.get(HeaderFields.path) == self.path and fields.get(HeaderFields.member) == self.member)


class _Connection:
    """`direct`: to the service itself, not to a bus. Raises OSError, EOFError, ValueError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direct: bool) -> None:
        self._reader, self.writer, self.direct = reader, writer, direct
        self.serials = itertools.count(1)

    @classmethod
    async def open(cls, path: str, direct: bool) -> _Connection:
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            # All at once, and nothing more before the answer: a call that systemd gets in one piece with BEGIN lies
            # unread until something else comes (seen with systemd 252).
            writer.write(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\nBEGIN\r\n")
            answer = await reader.readline()
            if not answer.startswith(b"OK "):
                raise OSError(f"refused: {answer.decode(errors='replace').strip() or 'closed'}")
        except BaseException:
            writer.close()
            raise
        return cls(reader, writer, direct)

    async def next(self) -> bytes:
        """The next message, as it came."""
        start = await self._reader.readexactly(16)
        return start + await self._reader.readexactly(calc_msg_size(start) - 16)


class Bus:
    """One bus. `address`: "SYSTEM" (DBUS_SYSTEM_BUS_ADDRESS, else the usual place) or a D-Bus address. `direct`: the
    socket of the service that is meant, which is tried first; "": it has none."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Bus]] = WeakKeyDictionary()

    def __init__(self, address: str, greet: Message | None = None, direct: str = "") -> None:
        self.address = address
        self._greet, self._direct = greet, direct
        self._connection: _Connection | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._handlers: dict[int, tuple[Signal, Handler]] = {}
        self._numbers = itertools.count()

    @classmethod
    def shared(cls, address: str, greet: Message | None = None, direct: str = "") -> Bus:
        """The running event loop's connection to `address`. `greet` is sent on every new connection."""
        buses = cls._of_loop.setdefault(asyncio.get_running_loop(), {})
        return buses.setdefault(address, cls(address, greet, direct))

    async def call(self, message: Message, timeout_s: float = CALL_TIMEOUT_S) -> tuple[Any, ...]:
        """Send a method call and return the answer's body. Raises BusError, CallError."""
        await self._connect()
        return await self._call(message, timeout_s)

    @contextlib.asynccontextmanager
    async def matching(self, signal: Signal, handler: Handler) -> AsyncIterator[None]:
        """While in this context, `handler` gets these signals. Raises BusError when the bus cannot be reached at
        first."""
        number = next(self._numbers)
        await self._connect()
        self._handlers[number] = (signal, handler)
        try:
            await self._match(signal)
            yield
        finally:
            del self._handlers[number]
            if self._connection is not None and not self._connection.direct:
                with contextlib.suppress(OperationError):
                    await self._send(_bus_call("RemoveMatch", "s", signal.rule), next(self._connection.serials))

    async def _connect(self) -> None:
        async with self._connecting:
            if self._connection is not None:
                return
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    connection = await self._open()
            except (OSError, EOFError, TimeoutError, RuntimeError, ValueError) as error:
                raise BusError(f"cannot reach the bus {self.address}: {error or type(error).__name__}") from None
            self._connection = connection
            self._receiver = asyncio.create_task(self._receive(connection))
            try:
                if not connection.direct:
                    await self._call(_bus_call("Hello"), CALL_TIMEOUT_S)
                if self._greet is not None:
                    await self._call(self._greet, CALL_TIMEOUT_S)
                for signal, _ in list(self._handlers.values()):
                    await self._match(signal)
            except BaseException:
                self._receiver.cancel()
                self._lost(connection)
                raise

    async def _open(self) -> _Connection:
        if self._direct:
            with contextlib.suppress(OSError):
                return await _Connection.open(self._direct, direct=True)
        return await _Connection.open(get_bus(self.address), direct=False)

    async def _match(self, signal: Signal) -> None:
        if self._connection is not None and not self._connection.direct:
            await self._call(_bus_call("AddMatch", "s", signal.rule), CALL_TIMEOUT_S)

    async def _call(self, message: Message, timeout_s: float) -> tuple[Any, ...]:
        if self._connection is None:
            raise BusError(f"the bus {self.address} was lost")
        serial = next(self._connection.serials)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._replies[serial] = answer
        try:
            await self._send(message, serial)
            async with asyncio.timeout(timeout_s):
                reply = await answer
        except TimeoutError:
            member = message.header.fields.get(HeaderFields.member)
            raise BusError(f"no answer to {member} from the bus {self.address} in {timeout_s:.0f} s") from None
        finally:
            self._replies.pop(serial, None)
        if reply.header.message_type is MessageType.error:
            name = str(reply.header.fields.get(HeaderFields.error_name, ""))
            raise CallError(name, str(reply.body[0]) if reply.body else "")
        return tuple(reply.body)

    async def _send(self, message: Message, serial: int) -> None:
        if self._connection is None:
            raise BusError(f"the bus {self.address} was lost")
        try:
            self._connection.writer.write(message.serialise(serial))
            await self._connection.writer.drain()
        except OSError as error:
            raise BusError(f"the bus {self.address} was lost: {error}") from None

    async def _receive(self, connection: _Connection) -> None:
        try:
            while True:
                data = await connection.next()
                if data[1] != MessageType.signal.value or self._awaited(data):
                    self._dispatch(Message.from_buffer(data))
        except Exception as error:  # of any kind: this connection is of no more use
            log.warning("dbus.lost", address=self.address, error=str(error) or type(error).__name__)
        self._lost(connection)
        if self._handlers:
            self._reconnecting = asyncio.create_task(self._reconnect())

    def _awaited(self, data: bytes) -> bool:
        return any(signal.path.encode() in data for signal, _ in self._handlers.values())

    def _dispatch(self, message: Message) -> None:
        answer = self._replies.get(message.header.fields.get(HeaderFields.reply_serial, -1))
        if answer is not None:
            # Done: the caller was cancelled in this very moment.
            if not answer.done():
                answer.set_result(message)
        elif message.header.message_type is MessageType.signal:
            for signal, handler in list(self._handlers.values()):
                if signal.matches(message):
                    handler(message)

    def _lost(self, connection: _Connection) -> None:
        connection.writer.close()
        if self._connection is not connection:
            return
        self._connection = None
        for answer in self._replies.values():
            if not answer.done():
                answer.set_exception(BusError(f"the bus {self.address} was lost"))

    async def _reconnect(self) -> None:
        """While anyone waits for signals: until it is connected again."""
        while self._handlers:
            try:
                await self._connect()
            except OperationError:
                await asyncio.sleep(_RECONNECT_S)
                continue
            log.info("dbus.connected_again", address=self.address)
            for _, handler in list(self._handlers.values()):
                handler(None)
            return


def _bus_call(method: str, signature: str | None = None, *arguments: str) -> Message:
    return new_method_call(_BUS, method, signature, arguments)
