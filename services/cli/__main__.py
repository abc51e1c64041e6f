"""`python -m services.cli`: the command line where the package isn't installed."""

import sys

from services.cli import main

if __name__ == "__main__":
    sys.exit(main())
