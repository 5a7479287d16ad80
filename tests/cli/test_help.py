"""--help, --helpfull and --version of every command."""

import re
import subprocess
import sys

import keras
import pytest

import deeplab_dpc
from deeplab_dpc.cli import flag_help, versions
from deeplab_dpc.cli.main import COMMANDS, defined_flags, execute, flag_module
from deeplab_dpc.config.model import MODEL_VARIANTS
from deeplab_dpc.models.backbones import BACKBONES

LARGE = ("tensorflow", "keras", "tensorflow_datasets", "matplotlib", "jax")
LOADED = """
import sys
from deeplab_dpc.cli.main import execute
status = execute(sys.argv[1], sys.argv[2:])
print("LOADED", *(name for name in {names} if name in sys.modules))
sys.exit(status)
"""


def _defined(command):
    values = defined_flags(command)
    return {name: values[name] for name in values if name == values[name].name}


def _help(command, capsys, flag="--help"):
    assert execute(command, [flag]) == 0
    return capsys.readouterr().out


def _listed(text):
    return re.findall(r"^  --(?:\[no\])?(\w+)", text, re.MULTILINE)


@pytest.mark.parametrize("flag", ["--help", "--version"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_version_import_nothing_large(command, flag):
    program = [sys.executable, "-c", LOADED.format(names=LARGE), command, flag]
    ended = subprocess.run(program, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "LOADED"
    assert len(ended.stdout.splitlines()) > 4


@pytest.mark.parametrize("command", COMMANDS)
def test_helpfull_lists_every_flag_once_in_100_columns(command, capsys):
    text = _help(command, capsys, "--helpfull")
    assert sorted(_listed(text)) == sorted(set(_defined(command)) - {"help", "helpfull"})
    assert max(map(len, text.splitlines())) <= flag_help.WIDTH


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_common_flags_and_says_how_many_more_there_are(command, capsys):
    text, full = _help(command, capsys), _help(command, capsys, "--helpfull")
    names = _listed(text)
    common = getattr(flag_module(command), "COMMON", None)
    assert common is None or set(names) == {*common, "backend", "version"}
    more = len(_listed(full)) - len(names)
    assert (f"--helpfull shows {more} more flags." in text) == (more > 0)
    assert max(map(len, text.splitlines())) <= flag_help.WIDTH
    assert set(_defined(command)) - {"help", "helpfull"} >= set(names)


@pytest.mark.parametrize("command", ["train", "search", "eval", "predict", "export", "describe"])
def test_commands_with_many_flags_hide_the_rare_ones(command):
    assert set(flag_module(command).COMMON) < set(_defined(command))


def test_flags_stand_under_what_they_concern(capsys):
    text = _help("search", capsys, "--helpfull")
    parts = {part.partition(":\n")[0]: _listed(part) for part in text.split("\n\n") if ":\n  --" in part}
    where = {name: title for title, names in parts.items() for name in names}
    expected = {
        "data_dir": "Data",
        "model_variant": "Network",
        "num_candidates": "Search",
        "proxy_steps": "Proxy",
        "contest_rounds": "Contest",
        "rerank_steps": "Contest",
        "storage": "Service",
        "fidelity_seeds": "Fidelity",
        "supernet_precision": "Auto-DeepLab",
        "backend": "Program",
        "workdir": "Command",
    }
    assert {name: where[name] for name in expected} == expected
    order = (flag_help.COMMAND, *flag_help.TITLES)
    assert [order.index(title) for title in parts] == sorted(order.index(title) for title in parts)


def test_values_of_enumerations_and_defaults_are_shown(capsys):
    text = " ".join(_help("train", capsys, "--helpfull").split())
    assert "--optimizer=momentum|adam|adamw (default: momentum): Momentum (SGD)" in text
    assert "--slow_start_burnin_type=none|linear: " in text
    assert "--[no]fine_tune_batch_norm (default: true): " in text
    assert "--dry_run: " in text
    assert "--base_learning_rate=X (default: 0.01): " in text
    assert f"One of {', '.join(MODEL_VARIANTS)}." in text
    assert "--decoder_output_stride=A,B: " in text


def test_names_of_backbones_in_the_help_are_those_of_the_registry():
    assert sorted(MODEL_VARIANTS) == sorted(BACKBONES)


def test_help_of_a_module_without_docstring_is_its_flags(monkeypatch, capsys):
    monkeypatch.setattr(flag_module("describe"), "__doc__", None)  # as under python -OO
    assert "--model_variant" in _help("describe", capsys)


def test_versions_are_those_of_what_is_installed(capsys):
    assert execute("train", ["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"deeplab-dpc {deeplab_dpc.__version__}"
    assert f"Keras {keras.__version__}, on {keras.backend.backend()}" in lines
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("contents", "backend"), [('{"backend": "jax"}', "jax"), ("[]", "tensorflow"), ("{", "tensorflow")]
)
def test_backend_of_the_version_is_that_of_keras_own_file(contents, backend, tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text(contents)
    assert f", on {backend}\n" in versions.version_text()


@pytest.mark.parametrize("name", ["Keras", "JAX"])
def test_what_is_not_installed_is_said(name, monkeypatch):
    monkeypatch.setattr(versions, "BUILDS", {name: ("no-such-build",)})
    assert versions.version_text().endswith(f"\n{name} is not installed")


@pytest.mark.parametrize(
    "argv",
    [
        ["deeplab_dpc.cli.main", "--version"],
        ["deeplab_dpc.cli.main", "train", "--version"],
        ["deeplab_dpc", "--version"],
    ],
)
def test_program_tells_its_version(argv):
    ended = subprocess.run([sys.executable, "-m", *argv], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(f"deeplab-dpc {deeplab_dpc.__version__}\nPython ")


def test_every_title_of_the_help_has_flags():
    titles = set()
    for command in COMMANDS:
        titles |= set(defined_flags(command).flags_by_module_dict())
    assert set(flag_help.TITLES) <= titles
