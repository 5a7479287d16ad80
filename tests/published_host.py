"""A server of this machine that stands for the host of the published checkpoints, and archives for it."""

import contextlib
import http.server
import io
import re
import tarfile
import threading
import time


def archive_of(files, **attributes):
    """A .tar.gz file of these contents by name; `attributes` of all members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


class Host:
    """What the server has and does.

    Attributes:
      files: contents by path.
      breaks_after: bytes after which answers break off; None for whole answers.
      continues: whether it knows ranges.
      pause: seconds before each piece of an answer.
      asked: (path, Range header) of each request.
    """

    def __init__(self):
        self.files, self.breaks_after, self.continues, self.pause, self.asked = {}, None, True, 0.0, []
        self.url = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers from `host` of its server."""

    def do_GET(self):
        host = self.server.host
        wanted = self.headers.get("Range")
        host.asked.append((self.path, wanted))
        data = host.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and host.continues else 0
        if start >= len(data) and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = len(data) if host.breaks_after is None else min(len(data), start + host.breaks_after)
        for place in range(start, end, 50_000):
            time.sleep(host.pause)
            self.wfile.write(data[place : min(place + 50_000, end)])

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def published_host():
    """Yields a Host that answers."""
    host = Host()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.host = host
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        host.url = f"http://127.0.0.1:{server.server_port}/models"
        yield host
        server.shutdown()
        thread.join()
