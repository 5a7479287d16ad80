"""The folder of published checkpoints, each of which is downloaded once, when its name is first used.

The archives are stored with their checksums, the checkpoints in folders with their names.
"""

import contextlib
import errno
import gzip
import hashlib
import os
import pathlib
import posixpath
import re
import shutil
import tarfile
from typing import IO, cast

from deeplab_dpc.checkpoint.download import download
from deeplab_dpc.checkpoint.published import CHECKPOINTS
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path, remove_partial, user_cache
from deeplab_dpc.locks import only_writer
from deeplab_dpc.untrusted_archives import Header, damage_named

HOST = "https://download.tensorflow.org/models"
MIRROR_VARIABLE = "DEEPLAB_DPC_MIRROR"  # environment variable: another host with the same files
PREFIX = "model.ckpt"  # of the files of every cached checkpoint, whatever their names in the archive
CHECKSUM_SUFFIX = ".sha256"
_CHECKPOINT_FILE = re.compile(r"([^.].*)\.(index|data-\d{5}-of-\d{5})")
_AT_ONCE = 2**20  # bytes
_SHOWN = 12  # digits of a checksum in messages


def cache_folder() -> pathlib.Path:
    """Returns the folder of the checkpoints in the user's cache."""
    return user_cache() / "checkpoints"


def located(source: str) -> str:
    """Returns the prefix or directory of a source of weights: that of the download for a name, otherwise the source."""
    return cached_checkpoint(source) if source in CHECKPOINTS else source


def cached_checkpoint(name: str) -> str:
    """Returns the prefix of a published checkpoint's files, which are downloaded if they are absent.

    Args:
      name: a key of CHECKPOINTS.

    Raises:
      UserError: if the archive cannot be downloaded, has another checksum than the first download, contains no
        checkpoint, or does not fit on the disk.
    """
    folder = cache_folder() / name
    index = folder / f"{PREFIX}.index"
    if index.exists():
        return str(folder / PREFIX)
    try:
        with only_writer(folder, "checkpoint"):
            if not index.exists():  # another process may have written it in the meantime
                remove_partial(folder.parent, folder.name)
                _fetch(folder.parent / CHECKPOINTS[name].archive, folder)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(f"The disk of {folder.parent} is full; make room, and the same command continues.") from error
    return str(folder / PREFIX)


def _fetch(archive: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpacks an archive into a folder; downloads it first if it is absent."""
    mirror = os.environ.get(MIRROR_VARIABLE) or HOST
    source = archive if archive.exists() else download(f"{mirror.rstrip('/')}/{archive.name}", archive)
    try:
        _unpack_checked(source, archive, folder)
    except UserError as error:
        sentence = str(error).rstrip(".")
        if source == archive:
            raise UserError(f"{sentence}; put a complete one there, or remove it for a download.") from error
        source.unlink()  # there is nothing to continue
        raise UserError(f"{sentence}; it was removed, and the same command downloads it again.") from error
    os.replace(source, archive)


def _unpack_checked(source: pathlib.Path, archive: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpacks `source`, the archive or its download, if it has the checksum of the first download."""
    with open(source, "rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    record = archive.with_name(archive.name + CHECKSUM_SUFFIX)
    known = record.read_text(encoding="utf-8").split()[:1] if record.exists() else []
    if known and known != [checksum]:
        raise UserError(
            f"{source} has the SHA-256 {checksum[:_SHOWN]}..., and the first download had {known[0][:_SHOWN]}... (in "
            f"{record}, to be removed if the published file has changed)."
        )
    unpack_checkpoint(source, folder)
    with atomic_path(record) as partial:
        partial.write_text(f"{checksum}  {archive.name}\n", encoding="utf-8")


def unpack_checkpoint(archive: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpacks the checkpoint in a .tar.gz file into a new folder, as files with the prefix PREFIX, atomically.

    Names and folders of the members do not matter, and other members are ignored.

    Raises:
      UserError: if the archive is damaged, or does not contain exactly one checkpoint.
    """
    with damage_named(f"The archive {archive} is damaged"), atomic_path(folder) as partial:
        partial.mkdir()
        prefixes = set()
        with gzip.open(archive) as source:
            with tarfile.open(fileobj=source, mode="r|", tarinfo=Header) as members:
                for member in members:
                    match = _CHECKPOINT_FILE.fullmatch(posixpath.basename(member.name))
                    if match and member.isreg() and not member.issparse():
                        prefixes.add(member.name[: -len(match[2]) - 1])
                        contents = cast(IO[bytes], members.extractfile(member))
                        _write_member(contents, member.size, partial / f"{PREFIX}.{match[2]}")
            while source.read(_AT_ONCE):  # reads up to the checksum at the end, which gzip compares
                pass
        if len(prefixes) != 1 or not (partial / f"{PREFIX}.index").exists():
            held = f"{len(prefixes)} of them ({', '.join(sorted(prefixes))})" if len(prefixes) > 1 else "none"
            raise UserError(f"The archive {archive} should hold a TensorFlow 1 checkpoint, and holds {held}.")


def _write_member(contents: IO[bytes], size: int, target: pathlib.Path) -> None:
    if shutil.disk_usage(target.parent).free < size:  # checked before the disk is full
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with contextlib.closing(contents), open(target, "wb") as stream:
        shutil.copyfileobj(contents, stream, _AT_ONCE)
    if target.stat().st_size != size:
        raise tarfile.ReadError("it is cut off")
