"""Connections that are slow on purpose, or flood: they are ended before they cost anything."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Seconds that a request line and its headers may take.
HEADER_SECONDS = 10.0
#: Seconds that a body may take of which the application does not say more.
BODY_SECONDS = 15.0
#: Seconds after which a client must have read what it was sent.
READ_SECONDS = 30.0
#: Bytes that they may have.
HEADER_BYTES = 64 * 1024


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with limits of time and size for headers, which it does not have."""

    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _received = 0  # without the end of the headers
    _headers_bytes = 0
    _in_body = False
    _got_headers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the headers have become too large or take too long."""
        if not self._in_body and self._timer is None:
            self._wait()
        began_in_body, self._got_headers = self._in_body, False
        super().data_received(data)
        if began_in_body or self._in_body or self._got_headers:
            self._received = 0  # what was received with their end is a body, or the next request
        else:
            self._received += len(data)
            if self._received > HEADER_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._headers_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count; an error is the answer 400 of uvicorn."""
        self._headers_bytes += len(name) + len(value)
        if self._headers_bytes > HEADER_BYTES:
            raise ValueError("too large")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Wait for the body: the application does so for a shorter time, if it reads it at all."""
        self._in_body = self._got_headers = True
        self._stop()
        self._timer = self.loop.call_later(BODY_SECONDS, self.transport.close)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next request; until it begins uvicorn limits how long a connection idles."""
        self._in_body = False
        self._stop()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Give a client some time to read what it was sent."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it has read."""
        self._stop_waiting_for_reader()
        super().resume_writing()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(HEADER_SECONDS, self._refuse, b"408 Request Timeout")

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_waiting_for_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _refuse(self, status: bytes) -> None:
        self._stop()
        if not self.transport.is_closing():
            head = b"HTTP/1.1 " + status
            self.transport.write(head + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
