"""The flags of each command, in a file with its name. No file imports Keras or TensorFlow, so that --help is fast."""
