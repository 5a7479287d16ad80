"""The commands: flags and main() of each."""
