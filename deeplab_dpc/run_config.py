"""The configuration of a run directory: config.json, written once and compared at every start."""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from deeplab_dpc.config import Config, encode
from deeplab_dpc.errors import UserError, shown
from deeplab_dpc.files import CHECK_SUM, has_check_sum, read_json, with_check_sum, write_json

CONFIG_FILE = "config.json"
FIT_FILE, FIT_VERDICT = "fit.json", "verdict.json"  # of a directory of `fit`: its stages, and the exported run
KINDS = {"train": "a run of train", "search": "a search of cells", "auto_deeplab": "a search by Auto-DeepLab"}

Section = TypeVar("Section", bound=Config)


def open_run(workdir: pathlib.Path, sections: dict[str, Any], extendable: Iterable[str] = ()) -> None:
    """Claims `workdir` for a run with this configuration: writes config.json, or checks the existing one.

    Args:
      workdir: run directory, created if it is absent.
      sections: sections by name, {"model": ModelConfig(...), "train": ...}; a section may also be plain JSON.
      extendable: dotted fields that a later start may change ("search.num_candidates").

    Raises:
      UserError: if the directory contains a run with another configuration; the message names the differences.
    """
    path = workdir / CONFIG_FILE
    if path.exists():
        stored = read_run(workdir)
        _require_same_kind(workdir, stored, sections)
        with _file_named(path):
            differences = config_differences(stored, sections)
        refused = [shown for key, shown in differences.items() if key not in set(extendable)]
        if refused:
            fork = f", or --fork_from={workdir} with a new --workdir to start a new run from it"
            raise UserError(
                f"{workdir} holds a run with another configuration: {', '.join(refused)}; "
                f"give the same flags to continue it, or another --workdir{fork if 'train' in sections else ''}."
            )
        if not differences:
            return
    write_json(path, with_check_sum({name: encode(section) for name, section in sections.items()}))


def require_kind(workdir: pathlib.Path, kind: str) -> None:
    """Checks that a directory is free, or contains a run of one kind, before anything is computed for it.

    Args:
      workdir: the run directory, which need not exist.
      kind: a key of KINDS.

    Raises:
      UserError: if the directory contains a run of another kind.
    """
    if (workdir / CONFIG_FILE).exists():
        _require_same_kind(workdir, read_run(workdir), {kind: None})


def _require_same_kind(workdir: pathlib.Path, stored: dict[str, Any], sections: dict[str, Any]) -> None:
    """Raises a UserError if the stored run is of another kind than the sections."""
    found, wanted = ({kind for kind in KINDS if kind in each} for each in (stored, sections))
    if found and wanted and not found & wanted:
        raise UserError(f"{workdir} holds {KINDS[min(found)]}, not {KINDS[min(wanted)]}; give another --workdir.")


def config_differences(stored: dict[str, Any], sections: dict[str, Any]) -> dict[str, str]:
    """Returns the differences between a stored configuration and another, by dotted field.

    A field that the stored one lacks, because an earlier version wrote it, has its default.

    Args:
      stored: sections as JSON, from read_run.
      sections: sections as in open_run.

    Returns:
      {"train.base_learning_rate": "train.base_learning_rate (was 0.01, now 0.001)"}, sorted.
    """
    completed = {
        name: type(sections[name]).from_json(section).to_json()
        if isinstance(section, dict) and isinstance(sections.get(name), Config)
        else section
        for name, section in stored.items()
    }
    before, now = _flatten(completed), _flatten({name: encode(section) for name, section in sections.items()})
    return {
        key: f"{key} (was {before.get(key)}, now {now.get(key)})"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    }


def shipped_run(workdir: str | pathlib.Path, flag: str = "workdir") -> pathlib.Path:
    """Returns the run of the exported network if `workdir` is a directory of `fit`; otherwise `workdir` itself.

    Raises:
      UserError: if `fit` has not judged a network yet.
    """
    root = pathlib.Path(workdir)
    if (root / CONFIG_FILE).exists() or not (root / FIT_FILE).exists():
        return root
    if not (root / FIT_VERDICT).exists():
        raise UserError(
            f"--{flag}={root} is a directory of fit, which has not judged a network yet; let the same fit command "
            "finish, or give one of the runs in it (baseline, final)."
        )
    verdict = read_json(root / FIT_VERDICT, "verdict")
    if not isinstance(verdict, dict) or not isinstance(verdict.get("run"), str):
        raise UserError(f"The verdict {root / FIT_VERDICT} is damaged; give the exported run.")
    return root / str(verdict["run"])


def read_run(workdir: str | pathlib.Path, flag: str = "workdir") -> dict[str, Any]:
    """Returns the contents of config.json in a run directory; error messages name the directory's `flag`.

    Raises:
      UserError: if there is none, or it is damaged.
    """
    path = pathlib.Path(workdir) / CONFIG_FILE
    if not path.exists():
        shipped = shipped_run(workdir, flag)
        if shipped != pathlib.Path(workdir):
            raise UserError(f"--{flag}={workdir} is a directory of fit; give the run in it, {shipped}.")
        raise UserError(f"--{flag}={workdir} is not a run directory: it has no {CONFIG_FILE}.")
    value = read_json(path, "run configuration")
    if not isinstance(value, dict):
        raise UserError(f"The run configuration {path} is damaged: it must be an object, got {shown(value)}.")
    if not has_check_sum(value):
        raise UserError(
            f"The run configuration {path} is damaged or was edited: it does not have its checksum; put a copy of it "
            f"there, or take {CHECK_SUM!r} out of it if the change is meant."
        )
    return value


def read_section(workdir: str | pathlib.Path, name: str, kind: type[Section]) -> Section:
    """Returns a section of the config.json of a run directory.

    Args:
      workdir: the run directory.
      name: name of the section, for example "model".
      kind: class of the section, for example ModelConfig.

    Raises:
      UserError: if there is no such file or section, or it is damaged.
    """
    stored, path = read_run(workdir), pathlib.Path(workdir) / CONFIG_FILE
    if name not in stored:
        raise UserError(f"The run configuration {path} has no section {name!r}; --workdir needs another kind of run.")
    with _file_named(path):
        return kind.from_json(stored[name])


@contextlib.contextmanager
def _file_named(path: pathlib.Path) -> Iterator[None]:
    """Adds the file's name to the errors of its fields."""
    try:
        yield
    except UserError as error:
        raise UserError(f"The run configuration {path} cannot be used: {error}") from error


def _flatten(config: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{name}": value
        for section, fields in config.items()
        for name, value in (fields.items() if isinstance(fields, dict) else [("", fields)])
    }
