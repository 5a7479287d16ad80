"""The flags of each command, in a file of its name. None imports Keras or TensorFlow, so that --help is quick."""
