"""Tests of which images, labels and splits are found, from folders, archives and lists."""

import errno
import json
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from own_data import Source, decoded, encoded, filenames, filled, random_image, random_label, written_files

from deeplab_dpc.cli.main import execute
from deeplab_dpc.data.inspection import check
from deeplab_dpc.errors import UserError


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


@pytest.fixture
def pair(source):
    """A pair of files a.png without sub-folders."""
    source.add("a.png")
    return source


def build_list(source, text, name="list.csv", **options):
    path = source.root / name
    path.write_text(text, encoding="utf-8")
    return source.build(pair_list=path, **options)


def test_automatic_val_split_is_stable(source):
    for i in range(20):
        source.add(f"{i}.png")
    dataset = source.build(val_fraction=0.3)
    in_val = {example["filename"] for example in decoded(dataset, "val")}
    assert 2 <= len(in_val) <= 10
    assert dataset.info.splits == {"train": 20 - len(in_val), "val": len(in_val)}
    source.add("20.png")
    dataset = source.build(val_fraction=0.3, overwrite=True)
    assert {example["filename"] for example in decoded(dataset, "val")} - {b"20.png"} == in_val


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_automatic_val_split_has_one_of_each_at_least(source, fraction):
    for name in "abc":
        source.add(f"{name}.png")
    assert min(source.build(val_fraction=fraction).info.splits.values()) == 1


def test_folders_that_are_no_splits_stay_together(source, capsys):
    names = [f"{folder:04}/{i}.png" for folder in range(8) for i in range(3)]
    for name in names:
        source.add(name)
    dataset = source.build()
    assert sum(dataset.info.splits.values()) == len(names)
    folders = {split: {name.partition("/")[0] for name in filenames(dataset, split)} for split in ("train", "val")}
    assert not folders["train"] & folders["val"]
    assert filenames(dataset, "train") == [name for name in names if name[:4] in folders["train"]]
    said = " ".join(capsys.readouterr().out.split())
    assert "(0000, 0001, 0002, ...) are not splits; the images of each stay together in train or val." in said
    assert f"8 groups of images (--group_by=^[^/]+); in val: {len(folders['val'])} groups" in said


def test_folders_that_are_no_splits_stay_together_with_their_subfolders(source):
    for name in (f"{folder:04}/{side}/{i}.png" for folder in range(6) for side in ("left", "right") for i in range(2)):
        source.add(name)
    dataset = source.build()
    folders = {split: {name[:4] for name in filenames(dataset, split)} for split in ("train", "val")}
    assert not folders["train"] & folders["val"]
    assert len(folders["train"] | folders["val"]) == 6


def test_two_folders_that_mean_one_split_are_refused(source):
    for name in ("train/a.png", "valid/b.png", "validation/c.png"):
        source.add(name)
    with pytest.raises(UserError, match=r"The folders valid and validation both mean the split val; put their images"):
        source.build()


def test_exchanged_labels_are_another_data_set_though_size_and_time_are_equal(source, monkeypatch):
    for name, value in (("a", 0), ("b", 1)):
        source.add_image(f"{name}.png")
        label = source.labels / f"{name}_.bmp"
        label.write_bytes(encoded(filled(value), "BMP"))
        os.utime(label, (1, 1))
    text = "image,label,split\n{},{}_.bmp,train\n{},{}_.bmp,train\n"
    build_list(source, text.format("a.png", "a", "b.png", "b"))
    dataset = build_list(source, text.format("a.png", "b", "b.png", "a"), overwrite=True)
    ids = {example["filename"]: int(example["label"].max()) for example in decoded(dataset, "train")}
    assert ids == {b"a.png": 1, b"b.png": 0}
    with pytest.raises(UserError, match="overwrite"):
        build_list(source, text.format("a.png", "a", "b.png", "b"))


def test_groups_are_told_by_a_regular_expression_and_do_not_move(source):
    for person in "abcdefgh":
        for i in range(3):
            source.add(f"{person}_{i}.png")
    dataset = source.build(group_by="^(.)_")
    in_val = {name[0] for name in filenames(dataset, "val")}
    assert not in_val & {name[0] for name in filenames(dataset, "train")}
    for i in range(3, 5):
        source.add(f"{min(in_val)}_{i}.png")
    assert {name[0] for name in filenames(source.build(group_by="^(.)_", overwrite=True), "val")} == in_val
    with pytest.raises(UserError, match=r"--group_by=\^x is not found in the name a_0\.png; give a regular expression"):
        source.build(group_by="^x", overwrite=True)


def test_named_folders_are_groups_where_it_is_said(source):
    for name in ("north/1.png", "south/1.png", "west/1.png"):
        source.add(name)
    assert list(source.build().info.splits) == ["north", "south", "west"]
    dataset = source.build(group_by="folder", overwrite=True)
    assert sorted(dataset.info.splits) == ["train", "val"]


def test_splits_of_other_programs_are_taken_by_their_names(source, capsys):
    for name in ("training/a.png", "validation/b.png"):
        source.add(name)
    assert source.build().info.splits == {"train": 1, "val": 1}
    assert "The folder validation is taken as the split val." in capsys.readouterr().out
    source.add("val/c.png")
    assert source.build(overwrite=True).info.splits == {"train": 1, "val": 1, "validation": 1}


def test_split_without_label_folder_is_stored_without_labels(source):
    source.add("train/a.png")
    source.add_image("test/b.png", random_image(4))
    dataset = source.build()
    assert dataset.info.splits == {"test": 1, "train": 1}
    assert dataset.info.unlabelled == ("test",)
    (example,) = decoded(dataset, "test")
    np.testing.assert_array_equal(example["image"], np.asarray(random_image(4)))
    with pytest.raises(UserError, match="The split test of .* has no labels, .*; splits with labels: train"):
        dataset.require_labels("test")


@pytest.mark.parametrize(
    ("names", "splits"), [(["a.png", "b.jpg"], {"test": 2}), (["x/a.png", "y/a.png"], {"x": 1, "y": 1})]
)
def test_images_alone_are_a_data_set_too(source, names, splits):
    for name in names:
        source.add_image(name)
    info = source.build(labels=None).info
    assert (info.splits, info.unlabelled) == (splits, tuple(splits))


def test_same_name_in_folders_of_a_split_stays_apart(source):
    source.add("train/x/a.png", random_image(1), random_label(1))
    source.add("train/y/a.png", random_image(2), random_label(2))
    examples = decoded(source.build(), "train")
    assert [example["filename"] for example in examples] == [b"x/a.png", b"y/a.png"]
    for seed, example in enumerate(examples, start=1):
        np.testing.assert_array_equal(example["image"], np.asarray(random_image(seed)))
        np.testing.assert_array_equal(example["label"][..., 0], np.asarray(random_label(seed)))


def test_linked_folders_are_followed(source):
    source.add("train/a.png")
    for folder in (source.images, source.labels):
        shutil.move(folder / "train", source.root / f"{folder.name} elsewhere")
        (folder / "train").symlink_to(source.root / f"{folder.name} elsewhere")
    assert filenames(source.build(), "train") == ["a.png"]


@pytest.mark.parametrize("packed", ["what lies in the folder", "the folder"])
@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_archives_equal_folders(source, kind, packed):
    source.add("train/a b.png")
    source.add("train/ü.jpg")
    source.add_image("test/c.png")
    (source.images / ".DS_Store").write_bytes(b"")
    dataset = source.build()
    archives = {
        name: shutil.make_archive(
            str(source.root / f"{name}-1"),
            kind,
            root_dir=source.root if packed == "the folder" else source.root / name,
            base_dir=name if packed == "the folder" else None,
        )
        for name in ("images", "labels")
    }
    source.data_dir = source.root / "from archives"
    from_archives = source.build(**archives)
    assert from_archives.info == dataset.info
    assert {split: from_archives.fingerprint(split) for split in dataset.info.splits} == {
        split: dataset.fingerprint(split) for split in dataset.info.splits
    }


LIST = "image,label,split\nimages/a.png,labels/a.png,train\nimages/b.png,labels/b.png,val\nimages/c.png,,test\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", LIST),
        ("list.csv", LIST.partition("\n")[2]),
        ("list.csv", "\ufeff" + LIST.replace("\n", "\r\n")),
        ("list.txt", LIST.replace(",", ";") + "\n\n"),
        ("list.txt", LIST.replace(",", "\t")),
        ("list.txt", LIST.replace(",,", ',"",').replace(",", "  ")),
        ("list.csv", "Split, Label, Image\ntrain,labels/a.png,images/a.png\nval,labels/b.png,./images/b.png\n"
                     "test,,images/c.png"),
    ],
)  # fmt: skip
def test_lists_name_images_labels_and_splits(source, name, text):
    for image in ("a.png", "b.png"):
        source.add(image)
    source.add_image("c.png")
    dataset = build_list(source, text, name, images=None, labels=None)
    assert dataset.info.splits == {"train": 1, "val": 1, "test": 1}
    assert dataset.info.unlabelled == ("test",)
    assert [filenames(dataset, split) for split in dataset.info.splits] == [
        ["images/a.png"], ["images/b.png"], ["images/c.png"]
    ]  # fmt: skip


def test_list_without_splits_draws_val_as_folders_do(source):
    for i in range(12):
        source.add(f"{i}.png")
    drawn = filenames(source.build(), "val")
    source.add_image("without.png")
    lines = [f"{i}.png;{i}.png\n" for i in range(12)]
    dataset = build_list(source, "".join([*lines, "without.png;\n"]), overwrite=True)
    assert sorted(filenames(dataset, "val")) == drawn
    assert dataset.info.splits == {"train": 12 - len(drawn), "val": len(drawn), "test": 1}


def test_list_takes_any_name_and_the_same_name_in_several_folders(source):
    for seed, name in enumerate(["x/a, b.png", "y/a, b.png", "東京 ü.jpg"]):
        source.add(name, random_image(seed), random_label(seed))
    text = 'image,label,split\n"x/a, b.png","x/a, b.png",t\n"y/a, b.png","y/a, b.png",t\n東京 ü.jpg,東京 ü.png,t\n'
    examples = decoded(build_list(source, text), "t")
    assert [example["filename"].decode() for example in examples] == ["x/a, b.png", "y/a, b.png", "東京 ü.jpg"]
    for seed, example in enumerate(examples):
        np.testing.assert_array_equal(example["label"][..., 0], np.asarray(random_label(seed)))


def test_list_may_lie_elsewhere_and_name_files_of_archives(source):
    source.add("a.png")
    (source.root / "lists").mkdir()
    beside = build_list(source, "../images/a.png,../labels/a.png\n", "lists/l.csv", images=None, labels=None)
    assert filenames(beside, "train") == ["images/a.png"]
    absolute = f"{source.images / 'a.png'},{source.labels / 'a.png'}\n"
    assert filenames(build_list(source, absolute, overwrite=True), "train") == ["a.png"]
    archive = shutil.make_archive(str(source.root / "all"), "zip", source.root)
    packed = build_list(source, "images/a.png,labels/a.png\n", images=archive, labels=archive, overwrite=True)
    assert packed.fingerprint("train") == beside.fingerprint("train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"The list .*list\.csv names no image"),
        ("image,label\n", "names no image"),
        ("image,mask\na.png,a.png\n", "The header of the list .* has the column 'mask'; known are image, label"),
        (
            "a.png,a.png\nno.png,a.png\n\na.png,no.png\n",
            r"bad lines: line 2: the image .*images/no\.png does not exist; line 4: a\.png is in line 1 already; "
            r"line 4: the label .*labels/no\.png does not exist\.$",
        ),
        ("a.png,a.png,train\nb.png,b.png\n", "line 2: no split, unlike line 1"),
        ("a.png,a.png,my split\n", "line 1: the split 'my split' must be letters, digits and _"),
        ("a.png,a.png,all\n", "line 1: the split 'all' must be"),
        ("a.png,a.png,Train\nb.png,b.png,VAL\n", "line 1: the split 'Train' must be written 'train'; line 2: .* 'val'"),
        ("a.png,a.png,train,x\n", r"line 1: 4 columns, not image, label, split \(quote names"),
        ('"a.png,a.png\n', "line 1: unexpected end of data"),
        ("a.gif,a.png\n", r"line 1: the image 'a\.gif' is not called \.jpg or \.jpeg or .*\.webp"),
        ("a.png,a.jpg\n", "line 1: the label 'a.jpg' is a JPEG, which changes the pixel values"),
        ("a.png,a.txt\n", r"line 1: the label 'a\.txt' is not called \.png"),
        (",a.png\n", "line 1: the image '' is not called"),
        ("x.png\n" * 9, "line 1: .*; and 12 more"),
        (
            "a.png,a.png,train\nb.png,,train\n",
            r"b\.png: 1 image of the split train in the list .* without a label, but others have one",
        ),
        ("a.png,a.png\n../images/a.png,a.png\n", r"line 2: .*images/a\.png is in line 1 already"),
        ("a.png,a.png,t\n../a.png,a.png,t\n", r"2 images of the list .* would all be called a\.png in the split t"),
    ],
)
def test_bad_lists_are_named_by_line_and_leave_nothing(source, text, message):
    source.add("a.png")
    source.add("b.png")
    random_image(0).save(source.root / "a.png")
    with pytest.raises(UserError, match=message):
        build_list(source, text)
    assert written_files(source.data_dir) == []


def test_label_of_several_images_is_said_by_its_lines(source, capsys):
    source.add("a.png")
    source.add("b.png")
    build_list(source, "image,label,split\na.png,a.png,train\nb.png,./a.png,val\n")
    said = " ".join(capsys.readouterr().out.split())
    assert "list.csv gives several images the same label: a.png (lines 2, 3). If that is not meant, correct" in said


def test_unreadable_list_is_named(pair):
    with pytest.raises(UserError, match=r"The list .*nowhere\.csv cannot be read: No such file"):
        pair.build(pair_list=pair.root / "nowhere.csv")
    (pair.root / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"The list .*binary\.txt is not a text file in UTF-8"):
        pair.build(pair_list=pair.root / "binary.txt")


def images_without_labels(source):
    source.add("a.png")
    for i in range(5):
        source.add_image(f"{i}.png")


def some_of_a_split_without_labels(source):
    source.add("train/a.png")
    source.add_image("train/b.png")


def label_without_image(source):
    source.add("a.png")
    random_label(0).save(source.labels / "z.png")


def same_stem_twice(source):
    source.add("a.png")
    source.add_image("a.jpg")


def file_beside_subfolders(source):
    source.add("train/a.png")
    source.add_image("b.png")


def split_in_capitals(source):
    source.add("Train/a.png")


def train_without_labels(source):
    source.add_image("train/a.png")
    source.add("val/a.png")


def labels_without_split(source):
    source.add("train/a.png")
    source.add("val/a.png")
    (source.images / "val/a.png").unlink()


def split_without_images(source):
    source.add("train/a.png")
    source.add_image("test/a.txt", b"not read")


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (lambda source: None, r"There is no image \(\.jpg, .*\.webp\) in .*images\.$"),
        (images_without_labels, r"0\.png, 1\.png, 2\.png, \.\.\.: 5 images in .* without a \.png of the same name"),
        (some_of_a_split_without_labels, r"b\.png: 1 image in .*images/train without a \.png of the same name in "),
        (label_without_image, r"z\.png: 1 label in .* without an image"),
        (same_stem_twice, r"a\.jpg and a\.png in .*images have the same name"),
        (file_beside_subfolders, r"both sub-folders \(train\) and images \(b\.png\)"),
        (split_in_capitals, r"The folder .*images/Train is a split that must be called train; rename it"),
        (train_without_labels, r"labels/train with the labels of .*images/train is missing or empty"),
        (lambda source: source.add_image("x/a.png"), r"labels/x with the labels of .*images/x is missing or empty"),
        (labels_without_split, r"labels/val has labels for a split without images"),
        (split_without_images, r"There is no image .* in .*images/test, but a\.txt: 1 other file"),
        (lambda source: source.add("all/a.png"), r"images/all cannot be a split"),
    ],
)
def test_what_does_not_match_is_named_and_leaves_nothing(source, arrange, message):
    arrange(source)
    with pytest.raises(UserError, match=message):
        source.build()
    assert written_files(source.data_dir) == []


def test_archive_that_points_outside_ends_the_command_with_status_2(pair, capsys):
    evil = pair.root / "evil.zip"
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("../outside.png", b"x")
    flags = [f"--images={evil}", f"--labels={pair.labels}", f"--classes={pair.classes}", f"--data_dir={pair.data_dir}"]
    assert execute("build_folder", flags) == 2
    assert "evil.zip has the member '../outside.png', which points outside of it" in capsys.readouterr().err
    assert written_files(pair.data_dir) == []


def test_places_are_checked(pair):
    with pytest.raises(UserError, match="--val_fraction must be between 0 and 1, got 1"):
        pair.build(val_fraction=1.0)
    with pytest.raises(UserError, match=r"--labels: There is no folder or archive .*nowhere"):
        pair.build(labels=pair.root / "nowhere")
    with pytest.raises(UserError, match=r"--labels: There is no folder or archive .*a\.json"):
        pair.build(labels=pair.root / "a.json")
    with pytest.raises(UserError, match="--images or --list is required"):
        pair.build(images=None)
    with tarfile.open(pair.root / "empty.tar", "w"):
        pass
    with pytest.raises(UserError, match=r"There is no image .* in .*empty\.tar"):
        pair.build(images=pair.root / "empty.tar")


def add_lying(folder, name, picture):
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(folder / name)


def test_labels_with_an_addition_to_their_names_are_paired_and_said(source, capsys):
    for name in "abc":
        source.add_image(f"{name}.jpg", random_image(1))
        add_lying(source.labels, f"{name}_mask.png", random_label(ord(name)))
    dataset = source.build()
    said = " ".join(capsys.readouterr().out.split())
    assert "are taken to be those called NAME_mask: a_mask.png is that of a.jpg." in said
    for example in decoded(dataset, "train"):
        seed = ord(example["filename"].decode()[0])
        np.testing.assert_array_equal(example["label"][..., 0], np.asarray(random_label(seed)))


@pytest.mark.parametrize(
    ("image", "label"), [("{}.jpg", "{}.png"), ("{}.png", "{}_mask.png"), ("{}.jpg", "label_{}.png")]
)
def test_images_and_labels_in_one_folder_are_told_apart_and_said(source, capsys, image, label):
    both = source.root / "both"
    for name in "abc":
        add_lying(both / "train", image.format(name), random_image(1))
        add_lying(both / "train", label.format(name), random_label(ord(name)))
        add_lying(both / "test", image.format(name), random_image(2))
    dataset = source.build(images=both, labels=both)
    assert (dataset.info.splits, dataset.info.unlabelled) == ({"test": 3, "train": 3}, ("test",))
    assert f"{label.format('a')} is that of train/{image.format('a')}" in " ".join(capsys.readouterr().out.split())
    for example, name in zip(decoded(dataset, "train"), "abc", strict=True):
        assert example["filename"].decode() == image.format(name)
        np.testing.assert_array_equal(example["label"][..., 0], np.asarray(random_label(ord(name))))


def test_labels_of_other_lossless_formats_are_taken(source):
    source.add_image("a.jpg", random_image(1))
    source.add_image("b.tif", random_image(2))
    add_lying(source.labels, "a.tif", random_label(1))
    random_label(2).save(source.labels / "b.webp", lossless=True)
    (example,) = decoded(source.build(), "train")
    seed = {b"a.jpg": 1, b"b.tif": 2}[example["filename"]]
    np.testing.assert_array_equal(example["label"][..., 0], np.asarray(random_label(seed)))


def jpeg_labels(source):
    source.add_image("a.jpg")
    add_lying(source.labels, "a.jpg", random_label(0))


def masks_of_other_names(source):
    source.add_image("a.jpg")
    add_lying(source.labels, "one.png", random_label(0))


def unread_picture(source):
    source.add("a.png")
    source.add_image("b.HEIC", b"x")


def picture_without_an_ending(source):
    source.add("a.png")
    source.add_image("b", b"\xff\xd8\xff\xe0 more")


def twins_of_one_kind(source):
    add_lying(source.images, "a.png", random_label(0))
    add_lying(source.images, "a.tif", random_label(0))


@pytest.mark.parametrize(
    ("arrange", "options", "message"),
    [
        (jpeg_labels, {}, r"The label a\.jpg in .*labels is a JPEG, which changes the pixel values, .* as PNG"),
        (
            masks_of_other_names,
            {},
            r"without a \.png of the same name in .*labels, where there is one\.png; the first must be called a\.png "
            "there, or name the pairs with --list",
        ),
        (unread_picture, {}, r"b\.HEIC: 1 file in .*images of kinds that are not read .*--skip_bad"),
        (picture_without_an_ending, {}, r"b: 1 file in .* without an ending .*; rename the first to b\.jpg, or"),
        (twins_of_one_kind, {"labels": "images"}, r"a\.(png|tif) and a\.(png|tif) in .* not clear which is the label"),
    ],
)
def test_what_cannot_be_paired_says_what_lies_there_and_what_to_do(source, arrange, options, message):
    arrange(source)
    with pytest.raises(UserError, match=message):
        source.build(**{flag: source.root / folder for flag, folder in options.items()})
    assert written_files(source.data_dir) == []


def test_files_that_are_no_pictures_are_left_out_and_said(source, capsys):
    source.add("a.png")
    source.add_image("Thumbs.db", b"x")
    source.add_image("b.gif", b"GIF89a")
    (source.labels / "notes.txt").write_text("x")
    assert source.build(skip_bad=True).info.splits == {"train": 1}
    said = " ".join(capsys.readouterr().out.split())
    assert f"Left out of {source.images}: Thumbs.db, b.gif: 2 files." in said
    assert f"Left out of {source.labels}: notes.txt: 1 file." in said


def test_names_that_are_no_text_are_written_with_escapes(source):
    for folder, ending in ((source.images, b".jpg"), (source.labels, b".png")):
        picture = random_image(1) if ending == b".jpg" else random_label(1)
        for name in (b"stra\xdfe", b"two\nlines"):
            picture.save(folder / "t.png")
            os.rename(folder / "t.png", os.fsencode(folder) + b"/" + name + ending)
    dataset = source.build()
    assert {*filenames(dataset, "train"), *filenames(dataset, "val")} == {"stra\\xdfe.jpg", "two\\nlines.jpg"}
    inspection = check(dataset, source.root / "check", show_progress=False)
    assert inspection.errors == []
    json.loads((source.root / "check" / "check_data.json").read_text())


def test_links_that_lead_back_and_empty_folders_are_no_images(source, capsys):
    source.add("train/a.png")
    (source.images / "train" / "loop").symlink_to(source.images)
    (source.images / "val").mkdir()
    assert source.build().info.splits == {"train": 1}
    assert f"The folder {source.images / 'val'} holds no file" in " ".join(capsys.readouterr().out.split())


def test_link_to_a_file_that_is_gone_is_named(source):
    source.add("a.png")
    (source.images / "a.png").unlink()
    (source.images / "a.png").symlink_to(source.root / "gone.png")
    with pytest.raises(UserError, match=r"images/a\.png is a link to .*/gone\.png, which does not exist"):
        source.build()


def test_folder_that_cannot_be_listed_ends_the_conversion(source, monkeypatch):
    source.add("train/a.png")
    source.add("train/b/c.png")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("images/train/b"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match="images/train/b"):
        source.build()


def test_splits_may_hold_a_folder_of_images_and_one_of_masks(source):
    data = source.root / "given"
    for split in ("train", "val"):
        for name in "ab":
            add_lying(data / split / "images", f"{name}.jpg", random_image(1))
            add_lying(data / split / "masks", f"{name}_mask.png", random_label(ord(name)))
    dataset = source.build(images=data, labels=data)
    assert dataset.info.splits == {"train": 2, "val": 2}
    for example, name in zip(decoded(dataset, "val"), "ab", strict=True):
        assert example["filename"].decode() == f"images/{name}.jpg"
        np.testing.assert_array_equal(example["label"][..., 0], np.asarray(random_label(ord(name))))


def test_folders_of_images_and_masks_are_no_splits(source):
    data = source.root / "given"
    add_lying(data / "images", "a.jpg", random_image(1))
    add_lying(data / "masks", "a.png", random_label(1))
    for labels in (data, None):
        with pytest.raises(UserError, match=r"not splits; give --images=.*given/images and --labels=.*given/masks"):
            source.build(images=data, labels=labels)


def test_masks_among_images_without_labels_are_noted(source, capsys):
    source.add_image("a.jpg")
    source.add_image("a_mask.png")
    assert source.build(labels=None).info.splits == {"test": 2}
    assert "a_mask in" in (said := " ".join(capsys.readouterr().out.split()))
    assert "looks like a label; if it is one, give this folder as --labels, too." in said
