"""`python -m poof` is the command `poof`."""

import sys

from poof.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
