"""predict.py with a predictor of brightness in place of a network."""

import os
import signal
import time
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.cli import predict
from deeplab_dpc.cli.main import execute
from deeplab_dpc.cli.model_source import LoadedPredictor
from deeplab_dpc.data.dataset_info import pascal_palette
from deeplab_dpc.data.video import VideoReader, VideoWriter


class Brightness:
    """The class is the first channel over 10."""

    def __init__(self, num_classes: int):
        self.num_classes = num_classes
        self.predicted = 0

    def predict_batch(self, images):
        self.predicted += len(images)
        return np.minimum(images[..., 0] // 10, self.num_classes - 1).astype(np.int32)

    def check_size(self, image, name):
        pass


@pytest.fixture
def predictor(monkeypatch):
    found = Brightness(21)
    names = tuple(f"class_{i}" for i in range(21))
    loaded = LoadedPredictor(
        predictor=found,
        class_names=names,
        palette=pascal_palette(21),
        ignore_label=255,
        source="brightness",
        workdir=None,
        network=None,
    )
    monkeypatch.setattr(predict, "load_predictor", lambda values: loaded)
    return found


@pytest.fixture
def photos(tmp_path):
    for name, value in (("2008_000001.png", 30), ("2008_000002.png", 150), ("more/2008_000003.png", 0)):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (value, 0, 0)).save(path)
    return tmp_path / "photos"


def run(tmp_path, **flags) -> int:
    return execute(
        "predict", [f"--{name}={value}" for name, value in {"output_dir": tmp_path / "out", **flags}.items()]
    )


def written(tmp_path) -> list[str]:
    return sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_folder_becomes_class_ids_and_overlays(predictor, photos, tmp_path):
    assert run(tmp_path, images=photos) == 0
    names = ["2008_000001.png", "2008_000002.png"]
    assert written(tmp_path) == [f"{folder}/{name}" for folder in ("class_ids", "overlays") for name in names]
    assert (np.asarray(Image.open(tmp_path / "out" / "class_ids" / names[1])) == np.full((6, 8), 15)).all()


def test_rest_is_written_beside_bad_files_and_the_status_is_2(predictor, photos, tmp_path, capsys):
    (photos / "more" / "bad.jpg").write_bytes(b"no image")
    assert run(tmp_path, images=photos / "**" / "*", outputs="palette,class_ids") == 2
    assert len(written(tmp_path)) == 2 * 3
    assert "palette/more/2008_000003.png" in written(tmp_path)
    error = capsys.readouterr().err
    assert "Left out 1:" in error
    assert "bad.jpg cannot be read as an image" in error
    assert "the other 3 are in" in error


def test_link_to_nothing_is_a_bad_file_and_a_pipe_is_left_out_unopened(predictor, photos, tmp_path, capsys):
    (photos / "a.jpg").symlink_to("/gone")
    os.mkfifo(photos / "b.jpg")
    assert run(tmp_path, images=photos) == 2
    said = capsys.readouterr()
    assert "Left out: b.jpg: 1 file (a pipe, device or socket is not opened" in said.out
    assert "a.jpg cannot be read as an image: it is a link to /gone, which does not exist" in said.err
    assert "Left out 1:" in said.err
    assert len(written(tmp_path)) == 2 * 2


def test_existing_outputs_are_replaced_or_skipped(predictor, photos, tmp_path, capsys):
    assert run(tmp_path, images=photos) == 0
    assert run(tmp_path, images=photos, skip_existing=True) == 0
    assert predictor.predicted == 2
    assert "Skipping 2 of 2 images" in capsys.readouterr().out
    (tmp_path / "out" / "overlays" / "2008_000002.png").unlink()
    killed = tmp_path / "out" / "overlays" / ".2008_000002.png.kept.tmp"  # what a killed process leaves
    killed.mkdir()
    assert run(tmp_path, images=photos, skip_existing=True) == 0
    assert predictor.predicted == 3
    assert not killed.exists()
    nested = tmp_path / "out" / "overlays" / "more" / ".x.png.kept.tmp"
    nested.mkdir(parents=True)
    assert run(tmp_path, images=photos) == 0
    assert predictor.predicted == 5
    assert not nested.exists()
    assert "Replaced outputs of 2 of them" in capsys.readouterr().out


def test_name_that_is_no_text_is_predicted_and_a_bad_one_said_in_one_line(predictor, photos, tmp_path, capsys):
    strange = os.fsdecode(b"stra\xdfe\n1")
    Image.new("RGB", (8, 6)).save(photos / f"{strange}.png")
    (photos / f"{strange}.jpg.bmp").write_bytes(b"no image")
    assert run(tmp_path, images=photos, output_dir=tmp_path / f"out{strange}") == 2
    shown = capsys.readouterr()
    assert r"Left out: " in shown.out
    assert r"stra\xdfe\n1.jpg.bmp cannot be read as an image" in shown.out
    (line,) = shown.err.splitlines()
    assert r"the other 3 are in" in line
    assert (tmp_path / f"out{strange}" / "overlays" / f"{strange}.png").exists()


def test_sigterm_ends_it_with_a_line_and_leaves_no_half_of_a_file(predictor, photos, tmp_path, monkeypatch, capsys):
    def terminated(images):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    monkeypatch.setattr(predictor, "predict_batch", terminated)
    assert run(tmp_path, images=photos) == 128 + signal.SIGTERM
    assert "predict: stopped by SIGTERM; all written files are complete" in capsys.readouterr().err
    assert written(tmp_path) == []


def test_split_of_a_data_set_is_predicted(predictor, shapes, tmp_path):
    assert run(tmp_path, data_dir=shapes.path, split="val", outputs="class_ids", batch_size=2) == 0
    assert len(written(tmp_path)) == predictor.predicted == 5


def test_video_becomes_a_video_and_frames_if_they_are_asked_for(predictor, tmp_path):
    pytest.importorskip("av")
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, Fraction(25), Fraction(1, 25)) as writer:
        for time in range(3):
            writer.add(time, np.full((32, 48, 3), 105, np.uint8))
    assert run(tmp_path, images=clip) == 0
    assert written(tmp_path) == ["overlays/clip.mp4"]
    with VideoReader(tmp_path / "out" / "overlays" / "clip.mp4") as video:
        assert (len(list(video)), video.rate) == (3, 25)
    assert run(tmp_path, images=clip, outputs="class_ids") == 0
    assert written(tmp_path)[:3] == [f"class_ids/clip/00000{i}.png" for i in range(3)]
    assert (np.asarray(Image.open(tmp_path / "out" / "class_ids" / "clip" / "000002.png")) == 10).all()
    clip.write_bytes(clip.read_bytes()[:200])
    assert run(tmp_path, images=clip) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "Give either --images (a file, folder, pattern or video) or --data_dir"),
        ({"images": "photos", "data_dir": "d"}, "Give either --images"),
        ({"images": "photos", "output_dir": ""}, "--output_dir is required"),
        ({"images": "photos", "outputs": "masks"}, "--outputs=masks is not known; known are class_ids, palette"),
        ({"images": "photos", "outputs": ""}, "--outputs is empty"),
        ({"images": "photos", "batch_size": 0}, "--batch_size must be at least 1, got 0"),
        ({"images": "photos/*.jpg"}, "matches no .jpg"),
        ({"images": "none.mp4"}, "--images=none.mp4 is not a folder"),
        ({"images": "photos/clip.mp4", "skip_existing": True}, "--skip_existing is for images"),
        ({"images": "class_ids", "output_dir": "."}, "would have class_ids/a.png replaced by its prediction"),
    ],
)
def test_mistakes_get_one_sentence(flags, message, predictor, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (photos / "clip.mp4").touch()
    (tmp_path / "class_ids").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "class_ids" / "a.png")
    assert run(tmp_path, **flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists() or not written(tmp_path)


def test_data_set_needs_its_split(predictor, shapes, tmp_path, capsys):
    assert run(tmp_path, data_dir=shapes.path) == 2
    assert "--split is required with --data_dir; the splits are train, val" in capsys.readouterr().err
    assert run(tmp_path, data_dir=shapes.path, split="test") == 2
    assert "has no split 'test'" in capsys.readouterr().err


def test_serve_needs_no_images(predictor, monkeypatch):
    served = []
    monkeypatch.setattr(predict, "serve", lambda values, loaded: served.append(loaded.source))
    assert execute("predict", ["--serve"]) == 0
    assert served == ["brightness"]
