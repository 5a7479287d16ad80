"""Data sets in the storage of other machines: copied once, brought up to date, and errors in one sentence."""

import pathlib

import fsspec
import pytest

from deeplab_dpc.cli.main import execute
from deeplab_dpc.data import far_data
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.far_data import COPIED, local_data_dir
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import is_far, read_json

ADDRESS = "memory://bucket/D"  # fsspec's storage in the memory of this process


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """The storage in memory, empty before and after; the cache is below the test's folder."""
    monkeypatch.setenv("DEEPLAB_DPC_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture
def uploaded(storage, shapes):
    """The data set of drawn scenes in that storage, beside what an interrupted preparation left."""
    root = pathlib.Path(shapes.path).parents[1]
    for path in sorted(root.rglob("*")):
        if path.is_file():
            storage.pipe(f"/bucket/D/{path.relative_to(root)}", path.read_bytes())
    storage.pipe("/bucket/D/shapes/1.0.0.incomplete.AB12/a.tfrecord", b"half")
    storage.pipe("/bucket/D/.keep", b"")
    storage.store["/bucket/D/"] = storage.store["/bucket/D/.keep"]  # as tools of S3 mark a folder
    return storage


def _files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_addresses_are_told_from_local_paths():
    assert all(map(is_far, ("gs://b/D", "s3://b", "abfs://c/D", "memory://D")))
    assert not any(map(is_far, ("D", "/srv/D", "gs:/b/D", "file:///srv", "https://host/D", pathlib.Path("D"))))
    assert local_data_dir("D") == pathlib.Path("D")


def test_data_set_is_copied_whole_and_read(uploaded, shapes, capsys):
    found = find_dataset(ADDRESS)
    assert found.info == shapes.info
    assert "Copying " in capsys.readouterr().out
    folder = local_data_dir(ADDRESS)
    root = pathlib.Path(shapes.path).parents[1]
    assert {name: data for name, data in _files(folder).items() if name != COPIED} == _files(root)
    assert capsys.readouterr().out == ""  # nothing was copied again


def test_only_what_has_changed_is_copied_again(uploaded, capsys):
    folder = local_data_dir(ADDRESS)
    name = next(name for name in _files(folder) if name.endswith(".tfrecord"))
    gone = next(other for other in _files(folder) if other.endswith(".tfrecord") and other != name)
    uploaded.pipe(f"/bucket/D/{name}", b"other")
    uploaded.rm(f"/bucket/D/{gone}")
    (folder / "own.txt").write_text("of the user")
    capsys.readouterr()
    assert local_data_dir(ADDRESS) == folder
    assert "Copying 1 files" in capsys.readouterr().out
    assert (folder / name).read_bytes() == b"other"
    assert not (folder / gone).exists()
    assert (folder / "own.txt").exists()


def test_damaged_copy_is_mended(uploaded):
    folder = local_data_dir(ADDRESS)
    before = _files(folder)
    name = next(name for name in before if name.endswith(".tfrecord"))
    (folder / name).write_bytes(before[name][:-1])
    local_data_dir(ADDRESS)
    assert _files(folder) == before


def test_interrupted_copy_goes_on(uploaded, monkeypatch):
    monkeypatch.setattr(far_data, "_AT_ONCE", 1)
    get = uploaded.get
    asked = []

    def breaks(remote, local):
        asked.append(remote)
        if len(asked) == 2:
            raise TimeoutError("no answer\nfor a long time")
        get(remote, local)

    monkeypatch.setattr(type(uploaded), "get", lambda self, remote, local: breaks(remote, local))
    with pytest.raises(UserError, match=r"memory://bucket/D cannot be read \(no answer\); check the address, "):
        local_data_dir(ADDRESS)
    folder = local_data_dir(ADDRESS)
    assert asked.count(asked[0]) == 1  # what was copied before is not copied again
    assert len(read_json(folder / COPIED, "record")) == len(_files(folder)) - 1


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("sftp://me:secret@host/camvid", "--data_dir contains a password, "),
        ("memory://bucket/none", "There is no prepared data set at memory://bucket/none; "),
        ("nosuch://bucket/D", r"nosuch://bucket/D cannot be read \(Protocol not known: nosuch\); "),
    ],
)
def test_address_without_a_data_set_is_an_error(storage, address, said):
    storage.pipe("/bucket/none/notes.txt", b"nothing")
    with pytest.raises(UserError, match=said):
        local_data_dir(address)


def test_missing_package_is_named_with_the_line_that_installs_it(storage, monkeypatch):
    def missing(address):
        raise ImportError("Please install gcsfs to access Google Storage")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UserError, match=r"Please install gcsfs to access Google Storage: pip install .*\[gcs\]"):
        local_data_dir("gs://bucket/D")


def test_names_that_lead_out_of_the_copy_are_refused(storage, monkeypatch):
    found = {"/bucket/D/../x.tfrecord": {"size": 1}}
    monkeypatch.setattr(type(storage), "find", lambda self, root, detail: found)
    with pytest.raises(UserError, match=r"contains a file of the name '\.\./x\.tfrecord'"):
        local_data_dir(ADDRESS)


@pytest.mark.long
def test_commands_read_it_and_those_that_write_data_refuse_it(uploaded, tmp_path, capsys):
    assert execute("check_data", [f"--data_dir={ADDRESS}", f"--output_dir={tmp_path / 'check'}"]) == 0
    assert (tmp_path / "check" / "contact_sheet.png").exists()
    capsys.readouterr()
    assert execute("build_shapes", [f"--data_dir={ADDRESS}"]) == 2
    assert capsys.readouterr().err.startswith("build_shapes: --data_dir begins with memory://")
    assert execute("fit", [f"--data_dir={ADDRESS}", f"--workdir={tmp_path / 'R'}", "--hours=0.05", "--plan_only"]) == 0
    assert (tmp_path / "R" / "plan.json").exists()
