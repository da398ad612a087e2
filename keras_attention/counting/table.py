"""A count as a table to read."""

_COLUMNS = ("parameters", "trainable_parameters", "multiply_adds")


def table(result):
    """Direct layers with multiply-adds, the rest in one row, totals."""
    rows, others = [], [0, 0, 0]
    for name, members in _by_group(result.layers).items():
        sums = [sum(getattr(m, field) for m in members) for field in _COLUMNS]
        if sums[-1]:
            share = f"{100 * sums[-1] / result.multiply_adds:.1f}"
            rows.append((name, _output(members[0]), *map(_number, sums), share))
        else:
            others = [a + b for a, b in zip(others, sums, strict=True)]
    totals = [getattr(result, field) for field in _COLUMNS]
    lines = [
        ("layer", "output", "parameters", "trainable", "multiply-adds", "%"),
        *rows,
        ("(all others)", "", *map(_number, others), ""),
        ("total", "", *map(_number, totals), ""),
    ]
    inputs = ", ".join(map(_shape, result.input_shapes))
    return "\n".join(
        [
            f"{result.model}, one input of {inputs}",
            *_aligned(lines),
            f"parameters {_mebibytes(result.parameter_bytes)}, "
            f"activations {_mebibytes(result.activation_bytes)}",
        ]
    )


def _by_group(layers):
    groups = {}
    for layer in layers:
        groups.setdefault(layer.group, []).append(layer)
    return groups


def _aligned(lines):
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        left, right = line[:2], line[2:]
        cells = [f"{cell:<{w}}" for cell, w in zip(left, widths[:2], strict=True)]
        cells += [f"{cell:>{w}}" for cell, w in zip(right, widths[2:], strict=True)]
        yield "  ".join(cells).rstrip()


def _output(layer):
    """The output of a group's first layer, which is the model's direct one."""
    several = isinstance(layer.output_shape, list)
    return ", ".join(
        map(_shape, layer.output_shape if several else [layer.output_shape])
    )


def _number(value):
    return f"{value:,}"


def _shape(shape):
    return "×".join(map(str, shape))


def _mebibytes(size):
    return f"{size / 2**20:.1f} MiB"
