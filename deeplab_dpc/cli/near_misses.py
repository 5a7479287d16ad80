"""Suggestions for an unknown command or flag: a name from other software, or a misspelling."""

import difflib
from collections.abc import Callable, Iterable, Sequence

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
ALIKE = 0.6  # cutoff of difflib
SHORT = 3  # letters; names up to this length are not completed


def near_command(name: str, known: Iterable[str]) -> str | None:
    """Returns the command that a name most likely means, if any."""
    plain = name.lower().replace("-", "_")
    return COMMANDS_ELSEWHERE.get(plain) or _alike(plain, known)


def unknown_flag(name: str, known: Iterable[str], elsewhere: Callable[[str], Sequence[str]]) -> str:
    """Returns the error message, one sentence, for an unknown flag, with its name here if it is known.

    Args:
      name: name that was given, without dashes.
      known: names of the command's flags.
      elsewhere: function that returns the other commands with a flag of that name.
    """
    plain = name.lower().replace("-", "_")
    known = set(known)
    unknown = f"Unknown command line flag {name!r}"
    here = next((each for each in FLAGS_ELSEWHERE.get(plain, ()) if each in known), None)
    if here is not None:
        return f"{unknown}: it is --{here} here{UNITS.get(plain, '')}."
    if plain not in known and (others := elsewhere(plain)):
        return f"{unknown}: it is a flag of {' and '.join(filter(None, (', '.join(others[:-1]), others[-1])))}."
    meant = plain if plain in known else _alike(plain, known)
    return f"{unknown}." if meant is None else f"{unknown}; did you mean --{meant}?"


def _alike(name: str, known: Iterable[str]) -> str | None:
    """Returns the name that begins with the given one, if it is long enough, or the most similar name."""
    longer = [each for each in sorted(known) if each.startswith(name) and len(name) > SHORT]
    return next(iter(longer + difflib.get_close_matches(name, sorted(known), n=1, cutoff=ALIKE)), None)
