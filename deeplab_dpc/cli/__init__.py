"""The commands: the flags and the main() of each."""
