"""Speed and memory of adder layers and of whole training steps, against the machine's peaks and against PyTorch.

    python benchmarks/speed.py [what `minadder bench` takes]

Leaves in benchmarks/results/speed the tables, all numbers as JSON, a roofline and the ratios.
"""

from __future__ import annotations

import argparse
import sys

from environment import RESULTS

from minadder.bench import command


def main() -> int:
    """Run the benchmark and keep what it leaves."""
    parser = argparse.ArgumentParser(description="minadder bench, its results kept")
    command.add_arguments(parser)
    parser.set_defaults(out=RESULTS / "speed")
    return command.run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
