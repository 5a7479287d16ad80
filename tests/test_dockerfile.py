"""The Dockerfile and what is sent to its build. Docker itself is not run: there is no daemon where the tests run.

Hadolint 2.15.1 has read the Dockerfile and found nothing; that was done by hand.
"""

import json
import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _argument(instruction: str) -> list[str]:
    [text] = re.findall(rf"^{instruction} (\[.+\])$", DOCKERFILE, re.MULTILINE)
    return json.loads(text)


def test_extras_python_and_program_are_those_of_the_project():
    [extra] = re.findall(r"^ARG EXTRA=(\w+)$", DOCKERFILE, re.MULTILINE)
    assert {extra, "gpu"} <= set(PROJECT["optional-dependencies"])
    [version] = re.findall(r"^FROM python:3\.(\d+)-slim$", DOCKERFILE, re.MULTILINE)
    assert 11 <= int(version) <= 13
    [program] = _argument("ENTRYPOINT")
    assert program in PROJECT["scripts"]
    assert _argument("CMD") == ["--help"]


def test_the_user_is_a_number_that_the_build_creates():
    [user] = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)  # a host may not know the name
    assert int(user) > 0
    assert f"useradd --create-home --uid {user} " in DOCKERFILE


def test_the_build_is_sent_what_the_package_is_built_from_and_no_more():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert lines[0] == "*"
    assert sent == {
        "README.md",
        "LICENSE",
        "MANIFEST.in",
        "pyproject.toml",
        "setup.py",
        "deeplab_dpc",
        "docs",
        "notebooks",
    }
    assert PROJECT["readme"] in sent
    assert set(PROJECT["license-files"]) <= sent
    assert all((ROOT / name).exists() for name in sent)
