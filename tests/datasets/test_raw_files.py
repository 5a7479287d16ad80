"""Folders, zips and tars read alike, and damaged or hostile archives refused."""

import gzip
import io
import os
import pathlib
import shutil
import tarfile
import zipfile

import pytest

from deeplab_dpc.datasets import tar_files
from deeplab_dpc.datasets.raw_files import open_raw
from deeplab_dpc.errors import UserError

FILES = {"a/1.png": b"one", "a/b/Ü 2.PNG": b"two" * 3000, "c.txt": b"three"}
FORMATS = ["folder", "zip", "tar", "gztar", "bztar", "xztar"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw") / "files"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    for hidden in (".hidden.png", ".git/x.png", "__MACOSX/a.png"):
        (root / hidden).parent.mkdir(exist_ok=True)
        (root / hidden).write_bytes(b"")
    return root


@pytest.fixture(scope="module", params=FORMATS)
def packed(request, folder):
    """The path of the same files in every format."""
    if request.param == "folder":
        return folder
    return shutil.make_archive(str(folder.parent / request.param), request.param, folder)


def test_every_format_has_the_same_visible_files(packed):
    with open_raw(packed) as raw:
        assert raw.names() == sorted(FILES)
        assert {name: raw.read(name) for name in reversed(raw.names())} == FILES
        assert raw.below("a", (".png",)) == ["a/1.png", "a/b/Ü 2.PNG"]
        assert raw.below("a/b/") == ["a/b/Ü 2.PNG"]
        assert raw.exists("c.txt")
        assert not raw.exists("a")
        assert raw.identity("c.txt")[0] == 5
        for use in (raw.read, raw.identity):
            with pytest.raises(UserError, match=r"no\.png does not exist"):
                use("no.png")


def test_large_compressed_tar_goes_through_a_file(folder, monkeypatch):
    monkeypatch.setattr(tar_files, "IN_MEMORY", 100)
    with open_raw(shutil.make_archive(str(folder.parent / "large"), "gztar", folder)) as raw:
        assert raw.read("a/b/Ü 2.PNG") == FILES["a/b/Ü 2.PNG"]


def test_folder_that_links_to_itself_is_read_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(b"")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "twin").symlink_to(tmp_path / "a")
    assert open_raw(tmp_path).names() == ["a/1.png", "twin/1.png"]


def zip_of(path, *members):
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"data")
    return path


def tar_of(path, *members):
    with tarfile.open(path, "w") as archive:
        for member in members:
            archive.addfile(tarfile.TarInfo(member), io.BytesIO())
    return path


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize("member", ["../a.png", "/a.png", "x/../../a.png", "..\\a.png", "C:\\a.png", "\\a.png"])
def test_members_that_point_outside_are_refused(tmp_path, make, member):
    path = make(tmp_path / "archive", "good.png", member)
    with pytest.raises(UserError, match="archive has the member .*, which points outside of it; it is not read"):
        open_raw(path)


def test_colon_and_dots_in_names_are_no_way_out(tmp_path):
    with open_raw(zip_of(tmp_path / "a.zip", "10:30.png", "x/a..b.png")) as raw:
        assert raw.names() == ["10:30.png", "x/a..b.png"]


def with_link(path, target, kind=tarfile.SYMTYPE, name="a/passwords.png"):
    with tarfile.open(path, "w:gz") as archive:
        for member in ("a/1.png", "2.png"):
            info = tarfile.TarInfo(member)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"data"))
        link = tarfile.TarInfo(name)
        link.type, link.linkname = kind, target
        archive.addfile(link)
    return path


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../etc/passwd", "a", "passwords.png", "a/passwords.png", "no.png"]
)
def test_links_that_lead_to_no_file_of_a_tar_are_refused(tmp_path, target, kind):
    path = with_link(tmp_path / "a.tar", target, kind)
    with pytest.raises(UserError, match=r"a\.tar has the link 'a/passwords\.png', which leads to no file in it"):
        open_raw(path)


def test_links_inside_of_a_tar_are_the_file(tmp_path):
    for number, (target, kind) in enumerate([("../2.png", tarfile.SYMTYPE), ("a/1.png", tarfile.LNKTYPE)]):
        with open_raw(with_link(tmp_path / f"{number}.tar", target, kind)) as raw:
            assert raw.names() == ["2.png", "a/1.png", "a/passwords.png"]
            assert raw.read("a/passwords.png") == b"data"
    with open_raw(with_link(tmp_path / "hidden.tar", "/etc/passwd", name=".git/link")) as raw:
        assert raw.names() == ["2.png", "a/1.png"]


def test_links_in_zips_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match=r"a\.zip has the link 'link\.png', which leads to no file in it"):
        open_raw(tmp_path / "a.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize("twin", ["x/a.png", "./x/a.png", "x//a.png", "x/./a.png"])
def test_member_that_occurs_twice_is_refused(tmp_path, make, twin):
    path = make(tmp_path / "archive", "x/a.png", "b.png", twin)
    with pytest.raises(UserError, match=r"archive has the member 'x/a\.png' more than once, and programs differ"):
        open_raw(path)


def test_encrypted_zip_is_said_to_be_encrypted(tmp_path):
    path = zip_of(tmp_path / "a.zip", "x.png")
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + flags] |= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.zip is encrypted; unpack it with its password, and give the folder\."):
        open_raw(path)


def test_zip_of_another_compression_is_not_called_damaged(tmp_path):
    path = zip_of(tmp_path / "a.zip", "x.png")
    data = bytearray(path.read_bytes())
    for signature, method in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        data[data.index(signature) + method] = 97
    path.write_bytes(data)
    with open_raw(path) as raw, pytest.raises(UserError, match=r"x\.png of the archive .* cannot be read \(.*compress"):
        raw.read("x.png")


def test_zip_that_lost_members_of_its_list_is_damaged(tmp_path):
    path = zip_of(tmp_path / "a.zip", "1.png", "2.png")
    data = path.read_bytes()
    end = data.rindex(b"PK\5\6")
    (tmp_path / "b.zip").write_bytes(data[: end + 8] + b"\3\0\3\0" + data[end + 12 :])
    with pytest.raises(UserError, match=r"b\.zip is damaged: it should have 3 members, and has 2"):
        open_raw(tmp_path / "b.zip")


def bomb(path, kind, name="bomb.png", size=10 * 2**30):
    """An archive of a few kilobytes, whose member says that it has ten gigabytes."""
    if kind == "zip":
        data = zip_of(path, name).read_bytes()
        at = data.index(b"PK\1\2") + 24
        path.write_bytes(data[:at] + (2**32 - 2).to_bytes(4, "little") + data[at + 4 :])
        return path
    with tarfile.open(path, "w:gz" if kind == "gztar" else "w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = size
        archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
        archive.fileobj.write(bytes(20 * 512))
    return path


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_members_that_no_image_can_be_are_not_read(tmp_path, kind):
    path = bomb(tmp_path / "archive", kind)

    def read():
        with open_raw(path) as raw:
            raw.read("bomb.png")

    with pytest.raises(UserError, match=r"bomb\.png of the archive .* has [\d,]{13,} bytes, more than any image takes"):
        read()


def test_sparse_member_is_not_read_whole(tmp_path):
    """What `tar --sparse` makes of a file of eight gigabytes of zeros."""
    header = tarfile.TarInfo("sparse.png")
    header.type, header.size = tarfile.GNUTYPE_SPARSE, 512
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = tarfile.itn(8 * 2**30, 12, tarfile.GNU_FORMAT)  # the real size
    block[386:410] = tarfile.itn(0, 12, tarfile.GNU_FORMAT) + tarfile.itn(512, 12, tarfile.GNU_FORMAT)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    (tmp_path / "a.tar").write_bytes(bytes(block) + bytes(512) + bytes(1024))
    with open_raw(tmp_path / "a.tar") as raw, pytest.raises(UserError, match=r"has 8,589,934,592 bytes, more than any"):
        raw.read("sparse.png")


def test_names_of_a_gigabyte_are_not_read(tmp_path):
    """A header that announces a long name is believed only so far, also inside of a compressed file."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**33
    block = header.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(block + bytes(2048))
    (tmp_path / "a.tgz").write_bytes(gzip.compress(block + bytes(2048)))
    for name in ("a.tar", "a.tgz"):
        with pytest.raises(UserError, match="neither a folder nor a complete zip or tar file"):
            open_raw(tmp_path / name)


def test_inflated_archive_leaves_room_on_the_disk(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tar_files, "IN_MEMORY", 100)
    monkeypatch.setattr(tar_files, "MIN_FREE", 2**80)
    archive = shutil.make_archive(str(tmp_path / "large"), "gztar", folder)
    with pytest.raises(UserError, match="does not fit into .* when it is inflated; unpack it elsewhere, or set TMPDIR"):
        open_raw(archive)


def damaged_inside(path):
    data = path.read_bytes()
    path.write_bytes(data.replace(b"data", b"dada", 1))
    return path


def test_damaged_member_is_named(tmp_path):
    with (
        open_raw(damaged_inside(zip_of(tmp_path / "a.zip", "x.png"))) as raw,
        pytest.raises(UserError, match=r"The archive .*a\.zip is damaged at x\.png: Bad CRC-32"),
    ):
        raw.read("x.png")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "xztar"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7])
def test_cut_archives_are_named(folder, tmp_path, kind, share):
    whole = pathlib.Path(shutil.make_archive(str(tmp_path / "whole"), kind, folder)).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"cut is damaged|cut is neither a folder nor a complete zip or tar file"):
        open_raw(tmp_path / "cut")


def test_tar_cut_between_two_members_is_no_smaller_tar(tmp_path):
    path = tar_of(tmp_path / "a.tar", "1.png", "2.png")
    path.write_bytes(path.read_bytes()[: tarfile.BLOCKSIZE])
    with pytest.raises(UserError, match=r"a\.tar is damaged: it is cut off"):
        open_raw(path)


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "is empty"), (b"no archive", "is neither a folder nor a complete zip or tar file")]
)
def test_other_files_are_no_archives(tmp_path, data, message):
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(UserError, match=rf"x\.zip {message}"):
        open_raw(tmp_path / "x.zip")
    with pytest.raises(UserError, match="There is no folder or archive .*nowhere"):
        open_raw(tmp_path / "nowhere")


def test_link_to_a_pipe_is_no_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"one")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "b.png").symlink_to(tmp_path / "pipe")
    with open_raw(tmp_path) as raw:
        assert raw.names() == ["a.png"]
