"""Fuzzing of everything that reads bytes from a network. ``fuzz/README.md`` says how to run it."""
