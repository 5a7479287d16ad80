"""Every command line that the documents print is accounted for in printed_commands.json beside this file.

An entry of that file is one of
  {"run": FLAGS}   it is run here as printed, but for FLAGS that make it small, in the order of the file;
  {"by": TEST}     that test runs it, as a user does or by the function that the command calls;
  {"not": REASON}  it is not run.
Those of our own commands are parsed by their parsers in any case.
"""

import ast
import dataclasses
import json
import pathlib
import re
import shlex
import shutil

import numpy as np
import pytest
from absl import flags
from PIL import Image

from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.cli.flags.base import define_flags
from deeplab_dpc.cli.flags.shared import SourceFlags
from deeplab_dpc.cli.main import COMMANDS, execute, parse
from deeplab_dpc.config import AutoDeepLabConfig, DataConfig, ModelConfig, TrainConfig
from deeplab_dpc.models.segmenter import build_segmenter

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").glob("*.md")),
]
ENTRIES = json.loads((pathlib.Path(__file__).parent / "printed_commands.json").read_text(encoding="utf-8"))
PROGRAMS = "python|deeplab-dpc|pytest|pip|make|curl|docker|gcloud|saved_model_cli|tensorboard|optuna-dashboard"
IN_A_BLOCK = re.compile(rf"^ {{4,}}(?:\w+=\S+ )*(?:/usr/bin/time -v |exec |srun )?(?:(?:{PROGRAMS}) .*)$", re.MULTILINE)
IN_A_SENTENCE = re.compile(rf"`((?:(?:{PROGRAMS}) [^`]+)|\w+\.py --[^`]*=[^`]*)`")
OURS = re.compile(r"(?:python (?:datasets/)?(\w+)\.py|deeplab-dpc ([\w-]+)|(\w+)\.py) ?(.*)")
# Flags that benchmarks take from the package by its groups of flags.
SOURCE_FLAGS = flags.FlagValues()
define_flags(SourceFlags, SOURCE_FLAGS)
CONFIGS = (AutoDeepLabConfig, DataConfig, ModelConfig, TrainConfig)
SHARED_FLAGS = {*SOURCE_FLAGS, *(field.name for config in CONFIGS for field in dataclasses.fields(config))}
STANDING_FOR = {"SEED": "0", "RATE": "12", "NAME": "cityscapes_mobilenet_v2"}  # where a number or a recipe must be
LEFT_OUT = re.compile(r"^(\.\.\.|HEAD|EXPORT|FLAGS|--flags)$")  # words of the documents for further flags


def _text(line: str) -> str:
    """A command line without its comment and its layout."""
    return " ".join(re.sub(r" +# .*", "", line).split())


def _printed() -> list[str]:
    found: dict[str, None] = {}
    for document in DOCUMENTS:
        text = re.sub(r" *\\\n", " ", document.read_text(encoding="utf-8"))
        for match in sorted(
            (*IN_A_BLOCK.finditer(text), *IN_A_SENTENCE.finditer(text)), key=lambda match: match.start()
        ):
            found[_text(match.group(match.lastindex or 0))] = None
    return list(found)


def _command(text: str) -> tuple[str, list[str]] | None:
    """The key of COMMANDS and the flags of a line, if it is one of our commands."""
    match = OURS.fullmatch(text.removeprefix("/usr/bin/time -v ").removeprefix("exec ").removeprefix("srun "))
    if not match:
        return None
    command = next(filter(None, match.groups()[:3])).replace("-", "_")
    assert command in COMMANDS, text
    return command, [word.strip("[]") for word in shlex.split(match.group(4)) if not LEFT_OUT.match(word)]


PRINTED = _printed()
BENCHMARK = re.compile(r"benchmarks/(\w+)\.py")
OURS_PRINTED = [text for text in PRINTED if not BENCHMARK.search(text) and _command(text)]
TO_RUN = [text for text, entry in ENTRIES.items() if "run" in entry]


def test_every_printed_line_is_accounted_for():
    assert [text for text in PRINTED if text not in ENTRIES] == []


def test_nothing_is_accounted_for_that_is_not_printed():
    assert [text for text in ENTRIES if text not in PRINTED] == []
    assert all(len(entry) == 1 and set(entry) <= {"run", "by", "not"} for entry in ENTRIES.values())


@pytest.mark.parametrize("text", OURS_PRINTED)
def test_flags_are_those_of_the_command(text):
    command, argv = _command(text)
    argv = [re.sub(r"\b(SEED|RATE|NAME)(?=$|\.flags)", lambda match: STANDING_FOR[match[1]], flag) for flag in argv]
    parse(command, argv)


def test_flags_in_the_manifest_of_kubernetes_are_those_of_the_search():
    argv = re.findall(r"^ +- (--\S+)$", (ROOT / "docs" / "search.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert argv
    parse("search", argv)


@pytest.mark.parametrize("text", [text for text in PRINTED if BENCHMARK.search(text)])
def test_flags_are_those_of_the_benchmark(text):
    name = BENCHMARK.search(text)[1]
    source = (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
    for other in re.findall(r"^from (\w+) import", source, re.MULTILINE):  # a benchmark that has the flags of another
        path = ROOT / "benchmarks" / f"{other}.py"
        source += path.read_text(encoding="utf-8") if path.exists() else ""
    for flag in re.findall(r"--(\w+)", text):
        known = [flag, flag.removeprefix("no")]
        is_defined = any(f'"{each}"' in source or f"    {each}: " in source for each in known)
        assert is_defined or ("FlagGroup" in source and flag in SHARED_FLAGS), f"{name} has no --{flag}"


@pytest.mark.parametrize("place", sorted({entry["by"] for entry in ENTRIES.values() if "by" in entry}))
def test_test_that_runs_a_line_exists(place):
    file, _, name = place.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not name or name in names


@pytest.mark.parametrize("text", [text for text in PRINTED if text.startswith("pytest ")])
def test_printed_tests_exist(text):
    assert all((ROOT / file).is_file() for file in text.split()[1:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_tf1_checkpoint):
    """The directory in which the lines are run: raw data and a published checkpoint under the documents' names."""
    path = tmp_path_factory.mktemp("printed")
    rng = np.random.default_rng(0)
    for kind in ("IMAGES", "LABELS"):
        (path / kind).mkdir()
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (33, 41, 3), dtype="uint8")).save(path / "IMAGES" / f"{i}.png")
        label = np.full((33, 41), i % 2, "uint8")
        label[:9] = 2
        Image.fromarray(label).save(path / "LABELS" / f"{i}.png")
    (path / "classes.json").write_text(json.dumps({"classes": ["sky", "road", "car"]}))
    shutil.copytree(path / "IMAGES", path / "FOLDER")
    (path / "photos" / "deep").mkdir(parents=True)
    Image.fromarray(rng.integers(0, 256, (33, 41, 3), dtype="uint8")).save(path / "photos" / "deep" / "a.jpg")
    network = build_segmenter(dataclasses.replace(ModelConfig(num_classes=21), depth_multiplier=0.1))
    write_tf1_checkpoint(
        path / "MODEL.ckpt", {name: np.asarray(variable) for name, variable in named_variables(network).items()}
    )
    return path


@pytest.mark.parametrize("text", TO_RUN)
def test_line_is_run(text, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    command, argv = _command(text)
    if "OTHER_RUN" in text:
        shutil.copytree("T", "OTHER_RUN")
    small = shlex.split(ENTRIES[text]["run"])
    replaced = {flag.partition("=")[0] for flag in small}
    status = execute(command, [*(flag for flag in argv if flag.partition("=")[0] not in replaced), *small])
    assert status == 0, capsys.readouterr().err
