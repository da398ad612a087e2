"""A COCO folder of coloured rectangles on noise, which a small detector learns."""

import json

import numpy as np
import tensorflow as tf

# With a gap, as COCO's ids have.
CATEGORIES = {3: "red", 7: "green", 8: "blue"}
COLOURS = np.eye(3) * 220 + 20


def write_rectangles(folder, splits=("train2017", "val2017"), images=4, size=(64, 64)):
    """Splits of PNG images with two rectangles each; their ids differ by split."""
    rng = np.random.default_rng(0)
    (folder / "annotations").mkdir(parents=True)
    for number, split in enumerate(splits):
        (folder / split).mkdir()
        content = {"images": [], "annotations": []}
        content["categories"] = [{"id": i, "name": n} for i, n in CATEGORIES.items()]
        for i in range(images):
            _write_image(rng, folder / split, 100 * number + i + 1, size, content)
        path = folder / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(content))
    return folder


def _write_image(rng, folder, key, size, content):
    height, width = size
    pixels = rng.integers(90, 150, (height, width, 3))
    for half in range(2):  # one to the left, one to the right
        h, w = rng.integers(height // 4, height // 2), rng.integers(12, width // 2 - 4)
        y, x = rng.integers(0, height - h), rng.integers(0, width // 2 - w)
        x += half * (width // 2)
        which = int(rng.integers(3))
        pixels[y : y + h, x : x + w] = COLOURS[which]
        content["annotations"].append(
            {
                "id": len(content["annotations"]) + 1,
                "image_id": key,
                "category_id": list(CATEGORIES)[which],
                "bbox": [int(x), int(y), int(w), int(h)],
                "area": int(w * h),
                "iscrowd": 0,
            }
        )
    name = f"{key:012d}.png"
    png = tf.io.encode_png(pixels.astype("uint8")).numpy()
    (folder / name).write_bytes(png)
    info = {"id": key, "file_name": name, "height": height, "width": width}
    content["images"].append(info)
