"""The pip line of an extra, for each place that the package can be installed from: pip notes it in direct_url.json.

And the pages and notebooks that the package holds.
"""

import json
import re
import shlex

import pytest

from deeplab_dpc import installation
from deeplab_dpc.cli.main import _list_commands
from deeplab_dpc.installation import PACKAGE, PAGES, pip_line


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package as pip leaves it in site-packages; returns a function that notes its origin."""
    site = tmp_path / "site"
    metadata = site / "deeplab_dpc-9.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: deeplab-dpc\nVersion: 9\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(installation, "PACKAGE", site / "deeplab_dpc")
    return lambda origin: (metadata / "direct_url.json").write_text(json.dumps(origin))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "my checkout"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("")
    return folder


def test_a_checkout_is_named_by_its_path_or_the_dot_inside_it(checkout, monkeypatch):
    monkeypatch.setattr(installation, "PACKAGE", checkout / "deeplab_dpc")
    assert shlex.split(pip_line("onnx")) == ["pip", "install", f"{checkout}[onnx]"]
    monkeypatch.chdir(checkout)
    assert pip_line("onnx") == "pip install '.[onnx]'"


def test_an_editable_installation_stays_one(installed, checkout, monkeypatch):
    installed({"url": checkout.as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr(installation, "PACKAGE", checkout / "deeplab_dpc")
    assert pip_line("onnx") == f"pip install --editable '{checkout}[onnx]'"
    monkeypatch.chdir(checkout)
    assert pip_line("onnx") == "pip install --editable '.[onnx]'"


def test_a_checkout_is_not_another_one_that_is_installed(installed, checkout, tmp_path, monkeypatch):
    installed({"url": (tmp_path / "other").as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr(installation, "PACKAGE", checkout / "deeplab_dpc")
    assert pip_line("onnx") == f"pip install '{checkout}[onnx]'"


def test_a_folder_that_was_installed_is_named(installed, checkout):
    installed({"url": checkout.as_uri(), "dir_info": {}})
    assert pip_line("video") == f"pip install '{checkout}[video]'"


def test_a_wheel_is_named_while_it_is_there(installed, tmp_path):
    wheel = tmp_path / "deeplab_dpc-9-py3-none-any.whl"
    wheel.write_bytes(b"")
    installed({"url": wheel.as_uri(), "archive_info": {}})
    assert pip_line("onnx") == f"pip install '{wheel}[onnx]'"
    wheel.unlink()
    assert pip_line("onnx") == "pip install 'deeplab-dpc[onnx]'"


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        ({"url": "https://host/x.whl", "archive_info": {}}, "deeplab-dpc[jax] @ https://host/x.whl"),
        (
            {"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "12ab"}, "subdirectory": "a"},
            "deeplab-dpc[jax] @ git+https://host/x.git@12ab#subdirectory=a",
        ),
    ],
)
def test_an_address_is_named(origin, requirement, installed):
    installed(origin)
    assert pip_line("jax") == f"pip install '{requirement}'"


def test_a_package_of_an_index_is_named(installed):
    assert pip_line("mysql") == "pip install 'deeplab-dpc[mysql]'"


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_note_that_says_nothing_is_none(text, installed, tmp_path):
    (tmp_path / "site" / "deeplab_dpc-9.dist-info" / "direct_url.json").write_text(text)
    assert pip_line("mysql") == "pip install 'deeplab-dpc[mysql]'"


def test_pages_that_the_code_names_are_in_the_package():
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    named = {name for text in texts for name in re.findall(r"(?<![\w/.])docs/(\w+\.md)", text)}
    assert {"fit.md", "python.md", "weights.md"} <= named
    assert [name for name in named if not (PAGES / name).is_file()] == []


def test_the_program_says_where_its_pages_and_notebooks_are(capsys):
    _list_commands()
    pages, notebooks = re.search(r"are in (.+), and the notebooks in (.+)\.$", capsys.readouterr().out).groups()
    assert pages == str(PAGES)
    assert notebooks == str(PACKAGE / "notebooks")
    assert {path.stem for path in (PACKAGE / "notebooks").glob("*.ipynb")} == {"own_data", "own_head", "own_search"}
