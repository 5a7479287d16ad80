"""Where this package lies and was installed from, for messages that name its pages or what to install."""

import importlib.metadata
import json
import pathlib
import shlex
import urllib.parse
import urllib.request
from typing import Any

NAME = "deeplab-dpc"
PACKAGE = pathlib.Path(__file__).resolve().parent
PAGES = PACKAGE / "docs"  # in a checkout a link, in a wheel a folder; notebooks lie beside it


def pip_line(extra: str) -> str:
    """Returns the line that installs an extra, for the place that this package was installed from.

    For a checkout, an editable installation, a folder or a file it has the path; for an address, the address. For an
    index, and for a path that is gone, it has the name: pip then adds the extra's packages to the installed package.

    Args:
      extra: name of an extra of pyproject.toml.
    """
    found = _direct_url()
    checkout = PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").is_file() else None
    folder = checkout or _path(found)
    if folder is not None and folder.exists():
        editable = "--editable " if found.get("dir_info", {}).get("editable") and _path(found) == folder else ""
        place = "." if folder == pathlib.Path.cwd() else str(folder)
        return _line(f"{place}[{extra}]", editable)
    if address := _address(found):
        return _line(f"{NAME}[{extra}] @ {address}")
    return _line(f"{NAME}[{extra}]")


def _line(requirement: str, options: str = "") -> str:
    return f"pip install {options}{shlex.quote(requirement)}"


def _direct_url() -> dict[str, Any]:
    """Returns what pip noted about the origin (PEP 610); nothing for a package that came from an index, or that is not
    installed.
    """
    try:
        text = importlib.metadata.distribution(NAME).read_text("direct_url.json")
        found = json.loads(text) if text else {}
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _path(found: dict[str, Any]) -> pathlib.Path | None:
    parts = urllib.parse.urlsplit(str(found.get("url", "")))
    return pathlib.Path(urllib.request.url2pathname(parts.path)) if parts.scheme == "file" else None


def _address(found: dict[str, Any]) -> str | None:
    """Returns the address of an archive or a repository, as pip takes it; None if there is none."""
    url, repository = str(found.get("url", "")), found.get("vcs_info")
    if not url or _path(found) is not None:
        return None
    if not repository:
        return url
    folder = f"#subdirectory={found['subdirectory']}" if found.get("subdirectory") else ""
    return f"{repository['vcs']}+{url}@{repository['commit_id']}{folder}"
