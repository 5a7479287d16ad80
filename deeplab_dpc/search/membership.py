"""What a study was begun with: every worker that joins must have the same."""

from collections.abc import Iterable
from typing import Any

from optuna.storages import BaseStorage

from deeplab_dpc.config import encode
from deeplab_dpc.errors import UserError
from deeplab_dpc.run_config import config_differences
from deeplab_dpc.search.storage import persistently

CONFIG = "config"  # attribute of the study


def join(storage: BaseStorage, study_id: int, name: str, sections: dict[str, Any], extendable: Iterable[str]) -> None:
    """Writes the configuration into the study, or compares it with the one that is there.

    Args:
      name: of the study.
      sections: as run_config.open_run takes them.
      extendable: dotted fields in which workers may differ.

    Raises:
      UserError: if they differ in others; the message names the differences.
    """
    stored = _stored(storage, study_id)
    if stored is None:
        encoded = {section: encode(value) for section, value in sections.items()}
        persistently(lambda: storage.set_study_user_attr(study_id, CONFIG, encoded))
        stored = _stored(storage, study_id)  # Another that began at the same moment may have written its own.
    assert stored is not None
    differences = config_differences(stored, sections)
    refused = [shown for key, shown in differences.items() if key not in set(extendable)]
    if refused:
        raise UserError(
            f"--study_name={name} of this storage is a search with another configuration: {', '.join(refused)}; "
            "give the same flags to join it, or another --study_name."
        )


def _stored(storage: BaseStorage, study_id: int) -> dict[str, Any] | None:
    return persistently(lambda: storage.get_study_user_attrs(study_id)).get(CONFIG)
