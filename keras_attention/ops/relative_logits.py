"""Relative position logits of 2-D self-attention."""

from keras import ops


def relative_logits_2d(query, height_embeddings, width_embeddings, height, width):
    """Logits qᵀ r of the offsets in height plus those in width.

    L[n, h, i, j] = q[n, h, i] · (rel_h[jy − iy + H − 1] + rel_w[jx − ix + W − 1]),
    for positions i = (iy, ix) and j = (jy, jx) in row-major order.

    Args:
        query: (batch, heads, H·W, depth).
        height_embeddings: (2H − 1, depth), offset −(H − 1) first.
        width_embeddings: (2W − 1, depth).
        height, width: H and W, ints.

    Returns:
        (batch, heads, H·W, H·W).

    Source: arXiv:1904.09925, section 3.2 and equation 3.
    """
    depth = query.shape[-1]
    heads = query.shape[1]
    # Samples and heads as one axis: mobile runtimes have no more than five.
    grid = ops.reshape(query, (-1, height, width, depth))
    by_column = _offset_to_position(grid, width_embeddings, width)  # n y x jx
    by_row = _offset_to_position(
        ops.transpose(grid, (0, 2, 1, 3)), height_embeddings, height
    )  # n x y jy
    by_row = ops.transpose(by_row, (0, 2, 1, 3))  # n y x jy
    logits = ops.expand_dims(by_row, 4) + ops.expand_dims(by_column, 3)
    return ops.reshape(logits, (-1, heads, height * width, height * width))


def _offset_to_position(query, embeddings, length):
    """(…, length, depth) · (2·length − 1, depth) → (…, length, length).

    Row i of the product holds the offsets −(length − 1) … length − 1; position j
    is at offset j − i, so each row starts one entry earlier than the one before.
    Padding rows to 2·length and reading them at 2·length − 1 does that shift.
    """
    logits = ops.matmul(query, ops.transpose(embeddings))  # … length, 2·length − 1
    lead = tuple(logits.shape[1:-2])
    count = 2 * length - 1
    padded = ops.pad(logits, [(0, 0)] * (len(lead) + 2) + [(0, 1)])
    flat = ops.reshape(padded, (-1, *lead, length * 2 * length))
    flat = ops.pad(flat, [(0, 0)] * (len(lead) + 1) + [(0, count - length)])
    shifted = ops.reshape(flat, (-1, *lead, length + 1, count))
    return shifted[..., :length, length - 1 :]
