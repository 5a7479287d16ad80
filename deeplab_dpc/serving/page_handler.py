"""Handler of one request to the page's server: for the page, the description of the model, or a prediction."""

import contextlib
import http.server
import io
import json
import re
import socket
import time
from http import HTTPStatus
from typing import Any

from deeplab_dpc.errors import UserError
from deeplab_dpc.serving.connections import Connections, TimedReader
from deeplab_dpc.serving.image_decoder import Unwanted
from deeplab_dpc.serving.image_queue import Busy, ImageQueue
from deeplab_dpc.serving.own_hosts import OwnHosts, shown

SILENCE_SECONDS = 10  # in which a client may send nothing
UPLOAD_SECONDS = 120  # for a whole image
ANSWER_SECONDS = 30  # for a client to receive the answer
DRAIN_SECONDS = 2  # for reading the rest of a refused upload
CHUNK = 1 << 16  # bytes
BUSY = "Other images are waiting already; try again in a moment."
SLOW = "The upload was slow while others waited, and was ended for them; try again in a moment."
JSON = "application/json"


class Refusal(Exception):  # noqa: N818 (an answer)
    """The error for a request that is answered by a status and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class ServedPage(http.server.ThreadingHTTPServer):
    """The base class of the page's server, with the attributes that a handler of requests uses.

    Attributes:
      url: URL of the page.
      documents: content type and bytes of each document by path.
      headers: headers of every answer.
      queue: queue of the images for prediction.
      connections: open connections.
      own_hosts: names of the server.
      max_upload_bytes: largest number of bytes of an encoded image.
      header_seconds: largest number of seconds for all headers of a request.
    """

    url: str
    documents: dict[str, tuple[str, bytes]]
    headers: dict[str, str]
    queue: ImageQueue
    connections: Connections
    own_hosts: OwnHosts
    max_upload_bytes: int
    header_seconds: float


class PageHandler(http.server.BaseHTTPRequestHandler):
    """A handler of one request of one connection."""

    server: ServedPage
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # the base class has 0.9, in which answers have no status

    def setup(self) -> None:
        """Sets a deadline for reading."""
        super().setup()
        self.rfile.close()
        self.client = self.server.connections[self.connection]
        self.timed = TimedReader(self.client, self.server.header_seconds, SILENCE_SECONDS)
        self.rfile = io.BufferedReader(self.timed, CHUNK)

    def do_GET(self) -> None:
        """Sends a document, or only its headers for a HEAD request."""
        try:
            self._check_host()
            if self.path not in self.server.documents:
                raise Refusal(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
        except Refusal as refusal:
            return self._refuse(refusal)
        self._send(HTTPStatus.OK, *self.server.documents[self.path])

    do_HEAD = do_GET  # noqa: N815 (the name that http.server looks for)

    def do_POST(self) -> None:
        """Sends the prediction of an image."""
        try:
            self._check_host()
            self._check_origin()
            if self.path != "/predict":
                raise Refusal(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
            image = self._upload(self._content_length())
            with self.server.connections.working(self.client), self.server.queue.place():
                answer = self.server.queue.predict(image, self.client.is_gone)
        except Refusal as refusal:
            return self._refuse(refusal)
        except Unwanted:
            return None
        except Busy:
            return self._refuse(Refusal(HTTPStatus.SERVICE_UNAVAILABLE, BUSY))
        except UserError as error:
            return self._refuse(Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)))
        self._send(HTTPStatus.OK, JSON, json.dumps(answer).encode())

    def _check_host(self) -> None:
        for name in ("Host", "Origin", "Content-Length"):  # two programs may use different ones
            if len(self.headers.get_all(name, [])) > 1:
                raise Refusal(HTTPStatus.BAD_REQUEST, f"A request may have the header {name} once only.")
        host = self.headers.get("Host", "")
        if not self.server.own_hosts.has(host, str(self.connection.getsockname()[0])):
            name = shown(host)
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                f"This page is at {self.server.url}, and not known as {name}; if that is a name of this machine, start "
                "deeplab-dpc predict with --allowed_hosts and that name.",
            )

    def _check_origin(self) -> None:
        origin = self.headers.get("Origin")
        host = self.headers.get("Host", "").lower()
        # A proxy in front of this server may speak https.
        foreign = origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}")
        if foreign or self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refusal(HTTPStatus.FORBIDDEN, "Other web sites may not send images here.")

    def _content_length(self) -> int:
        given = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or re.fullmatch("[0-9]{1,15}", given) is None:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "An upload must have a Content-Length header.")
        limit = self.server.max_upload_bytes
        if int(given) > limit:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The file has {int(given) / 1e6:.1f} MB, and this server takes {limit / 1e6:.1f} MB; reduce it.",
            )
        return int(given)

    def _upload(self, length: int) -> bytes:
        if not self.server.connections.keep(self.client, length):
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, BUSY)
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        self.timed.deadline = time.monotonic() + UPLOAD_SECONDS
        content = bytearray()
        try:
            while len(content) < length:
                chunk = self.rfile.read1(min(CHUNK, length - len(content)))
                if not chunk:
                    raise TimeoutError
                content += chunk
        except TimeoutError as error:
            if self.client.ended:
                raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, SLOW) from error
            sentence = f"The upload ended after {len(content)} of {length} bytes; try again."
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, sentence) from error
        return bytes(content)

    def _refuse(self, refusal: Refusal) -> None:
        """Sends an error, and continues to read for a moment: if a connection is closed while the client is sending,
        the answer is lost.
        """
        self._send(refusal.status, JSON, json.dumps({"error": str(refusal)}).encode())
        deadline = time.monotonic() + DRAIN_SECONDS
        self.connection.settimeout(DRAIN_SECONDS)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while self.connection.recv(CHUNK) and time.monotonic() < deadline:
                pass

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.connection.settimeout(ANSWER_SECONDS)
        self.client.answering = True
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()

    def handle_expect_100(self) -> bool:
        """Does not request the upload yet; `_upload` does so after the checks."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Sends the error for any other request, such as one with an unknown method."""
        sentence = HTTPStatus(code).description or HTTPStatus(code).phrase
        self._refuse(Refusal(HTTPStatus(code), f"{sentence}."))

    def version_string(self) -> str:
        """Returns the Server header, without versions."""
        return "deeplab_dpc"

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""
