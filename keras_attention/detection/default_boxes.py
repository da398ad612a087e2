"""SSD's default boxes (Liu et al., 1512.02325, section 2.2)."""

import math
from dataclasses import dataclass

import numpy as np

from keras_attention.detection.options import Options
from keras_attention.layers.checks import positive_number


@dataclass(frozen=True)
class DefaultBoxes(Options):
    """The default boxes of each place of each map.

    Of map k these are a square of side sₖ, one of √(sₖ · sₖ₊₁), and for each aspect
    ratio a one of sₖ√a × sₖ/√a and one of sₖ/√a × sₖ√a.

    Args:
        scales: s₁, s₂, …, one more than there are maps, in parts of the image's sides.
            None: from 0.15 to 0.9 in equal steps, then 1.
        aspect_ratios: a tuple of numbers per map. None: (2,) for the first and the last
            two maps, (2, 3) for those between, as in the paper.
        steps: pixels between the places of each map. None: image / map.
    """

    scales: tuple | None = None
    aspect_ratios: tuple | None = None
    steps: tuple | None = None

    def __post_init__(self):
        super().__post_init__()
        for name in ("scales", "steps"):
            self._check_numbers(name, getattr(self, name))
        ratios = self.aspect_ratios
        if ratios is None:
            return
        if not isinstance(ratios, tuple) or not all(
            isinstance(of_map, list | tuple) for of_map in ratios
        ):
            raise ValueError(
                "`aspect_ratios` must be a tuple with a tuple of numbers for each map. "
                f"Received: {ratios!r}."
            )
        object.__setattr__(self, "aspect_ratios", tuple(map(tuple, ratios)))
        for of_map in self.aspect_ratios:
            self._check_numbers("aspect_ratios", of_map)

    @staticmethod
    def _check_numbers(name, numbers):
        if numbers is not None and not isinstance(numbers, tuple):
            raise ValueError(
                f"`{name}` must be a tuple of numbers. Received: {numbers!r}."
            )
        for number in numbers or ():
            positive_number(name, number)

    def scales_of(self, maps):
        """The scales of so many maps, one more than these."""
        if self.scales is None:
            steps = max(maps - 1, 1)
            return (*(0.15 + 0.75 * k / steps for k in range(maps)), 1.0)
        return self._of("scales", maps + 1, "one for each map and one more")

    def aspect_ratios_of(self, maps):
        """The aspect ratios of each of so many maps."""
        if self.aspect_ratios is None:
            between = range(1, maps - 2)
            return tuple((2, 3) if k in between else (2,) for k in range(maps))
        return self._of("aspect_ratios", maps, "one entry for each map")

    def steps_of(self, maps):
        """The steps of each of so many maps, or None."""
        return self.steps and self._of("steps", maps, "one for each map")

    def per_place(self, maps):
        """How many boxes each place of each map has."""
        return tuple(2 + 2 * len(ratios) for ratios in self.aspect_ratios_of(maps))

    def _of(self, name, count, wanted):
        values = getattr(self, name)
        if len(values) != count:
            raise ValueError(
                f"`{name}` needs {wanted}, here {count}. Received: {values!r}."
            )
        return values


def default_boxes(image_size, map_sizes, options):
    """The default boxes of every place of every map, torchvision's in its order.

    No side is longer than the image's; a box may reach over its edges.

    Args:
        image_size: (height, width).
        map_sizes: ((H, W), …) of the maps.
        options: `DefaultBoxes`.

    Returns:
        (N, 4) float32, xyxy in pixels, by map, then y, x, and shape.
    """
    count = len(map_sizes)
    scales, steps = options.scales_of(count), options.steps_of(count)
    height, width = image_size
    sides = np.array([width, height, width, height], "float32")
    levels = []
    for k, (map_size, ratios) in enumerate(
        zip(map_sizes, options.aspect_ratios_of(count), strict=True)
    ):
        rows, columns = map_size
        down, across = (height / steps[k], width / steps[k]) if steps else map_size
        y = (np.arange(rows, dtype="float32") + 0.5) / np.float32(down)
        x = (np.arange(columns, dtype="float32") + 0.5) / np.float32(across)
        centers = np.stack(np.meshgrid(x, y), axis=-1)[:, :, None, :]  # (H, W, 1, 2)
        halves = np.minimum(_shapes(scales[k], scales[k + 1], ratios), 1) / 2
        boxes = np.concatenate([centers - halves, centers + halves], axis=-1)
        levels.append(boxes.reshape(-1, 4) * sides)
    return np.concatenate(levels)


def _shapes(scale, following, ratios):
    """(boxes, 2) float32: widths and heights, in parts of the image's sides."""
    shapes = [(scale, scale), 2 * (math.sqrt(scale * following),)]
    for ratio in ratios:
        long, short = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
        shapes += [(long, short), (short, long)]
    return np.array(shapes, "float32")
