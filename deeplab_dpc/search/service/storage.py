"""The storages of studies: a journal file, Optuna's gRPC proxy, or a database (--storage)."""

import functools
import pathlib
import random
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import grpc
import optuna
from optuna.storages import BaseStorage

from deeplab_dpc.errors import UserError
from deeplab_dpc.installation import PAGES, pip_line
from deeplab_dpc.search.service.journal import open_journal
from deeplab_dpc.search.service.redaction import Redacted, redacted

if TYPE_CHECKING:
    import sqlalchemy

JOURNAL = "study.journal"
PATIENCE_SECONDS = 600.0  # time for which a call is repeated while the storage cannot be reached
LONGEST_PAUSE_SECONDS = 30.0
READY_SECONDS = 10.0  # time for a storage's first answer
# UNKNOWN is the status of a proxy that cannot reach its own database.
UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN)
PATIENT_DRIVERS = ("psycopg2", "psycopg", "pymysql", "mysqldb")  # drivers that have the parameter `connect_timeout`
TABLE_ATTEMPTS = 5  # attempts at creating the tables of a new database, which several workers may begin at once
# By the scheme of a URL: the default driver, and the extra of this package that installs it.
DRIVERS = {
    "postgresql": ("psycopg2", "postgres"),
    "mysql": ("pymysql", "mysql"),
    "mariadb": ("pymysql", "mysql"),
}

_opened: list[Redacted] = []  # the locations that this process has opened
Answer = TypeVar("Answer")


def open_storage(location: str | None, workdir: pathlib.Path, shared: bool) -> BaseStorage:
    """Returns the storage that --storage names.

    Args:
      location: journal:FILE, grpc://HOST:PORT, or a URL; None for the journal in `workdir`.
      workdir: run directory of the search.
      shared: bool, whether several workers are to use it.

    Raises:
      UserError: if the location is none of those, does not answer, or does not suit several workers.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    location = location or f"journal:{workdir / JOURNAL}"
    check_location(location, shared)
    shown = redacted(location)
    _opened.append(shown)
    scheme, _, rest = location.partition(":")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if scheme == "journal":
            return open_journal(journal_path(rest))
        if scheme == "grpc":
            return _open_proxy(*_proxy_address(location, shown), shown)
    return _open_database(location, shown)


def check_location(location: str, shared: bool) -> None:
    """Raises a UserError for a location that open_storage would refuse by its form, without opening or creating
    anything.
    """
    shown = redacted(location)
    scheme, separator, rest = location.partition(":")
    if scheme == "journal" and rest:
        journal_path(rest)
        return
    if scheme == "grpc" and rest.startswith("//"):
        _proxy_address(location, shown)
        return
    if not separator or not rest.startswith("//"):
        raise UserError(
            f"--storage={shown} is not a storage: give journal:FILE, grpc://HOST:PORT, or a URL such as "
            "postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    if scheme.startswith("sqlite") and shared:
        raise UserError(
            f"--storage={shown} is SQLite, whose file is locked as a whole, so that several workers make each other "
            "fail; give journal:FILE, or put Optuna's proxy in front of it and give grpc://HOST:PORT."
        )
    _database_url(location, shown)


def journal_path(rest: str) -> pathlib.Path:
    """Returns the file that journal:FILE names; ~ is the home directory, which shells do not expand there.

    Raises:
      UserError: for journal://FILE, whose first folder would be looked up at the root.
    """
    if rest.startswith("//") and not rest.startswith("///"):
        raise UserError(f"--storage=journal:{rest} must be journal:FILE: give journal:{rest[2:]}.")
    return pathlib.Path(rest).expanduser()


def _proxy_address(location: str, shown: Redacted) -> tuple[str, int]:
    host, separator, port = location.removeprefix("grpc://").rpartition(":")
    if not separator or not host or not port.isdecimal():
        raise UserError(f"--storage={shown} must be grpc://HOST:PORT.")
    return host, int(port)


def _open_proxy(host: str, port: int, shown: Redacted) -> BaseStorage:
    storage = optuna.storages.GrpcStorageProxy(host=host, port=port)
    try:
        storage.wait_server_ready(timeout=READY_SECONDS)
    except ConnectionError as error:
        raise UserError(
            f"--storage={shown} does not answer; start Optuna's proxy there ({PAGES / 'search.md'} says how)."
        ) from error
    return storage


def _database_url(location: str, shown: Redacted) -> "sqlalchemy.engine.URL":
    import sqlalchemy

    try:
        url = sqlalchemy.engine.make_url(location)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise UserError(
            f"--storage={shown} is not a URL of a database: it must be SCHEME://USER:PASSWORD@HOST:PORT/DATABASE, and "
            "characters of a password that mean something in a URL, such as / and @, must be percent-encoded."
        ) from error
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise UserError(f"--storage={shown} is SQLite in memory, which keeps nothing; give sqlite:///FILE.")
    return url


def _open_database(location: str, shown: Redacted) -> BaseStorage:
    import sqlalchemy

    url = _database_url(location, shown)
    driver, extra = DRIVERS.get(url.drivername.partition("+")[0], (None, None))
    if driver is not None and "+" not in url.drivername:
        url = url.set(drivername=f"{url.drivername}+{driver}")
    try:
        return optuna.storages.get_storage(_with_tables(url))
    except ImportError as error:
        hint = f"; {pip_line(extra)}" if extra else ""
        raise UserError(f"--storage={shown}: the database's driver is not installed{hint}.") from error
    # TypeError and ValueError are raised by drivers for parameters that are unknown or of a wrong type.
    except sqlalchemy.exc.NoSuchModuleError as error:
        raise UserError(
            f"--storage={shown} cannot be used: {url.get_backend_name()} is not a kind of database that is known here; "
            "the kinds are postgresql, mysql, mariadb and sqlite."
        ) from error
    except (
        sqlalchemy.exc.SQLAlchemyError,
        optuna.exceptions.OptunaError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        said = shown.scrubbed(_first_line(getattr(error, "orig", None) or error))
        raise UserError(f"--storage={shown} cannot be used: {said}.") from error


def _with_tables(url: "sqlalchemy.engine.URL") -> optuna.storages.RDBStorage:
    import sqlalchemy

    arguments = {"connect_timeout": int(READY_SECONDS)} if url.get_driver_name() in PATIENT_DRIVERS else {}
    for attempt in range(1, TABLE_ATTEMPTS + 1):
        try:
            # Optuna would take single braces for placeholders.
            location = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
            return optuna.storages.RDBStorage(location, engine_kwargs={"connect_args": arguments})
        except (sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.IntegrityError):
            # Another worker has just made a table that was absent when this one looked.
            if attempt == TABLE_ATTEMPTS:
                raise
            time.sleep(random.uniform(0.1, 0.5))
    raise AssertionError("unreachable")


def _first_line(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def persistently(call: Callable[[], Answer], patience: float = PATIENCE_SECONDS) -> Answer:
    """Returns the result of `call`, which is repeated while the storage cannot be reached.

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
                said = error.details() if isinstance(error, grpc.RpcError) else str(error)
                said = functools.reduce(lambda text, location: location.scrubbed(text), _opened, _first_line(said))
                raise UserError(
                    f"--storage has not answered for {patience:.0f} seconds ({said}); nothing written before is lost, "
                    "and the same command continues."
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def ask_of_study(call: Callable[[], Answer], patience: float = PATIENCE_SECONDS) -> Answer:
    """Returns the result of `call` on an existing study.

    Raises:
      UserError: if the study was deleted meanwhile, or the storage cannot be reached for `patience` seconds.
    """
    try:
        return persistently(call, patience)
    except KeyError as error:
        raise UserError(
            "The study is not in --storage any more: it was deleted while this command worked on it; restore "
            "the storage to continue, or give the same command to begin anew."
        ) from error
