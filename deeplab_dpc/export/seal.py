"""Digests in exports, which detect damaged or exchanged files before they are loaded.

The runtimes trust their files: one flipped bit may change class ids, or end the process. A TFLite and an ONNX file end
with the SHA-256 of everything before it, in 64 hexadecimal digits; a SavedModel has a file for sha256sum --check.
"""

import hashlib
import pathlib
import re
from collections.abc import Collection

from deeplab_dpc.errors import UserError

SHA256SUMS = "SHA256SUMS"
DIGITS = 64  # number of hexadecimal digits of a SHA-256


def sealed(content: bytes) -> bytes:
    """Returns the content with its digest at the end."""
    return content + hashlib.sha256(content).hexdigest().encode("ascii")


def read_sealed(path: pathlib.Path, what: str) -> bytes:
    """Returns a file that ends with its digest.

    Args:
      path: path of the file.
      what: kind of the file, for errors (for example 'ONNX file').

    Raises:
      UserError: if the digest is missing or differs.
    """
    content = path.read_bytes()
    if sealed(content[:-DIGITS]) == content:
        return content
    if re.fullmatch(rb"[0-9a-f]{%d}" % DIGITS, content[-DIGITS:]):
        raise UserError(
            f"The {what} {path} is damaged: its SHA-256 is not the one that deeplab-dpc export wrote at its end; copy "
            "or export it again."
        )
    raise UserError(
        f"The {what} {path} is not a complete file of deeplab-dpc export: it does not end with its SHA-256, without "
        "which damage cannot be detected; copy or export it again."
    )


def write_sums(sums: pathlib.Path, folder: pathlib.Path) -> None:
    """Writes the digests of all files below a folder, as sha256sum does."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    lines = [f"{_digest(file)}  {file.relative_to(folder).as_posix()}\n" for file in files]
    sums.write_text("".join(lines), encoding="utf-8")


def check_sums(sums: pathlib.Path, folder: pathlib.Path, needed: Collection[str], what: str) -> None:
    """Compares the files of a folder with their digests.

    Args:
      sums: file that write_sums wrote.
      folder: folder of the files.
      needed: files that must be among them, by their path below the folder.
      what: kind of the folder, for errors (for example 'SavedModel').

    Raises:
      UserError: if the digests are missing, incomplete or damaged, or a file is missing or was changed.
    """
    try:
        lines = sums.read_text(encoding="ascii").splitlines()
    except FileNotFoundError as error:
        raise UserError(
            f"The {what} {folder} was written by another program or an older version: it has no {sums.name}, "
            "without which damage cannot be detected; export it again."
        ) from error
    except ValueError:
        lines = [""]
    entries = [re.fullmatch(r"([0-9a-f]{64})  ([\w./-]+)", line) for line in lines]
    digests = {entry[2]: entry[1] for entry in entries if entry}
    if None in entries or not digests.keys() >= set(needed):
        raise UserError(f"{sums} is damaged; copy or export the {what} again.")
    for name, digest in digests.items():
        file = folder / name
        if not file.is_file():
            raise UserError(f"The {what} {folder} is incomplete: {name} is missing; copy or export it again.")
        if _digest(file) != digest:
            raise UserError(
                f"The {what} {folder} is damaged: {name} is not the file that was exported with it (its SHA-256 is "
                f"another than in {sums.name}); copy or export it again."
            )


def _digest(file: pathlib.Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
