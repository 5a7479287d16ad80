"""Data sets in the storage of other machines (gs://, s3://, ...), which fsspec copies to the user's cache."""

import contextlib
import hashlib
import os
import pathlib
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

from deeplab_dpc.console import console, track
from deeplab_dpc.data.dataset_info import INFO_FILE
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import is_far, read_json, require_space, user_cache, write_json
from deeplab_dpc.installation import pip_line
from deeplab_dpc.locks import only_writer

COPIED = ".copied.json"  # version of each file that was copied, beside the copies
PARTIAL_SUFFIX = ".part"
# What storages tell of a file that changes when it is written again.
_VERSION = ("size", "etag", "ETag", "md5Hash", "updated", "LastModified", "last_modified", "mtime", "created")
EXTRAS = {"gs": "gcs", "gcs": "gcs", "s3": "s3", "s3a": "s3"}  # of pyproject.toml, by the scheme of an address
_AT_ONCE = 16  # files, which are copied in parallel
_SHOWN = 200  # characters of another package's message

_Files = dict[str, dict[str, Any]]  # by name below the data set's directory: address, size and version


def local_data_dir(data_dir: str | os.PathLike[str]) -> pathlib.Path:
    """Returns a local directory with the data set: the given one, or for an address its copy in the user's cache.

    Files that have not changed since the last call are not copied again, and those that are gone are removed.

    Raises:
      UserError: if the address contains a password, or the storage cannot be read or contains no data set, or the disk
        is too small.
    """
    if not is_far(data_dir):
        return pathlib.Path(data_dir)
    address = str(data_dir)
    if "@" in address and urllib.parse.urlsplit(address).password is not None:
        raise UserError(
            "--data_dir contains a password, which would be shown and kept in the run; give the address without it, "
            "and the credentials as the storage's package reads them (environment or configuration file)."
        )
    with _storage_named(address):
        import fsspec

        system, root = fsspec.core.url_to_fs(address)
        found = system.find(root, detail=True)
    files = _named(address, root, found)
    if not any(name.endswith((INFO_FILE, ".tfrecord")) for name in files):
        raise UserError(f"There is no prepared data set at {address}; give the --data_dir that was copied there.")
    name = re.sub(r"\W+", "_", address.rstrip("/").rpartition("/")[2])
    folder = user_cache() / "data" / f"{name}_{hashlib.sha256(address.encode()).hexdigest()[:12]}"
    with only_writer(folder, "copy of the data set"):
        folder.mkdir(parents=True, exist_ok=True)
        _copy(system, address, files, folder)
    return folder


def _named(address: str, root: str, found: dict[str, Any]) -> _Files:
    """Returns the files without hidden ones, and those of preparations that were interrupted."""
    files = {}
    for path, info in found.items():
        parts = path.removeprefix(root).strip("/").split("/")
        if parts == [""]:
            continue  # the empty object by which some tools of S3 mark a folder
        if any(part in ("", "..") or "\\" in part for part in parts):
            raise UserError(f"{address} contains a file of the name {'/'.join(parts)!r}; remove or rename it.")
        if not any(part.startswith(".") or "incomplete." in part for part in parts):
            version = {key: str(info[key]) for key in _VERSION if key in info}
            files["/".join(parts)] = {"path": path, "size": int(info["size"]), "version": version}
    return files


def _copy(system: Any, address: str, files: _Files, folder: pathlib.Path) -> None:
    """Brings the copies in `folder` up to date, in batches after each of which a killed process would go on."""
    record = folder / COPIED
    copied: dict[str, Any] = read_json(record, "record of copied files") if record.exists() else {}
    for name in copied.keys() - files.keys():
        (folder / name).unlink(missing_ok=True)
    copied = {name: version for name, version in copied.items() if name in files}
    missing = [name for name, file in files.items() if not _is_copied(folder / name, file, copied.get(name))]
    if not missing:
        return
    needed = sum(files[name]["size"] for name in missing)
    require_space(folder, needed)
    console.print(f"Copying {len(missing):,} files ({needed / 1e6:.1f} MB) of {address} to {folder}.", soft_wrap=True)
    batches = [missing[i : i + _AT_ONCE] for i in range(0, len(missing), _AT_ONCE)]
    for batch in track(batches, "Copying", len(batches)):
        partial = [folder / (name + PARTIAL_SUFFIX) for name in batch]
        for path in partial:
            path.parent.mkdir(parents=True, exist_ok=True)
        with _storage_named(address):
            system.get([files[name]["path"] for name in batch], [str(path) for path in partial])
        for name, path in zip(batch, partial, strict=True):
            if path.stat().st_size != files[name]["size"]:
                raise UserError(f"{name} of {address} changed while it was copied; start the same command again.")
            path.replace(folder / name)
            copied[name] = files[name]["version"]
        write_json(record, copied)


def _is_copied(path: pathlib.Path, file: dict[str, Any], version: object) -> bool:
    return version == file["version"] and path.is_file() and path.stat().st_size == file["size"]


@contextlib.contextmanager
def _storage_named(address: str) -> Iterator[None]:
    """Turns the errors of a storage, whose packages have classes of their own, into a UserError with its address."""
    try:
        yield
    except ImportError as error:
        extra = EXTRAS.get(address.partition("://")[0])
        cure = pip_line(extra) if extra else "install that package"
        raise UserError(f"{address} cannot be read: {_first_line(error)}: {cure}") from error
    except Exception as error:
        raise UserError(
            f"{address} cannot be read ({_first_line(error)}); check the address, the network and the credentials, or "
            "copy the data set to this machine."
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:_SHOWN].rstrip(".")
