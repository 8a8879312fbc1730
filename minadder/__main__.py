"""`python -m minadder`: the command line."""

import sys

from minadder.cli import main

sys.exit(main())
