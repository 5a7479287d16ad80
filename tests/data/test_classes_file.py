"""What --classes takes: JSON, text, names; and one sentence for what it does not."""

import json

import pytest

from deeplab_dpc.data.classes_file import load_classes, located_classes, read_classes_file
from deeplab_dpc.errors import UserError


def write_classes(tmp_path, value):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(value))
    return path


def test_categories_of_a_classes_file(tmp_path):
    path = write_classes(tmp_path, {"classes": ["car", "bus", "sky"], "categories": ["vehicle", "vehicle", ""]})
    assert read_classes_file(path).categories == ("vehicle", "vehicle", "")
    assert read_classes_file(write_classes(tmp_path, ["car", "bus"])).categories == ()


def test_classes_as_a_plain_list_get_the_defaults(tmp_path):
    assert load_classes(write_classes(tmp_path, ["a", "b"])) == (("a", "b"), ((0, 0, 0), (128, 0, 0)), 255)


def test_classes_with_palette_and_ignore_label(tmp_path):
    path = write_classes(tmp_path, {"classes": ["a", "b"], "palette": [[9, 8, 7], [6, 5, 4]], "ignore_label": 0})
    assert load_classes(path) == (("a", "b"), ((9, 8, 7), (6, 5, 4)), 0)


def test_classes_file_tells_whether_colours_are_its_own(tmp_path):
    plain = read_classes_file(write_classes(tmp_path, ["a", "b"]))
    assert (plain.has_palette, plain.ignore_color) == (False, None)
    colored = {"classes": ["a", "b"], "palette": [[1, 2, 3], [4, 5, 6]], "ignore_color": [0, 0, 0]}
    own = read_classes_file(write_classes(tmp_path, colored))
    assert (own.has_palette, own.palette, own.ignore_color) == (True, ((1, 2, 3), (4, 5, 6)), (0, 0, 0))


def test_names_may_stand_in_the_flag_itself():
    assert read_classes_file("sky, road,car").names == ("sky", "road", "car")


@pytest.mark.parametrize(
    "text", ["sky\nroad\nfire truck\n", "sky\r\nroad\r\nfire truck", "\ufeffsky\nroad\nfire truck\n\n"]
)
def test_text_file_has_a_name_a_line(tmp_path, text):
    path = tmp_path / "names.txt"
    path.write_bytes(text.encode())
    assert load_classes(path) == (("sky", "road", "fire truck"), ((0, 0, 0), (128, 0, 0), (0, 128, 0)), 255)


def test_byte_order_mark_of_windows_is_no_part_of_json(tmp_path):
    path = tmp_path / "classes.json"
    path.write_bytes(b'\xef\xbb\xbf["a", "b"]')
    assert read_classes_file(path).names == ("a", "b")


def test_json_is_known_whatever_the_file_is_called(tmp_path):
    path = tmp_path / "classes"
    path.write_text('{"classes": ["a", "b"]}')
    assert read_classes_file(path).names == ("a", "b")


def test_flag_holds_in_other_directories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").write_text("x\ny")
    assert located_classes("names.txt") == str(tmp_path / "names.txt")
    assert located_classes("sky,road") == "sky,road"
    assert located_classes("a,b") == str(tmp_path / "a,b")


def test_more_classes_than_ids_beside_the_ignore_label_need_a_word(tmp_path):
    names = [str(i) for i in range(256)]
    with pytest.raises(
        UserError, match=r"has 256 classes, so that 255 is both the class '255' and, by default, the id of"
    ):
        read_classes_file(write_classes(tmp_path, names))
    assert read_classes_file(write_classes(tmp_path, {"classes": names, "ignore_label": 3})).ignore_label == 3


def test_one_class_alone_is_refused_with_the_flags_that_make_it_two(tmp_path):
    with pytest.raises(
        UserError, match=r"only the class 'tumor', .*--classes=background,tumor .*--label_map='255:1,\*:same'"
    ):
        read_classes_file(write_classes(tmp_path, ["tumor"]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "must be a list of names or an object"),
        ([], "a list of non-empty names"),
        (["a", 1], "a list of non-empty names"),
        (["a", " "], "a list of non-empty names"),
        (["a", "b", "a"], "has the class 'a' more than once"),
        (["a", "b", " a"], "has the class 'a' more than once"),
        (["é", "b", "e\u0301"], "has the class 'é' more than once"),
        (["a", "b\nc"], r"has the class 'b\\nc'; a name must not hold line ends"),
        (["a", "b\u2028c"], "a name must not hold line ends"),
        (["a", "\ud800"], "half of a pair of surrogates"),
        (["a", "\udcff"], r"has the class '\\udcff'; a name must not hold"),
        (["a", "b" * 201], "a name must not exceed 200 characters"),
        ([str(i) for i in range(257)], "has 257 classes; at most 256"),
        ({"classes": ["a", "b"], "pallete": []}, "unknown key 'pallete'"),
        ({"classes": ["a", "b"], "palette": [[1, 2, 3]]}, "one colour per class: 2, got 1"),
        ({"classes": ["a", "b"], "palette": [[0, 0, 0], [1, 2, 256]]}, r"integers in 0..255, got \[1, 2, 256\]"),
        ({"classes": ["a", "b"], "palette": [[0, 0, 0], [1, 2, True]]}, r"integers in 0..255, got \[1, 2, True\]"),
        ({"classes": ["a", "b"], "ignore_label": 300}, "must be an integer in 0..255, got 300"),
        ({"classes": ["a", "b"], "categories": ["x"]}, r"group name per class .*, 2 in all, got \['x'\]"),
        ({"classes": ["a", "b"], "categories": [1]}, r"`categories` in the classes file .* got \[1\]"),
        ({"classes": ["a", "b"], "categories": ["x", "y\nz"]}, r"`categories` in the classes file .* one line"),
        ({"classes": ["a", "b"], "ignore_color": [0, 0]}, r"`ignore_color` .* must be \[red, green, blue\], got"),
        ({"classes": ["a", "b"], "allow_absent_classes": 1}, "`allow_absent_classes` .* must be true or false, got 1"),
    ],
)
def test_bad_classes_are_refused(tmp_path, value, message):
    with pytest.raises(UserError, match=message):
        load_classes(write_classes(tmp_path, value))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sky\n\nroad", "has an empty line 2; a line is a name"),
        (b"", "a list of non-empty names"),
        (b"\xff\xfes\0k\0y\0", "is not a text file in UTF-8; save it as one"),
    ],
)
def test_bad_text_files_are_refused(tmp_path, content, message):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"names.txt .*{message}"):
        load_classes(path)


def test_missing_file_is_named_with_what_may_be_given():
    with pytest.raises(UserError, match=r"tumor\.names cannot be read: No such file .*--classes=background,object"):
        load_classes("tumor.names")


@pytest.mark.parametrize("given", ["tumor", "tumor,"])
def test_a_word_is_one_class_unless_it_is_a_file(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"only the class 'tumor', .*--classes=background,tumor"):
        load_classes(given)
    (tmp_path / "tumor").write_text("a\nb")
    assert load_classes("tumor")[0] == ("a", "b")
