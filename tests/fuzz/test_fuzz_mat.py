"""Damaged MAT-files: the matrices of the intact one, or a sentence; never the end of the process.

A compressed variable, as MATLAB writes them, has a checksum. A plain one has none.
"""

import io
import zlib

import numpy as np
import scipy.io
import scipy.sparse
from mutations import mutated_bytes

from deeplab_dpc.datasets import matlab

IDS = (np.add.outer(np.arange(9), np.arange(13)) // 4).astype(np.uint8)


def annotation():
    parts = np.zeros((1, 2), [("part_name", object), ("mask", object)])
    for i, name in enumerate(("head", "torso")):
        parts[0, i] = (name, (i == IDS).astype(np.uint8))
    boundaries = np.empty((2, 1), object)
    for i in range(2):
        boundaries[i, 0] = scipy.sparse.csc_matrix(i == IDS)
    return {"Segmentation": IDS, "parts": parts, "Boundaries": boundaries, "CategoriesPresent": [[1.0, 2.0]]}


def saved(compressed):
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"GTcls": annotation()}, do_compression=compressed)
    return stream.getvalue()


def read(data):
    value = matlab.read_struct(data, "x.mat", "GTcls")
    ids = matlab.matrix(matlab.field(value, "Segmentation", "x.mat"), "Segmentation", "x.mat")
    found = [("ids", ids.shape, ids.tobytes())]
    for part in matlab.elements(matlab.field(value, "parts", "x.mat")):
        mask = matlab.matrix(matlab.field(part, "mask", "x.mat"), "mask", "x.mat")
        found.append((matlab.field(part, "part_name", "x.mat"), mask.shape, mask.tobytes()))
    matlab.elements(matlab.field(value, "Boundaries", "x.mat"))
    return found


PLAIN, COMPRESSED = saved(False), saved(True)
INTACT = read(PLAIN)


def test_compressed_files_have_their_matrices_or_are_refused(fuzz):
    def one(rng):
        assert read(mutated_bytes(rng, COMPRESSED)) == INTACT
        return "same"

    assert fuzz("MAT-files, compressed", one)["refused"]


def test_plain_files_are_read_or_refused(fuzz):
    def one(rng):
        return "same" if read(mutated_bytes(rng, PLAIN)) == INTACT else "other values, no checksum"

    assert fuzz("MAT-files, plain", one)["refused"]


def test_damage_under_a_right_checksum_is_read_or_refused(fuzz):
    def one(rng):
        stream = io.BytesIO(PLAIN[:128])
        stream.seek(128)
        content = zlib.compress(mutated_bytes(rng, PLAIN[128:]))
        stream.write((15).to_bytes(4, "little") + len(content).to_bytes(4, "little") + content)
        return "same" if read(stream.getvalue()) == INTACT else "other values"

    assert fuzz("MAT-files, compressed after the damage", one, share=0.5)["refused"]
