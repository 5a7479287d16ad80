"""--backend acts before Keras is imported, wherever it stands."""

import re
import subprocess
import sys

import keras
import pytest

from deeplab_dpc.cli import backend as backend_flag
from deeplab_dpc.cli import main
from deeplab_dpc.cli.flagfiles import flattened, sources
from deeplab_dpc.cli.main import execute
from deeplab_dpc.errors import UserError


@pytest.fixture
def chosen(monkeypatch):
    """Returns KERAS_BACKEND after choosing in a process that has not imported Keras."""
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    environment = backend_flag.os.environ

    def choose(*argv):
        backend_flag.choose_backend(flattened(sources(argv)))
        return environment.pop("KERAS_BACKEND", None)

    return choose


@pytest.mark.parametrize(
    "argv",
    [
        ["--backend=jax"],
        ["--backend", "jax"],
        ["--workdir=w", "--backend=jax", "--nofine_tune_batch_norm"],
        ["--workdir", "w", "--backend=jax"],
        ["--backend=tensorflow", "--backend=jax"],
    ],
)
def test_flag_is_found_among_others(chosen, argv):
    assert chosen(*argv) == "jax"


def test_flag_is_found_in_a_flagfile(chosen, tmp_path):
    (tmp_path / "inner.flags").write_text("# a comment\n--backend=jax\n")
    (tmp_path / "outer.flags").write_text(f"--workdir=w\n--flagfile={tmp_path}/inner.flags\n")
    assert chosen(f"--flagfile={tmp_path}/outer.flags") == "jax"
    assert chosen(f"--flagfile={tmp_path}/outer.flags", "--backend=tensorflow") == "tensorflow"


def test_without_the_flag_keras_decides(chosen, monkeypatch):
    assert chosen("--workdir=w") is None
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert chosen("--workdir=w") == "jax"


def test_unknown_backend_of_the_environment_is_refused(chosen, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(UserError, match="KERAS_BACKEND=theano must be one of tensorflow, jax"):
        chosen()


def test_backend_that_is_not_installed_is_said(chosen, monkeypatch):
    monkeypatch.setattr(backend_flag.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--backend=jax is not installed; pip install .*\[jax\]'\.$"):
        chosen("--backend=jax")


def test_unknown_backend_is_a_user_error(capsys):
    assert execute("describe", ["--backend=theano"]) == 2
    assert "--backend must be one of tensorflow, jax, got theano." in capsys.readouterr().err


def test_backend_cannot_change_in_a_process(capsys):
    other = next(name for name in backend_flag.BACKENDS if name != keras.backend.backend())
    assert execute("describe", [f"--backend={other}"]) == 2
    assert f"--backend={other} needs a process of its own: Keras runs on" in capsys.readouterr().err


def test_missing_flagfile_is_a_user_error(capsys):
    assert execute("describe", ["--flagfile=absent.flags"]) == 2
    assert "absent.flags" in capsys.readouterr().err


def test_help_lists_the_flag(capsys):
    assert execute("describe", ["--help"]) == 0
    assert "--backend=tensorflow|jax: Backend of Keras" in capsys.readouterr().out


def test_command_runs_on_the_backend():
    code = (
        "import sys; from deeplab_dpc.cli.main import execute; "
        "status = execute('describe', ['--help', '--backend=jax']); "
        "import keras; sys.exit(status or keras.backend.backend() != 'jax')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=120).returncode == 0


def test_command_that_needs_tensorflow_says_so_where_it_is_not_installed(monkeypatch, capsys):
    def absent(name):
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr(main.importlib, "import_module", absent)
    assert main.execute("train", []) == 2
    said = capsys.readouterr().err
    assert re.search(r"TensorFlow is not installed, and this command needs it; pip install .*\[cpu\]', or", said)
