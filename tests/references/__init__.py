"""What the package is compared with: NumPy from the papers' formulas, PyTorch's files.

Nothing here imports `keras_attention`.
"""
