"""The versions of the package, Python, Keras and the backends for --version, read from the installed metadata without
importing them.
"""

import importlib.metadata
import json
import os
import pathlib
import platform

from deeplab_dpc.cli.backend import VARIABLE
from deeplab_dpc.version import __version__

# TensorFlow may be installed as one of several builds.
BUILDS = {"Keras": ("keras",), "TensorFlow": ("tensorflow", "tensorflow-cpu", "tf-nightly"), "JAX": ("jax",)}


def version_text() -> str:
    """Returns the versions, one per line."""
    lines = [f"deeplab-dpc {__version__}", f"Python {platform.python_version()}"]
    for name, builds in BUILDS.items():
        version = _installed(builds)
        backend = f", on {_backend()}" if version and name == "Keras" else ""
        lines.append(f"{name} {version or 'is not installed'}{backend}")
    return "\n".join(lines)


def _installed(builds: tuple[str, ...]) -> str | None:
    """Returns the version of the first build that is installed, with its name if it is not the usual one."""
    for build in builds:
        try:
            version = importlib.metadata.version(build)
        except importlib.metadata.PackageNotFoundError:
            continue
        return version if build == builds[0] else f"{version} ({build})"
    return None


def _backend() -> str:
    """Returns the backend that Keras will use: that of the environment (--backend sets it), of its own file, or its
    default.
    """
    file = pathlib.Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    try:
        configured = json.loads(file.read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError, AttributeError):  # Keras, too, ignores a file that it cannot read
        configured = None
    return str(configured or "tensorflow")
