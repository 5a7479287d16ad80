"""The facts in an exported model: the meaning of its class ids, and its source."""

import dataclasses
import datetime
import hashlib
import json
import pathlib
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json
from deeplab_dpc.models.segmenter import Segmenter
from deeplab_dpc.version import __version__

MODEL_INFO = "model_info.json"
PACKAGE = pathlib.Path(__file__).parents[1]

Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """The facts about an exported model. They contain no path of the machine that wrote it.

    Attributes:
      class_names: class names, one per class id.
      palette: (red, green, blue) per class id, each in 0..255.
      ignore_label: id of pixels that count neither in training nor in evaluation.
      source: run and its step, or published checkpoint.
      model: ModelConfig as JSON, not parsed, so that another version can load the export; for several networks whose
        probabilities are averaged, {"mean": [ModelConfig of each]}.
      inference: InferenceConfig as JSON.
      weights: SHA-256 of the names and values of the variables of all networks.
      export: options of the format, as JSON.
      git_revision: git revision of the code that wrote the export, with "-dirty" if it has changes; None for an
        installed package.
      version: version of the package.
      created: time of the export, in UTC (ISO 8601).
    """

    class_names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_label: int
    source: str
    model: dict[str, Any]
    inference: dict[str, Any]
    weights: str
    export: dict[str, Any]
    git_revision: str | None
    version: str
    created: str

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def same_model(self, other: Self) -> bool:
        """Returns whether both are exports of one network with the same prediction, regardless of time and code
        version.
        """
        mine, others = (json.loads(json.dumps(info.to_json())) for info in (self, other))
        return all(mine[name] == others[name] for name in mine if name not in ("git_revision", "version", "created"))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Returns the facts of a value of `to_json`; also accepts the lists that JSON makes of tuples."""
        known = {field.name: value[field.name] for field in dataclasses.fields(cls)}
        return cls(
            **known
            | {
                "class_names": tuple(known["class_names"]),
                "palette": tuple((red, green, blue) for red, green, blue in known["palette"]),
            }
        )


def describe_model(
    class_names: Sequence[str],
    palette: Sequence[Color],
    ignore_label: int,
    source: str,
    networks: Sequence[Segmenter],
    inference: InferenceConfig,
    **export: Any,
) -> ModelInfo:
    """Returns the facts about a model that is exported now, by this code; see ModelInfo for the arguments."""
    configs = [network.config.to_json() for network in networks]
    return ModelInfo(
        tuple(class_names),
        tuple(palette),
        ignore_label,
        source,
        configs[0] if len(configs) == 1 else {"mean": configs},
        inference.to_json(),
        weights_digest(all_arrays(networks)),
        export,
        git_revision(),
        __version__,
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def all_arrays(networks: Sequence[Segmenter]) -> dict[str, np.ndarray]:
    """Returns the variables of all networks by name; with several networks, names begin with the network's index."""
    if len(networks) == 1:
        return named_arrays(networks[0])
    return {f"{i}/{name}": array for i, one in enumerate(networks) for name, array in named_arrays(one).items()}


def weights_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 of the names and values of variables."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def read_model_info(path: pathlib.Path) -> ModelInfo:
    """Reads the JSON file of the facts.

    Raises:
      UserError: if it is absent or incomplete.
    """
    value = read_json(path, "description of the exported model")
    try:
        return ModelInfo.from_json(value)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} does not describe an exported model; export the model again.") from error


def git_revision(folder: pathlib.Path = PACKAGE) -> str | None:
    """Returns the commit of the checkout that contains the package, with "-dirty" if the package differs from it.

    The result is None if git is not installed or does not track the package, such as a package installed inside
    another project.
    """
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--", ".")
    revision = _git(folder, "rev-parse", "HEAD")
    return f"{revision}-dirty" if revision and changed else revision


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
    """Returns the output of git; None if it fails."""
    try:
        result = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None
