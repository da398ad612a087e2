"""`python -m keras_attention.training.launch`: start processes, and start them again.

The standard library is all that it uses itself.
"""
