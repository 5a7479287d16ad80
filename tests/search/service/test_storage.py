"""A wrong location of a study is answered with one sentence, and outages are waited for."""

import socket
import sys

import grpc
import optuna
import pytest

from deeplab_dpc.config import ServiceConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.service import storage
from deeplab_dpc.search.service.storage import open_storage, persistently


@pytest.fixture
def closed_port():
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        yield probe.getsockname()[1]


@pytest.mark.parametrize("location", ["study.db", "journal:", "grpc:host:1", "sqlite:study.db", ":", "//x"])
def test_location_of_no_known_kind_is_refused(location, tmp_path):
    with pytest.raises(UserError, match="is not a storage: give journal:FILE, grpc://HOST:PORT, or a URL"):
        open_storage(location, tmp_path, shared=False)


@pytest.mark.parametrize("location", ["grpc://host", "grpc://:80", "grpc://host:http", "grpc://"])
def test_proxy_needs_host_and_port(location, tmp_path):
    with pytest.raises(UserError, match=r"--storage=grpc://\S* must be grpc://HOST:PORT"):
        open_storage(location, tmp_path, shared=True)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("nosuch://host/db", r"--storage=nosuch://host/db cannot be used: .*nosuch"),
        ("redis://host", r"--storage=redis://host cannot be used: .*redis"),
        ("redis://host?secret=secret", r"--storage=redis://host\?\*\*\* cannot be used: .*redis"),
        (
            "postgresql://u:secret@host:port/db",
            r"--storage=postgresql://u:\*\*\*@host:\*\*\* is not a URL of a database",
        ),
        (
            "postgresql://h/db?password=secret",
            r"--storage=postgresql://h/db\?password=\*\*\*( cannot be used: |: the database's driver is not)",
        ),
        (
            "postgresql://u:p@h/db?passwort=secret",
            r"--storage=postgresql://u:\*\*\*@h/db\?\*\*\*( cannot|: the database's driver is not)",
        ),
        ("mysql://u:p@h/db?passwort=secret", r"--storage=mysql://u:\*\*\*@h/db\?\*\*\*"),
        ("postgresql//u:secret@host/db", r"--storage=\*\*\* is not a storage"),
    ],
)
def test_url_of_no_database_is_refused_without_its_password(location, message, tmp_path):
    with pytest.raises(UserError, match=message) as refused:
        open_storage(location, tmp_path, shared=True)
    assert "=secret" not in str(refused.value)
    assert "secret@" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_journal_in_the_workdir_is_the_default(tmp_path):
    open_storage(None, tmp_path / "new", shared=True).create_new_study([], "a")
    assert b'"a"' in (tmp_path / "new" / "study.journal").read_bytes()
    again = open_storage(f"journal:{tmp_path}/new/study.journal", tmp_path, shared=True)
    assert again.get_study_id_from_name("a") == 0


def test_journal_that_is_a_directory_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"The journal {tmp_path} cannot be used: Is a directory"):
        open_storage(f"journal:{tmp_path}", tmp_path, shared=False)


def test_mistakes_in_the_location_of_a_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    open_storage("journal:~/own.journal", tmp_path, shared=True)
    assert (tmp_path / "own.journal").exists()
    with pytest.raises(UserError, match=r"journal://own.journal must be journal:FILE: give journal:own.journal\."):
        open_storage("journal://own.journal", tmp_path, shared=True)


@pytest.mark.parametrize("location", ["sqlite://", "sqlite:///:memory:"])
def test_database_that_keeps_nothing_is_refused(location, tmp_path):
    with pytest.raises(UserError, match="is SQLite in memory, which keeps nothing; give sqlite:///FILE"):
        open_storage(location, tmp_path, shared=False)


def test_unknown_kind_of_database_is_said_with_those_that_are_known(tmp_path):
    with pytest.raises(
        UserError, match="postgres is not a kind of database that is known here; the kinds are postgresql"
    ):
        open_storage("postgres://u:p@host/db", tmp_path, shared=True)


def test_names_of_studies(tmp_path):
    for name in ("", "a\nb", "\udcff", "a" * 401):
        with pytest.raises(UserError, match="--study_name must be printable text of 1 to 400 characters, got "):
            ServiceConfig(study_name=name)
    name = ServiceConfig(study_name="Größe ✓").study_name
    open_storage(None, tmp_path, shared=True).create_new_study([], name)
    assert open_storage(None, tmp_path, shared=True).get_study_id_from_name(name) == 0


def test_sqlite_is_for_one_worker(tmp_path):
    location = f"sqlite:///{tmp_path}/study.db"
    with pytest.raises(UserError, match="is SQLite, whose file is locked as a whole.* give journal:FILE"):
        open_storage(location, tmp_path, shared=True)
    assert open_storage(location, tmp_path, shared=False).create_new_study([], "a") == 1


@pytest.mark.parametrize(
    ("scheme", "module", "extra"), [("postgresql", "psycopg2", "postgres"), ("mysql", "pymysql", "mysql")]
)
def test_absent_driver_is_named_with_its_extra(scheme, module, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # importing it raises ImportError
    message = rf"--storage={scheme}://u:\*\*\*@host/db: .* driver is not installed; pip install .*\[{extra}\]'\.$"
    with pytest.raises(UserError, match=message):
        open_storage(f"{scheme}://u:secret@host/db", tmp_path, shared=True)


def test_database_that_does_not_answer_is_said_without_the_password(closed_port, tmp_path):
    pytest.importorskip("psycopg2", reason="PostgreSQL's driver is not installed")
    location = f"postgresql://u:secret@127.0.0.1:{closed_port}/db"
    message = rf"--storage=postgresql://u:\*\*\*@127.0.0.1:{closed_port}/db cannot be used: .*refused"
    with pytest.raises(UserError, match=message) as refused:
        open_storage(location, tmp_path, shared=True)
    assert "secret" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_proxy_that_does_not_answer_is_said(closed_port, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "READY_SECONDS", 0.2)
    with pytest.raises(UserError, match=rf"grpc://localhost:{closed_port} does not answer; start Optuna's proxy"):
        open_storage(f"grpc://localhost:{closed_port}", tmp_path, shared=True)


def test_tables_that_another_worker_makes_at_the_same_moment_are_taken(tmp_path, monkeypatch):
    import sqlalchemy

    calls = []

    def collide(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise sqlalchemy.exc.ProgrammingError("CREATE TABLE", {}, Exception("exists"))
        return "made"

    monkeypatch.setattr(optuna.storages, "RDBStorage", collide)
    monkeypatch.setattr(storage.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(optuna.storages, "get_storage", lambda made: made)
    location = f"sqlite:///{tmp_path}/study.db"
    assert open_storage(location, tmp_path, shared=False) == "made"
    assert calls == [(location,), (location,)]


def test_secret_in_what_a_storage_says_later_is_hidden(monkeypatch, tmp_path):
    with pytest.raises(UserError):
        open_storage("postgresql://u:s3cret@host/db?token=t0ken&sslmode=nonsense", tmp_path, shared=True)
    outage = _Outage(monkeypatch, optuna.exceptions.StorageInternalError("dsn s3cret, t0ken"), failures=10_000)
    with pytest.raises(UserError, match=r"\(dsn \*\*\*, \*\*\*\); nothing written"):
        persistently(outage, patience=100.0)


class _RpcError(grpc.RpcError):
    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code

    def details(self):
        return "connection refused\nand more"


class _Outage:
    """A call that fails so many times, and a clock that its pauses move."""

    def __init__(self, monkeypatch, error, failures):
        self.error, self.failures, self.now, self.calls = error, failures, 0.0, 0
        monkeypatch.setattr(storage.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(storage.time, "sleep", self._sleep)

    def _sleep(self, seconds):
        self.now += seconds

    def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "answer"


OUTAGES = [
    optuna.exceptions.StorageInternalError("gone"),
    _RpcError(grpc.StatusCode.UNAVAILABLE),
    _RpcError(grpc.StatusCode.UNKNOWN),
]


@pytest.mark.parametrize("error", OUTAGES)
def test_outage_is_waited_for(error, monkeypatch):
    outage = _Outage(monkeypatch, error, failures=8)
    assert persistently(outage) == "answer"
    assert outage.now == 0.5 + 1 + 2 + 4 + 8 + 16 + 30 + 30


@pytest.mark.parametrize("error", OUTAGES)
def test_outage_that_does_not_end_is_said(error, monkeypatch):
    outage = _Outage(monkeypatch, error, failures=10_000)
    with pytest.raises(UserError, match=r"not answered for 100 seconds \((gone|connection refused)\); nothing written"):
        persistently(outage, patience=100.0)
    assert 100.0 < outage.now <= 130.0


def test_what_the_storage_refuses_is_not_repeated(monkeypatch):
    outage = _Outage(monkeypatch, _RpcError(grpc.StatusCode.INVALID_ARGUMENT), failures=1)
    with pytest.raises(grpc.RpcError):
        persistently(outage)
    assert outage.calls == 1
