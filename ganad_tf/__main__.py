"""`python -m ganad_tf` is `ganad`."""

import sys

from ganad_tf.cli.main import main

sys.exit(main())
