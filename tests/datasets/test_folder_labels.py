"""Label formats and label maps of build_folder: which pixels become which ids."""

import json
import struct

import numpy as np
import pytest
from own_data import CLASSES, Source, decoded, encoded, filled, random_image, random_label, written_files
from PIL import Image

from deeplab_dpc.data.classes_file import read_classes_file
from deeplab_dpc.datasets.label_ids import RGB_EXAMPLE, read_label_map
from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.errors import UserError

PALETTE = [[0, 0, 0], [255, 0, 0], [0, 0, 255]]
COLORED = {"classes": CLASSES, "palette": PALETTE, "ignore_color": [255, 255, 255]}


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


def pixels(values):
    """A picture of a few pixels, twice below each other, and an image for it."""
    array = np.array([values] * 2, np.uint8)
    return Image.fromarray(array), random_image(0, 2, len(values))


def stored_ids(source, label, **options):
    """The first row of the stored label."""
    label, image = label if isinstance(label, tuple) else (label, random_image(0, label.height, label.width))
    source.add("a.png", image, label)
    (example,) = decoded(source.build(**options), "train")
    np.testing.assert_array_equal(example["label"][0], example["label"][1])
    return example["label"][0, :, 0].tolist()


def palette_label(colors):
    label = Image.fromarray(np.array([[0, 1, 2]] * 2, np.uint8))
    label.putpalette([channel for color in colors for channel in color])
    return label


def test_palette_indices_become_ids_on_request(source):
    assert stored_ids(source, palette_label(PALETTE[::-1]), label_format="palette") == [0, 1, 2]


def test_palette_that_gives_an_index_the_colour_of_another_class_is_refused(source):
    source.write_classes(COLORED)
    with pytest.raises(
        UserError,
        match=r"a\.png gives the index 0 the colour \[0, 0, 255\], which the classes file gives to car, not to sky; "
        "give --label_format=rgb if the colours are right, or leave `palette` out",
    ):
        stored_ids(source, palette_label(PALETTE[::-1]), label_format="palette")


def test_palette_in_the_order_of_the_classes_is_taken_though_its_colours_are_rounded(source, capsys):
    source.write_classes(COLORED)
    rounded = [[4, 0, 0], [248, 4, 0], [0, 0, 250]]
    assert stored_ids(source, palette_label(rounded), label_format="palette") == [0, 1, 2]
    assert "Note" not in capsys.readouterr().out


def test_palette_of_other_colours_is_taken_and_said(source, capsys):
    source.write_classes(COLORED)
    other = [[90, 90, 90], [0, 255, 0], [99, 0, 99]]
    assert stored_ids(source, palette_label(other), label_format="palette") == [0, 1, 2]
    assert "gives the index 0 the colour [90, 90, 90], and the classes file gives sky [0, 0, 0]" in " ".join(
        capsys.readouterr().out.split()
    )


def test_palettes_that_number_their_colours_anew_in_each_file_are_refused(source):
    for name, colors in (("a.png", PALETTE), ("b.png", PALETTE[::-1])):
        source.add(name, random_image(len(name), 2, 3), palette_label(colors))
    with pytest.raises(
        UserError, match=r"the colour \[.*\] the index \d and .*\.png the index \d, so .*--label_format=rgb"
    ):
        source.build(label_format="palette")


def test_map_of_indices_goes_before_the_comparison_of_colours(source):
    source.write_classes(COLORED)
    label = palette_label(PALETTE[::-1])
    assert stored_ids(source, label, label_format="palette", label_map="0:2,1:1,2:0") == [2, 1, 0]


def test_ids_in_three_equal_channels_are_ids(source):
    assert stored_ids(source, pixels([[0] * 3, [2] * 3, [255] * 3])) == [0, 2, 255]


def test_one_bit_masks_are_ids_and_colours(source):
    mask = Image.fromarray(np.array([[0, 1, 1]] * 2, bool))
    assert stored_ids(source, mask) == [0, 1, 1]
    source.write_classes({"classes": CLASSES, "palette": [[0, 0, 0], [9, 9, 9], [255, 255, 255]]})
    assert stored_ids(source, mask, label_format="rgb", overwrite=True) == [0, 2, 2]


def _tiff(rows, bits):
    """A grey TIFF file of so many bits a pixel, as GDAL writes it with NBITS."""
    packed = b""
    for row in rows:
        text = "".join(f"{value:0{bits}b}" for value in row)
        packed += int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")
    tags = {256: len(rows[0]), 257: len(rows), 258: bits, 259: 1, 262: 1, 277: 1, 278: len(rows), 279: len(packed)}
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = sorted((tags | {273: start}).items())
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries) + b"\0" * 4 + packed


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_ids_of_tiff_files_are_those_stored_whatever_their_bits(bits):
    rows = [[0, 1, 1, 0, 1], [1, 0, 0, 0, 1]] if bits == 1 else [[0, 3, 2, 1, 3], [3, 1, 0, 0, 2]]
    label = read_label(_tiff(rows, bits), "a.tif")
    assert (label.kind, label.values.tolist(), label.white) == ("grey", rows, 2**bits - 1)


def test_grey_values_are_ids_in_a_palette_set_too(source):
    assert stored_ids(source, pixels([0, 2, 255]), label_format="palette") == [0, 2, 255]


def test_colours_become_the_ids_of_their_classes(source):
    source.write_classes(COLORED | {"ignore_label": 254})
    row = [[0, 0, 255], [0, 0, 0], [255, 255, 255], [255, 0, 0]]
    assert stored_ids(source, pixels(row), label_format="rgb") == [2, 0, 254, 1]


def test_colours_of_colour_mapped_and_grey_files_count_not_their_indices(source):
    source.write_classes(COLORED)
    assert stored_ids(source, palette_label(PALETTE[::-1]), label_format="rgb") == [2, 1, 0]
    assert stored_ids(source, pixels([0, 255]), label_format="rgb", overwrite=True) == [0, 255]


def test_opaque_alpha_of_a_label_is_dropped(source):
    source.write_classes(COLORED)
    assert stored_ids(source, pixels([[255, 0, 0, 255], [0, 0, 255, 255]]), label_format="rgb") == [1, 2]


def test_map_renames_ids_and_leaves_the_ignore_label(source):
    assert stored_ids(source, pixels([7, 8, 33, 255, 9]), label_map="7:0, 8:2,*:1") == [0, 2, 1, 255, 1]
    again = stored_ids(source, pixels([7, 8, 255]), label_map="7:0,8:1,255:2", overwrite=True)
    assert again == [0, 1, 2]


def test_map_may_be_a_file(source):
    for name, text in (("m.json", json.dumps({"7": 0, "*": 255})), ("m.txt", "7:0\n*:255\n"), ("m.map", "7:0,*:255")):
        (source.root / name).write_text(text)
        ids = stored_ids(source, pixels([7, 8]), label_map=source.root / name, overwrite=True)
        assert ids == [0, 255]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("7:0,8:3", r"--label_map has '8:3', but class ids are 0 to 2, and 255 for ignored pixels"),
        ("7:0,x:1", r"--label_map has 'x:1'; an entry is RAW:CLASS with a raw id in 0..255 or \*"),
        ("256:1", "--label_map has '256:1'; an entry is RAW:CLASS"),
        ("7:", "--label_map has '7:', but class ids are"),
        ("7:0,07:1", "--label_map has the raw id 7 more than once"),
        (
            "nowhere.txt",
            "The label map nowhere.txt cannot be read: No such file .*; give pairs, as in --label_map='7:0",
        ),
    ],
)
def test_bad_maps_are_refused(source, given, message):
    with pytest.raises(UserError, match=message):
        read_label_map(given, read_classes_file(source.classes))


def test_example_of_a_classes_file_with_colours_is_one(tmp_path):
    path = tmp_path / "classes.json"
    path.write_text(RGB_EXAMPLE)
    assert read_classes_file(path).has_palette


def test_bad_map_files_are_named(source):
    classes = read_classes_file(source.classes)
    path = source.root / "map.json"
    for text, message in (
        ("[7]", "must be an object"),
        ('{"7": 9}', "has '7:9', but class ids"),
        ("{}", "is empty"),
        ('{"7": true}', "has '7:True', but class ids"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=rf"The label map .*map\.json {message}"):
            read_label_map(path, classes)
    (source.root / "map.txt").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"map\.txt cannot be read: it is not a text file in UTF-8"):
        read_label_map(source.root / "map.txt", classes)


def test_colour_mapped_label_without_colours_is_named(source):
    source.write_classes(COLORED)
    whole = encoded(palette_label(PALETTE))
    start = whole.index(b"PLTE") - 4
    length = int.from_bytes(whole[start : start + 4]) + 12
    source.add("a.png", random_image(0, 2, 3), whole[:start] + whole[start + length :])
    with pytest.raises(UserError, match=r"labels/a\.png has palette indices above the 0 colours it defines"):
        source.build(label_format="rgb")


def short_palette():
    """An index above the colours that the file defines."""
    label = Image.fromarray(np.full((6, 8), 9, np.uint8))
    label.putpalette([1, 2, 3] * 5)
    return label


def smooth_mask():
    """A mask of 0 and 255 whose border was smoothed."""
    pixels = np.repeat(np.array([[0, 0, 51, 102, 153, 204, 255, 255]], np.uint8), 6, axis=0)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        (random_image(0), {}, r"labels/a\.png is a colour picture \(RGB\); .* give --label_format=rgb if"),
        (filled(1, "P"), {}, r"labels/a\.png is colour-mapped; give --label_format=palette .* or rgb"),
        (random_image(0), {"label_format": "palette"}, r"labels/a\.png is a colour picture"),
        (
            filled(3),
            {},
            r"labels/a\.png has the ids 3, but there are 3 classes \(ids 0 to 2\) and .* is 255; .*"
            r"--label_map='3:1,\*:same' .* '3:255,\*:same' to ignore",
        ),
        (
            filled(7),
            {"label_map": "255:1,*:same"},
            r"labels/a\.png has the ids 7, which --label_map leaves as they are, but there are 3 classes .*--label_map",
        ),
        (
            smooth_mask(),
            {},
            r"labels/a\.png has grey values between 0 and 255 \(51, 102, 153, 204\), .*; threshold it to two values, 0 "
            r"and 255, save it as PNG, and give --label_map='255:1,\*:same'\.$",
        ),
        (smooth_mask(), {"label_map": "255:1,*:same"}, r"threshold it to two values, 0 and 255, and save it as PNG\.$"),
        (smooth_mask(), {"label_map": "0:0,255:1"}, r"threshold it to two values, 0 and 255, and save it as PNG\.$"),
        (
            filled(4),
            {"label_map": "7:0,8:1"},
            r"labels/a\.png has the ids 4, which --label_map does not name; .*\*:same leaves them .*, \*:255 ign",
        ),
        (
            filled((1, 2, 3)),
            {"label_format": "rgb"},
            r"labels/a\.png has the colour \[1, 2, 3\] at row 0, column 0 \(from 0\), .* at 48 pixels; .*`ignore_color",
        ),
        (short_palette(), {"label_format": "rgb"}, r"labels/a\.png has palette indices above the 5 colours"),
        (
            short_palette(),
            {"label_format": "palette", "label_map": "9:1"},
            r"labels/a\.png has the palette index 9, but its palette has only 5 colours; save it with a colour for",
        ),
        (
            random_label(0, 6, 9),
            {},
            r"images/a\.png is 8 x 6 pixels but its label .*labels/a\.png is 9 x 6; they must be of the same size: "
            r"export .* or give --skip_bad to leave it out\.",
        ),
        (random_label(0, 5, 8), {}, r"images/a\.png is 8 x 6 pixels but its label .*labels/a\.png is 8 x 5"),
    ],
)
def test_labels_that_mean_nothing_are_named_and_leave_nothing(source, label, options, message):
    source.write_classes(COLORED)
    source.add("a.png", random_image(0), label)
    with pytest.raises(UserError, match=message):
        source.build(**options)
    assert written_files(source.data_dir) == []


def test_unknown_colour_is_named_by_its_place(source):
    source.write_classes(COLORED)
    label = filled((0, 0, 0))
    label.putpixel((5, 3), (1, 0, 0))
    source.add("a.png", random_image(0), label)
    with pytest.raises(UserError, match=r"colour \[1, 0, 0\] at row 3, column 5 .* at 1 pixels"):
        source.build(label_format="rgb")


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        (
            CLASSES,
            {"label_format": "rgb"},
            r"needs the classes' colours: .*--classes=FILE.json .*\"palette\": \[\[0, 0, 0\], .*docs/own_data\.md",
        ),
        (COLORED, {"label_format": "rgb", "label_map": "1:0"}, "does not go with --label_format=rgb"),
        (COLORED, {"label_format": "auto"}, "--label_format must be one of ids, palette, rgb, got 'auto'"),
        (
            COLORED | {"ignore_color": [255, 0, 0]},
            {"label_format": "rgb"},
            r"gives road and ignore_color the same colour \[255, 0, 0\]",
        ),
        (COLORED | {"palette": [[1, 1, 1]] * 3}, {"label_format": "rgb"}, "gives sky and road the same colour"),
    ],
)
def test_formats_that_do_not_go_with_the_classes_are_refused(source, classes, options, message):
    source.write_classes(classes)
    source.add("a.png")
    with pytest.raises(UserError, match=message):
        source.build(**options)


def test_map_of_one_id_leaves_the_others_on_request(source):
    assert stored_ids(source, pixels([0, 1, 2, 11, 255]), label_map="11:255,*:same") == [0, 1, 2, 255, 255]
    (source.root / "map.json").write_text('{"11": 2, "*": "same"}')
    assert stored_ids(source, pixels([0, 11]), label_map=source.root / "map.json", overwrite=True) == [0, 2]
    with pytest.raises(
        UserError, match=r"has '7:same', but class ids are .* \(\*:same leaves all others as they are\)"
    ):
        read_label_map("7:same", read_classes_file(source.classes))
