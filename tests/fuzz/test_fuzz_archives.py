"""Damaged archives: the members of the intact one, or a sentence.

Zip files and compressed tar files have checksums. A plain tar file has none of its contents
and of long names.
"""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from mutations import mutated_bytes

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


def tarred(mode, tar_format):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=tar_format) as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


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
