"""Where studies are kept: a journal file, Optuna's gRPC proxy, or a database (--storage)."""

import pathlib
import time
import warnings
from collections.abc import Callable
from typing import TypeVar

import grpc
import optuna
from optuna.storages import BaseStorage

from deeplab_dpc.errors import UserError
from deeplab_dpc.search.journal import open_journal

JOURNAL = "study.journal"
PATIENCE_SECONDS = 600.0  # of calls that find no storage
LONGEST_PAUSE_SECONDS = 30.0
UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
DRIVERS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}  # extras of this package, by URL scheme

Answer = TypeVar("Answer")


def open_storage(location: str | None, workdir: pathlib.Path, shared: bool) -> BaseStorage:
    """The storage that --storage names.

    Args:
      location: journal:FILE, grpc://HOST:PORT, or a URL; None for the journal in `workdir`.
      workdir: of the search.
      shared: whether several workers are to use it.

    Raises:
      UserError: if the location is none of those, or does not answer, or does not suit several workers.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    location = location or f"journal:{workdir / JOURNAL}"
    scheme, separator, rest = location.partition(":")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if scheme == "journal" and rest:
            return open_journal(pathlib.Path(rest))
        if scheme == "grpc" and rest.startswith("//"):
            return _open_proxy(location)
    if not separator or not rest.startswith("//"):
        raise UserError(
            f"--storage={location} is no storage: give journal:FILE, grpc://HOST:PORT, or a URL such as "
            "postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    if scheme.startswith("sqlite") and shared:
        raise UserError(
            f"--storage={location} is SQLite, whose file is locked as a whole, so that several workers make each other "
            "fail; give journal:FILE, or put Optuna's proxy before it and give grpc://HOST:PORT."
        )
    return _open_database(location, scheme.partition("+")[0])


def _open_proxy(location: str) -> BaseStorage:
    host, separator, port = location.removeprefix("grpc://").rpartition(":")
    if not separator or not host or not port.isdecimal():
        raise UserError(f"--storage={location} must be grpc://HOST:PORT.")
    storage = optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    try:
        storage.wait_server_ready(timeout=10)
    except ConnectionError as error:
        raise UserError(
            f"--storage={location} does not answer; start Optuna's proxy there (docs/search.md says how)."
        ) from error
    return storage


def _open_database(location: str, scheme: str) -> BaseStorage:
    import sqlalchemy

    extra = DRIVERS.get(scheme)
    hint = f"; pip install 'deeplab-dpc[{extra}]'" if extra else ""
    # Without its password, which is nobody's business who reads a log.
    shown = _without_password(location)
    try:
        return optuna.storages.get_storage(location)
    except ImportError as error:
        raise UserError(f"--storage={shown}: the database's driver is not installed ({error}){hint}.") from error
    except sqlalchemy.exc.ArgumentError as error:
        raise UserError(f"--storage={shown} is no URL of a database ({error}).") from error
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise UserError(f"--storage={shown} cannot be used: {cause}") from error


def _without_password(location: str) -> str:
    import sqlalchemy

    try:
        return sqlalchemy.engine.make_url(location).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return location.partition(":")[0] + "://..."


def persistently(call: Callable[[], Answer], patience: float = PATIENCE_SECONDS) -> Answer:
    """What `call` answers, asked again while the storage cannot be reached.

    Raises:
      UserError: if that lasts for longer than `patience` seconds.
    """
    started, pause = time.monotonic(), 0.5
    while True:
        try:
            return call()
        except (optuna.exceptions.StorageInternalError, grpc.RpcError) as error:
            if isinstance(error, grpc.RpcError) and error.code() not in UNREACHABLE:
                raise
            if time.monotonic() - started > patience:
                failure = str(error).strip().splitlines()[0]
                raise UserError(
                    f"--storage has not answered for {patience:.0f} seconds ({failure}); nothing told before is lost, "
                    "and the same command continues."
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
