"""`python -m keras_attention.training.launch`: start processes, and start them again.

Its own modules use the standard library alone. The package around them imports Keras
all the same, which takes some seconds, once for the launcher.
"""
