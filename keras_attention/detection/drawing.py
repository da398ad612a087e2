"""Pictures of boxes, the true ones beside those found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_attention.detection.data.records import BoxedImages
from keras_attention.extras import require
from keras_attention.training.files import replace_file
from keras_attention.visualization.style import COLOURS, as_text

__all__ = ["draw_boxes", "draw_detections", "write_detection_panels"]

DPI = 100
FONT = 8  # points
LINE = 1.8  # points
SMALLEST, USUAL = 0.7, 640  # of the sizes above, which are for images of 640 pixels
PANEL, TITLE = 6.0, 0.3  # inches
LUMINANCE = (0.299, 0.587, 0.114)


# Not `keras.visualization.draw_bounding_boxes`: it raises ImportError without OpenCV
# (150 MB), has one colour for all classes, and writes captions in that colour straight
# on the photograph and past its right edge.
def draw_boxes(
    axes,
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray | None = None,
    *,
    class_names: Sequence[str],
    crowd: np.ndarray | None = None,
    min_score: float = 0.0,
    scale: float = 1.0,
) -> list[str]:
    """Draw an image and its boxes, each in its class's colour and with its name.

    The best detections, or the smallest true boxes, lie on top.

    Args:
        axes: of matplotlib.
        image: (height, width, 3), RGB from 0 to 255.
        boxes: (n, 4), xyxy in pixels of the image.
        labels: (n,), from 1; those below fill up and are not drawn.
        scores: (n,), 0 to 1, or None for true boxes.
        class_names: label i is `class_names[i - 1]`.
        crowd: bool (n,), boxes to dash, or None.
        min_score: detections with a lower score are not drawn.
        scale: of letters and lines.

    Returns:
        The captions in the order drawn, such as `"dog 0.87"`.

    Raises:
        ValueError: the arrays' lengths differ, or a label has no name.
    """
    boxes, labels = np.reshape(boxes, (-1, 4)), np.asarray(labels)
    _check(boxes, labels, scores, crowd, class_names)
    axes.imshow(np.clip(image, 0, 255).astype(np.uint8))
    axes.set_axis_off()
    axes.apply_aspect()  # now, because captions are kept inside
    captions = []
    for i in _order(boxes, labels, scores, min_score):
        captions.append(_caption(class_names[labels[i] - 1], scores, i))
        dashed = crowd is not None and crowd[i]
        _draw_box(axes, boxes[i], labels[i], captions[-1], dashed, scale)
    return captions


def draw_detections(image: np.ndarray, boxes, labels, scores=None, **options):
    """`draw_boxes` as an image of the same size.

    Args:
        image, boxes, labels, scores, **options: see `draw_boxes`; `scale` follows from
            the image's size.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: as `draw_boxes`.
    """
    height, width = np.shape(image)[:2]
    figure, canvas = _figure((width / DPI, height / DPI))
    axes = figure.add_axes((0, 0, 1, 1))
    scale = max(SMALLEST, max(height, width) / USUAL)
    draw_boxes(axes, image, boxes, labels, scores, scale=scale, **options)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def write_detection_panels(
    path: str | Path,
    images: BoxedImages,
    detections: Iterable[dict],
    *,
    most: int = 6,
    min_score: float = 0.3,
) -> None:
    """Write a PNG with a row per image: its true boxes, and the detections.

    Args:
        path: the file, whole or not at all.
        images: the set.
        detections: as `evaluate_detections` takes them, boxes in the file's pixels.
        most: images at most, the set's first ones.
        min_score: detections with a lower score are not drawn.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there is no image, or as `draw_boxes`.
    """
    shown = images.images[:most]
    if not shown:
        raise ValueError(f"There is no image to draw: {len(images)} images, {most=}.")
    found = {int(detection["id"]): detection for detection in detections}
    sides = [PANEL * min(1.2, image.height / image.width) for image in shown]
    height = sum(sides) + TITLE * len(shown)
    figure, _ = _figure((2 * PANEL, height))
    grid = figure.subplots(len(shown), 2, squeeze=False, height_ratios=sides)
    between = TITLE * len(shown) / sum(sides)  # in units of a row's mean height
    figure.subplots_adjust(0.01, 0.005, 0.99, 1 - TITLE / height, 0.02, between)
    for image, (left, right) in zip(shown, grid, strict=True):
        pixels, names = image.read_pixels(), {"class_names": images.class_names}
        draw_boxes(left, pixels, image.boxes, image.labels, crowd=image.crowd, **names)
        given = found.get(image.id, {"boxes": [], "labels": [], "scores": []})
        arrays = (np.asarray(given[key]) for key in ("boxes", "labels", "scores"))
        captions = draw_boxes(right, pixels, *arrays, min_score=min_score, **names)
        left.set_title(f"image {image.id}, true boxes: {len(image.boxes)}", fontsize=10)
        title = f"detections with a score ≥ {min_score:g}: {len(captions)}"
        right.set_title(title, fontsize=10)
    replace_file(Path(path), lambda aside: figure.savefig(aside, dpi=DPI))


def _figure(inches: tuple[float, float]):
    purpose = "Drawing boxes"
    module = require("matplotlib.figure", extra="viz", purpose=purpose)
    agg = require("matplotlib.backends.backend_agg", extra="viz", purpose=purpose)
    figure = module.Figure(figsize=inches, dpi=DPI)
    return figure, agg.FigureCanvasAgg(figure)


def _check(boxes, labels, scores, crowd, class_names) -> None:
    given = {"labels": labels, "scores": scores, "crowd": crowd}
    for name, values in given.items():
        if values is not None and np.shape(values) != (len(boxes),):
            raise ValueError(
                f"There are {len(boxes)} boxes, but `{name}` has the shape "
                f"{np.shape(values)}."
            )
    if len(labels) and labels.max() > len(class_names):
        raise ValueError(
            f"The label {labels.max()} has no name: there are {len(class_names)}."
        )


def _order(boxes, labels, scores, min_score: float) -> list[int]:
    """Places of the boxes to draw, those on top last."""
    sides = boxes[:, 2:] - boxes[:, :2]
    rank = -sides.prod(axis=1) if scores is None else np.asarray(scores)
    shown = labels >= 1
    if scores is not None:
        shown = shown & (rank >= min_score)
    return [i for i in np.argsort(rank, kind="stable") if shown[i]]


def _caption(name: str, scores, i: int) -> str:
    return name if scores is None else f"{name} {scores[i]:.2f}"


def _draw_box(axes, box, label: int, caption: str, dashed: bool, scale: float) -> None:
    patches = require("matplotlib.patches", extra="viz", purpose="Drawing boxes")
    colour = COLOURS[(label - 1) % len(COLOURS)]
    x1, y1, x2, y2 = (float(side) - 0.5 for side in box)  # pixels' centres are whole
    line = {"linewidth": LINE * scale, "linestyle": "dashed" if dashed else "solid"}
    axes.add_patch(
        patches.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, **line)
    )
    text = axes.text(
        *(x1, y1, as_text(caption)),
        color="black" if _is_light(colour) else "white",
        fontsize=FONT * scale,
        va="bottom",
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2 * scale},
    )
    _keep_inside(axes, text)


def _keep_inside(axes, text) -> None:
    """Move a caption into the axes, where it passes its right or upper edge."""
    extent, frame = text.get_window_extent(), axes.get_window_extent()
    x, y = axes.transData.transform(text.get_position())
    x -= max(0.0, extent.x1 - frame.x1)
    y -= max(0.0, extent.y1 - frame.y1)
    text.set_position(axes.transData.inverted().transform((max(x, frame.x0), y)))


def _is_light(colour: str) -> bool:
    rgb = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    return float(np.dot(LUMINANCE, rgb)) > 0.5
