"""`python -m keras_attention` is `keras-attention`."""

import sys

from keras_attention.cli import main

if __name__ == "__main__":
    sys.exit(main())
