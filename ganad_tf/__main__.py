"""`python -m ganad_tf` is `ganad`."""

import sys

from ganad_tf.cli import main

sys.exit(main())
