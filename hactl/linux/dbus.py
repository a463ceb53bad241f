"""A connection to a message bus, shared by all who use it in an event loop, and made anew when it is lost.

On jeepney's plain connection, with a dispatcher of our own: jeepney's router stops for good when a caller is
cancelled at the moment at which his answer comes in.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from jeepney import DBusAddress, HeaderFields, Message, MessageType, new_method_call
from jeepney.io.asyncio import DBusConnection, open_dbus_connection

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


class Bus:
    """One bus. `address`: "SYSTEM" (DBUS_SYSTEM_BUS_ADDRESS, else the usual place) or a D-Bus address."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Bus]] = WeakKeyDictionary()

    def __init__(self, address: str, greet: Message | None = None) -> None:
        self.address = address
        self._greet = greet
        self._connection: DBusConnection | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._rules: dict[int, tuple[str, Callable[[Message], bool], Handler]] = {}
        self._numbers = itertools.count()

    @classmethod
    def shared(cls, address: str, greet: Message | None = None) -> Bus:
        """The running event loop's connection to `address`. `greet` is sent on every new connection."""
        buses = cls._of_loop.setdefault(asyncio.get_running_loop(), {})
        return buses.setdefault(address, cls(address, greet))

    async def call(self, message: Message, timeout_s: float = CALL_TIMEOUT_S) -> tuple[Any, ...]:
        """Send a method call and return the answer's body. Raises BusError, CallError."""
        await self._connect()
        return await self._call(message, timeout_s)

    @contextlib.asynccontextmanager
    async def matching(self, rule: str, matches: Callable[[Message], bool], handler: Handler) -> AsyncIterator[None]:
        """While in this context, `handler` gets the signals of the match rule `rule` for which `matches` says
        so, too (all rules share one stream). Raises BusError when the bus cannot be reached at first."""
        number = next(self._numbers)
        await self._connect()
        self._rules[number] = (rule, matches, handler)
        try:
            await self._call(_bus_call("AddMatch", rule), CALL_TIMEOUT_S)
            yield
        finally:
            del self._rules[number]
            if self._connection is not None:
                with contextlib.suppress(OperationError):
                    await self._send(_bus_call("RemoveMatch", rule), next(self._connection.outgoing_serial))

    async def _connect(self) -> None:
        async with self._connecting:
            if self._connection is not None:
                return
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    connection = await open_dbus_connection(self.address)
            except (OSError, EOFError, TimeoutError, RuntimeError, ValueError) as error:
                raise BusError(f"cannot reach the bus {self.address}: {error or type(error).__name__}") from None
            self._connection = connection
            self._receiver = asyncio.create_task(self._receive(connection))
            try:
                if self._greet is not None:
                    await self._call(self._greet, CALL_TIMEOUT_S)
                for rule, _, _ in list(self._rules.values()):
                    await self._call(_bus_call("AddMatch", rule), CALL_TIMEOUT_S)
            except BaseException:
                self._receiver.cancel()
                self._lost(connection)
                raise

    async def _call(self, message: Message, timeout_s: float) -> tuple[Any, ...]:
        if self._connection is None:
            raise BusError(f"the bus {self.address} was lost")
        serial = next(self._connection.outgoing_serial)
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
            await self._connection.send(message, serial=serial)
        except OSError as error:
            raise BusError(f"the bus {self.address} was lost: {error}") from None

    async def _receive(self, connection: DBusConnection) -> None:
        try:
            while True:
                self._dispatch(await connection.receive())
        except Exception as error:  # of any kind: this connection is of no more use
            log.warning("dbus.lost", address=self.address, error=str(error) or type(error).__name__)
        self._lost(connection)
        if self._rules:
            self._reconnecting = asyncio.create_task(self._reconnect())

    def _dispatch(self, message: Message) -> None:
        answer = self._replies.get(message.header.fields.get(HeaderFields.reply_serial, -1))
        if answer is not None:
            # Done: the caller was cancelled in this very moment.
            if not answer.done():
                answer.set_result(message)
        elif message.header.message_type is MessageType.signal:
            for _, matches, handler in list(self._rules.values()):
                if matches(message):
                    handler(message)

    def _lost(self, connection: DBusConnection) -> None:
        connection.writer.close()
        if self._connection is not connection:
            return
        self._connection = None
        for answer in self._replies.values():
            if not answer.done():
                answer.set_exception(BusError(f"the bus {self.address} was lost"))

    async def _reconnect(self) -> None:
        """While anyone waits for signals: until it is connected again."""
        while self._rules:
            try:
                await self._connect()
            except OperationError:
                await asyncio.sleep(_RECONNECT_S)
                continue
            log.info("dbus.connected_again", address=self.address)
            for _, _, handler in list(self._rules.values()):
                handler(None)
            return


def _bus_call(method: str, rule: str) -> Message:
    return new_method_call(_BUS, method, "s", (rule,))
