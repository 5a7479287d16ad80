"""Published TensorFlow 1 checkpoints, and the checkpoints of this package's runs."""
