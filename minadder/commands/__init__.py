"""Commands of the command line: each has `add_arguments(parser)`, and `run(options)`, which returns the exit code."""
