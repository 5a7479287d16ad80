"""Published TensorFlow 1 checkpoints, and the checkpoints of our own runs."""
