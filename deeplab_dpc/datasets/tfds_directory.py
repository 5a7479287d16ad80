"""The directory in which TFDS has prepared a data set."""

import pathlib
import re

import tensorflow_datasets as tfds

from deeplab_dpc.errors import UserError

_NAME = re.compile(r"(?P<name>\w+)(/(?P<config>[\w.-]+))?(:(?P<version>\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def open_prepared(tfds_name: str, root: pathlib.Path, download: bool) -> tfds.core.DatasetBuilder:
    """Returns the builder of a data set on disk, which is read without the code that prepared it.

    Args:
      tfds_name: NAME, NAME/CONFIG or either with :VERSION.
      root: directory of prepared data sets of TFDS.
      download: bool, whether TFDS may download and prepare the data set if it is absent.

    Raises:
      UserError: if the data set is absent, or has several configurations and none is named.
    """
    directory = _prepared_directory(tfds_name, root)
    if directory is None and download:
        try:
            tfds.builder(tfds_name, data_dir=root).download_and_prepare()
        except Exception as error:  # the code of any data set runs here, and may fail in any way
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise UserError(f"TFDS cannot prepare {tfds_name} in {root}: {reason}.") from error
        directory = _prepared_directory(tfds_name, root)
    if directory is None:
        raise UserError(
            f"The TFDS data set {tfds_name!r} is not prepared in {root}; prepare it with `tfds build {tfds_name} "
            f"--data_dir={root}`, which downloads it, or give --download, or another --tfds_data_dir."
        )
    builder = tfds.builder_from_directory(directory)
    if builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD:
        raise UserError(
            f"{directory} holds array_record files, which cannot be read in order; prepare the data set with "
            f"`tfds build {tfds_name} --file_format=tfrecord --overwrite --data_dir={root}`."
        )
    return builder


def _prepared_directory(tfds_name: str, root: pathlib.Path) -> pathlib.Path | None:
    """Returns root/NAME[/CONFIG]/VERSION, of the newest version if none is given."""
    match = _NAME.fullmatch(tfds_name)
    if match is None:
        raise UserError(f"--tfds_name must be NAME, NAME/CONFIG or NAME:VERSION, got {tfds_name!r}.")
    name, config, version = match["name"], match["config"], match["version"]
    found = [info.parent for pattern in ("*", "*/*") for info in (root / name).glob(f"{pattern}/features.json")]
    found = [path for path in found if _VERSION.fullmatch(path.name) and version in (None, path.name)]
    if config is not None:
        found = [path for path in found if path.parent.name == config]
    if len({path.parent for path in found}) > 1:
        names = ", ".join(sorted(f"{name}/{path.parent.name}" for path in found if path.parent.name != name))
        raise UserError(f"There are several configurations of {name} in {root}; choose one with --tfds_name: {names}.")
    return max(found, key=lambda path: [int(part) for part in path.name.split(".")], default=None)
