"""The open connections of the page's server: their number, their deadlines, and their replacement by others.

Fast clients are served even while others hold connections open on purpose. If all connections are taken, a new one
replaces a connection of the client with the most connections, namely the one that has been slow for longest. Only
connections whose client the server waits for are replaced, never one whose image is being predicted.
"""

import collections
import contextlib
import dataclasses
import io
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

GONE_SECONDS = 1  # time after which a client that has closed its side is assumed not to wait for an answer


@dataclasses.dataclass(eq=False)
class Connection:
    """The connection of a client.

    Attributes:
      client: address of the client.
      socket: socket of the connection.
      began: time when the connection was opened or last answered, in seconds of time.monotonic.
      upload: number of bytes that are reserved for the upload.
      working: bool, whether the client waits for the server, instead of the server for the client.
      answering: bool, whether the answer is being sent, so that nothing more has to be read.
      ended: bool, whether the connection was replaced by another one.
      closed: time when the client was first found to have closed its side; None if it has not.
    """

    client: str
    socket: socket.socket
    began: float = dataclasses.field(default_factory=time.monotonic)
    upload: int = 0
    working: bool = False
    answering: bool = False
    ended: bool = False
    closed: float | None = None

    def end(self) -> None:
        """Interrupts the wait for the client at once; a connection that is being read may still be answered."""
        self.ended = True
        with contextlib.suppress(OSError):  # it is already closed
            self.socket.shutdown(socket.SHUT_RDWR if self.answering else socket.SHUT_RD)

    def is_gone(self) -> bool:
        """Returns whether the client has closed the connection, or its side of it for GONE_SECONDS.

        A client that has sent everything may close its side and wait for the answer, but few do.
        """
        try:
            self.socket.settimeout(0)
            if self.socket.recv(1, socket.MSG_PEEK):
                return False
        except BlockingIOError:
            return False
        except OSError:
            return True
        self.closed = self.closed or time.monotonic()
        return time.monotonic() >= self.closed + GONE_SECONDS


class Connections:
    """The open connections.

    Args:
      limit: largest number of connections.
      max_upload_bytes: largest number of bytes of all current uploads together.
    """

    def __init__(self, limit: int, max_upload_bytes: int) -> None:
        self._limit = limit
        self._max_upload_bytes = max_upload_bytes
        self._changed = threading.Condition()
        self._open: dict[socket.socket, Connection] = {}

    def __iter__(self) -> Iterator[Connection]:
        with self._changed:
            return iter(list(self._open.values()))

    def __getitem__(self, of: socket.socket) -> Connection:
        with self._changed:
            return self._open[of]

    def admit(self, of: socket.socket, client: str) -> bool:
        """Adds a connection, for which another may be closed; returns whether there was a place."""
        with self._changed:
            here = [connection for connection in self._open.values() if not connection.ended]
            if len(here) >= self._limit and not self._end_one(here):
                return False
            self._open[of] = Connection(client, of)
            return True

    def remove(self, of: socket.socket) -> None:
        """Removes a connection that is closed."""
        with self._changed:
            self._open.pop(of, None)
            self._changed.notify_all()

    def keep(self, connection: Connection, size: int) -> bool:
        """Reserves memory for an upload, for which others may be closed; returns whether there was enough."""
        with self._changed:
            while True:
                sending = [one for one in self._open.values() if one.upload and not one.ended]
                if sum(one.upload for one in sending) + size <= self._max_upload_bytes:
                    connection.upload = size
                    return True
                if not self._end_one(sending):
                    return False

    @contextlib.contextmanager
    def working(self, connection: Connection) -> Iterator[None]:
        """Marks a connection, as a context, as one whose client waits for the server."""
        with self._changed:
            connection.working = True
        try:
            yield
        finally:
            with self._changed:
                connection.working, connection.upload, connection.began = False, 0, time.monotonic()

    def end_all(self, seconds: float) -> bool:
        """Closes the connections that are being read, and waits up to `seconds` for the others; returns whether all are
        closed.
        """
        with self._changed:
            for connection in self._open.values():
                if not connection.working:
                    connection.end()
            return self._changed.wait_for(lambda: not self._open, seconds)

    def _end_one(self, among: list[Connection]) -> bool:
        by_client = collections.Counter(connection.client for connection in self._open.values())
        idle = [connection for connection in among if not connection.working]
        if not idle:
            return False
        max(idle, key=lambda connection: (by_client[connection.client], -connection.began)).end()
        return True


class TimedReader(io.RawIOBase):
    """A reader of a connection that stops at a deadline, however slowly the client sends.

    Attributes:
      deadline: time of the deadline, in seconds of time.monotonic.

    Args:
      connection: connection to read.
      seconds: seconds until the deadline.
      silence: largest number of seconds in which a client may send nothing.
    """

    def __init__(self, connection: Connection, seconds: float, silence: float) -> None:
        super().__init__()
        self._connection = connection
        self._silence = silence
        self.deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Reads the available bytes, as soon as there are any.

        Raises:
          TimeoutError: at the deadline, after the silence, or if the connection was replaced.
        """
        left = self.deadline - time.monotonic()
        if left <= 0 or self._connection.ended:
            raise TimeoutError
        self._connection.socket.settimeout(min(left, self._silence))
        size = self._connection.socket.recv_into(buffer)
        if self._connection.ended:
            raise TimeoutError
        return size
