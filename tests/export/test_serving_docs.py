"""What docs/serving.md says: the signature, and the REST client against a server that speaks as TensorFlow Serving."""

import base64
import http.server
import io
import json
import pathlib
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

DOCUMENT = (pathlib.Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


class Model:
    """A SavedModel in a session of TensorFlow 1, as TensorFlow Serving runs it."""

    def __init__(self, path):
        with tf.Graph().as_default():
            self.session = tf.compat.v1.Session()
            self.signatures = tf.compat.v1.saved_model.load(self.session, ["serve"], str(path)).signature_def

    def answer(self, body):
        """The JSON for the JSON of a request in column format (tensorflow/serving, g3doc/api_rest.md)."""
        request = json.loads(body)
        signature = self.signatures[request.get("signature_name", "serving_default")]
        feed = {
            signature.inputs[name].name: np.array(
                _decoded(value), tf.as_dtype(signature.inputs[name].dtype).as_numpy_dtype
            )
            for name, value in request["inputs"].items()
        }
        outputs = self.session.run({name: info.name for name, info in signature.outputs.items()}, feed)
        shown = {name: _encoded(value.tolist(), name.endswith("_bytes")) for name, value in outputs.items()}
        return json.dumps({"outputs": next(iter(shown.values())) if len(shown) == 1 else shown})


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def _encoded(value, is_binary):
    if isinstance(value, list):
        return [_encoded(item, is_binary) for item in value]
    return {"b64": base64.b64encode(value).decode()} if is_binary else value


@pytest.fixture
def client(saved_model):
    """The names that the REST client of the document defines, with a server to talk to."""
    model = Model(saved_model)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            answer = model.answer(self.rfile.read(int(self.headers["Content-Length"]))).encode()
            self.send_response(200 if self.path == "/v1/models/segmenter:predict" else 404)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        names = {}
        exec(_blocks("python")[0].replace("8501", str(server.server_port)), names)
        yield names
        server.shutdown()
        thread.join()
    model.session.close()


def test_the_rest_client_gets_the_class_ids(client, predictor, rng):
    image = rng.integers(0, 256, size=(40, 56, 3)).astype("uint8")
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    expected = predictor.predict_batch(image[np.newaxis])
    np.testing.assert_array_equal(client["predict"](file.getvalue()), expected[0])
    np.testing.assert_array_equal(client["predict_pixels"](image[np.newaxis]), expected)


def test_tensorflow_alone_predicts_and_shows_the_signature_of_the_document(predictor, saved_model, rng, tmp_path):
    images = rng.integers(0, 256, size=(1, 49, 33, 3)).astype("uint8")
    np.save(tmp_path / "images.npy", images)
    script = f"""
import sys
sys.modules["keras"] = sys.modules["deeplab_dpc"] = None  # importing them fails
import numpy as np, tensorflow as tf
from tensorflow.python.tools import saved_model_cli
model = tf.saved_model.load({str(saved_model)!r})
np.save("answer.npy", model.signatures["serving_default"](image=tf.constant(np.load("images.npy")))["semantic"])
sys.argv[1:] = ["show", "--dir", {str(saved_model)!r}, "--tag_set", "serve", "--signature_def", "serving_default"]
saved_model_cli.main()
"""
    command = [sys.executable, "-c", script]
    shown = subprocess.run(command, check=True, cwd=tmp_path, env={}, capture_output=True, text=True).stdout
    np.testing.assert_array_equal(np.load(tmp_path / "answer.npy"), predictor.predict_batch(images))
    assert _blocks("")[0] in shown


def test_the_grpc_client_is_python():
    compile(_blocks("python")[1], "docs/serving.md", "exec")
