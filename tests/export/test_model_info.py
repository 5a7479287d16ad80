"""The facts that travel with an export, and the revision of the code."""

import json
import subprocess

import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.model_info import ModelInfo, git_revision, read_model_info


def test_facts_survive_json(info):
    assert ModelInfo.from_json(json.loads(json.dumps(info.to_json()))) == info
    assert info.class_names == ("a", "b", "c", "d")
    assert info.model["depth_multiplier"] == 0.1
    assert info.inference["fold_batch_norm"] is True
    assert info.export == {"format": "SavedModel"}


@pytest.mark.parametrize("content", ["{}", "[]", '{"class_names": 3}'])
def test_what_describes_no_model_is_refused(content, tmp_path):
    path = tmp_path / "model_info.json"
    path.write_text(content)
    with pytest.raises(UserError, match="does not describe an exported model"):
        read_model_info(path)


def _git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_revision_says_whether_the_package_was_changed(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    _git(tmp_path, "init", "--quiet")
    assert git_revision(package) is None  # in a checkout, but no part of it
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "--message=first")
    revision = _git(tmp_path, "rev-parse", "HEAD").strip()
    assert git_revision(package) == revision
    (tmp_path / "notes.txt").write_text("beside the package")
    assert git_revision(package) == revision
    (package / "__init__.py").write_text("changed = True")
    assert git_revision(package) == f"{revision}-dirty"


def test_without_git_there_is_no_revision(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision() is None
