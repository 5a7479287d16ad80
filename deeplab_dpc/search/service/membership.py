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
# Locations of the data on a machine, which do not determine their content.
PLACES = ("data.data_dir", "data.dataset", "data.classes", "data.cache")
OF_CONTEST = tuple(name for name in SearchConfig.__dataclass_fields__ if name.startswith(("rerank_", "contest_")))
# Fields that a later start, or another worker, may change in a contest: those that determine which cells are finalists,
# how they were scored by proxy, how many seeds they have and which of them leave. Seed, evaluation split and label
# weights are not among them, since they determine the contest's trainings too.
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
# A section of studies that train end to end, and its value. In earlier studies, which lack it, a training started with
# all weights that a checkpoint had in common with its cell, so that their scores are not comparable with others.
START, BACKBONE_ALONE = "starting weights", "the backbone alone"  # stored in studies


def extendable(config: SearchConfig) -> tuple[str, ...]:
    """Returns the dotted fields in which workers of a search may differ.

    These are the number of cells, and the fields of the contest, which checks its own configuration. If cells are
    scored on cached features, the data may be given later, for the contest: the name of the features depends on the
    data that the proxy sees.
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
        stored = _stored(storage, study_id)  # Another worker that began at the same moment may have written its own.
    assert stored is not None
    # A section is not compared if the study was begun before that section existed, except for START.
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
