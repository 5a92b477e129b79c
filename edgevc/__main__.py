"""`python -m edgevc` is the command line."""

import sys

from edgevc.cli import main

sys.exit(main())
