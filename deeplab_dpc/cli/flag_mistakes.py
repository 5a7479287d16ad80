"""Messages for mistakes in commands and flags.

An unknown name gets a suggestion, for a name from other software or a misspelling. A wrong value gets one message for
each kind of flag, instead of Python's.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from absl import flags

COMMANDS_ELSEWHERE = {
    "evaluate": "eval",
    "test": "eval",
    "validate": "eval",
    "val": "eval",
    "infer": "predict",
    "inference": "predict",
    "vis": "predict",
    "visualize": "predict",
    "serve": "predict",
    "info": "describe",
    "summary": "describe",
    "nas": "search",
    "build": "build_folder",
    "convert": "build_folder",
    "check": "check_data",
}
_STEPS = ("training_number_of_steps", "proxy_steps")
_EPOCHS = ("training_number_of_epochs", *_STEPS)
# The names of flags in other frameworks, and their possible names here: the first one that the command has is meant.
FLAGS_ELSEWHERE = {
    "arch": ("model_variant",),
    "backbone": ("model_variant",),
    "encoder": ("model_variant",),
    "model": ("model_variant",),
    "amp": ("precision", "inference_dtype"),
    "fp16": ("precision", "inference_dtype"),
    "mixed_precision": ("precision", "inference_dtype"),
    "aspp_rates": ("atrous_rates",),
    "rates": ("atrous_rates",),
    "batch": ("train_batch_size", "proxy_batch_size", "batch_size"),
    "batch_size": ("train_batch_size", "proxy_batch_size"),
    "cell": ("dense_prediction_cell_json",),
    "dpc": ("dense_prediction_cell_json",),
    "checkpoint": ("tf_initial_checkpoint", "checkpoint_path"),
    "ckpt": ("tf_initial_checkpoint", "checkpoint_path"),
    "pretrained": ("tf_initial_checkpoint", "checkpoint_path"),
    "weights": ("tf_initial_checkpoint", "checkpoint_path"),
    "class_weights": ("label_weights",),
    "crop": ("train_crop_size", "eval_crop_size"),
    "crop_size": ("train_crop_size", "eval_crop_size"),
    "data": ("data_dir",),
    "data_path": ("data_dir",),
    "data_root": ("data_dir",),
    "dataset_dir": ("data_dir",),
    "root": ("data_dir",),
    "epochs": _EPOCHS,
    "max_epochs": _EPOCHS,
    "num_epochs": _EPOCHS,
    "iterations": _STEPS,
    "iters": _STEPS,
    "max_iters": _STEPS,
    "max_steps": _STEPS,
    "num_steps": _STEPS,
    "steps": _STEPS,
    "train_steps": _STEPS,
    "flip": ("add_flipped_images",),
    "freeze_bn": ("fine_tune_batch_norm",),
    "gpus": ("num_clones",),
    "num_gpus": ("num_clones",),
    "grad_accum": ("gradient_accumulation_steps",),
    "image_dir": ("images",),
    "input": ("images",),
    "input_dir": ("images",),
    "learning_rate": ("base_learning_rate", "proxy_learning_rate"),
    "lr": ("base_learning_rate", "proxy_learning_rate"),
    "lr_policy": ("learning_policy",),
    "lr_schedule": ("learning_policy",),
    "scheduler": ("learning_policy",),
    "log_dir": ("workdir", "output_dir"),
    "logdir": ("workdir", "output_dir"),
    "output": ("output_dir", "export_dir", "workdir"),
    "output_dir": ("export_dir", "workdir"),
    "save_dir": ("workdir", "output_dir", "export_dir"),
    "train_logdir": ("workdir",),
    "work_dir": ("workdir",),
    "num_workers": ("workers",),
    "optim": ("optimizer",),
    "random_seed": ("seed",),
    "scales": ("eval_scales",),
    "wd": ("weight_decay",),
}
UNITS = {name: ", which counts batches" for name, ours in FLAGS_ELSEWHERE.items() if ours == _STEPS and "epoch" in name}
ALIKE, MOST_ALIKE = 0.6, 5  # cutoff of difflib, and number of names that are compared further
NEAR = 1  # edits; a name that is as near is meant, even if another one begins with the given one or is more common
SHORT = 3  # letters; names up to this length are not completed
WHOLE_NUMBER, NUMBER, SWITCH = "a whole number", "a number", "true or false"
WHOLE_NUMBERS, NUMBERS = "whole numbers (1,2)", "numbers (0.5,1)"
SIZE = "HEIGHT,WIDTH in pixels"
_OF_FLAG = re.compile(r"^flag --(\w+)=|^Missing value for flag -{0,2}(\w+)$")
_SWITCH_WITH_VALUE = re.compile(r"^--no(\w+)(?:=.*)? does not take an argument$", re.DOTALL)


def near_command(name: str, known: Iterable[str]) -> str | None:
    """Returns the command that a name most likely means, if any."""
    plain = name.lower().replace("-", "_")
    return COMMANDS_ELSEWHERE.get(plain) or _alike(plain, known)


def unknown_flag(
    name: str, known: Iterable[str], elsewhere: Callable[[str], Sequence[str]], common: Collection[str] = ()
) -> str:
    """Returns the error message, one sentence, for an unknown flag, with its name here if it is known.

    Args:
      name: name that was given, without dashes.
      known: names of the command's flags.
      elsewhere: function that returns the other commands with a flag of that name.
      common: names of the flags that the short help of the command shows.
    """
    plain = name.lower().replace("-", "_")
    known = set(known)
    unknown = f"Unknown command line flag {name!r}"
    here = next((each for each in FLAGS_ELSEWHERE.get(plain, ()) if each in known), None)
    if here is not None:
        return f"{unknown}: it is --{here} here{UNITS.get(plain, '')}."
    if plain not in known and (others := elsewhere(plain)):
        return f"{unknown}: it is a flag of {_listed(others)}."
    meant = plain if plain in known else _alike(plain, known, common)
    if meant is not None:
        return f"{unknown}; did you mean --{meant}?"
    for there in FLAGS_ELSEWHERE.get(plain, ()):
        if others := elsewhere(there):
            return f"{unknown}: it is --{there} of {_listed(others)}, and this command has none."
    return f"{unknown}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _alike(name: str, known: Iterable[str], common: Collection[str] = ()) -> str | None:
    """Returns the name that is most likely meant: one of few edits, or else one that begins with the given name, if
    that is long enough, or a similar one; among these, a common one before others.
    """
    names = sorted(known)
    longer = [each for each in names if each.startswith(name) and len(name) > SHORT]
    candidates = {*longer, *difflib.get_close_matches(name, names, n=MOST_ALIKE, cutoff=ALIKE)}

    def order(each: str) -> tuple[bool, bool, bool, int, str]:
        edits = _edits(name, each)
        return edits > NEAR, edits > NEAR and each not in longer, each not in common, edits, each

    return min(candidates, key=order, default=None)


def _edits(a: str, b: str) -> int:
    """Returns the number of inserted, removed and replaced characters between two words (Levenshtein's distance)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def must_be(name: str, what: str, given: str) -> str:
    """Returns the error message for an invalid value."""
    return f"--{name} must be {what}, got {given or 'nothing'}."


def wrong_value(error: ValueError | flags.Error, values: flags.FlagValues) -> str:
    """Returns the error message, one sentence, for a value that a flag does not accept.

    Args:
      error: error that absl raised when it read the flags.
      values: flags of the command.
    """
    sentence = str(error)
    if found := _SWITCH_WITH_VALUE.match(sentence):
        return f"--no{found[1]} takes no value; give --{found[1]}=true or --{found[1]}=false."
    found = _OF_FLAG.match(sentence)
    name = str(found[1] or found[2]) if found else ""
    if not found or name not in values:
        return sentence
    wanted = _wanted(values[name])
    if found[2]:
        return f"--{name} needs a value{f', {wanted}' if wanted else ''}: --{name}=VALUE."
    reason = f": {error.__context__}"
    if wanted is None or not sentence.endswith(reason):
        return sentence
    return must_be(name, wanted, sentence[found.end() :].removesuffix(reason))


def _wanted(flag: flags.Flag[Any]) -> str | None:
    """Returns as text the values that a flag accepts; None for any text."""
    parser = flag.parser
    if isinstance(parser, flags.BooleanParser):
        return SWITCH
    if isinstance(parser, flags.IntegerParser):
        return WHOLE_NUMBER
    if isinstance(parser, flags.FloatParser):
        return NUMBER
    return f"one of {', '.join(parser.enum_values)}" if isinstance(parser, flags.EnumParser) else None
