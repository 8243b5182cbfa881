"""`python -m tests.scaling simulate|rehearse`: the autoscaling of the workers, computed or carried out."""

from __future__ import annotations

import argparse
import sys

from tests.scaling.manifest import shipped_policy
from tests.scaling.report import table


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m tests.scaling", description=__doc__)
    parser.add_argument("command", choices=["simulate"])
    parser.parse_args()
    print(table(shipped_policy()), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
