"""The whole path on the embedded data set: draw, pretrain, search, re-rank, train, evaluate, export, predict."""

from absl import flags


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the demo; the defaults take a few minutes on two cores."""
    flags.DEFINE_string("workdir", "demo", "Folder in which everything is written.", flag_values=values)
    flags.DEFINE_integer("num_train", 240, "Number of training images.", flag_values=values)
    flags.DEFINE_integer("num_val", 60, "Number of validation images.", flag_values=values)
    flags.DEFINE_integer("pretrain_steps", 320, "Training steps of the search's backbone.", flag_values=values)
    flags.DEFINE_integer("num_candidates", 6, "Number of cells to score by proxy.", flag_values=values)
    flags.DEFINE_integer("proxy_steps", 100, "Steps of each proxy training.", flag_values=values)
    flags.DEFINE_list(
        "warm_starts",
        ["conv1x1", "aspp", "dpc_top1", "psp"],
        "Cells that are finalists in any case.",
        flag_values=values,
    )
    flags.DEFINE_integer("rerank_top_k", 2, "Number of candidates to train end to end beside them.", flag_values=values)
    flags.DEFINE_integer("rerank_steps", 50, "Steps of each of these trainings.", flag_values=values)
    flags.DEFINE_integer("contest_rounds", 1, "Rounds of these trainings.", flag_values=values)
    flags.DEFINE_integer("contest_seeds", 1, "Trainings of each finalist in the last round.", flag_values=values)
    flags.DEFINE_integer("training_number_of_steps", 260, "Steps of the winner's training.", flag_values=values)
