"""A resumable download, with one-sentence errors."""

import os
import pathlib
import re
import urllib.parse

import requests

from deeplab_dpc.console import console, progress_bar
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import require_space

PARTIAL_SUFFIX = ".part"
TIMEOUT = (20, 60)  # seconds to connect, and between two pieces
_AT_ONCE = 2**16  # bytes per piece; the last piece is lost if the connection breaks
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")  # RFC 9110, Sec. 14.4
_OK, _PARTIAL, _NOTHING_LEFT = 200, 206, 416


def download(url: str, target: pathlib.Path) -> pathlib.Path:
    """Downloads a file; returns its path, `target` with PARTIAL_SUFFIX, to be checked and renamed.

    The incomplete file of an earlier call is continued.

    Args:
      url: URL of the file.
      target: final path of the file.

    Raises:
      UserError: if the host cannot be reached, has no such file or closes the connection, or the disk is too small.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + PARTIAL_SUFFIX)
    try:
        if not _continued(url, partial, target):
            partial.unlink()
            _continued(url, partial, target)
    except requests.RequestException as error:
        host = urllib.parse.urlsplit(url).netloc or url
        raise UserError(
            f"{url} cannot be downloaded: {host} cannot be reached ({_reason(error)}); connect to the network, or get "
            f"the file elsewhere and put it there as {target}."
        ) from error
    return partial


def _continued(url: str, partial: pathlib.Path, target: pathlib.Path) -> bool:
    """Downloads the rest of the file; returns whether the existing part is its beginning."""
    start = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        status = response.status_code
        told = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if start and status == _NOTHING_LEFT:
            return told is not None and int(told[2]) == start
        if start and status == _PARTIAL and (told is None or told[1] != str(start)):
            return False
        if status not in (_OK, _PARTIAL):
            raise UserError(
                f"{url} cannot be downloaded: the answer is {status} {response.reason}; get the file elsewhere and put "
                f"it there as {target}."
            )
        _receive(response, partial, start if status == _PARTIAL else 0, target)
    return True


def _receive(response: requests.Response, partial: pathlib.Path, start: int, target: pathlib.Path) -> None:
    """Appends the received bytes to the `start` bytes that exist."""
    length = response.headers.get("Content-Length")
    total = None if length is None else start + int(length)
    size = "of unknown size" if total is None else f"{total / 1e6:.1f} MB"
    there = f", of which {start / 1e6:.1f} MB are there" if start else ""
    console.print(f"Downloading {response.url}, {size}{there}, to {target}.")
    require_space(partial.parent, (total or start) - start)
    received = start
    with open(partial, "ab" if start else "wb") as stream, progress_bar() as progress:
        expected = None if total is None else total / 1e6
        task = progress.add_task("Download, MB", total=expected, note="")
        progress.update(task, completed=start / 1e6)
        try:
            for piece in response.iter_content(_AT_ONCE):
                stream.write(piece)
                received += len(piece)
                progress.update(task, completed=received / 1e6)
        except requests.RequestException as error:
            raise _broken_off(response.url, received, size, _reason(error)) from error
        stream.flush()
        os.fsync(stream.fileno())
    if total is not None and received != total:
        raise _broken_off(response.url, received, size, "the host closed the connection")


def _broken_off(url: str, received: int, size: str, reason: str) -> UserError:
    return UserError(
        f"The download of {url} broke off at {received / 1e6:.1f} MB ({size} in all; {reason}); the same command "
        "continues it."
    )


def _reason(error: BaseException) -> str:
    """Returns the system's message for a failed connection, without the exceptions that wrap it."""
    words = type(error).__name__
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            words = inner.strerror
        inner = inner.__cause__ or inner.__context__
    return words
