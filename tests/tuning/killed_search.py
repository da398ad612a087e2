"""A search that kills itself; `test_search.py` runs it and goes on.

Arguments: the folder, the number of the weights' step before which to die, and the
search's options as JSON.
"""

import json
import os
import signal
import sys

from keras_attention.tuning.searching import search
from keras_attention.tuning.steps import BilevelSteps

folder, last, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
step = BilevelSteps.weight_step
made = 0


def deadly_step(*arguments):
    global made
    made += 1
    if made == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)


BilevelSteps.weight_step = deadly_step
search(out=folder, verbose=0, **options)
