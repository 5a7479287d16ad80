import concurrent.futures
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from PIL import Image

from deeplab_dpc.cli import page
from deeplab_dpc.cli.main import parse
from deeplab_dpc.cli.model_source import LoadedPredictor
from deeplab_dpc.cli.page import model_name, serve
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.serving.page_server import PageServer


class _NoPredictor:
    """Stands where nothing is predicted."""

    num_classes = 2


def _loaded(source="/home/someone/runs/first, step 3"):
    palette = ((0, 0, 0), (1, 1, 1))
    return LoadedPredictor(
        predictor=_NoPredictor(), class_names=("a", "b"), palette=palette, ignore_label=255, source=source
    )


def _flags(**given):
    return parse("predict", [f"--{name}={value}" for name, value in given.items()])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_upload_mb": 0}, "--max_upload_mb must be at least 1, got 0"),
        ({"max_image_pixels": -1}, "--max_image_pixels must be at least 1, got -1"),
        ({"output_dir": "out"}, "writes no file; leave out --output_dir"),
        ({"port": 65536}, "--port must be in 0..65535, got 65536"),
    ],
)
def test_flag_that_does_not_fit_is_refused(given, message):
    with pytest.raises(UserError, match=message):
        serve(_flags(workdir="run", **given), _loaded())


@pytest.mark.parametrize(("given", "shown"), [("/home/someone/runs/first", "first"), ("runs/first/", "first")])
def test_model_is_shown_without_the_path_to_it(given, shown):
    assert model_name(_flags(workdir=given).predictor, _loaded()) == shown
    assert model_name(_flags(exported_model=f"{given}/model.tflite").predictor, _loaded()) == "model.tflite"


def test_directory_it_is_started_in_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert model_name(_flags(workdir=".").predictor, _loaded()) == pathlib.Path(tmp_path).name


def _terminated(self):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)


def test_sigterm_ends_it_with_a_line(monkeypatch):
    monkeypatch.setattr(PageServer, "serve_forever", _terminated)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="stopped by SIGTERM; every image was predicted") as stopped:
        serve(_flags(workdir="run", port=0), _loaded())
    assert stopped.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


PROGRAM = """
import time
import numpy as np
from deeplab_dpc.cli import main, predict
from deeplab_dpc.cli.model_source import LoadedPredictor

class Slow:
    num_classes = 2
    def check_size(self, image, name):
        pass
    def predict_batch(self, images):
        print("predicting", flush=True)
        time.sleep(600)

predict.load_predictor = lambda values: LoadedPredictor(
    predictor=Slow(), class_names=("a", "b"), palette=((0, 0, 0),) * 2, ignore_label=255, source=""
)
main.run("predict", ["--serve", "--port=0", "--workdir=run"])
"""


@pytest.mark.long
def test_process_ends_by_sigterm_while_an_image_is_predicted():
    image = io.BytesIO()
    Image.new("RGB", (2, 2)).save(image, format="PNG")
    command = [sys.executable, "-u", "-c", PROGRAM]
    with (
        subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        url = re.search("http://[^ ]*/", process.stdout.readline())[0]
        upload = pool.submit(urllib.request.urlopen, f"{url}predict", image.getvalue())
        assert process.stdout.readline() == "predicting\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        sentence = "predict: stopped by SIGTERM; the current image was given up, and the same command continues."
        assert process.stderr.read().rstrip().endswith(f"\n{sentence}")
        with pytest.raises(OSError, match="without response|reset"):
            upload.result()


def test_image_that_takes_too_long_at_the_end_is_given_up(monkeypatch):
    left = []
    monkeypatch.setattr(PageServer, "serve_forever", _terminated)
    monkeypatch.setattr(PageServer, "close", lambda self: self.server_close())
    monkeypatch.setattr(page, "_leave", lambda *arguments: left.append(arguments))
    with pytest.raises(Stopped):
        serve(_flags(workdir="run", port=0), _loaded())
    sentence = "\npredict: stopped by SIGTERM; the current image was given up, and the same command continues."
    assert left == [(sentence, 128 + signal.SIGTERM)]


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_address_is_printed_and_ctrl_c_ends_it(host, warned, monkeypatch, capsys):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(PageServer, "serve_forever", interrupted)
    serve(_flags(workdir="run", port=0, host=host), _loaded())
    printed = capsys.readouterr().out
    assert f"The page is at http://{host}:" in printed
    assert ("anyone who reaches that address can use it" in printed) == warned
    assert printed.endswith("Stopped.\n")
