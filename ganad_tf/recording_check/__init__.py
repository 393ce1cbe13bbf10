"""Recording conditions: is the microphone all right, and is it set up as it was for the training recordings?

A clip whose conditions are others gets the verdict `not judged` with a reason, and never a score. `statistics.py`
reduces a clip to a few numbers, `limits.py` learns from normal training clips in which range they lie, and `verdict.py`
compares a clip with them, in the graph, so that `ganad score` and exported models decide alike.
"""

NOT_JUDGED = "not judged:"  # before the reason, in the messages of exported models
