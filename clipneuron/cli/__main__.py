"""`python -m clipneuron.cli`."""

import sys

from clipneuron.cli import main

sys.exit(main())
