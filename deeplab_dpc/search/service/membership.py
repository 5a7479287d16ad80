"""The configuration with which a study was begun, which every worker that joins must share."""

from collections.abc import Iterable
from typing import Any

from optuna.storages import BaseStorage

from deeplab_dpc.config import DataConfig, SearchConfig, encode
from deeplab_dpc.config.search import END_TO_END
from deeplab_dpc.errors import UserError
from deeplab_dpc.run_config import config_differences
from deeplab_dpc.search.service.storage import persistently

CONFIG = "config"  # attribute of the study
# Where the data are on a machine, which says nothing of what they are.
PLACES = ("data.data_dir", "data.dataset", "data.classes", "data.cache")
OF_CONTEST = tuple(name for name in SearchConfig.__dataclass_fields__ if name.startswith(("rerank_", "contest_")))
# What a later start, or another worker, may change in a contest: which cells are finalists and how they were scored by
# proxy, and how many seeds they have and who leaves. Seed, scoring split and weights are those of its trainings too.
CONTEST_EXTENDABLE = (
    *PLACES,
    *(
        f"search.{name}"
        for name in SearchConfig.__dataclass_fields__
        if name not in (*OF_CONTEST, "seed", "eval_split", "label_weights")
    ),
    "search.rerank_top_k",
    "search.rerank_warm_starts",
    "search.contest_seeds",
    "search.contest_threshold",
)
# A section of studies that train end to end, and what it says. In earlier ones, which lack it, a training started with
# all that a checkpoint had in common with its cell, so that their scores cannot stand beside others.
START, BACKBONE_ALONE = "starting weights", "the backbone alone"


def extendable(config: SearchConfig) -> tuple[str, ...]:
    """Returns the dotted fields in which workers of a search may differ.

    These are the number of cells, and the contest, which checks its own configuration. If cells are scored on cached
    features, data may be given later, for the contest: the data that the proxy sees are part of the features' name.
    """
    data = ("data.", *(f"data.{name}" for name in DataConfig.__dataclass_fields__))
    return (
        "search.num_candidates",
        *(f"search.{name}" for name in OF_CONTEST),
        *(PLACES if config.proxy_features == END_TO_END else data),
    )


def join(storage: BaseStorage, study_id: int, name: str, sections: dict[str, Any], extendable: Iterable[str]) -> None:
    """Writes the configuration to the study, or compares it with the existing one.

    Args:
      name: name of the study.
      sections: sections as in run_config.open_run.
      extendable: dotted fields in which workers may differ.

    Raises:
      UserError: if other fields differ; the message names the differences.
    """
    stored = _stored(storage, study_id)
    if stored is None:
        encoded = {section: encode(value) for section, value in sections.items()}
        persistently(lambda: storage.set_study_user_attr(study_id, CONFIG, encoded))
        stored = _stored(storage, study_id)  # Another that began at the same moment may have written its own.
    assert stored is not None
    # Of a study that was begun before there was a section nothing is known in it, but for this one.
    known = {section: value for section, value in sections.items() if section in stored or section == START}
    differences = config_differences(stored, known)
    refused = [shown for key, shown in differences.items() if key not in set(extendable)]
    if refused:
        raise UserError(
            f"--study_name={name} of this storage is a search with another configuration: {', '.join(refused)}; "
            "give the same flags to join it, or another --study_name."
        )


def _stored(storage: BaseStorage, study_id: int) -> dict[str, Any] | None:
    return persistently(lambda: storage.get_study_user_attrs(study_id)).get(CONFIG)
