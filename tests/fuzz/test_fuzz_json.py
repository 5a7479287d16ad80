"""Damaged JSON files: what they say, or a sentence.

A value that is read is compared with the text: nothing may be dropped, rounded, or taken for something else.
"""

import json

from mutations import mutated_bytes, mutated_json

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.arch.library import load_cell, load_genotype, published_genotype
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig, TrainConfig
from deeplab_dpc.config.auto_deeplab import AutoDeepLabConfig
from deeplab_dpc.config.inference import InferenceConfig
from deeplab_dpc.config.search import FidelityConfig
from deeplab_dpc.data.classes_file import read_classes_file
from deeplab_dpc.data.dataset_info import DatasetInfo, pascal_palette
from deeplab_dpc.files import read_json
from deeplab_dpc.run_config import config_differences, open_run, read_section

CELL, GENOTYPE = load_cell("dpc_top1"), published_genotype()
SECTIONS = {
    "model": ModelConfig(num_classes=3, dense_prediction_cell=CELL, genotype=GENOTYPE, divisible_by=8),
    "data": DataConfig(data_dir="D", dataset="x"),
    "train": TrainConfig(),
    "search": SearchConfig(),
    "auto_deeplab": AutoDeepLabConfig(),
    "fidelity": FidelityConfig(),
    "inference": InferenceConfig(),
}
CLASSES = {
    "classes": ["road", "car", "sky"],
    "palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
    "ignore_label": 255,
    "ignore_color": [0, 0, 0],
    "categories": ["flat", "vehicle", ""],
}


def completed(value):
    """Returns the JSON of a cell with the rate of 3x3 convolutions, which may be left out where it is 1."""
    if isinstance(value, list) and all(isinstance(entry, dict) and "op" in entry for entry in value):
        return [{"rate": [1, 1], **entry} if entry.get("kernel") == 3 else entry for entry in value]
    return value


def written(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_configurations_say_what_their_file_says(fuzz, tmp_path):
    def one(rng):
        name = list(SECTIONS)[int(rng.integers(len(SECTIONS)))]
        stored = mutated_json(rng, {name: json.loads(json.dumps(SECTIONS[name].to_json()))})
        written(tmp_path / "config.json", stored)
        config = read_section(tmp_path, name, type(SECTIONS[name]))
        known = json.loads(json.dumps(config.to_json()))
        assert known | {field: completed(value) for field, value in stored[name].items()} == known
        assert not config_differences(stored, {name: config})
        return "same" if config == SECTIONS[name] else "as written"

    assert fuzz("JSON, config.json", one)["refused"]


def test_starting_again_compares_every_field(fuzz, tmp_path):
    sections = {"model": SECTIONS["model"], "train": SECTIONS["train"]}
    stored = json.loads(json.dumps({name: section.to_json() for name, section in sections.items()}))

    def one(rng):
        changed = mutated_json(rng, stored)
        written(tmp_path / "config.json", changed)
        open_run(tmp_path, sections)  # it refuses what differs
        for name, section in sections.items():
            assert read_section(tmp_path, name, type(section)) == section
        return "same"

    assert fuzz("JSON, starting a run again", one)["refused"]


def test_architectures_are_those_of_their_file(fuzz, tmp_path):
    def one(rng):
        architecture, load = ((CELL, load_cell), (GENOTYPE, load_genotype))[int(rng.integers(2))]
        stored = mutated_json(rng, json.loads(json.dumps(architecture.to_json())))
        read = load(str(written(tmp_path / "x.json", stored)))
        assert isinstance(read, Cell | Genotype)
        assert json.loads(json.dumps(read.to_json())) == completed(stored)
        return "same" if read == architecture else "as written"

    assert fuzz("JSON, cells and genotypes", one)["refused"]


def test_classes_are_those_of_their_file(fuzz, tmp_path):
    def one(rng):
        stored = mutated_json(rng, CLASSES)
        read = read_classes_file(written(tmp_path / "classes.json", stored))
        assert list(read.names) == (stored["classes"] if isinstance(stored, dict) else stored)
        if isinstance(stored, dict) and stored.get("palette") is not None:
            assert [list(color) for color in read.palette] == stored["palette"]
        "".join(read.names).encode()
        return "as written"

    assert fuzz("JSON, classes file", one)["refused"]


def test_damaged_text_is_refused_or_read_as_json_readers_do(fuzz, tmp_path):
    text = json.dumps(CLASSES, indent=1).encode()

    def one(rng):
        data = mutated_bytes(rng, text)
        (tmp_path / "x.json").write_bytes(data)
        value = read_json(tmp_path / "x.json", "file")
        assert value == json.loads(data)
        return "same" if value == CLASSES else "as written"

    assert fuzz("JSON, text", one)["refused"]


def test_metadata_of_data_sets_are_those_of_their_file(fuzz):
    info = DatasetInfo("x", ("a", "b"), pascal_palette(2), 255, {"train": 3, "val": 1}, {"train": (5, 6)}, ("val",))
    intact = json.loads(json.dumps(info.to_json()))

    def one(rng):
        stored = mutated_json(rng, intact)
        read = json.loads(json.dumps(DatasetInfo.from_json(stored).to_json()))
        assert read | {key: value for key, value in stored.items() if key in read} == read
        return "same" if read == intact else "as written"

    assert fuzz("JSON, metadata of data sets", one)["refused"]
