"""Damaged archives: the members of the intact one, or a sentence.

Zip files and compressed tar files have checksums. A plain tar file has none of its contents
and of long names.
"""

import io
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from mutations import mutated_bytes

from deeplab_dpc.checkpoint.weights_cache import unpack_checkpoint
from deeplab_dpc.datasets.raw_files import open_raw

CONTENTS = np.random.default_rng(0)
FILES = {"images/a.png": CONTENTS.bytes(300), "images/b.png": CONTENTS.bytes(20), "labels/a.png": b"label " * 40}
FILES |= {f"{'long/' * 30}c.png": b"long name", "Straße.txt": b""}


def zipped(compression):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tarred(mode, tar_format, files=FILES):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=tar_format) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


CHECKPOINT = {"folder/model.ckpt-1.index": CONTENTS.bytes(90), "folder/model.ckpt-1.data-00000-of-00001": bytes(900)}
KINDS = {
    "zip": [zipped(zipfile.ZIP_STORED), zipped(zipfile.ZIP_DEFLATED)],
    "tar.gz": [tarred("w:gz", tarfile.GNU_FORMAT), tarred("w:gz", tarfile.PAX_FORMAT)],
    "tar.xz": [tarred("w:xz", tarfile.PAX_FORMAT)],
    "tar.bz2": [tarred("w:bz2", tarfile.GNU_FORMAT)],
    "tar": [tarred("w", tarfile.GNU_FORMAT), tarred("w", tarfile.PAX_FORMAT)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_archives_have_their_members_or_are_refused(fuzz, tmp_path, kind):
    def one(rng):
        path = tmp_path / "archive"
        path.write_bytes(mutated_bytes(rng, KINDS[kind][int(rng.integers(len(KINDS[kind])))]))
        with open_raw(path) as raw:
            read = {name: raw.read(name) for name in raw.names()}
        if kind == "tar":
            assert {name for name in FILES if name.endswith("a.png")} <= set(read)  # their headers have checksums
            return "same" if read == FILES else "other contents, no checksum"
        assert read == FILES
        return "same"

    assert fuzz(f"archives, {kind}", one, share=0.5)["refused"]


def test_published_checkpoints_are_unpacked_whole_or_not_at_all(fuzz, tmp_path):
    intact = [tarred("w:gz", each, FILES | CHECKPOINT) for each in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]

    def one(rng):
        path, folder = tmp_path / "archive", tmp_path / "unpacked"
        shutil.rmtree(folder, ignore_errors=True)
        path.write_bytes(mutated_bytes(rng, intact[int(rng.integers(len(intact)))]))
        try:
            unpack_checkpoint(path, folder)
        finally:
            held = sorted(file.name for file in tmp_path.rglob("*"))
            assert held in (["archive"], ["archive", "model.ckpt.data-00000-of-00001", "model.ckpt.index", "unpacked"])
        assert {file.read_bytes() for file in folder.iterdir()} == set(CHECKPOINT.values())
        return "same"

    assert fuzz("archives of checkpoints", one)["refused"]
