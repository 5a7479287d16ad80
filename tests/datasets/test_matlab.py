"""MAT-files are read as SciPy reads them, and what damages them is one sentence."""

import io
import struct

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from deeplab_dpc.datasets import matlab
from deeplab_dpc.errors import UserError


def saved(variables, **options):
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables, **options)
    return stream.getvalue()


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def data(request, rng):
    objects = np.empty((1, 2), object)
    for i in range(2):
        objects[0, i] = {"class": "person", "mask": rng.integers(0, 2, (4, 6), np.uint8), "parts": []}
    cells = np.empty((2, 1), object)
    cells[0, 0], cells[1, 0] = scipy.sparse.csc_matrix(np.eye(3)), "Straße"
    content = {
        "objects": objects,
        "cells": cells,
        "name": "2008_1",
        "double": rng.normal(size=(3, 2)),
        "logical": [[True]],
    }
    return saved({"other": 5, "anno": content}, do_compression=request.param)


def test_values_are_those_that_scipy_reads(data):
    anno = matlab.read_struct(data, "x.mat", "anno")
    expected = scipy.io.loadmat(io.BytesIO(data), struct_as_record=False)["anno"][0, 0]
    assert matlab.field(anno, "name", "x.mat") == expected.name[0] == "2008_1"
    np.testing.assert_array_equal(matlab.field(anno, "double", "x.mat"), expected.double)
    np.testing.assert_array_equal(matlab.matrix(matlab.field(anno, "logical", "x"), "logical", "x"), [[1]])
    objects = matlab.elements(matlab.field(anno, "objects", "x.mat"))
    assert len(objects) == 2
    for i, one in enumerate(objects):
        mask = matlab.matrix(matlab.field(one, "mask", "x.mat"), "mask", "x.mat")
        np.testing.assert_array_equal(mask, expected.objects[0, i][0, 0].mask)
        assert matlab.field(one, "class", "x.mat") == "person"
        assert matlab.elements(matlab.field(one, "parts", "x.mat")) == []
    assert matlab.elements(matlab.field(anno, "cells", "x.mat"))[1] == "Straße"


def test_array_of_structs_has_them_in_order():
    table = np.zeros((1, 3), [("part_name", object), ("mask", object)])
    table["part_name"] = [["head", "leye", "neck"]]
    table["mask"] = 1
    anno = matlab.read_struct(saved({"anno": {"parts": table}}), "x", "anno")
    parts = matlab.elements(matlab.field(anno, "parts", "x"))
    assert [matlab.field(part, "part_name", "x") for part in parts] == ["head", "leye", "neck"]


def test_other_byte_order_is_read():
    def element(kind, content):
        return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    def array(flags, extents, name, *rest):
        head = element(6, struct.pack(">II", flags, 0)) + element(5, struct.pack(">2i", *extents)) + element(1, name)
        return element(14, head + b"".join(rest))

    numbers = array(11, (2, 2), b"", element(4, struct.pack(">4H", 1, 2, 3, 256)))
    content = array(2, (1, 1), b"anno", struct.pack(">HHi", 4, 5, 8), element(1, b"mask".ljust(8, b"\0")), numbers)
    data = b"MATLAB 5.0".ljust(124) + struct.pack(">H", 0x0100) + b"MI" + content
    anno = matlab.read_struct(data, "x", "anno")
    assert matlab.field(anno, "mask", "x").tolist() == [[1, 3], [2, 256]]  # columns first


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: b"no file", "The file x.mat is not a MATLAB file of version 5 to 7"),
        (lambda data: data[:-1], r"The MATLAB file x\.mat is damaged or cut off \(it is cut off\)"),
        (lambda data: data[:140], "x.mat is damaged or cut off"),
        (lambda data: data.replace(b"Segmentation", b"Segmentatioz"), "x.mat lacks the field Segmentation"),
        (
            lambda data: data.replace(struct.pack("<2i", 4, 6), struct.pack("<2i", 4, 7)),
            r"\(24 numbers for 28 places\)",
        ),
        (
            lambda data: data.replace(struct.pack("<2i", 4, 6), struct.pack("<2i", -4, -6)),
            r"an array of negative extents",
        ),
        (lambda data: data.replace(b"GTcls", b"GTinst"[:5]), "x.mat has no struct GTcls"),
    ],
)
def test_damage_is_one_sentence(damage, sentence):
    data = damage(saved({"GTcls": {"Segmentation": np.zeros((4, 6), np.uint8)}}))

    def read():
        matlab.field(matlab.read_struct(data, "x.mat", "GTcls"), "Segmentation", "x.mat")

    with pytest.raises(UserError, match=sentence):
        read()
