"""Writes `pytorch_names.json.gz`; run where torchvision and timm are installed.

    python tests/references/make_pytorch_names.py

{"shapes": {"timm/resnet50": {name: shape}, …}, "trainings": [timm's model.training]}.
"""

import gzip
import json
from pathlib import Path

import timm
import torchvision

TIMM = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("seresnet50", "seresnext50_32x4d", "seresnext101_32x4d"),
    *("resnext50_32x4d", "resnext101_32x4d", "wide_resnet50_2", "wide_resnet101_2"),
    *("mobilenetv1_100", "mobilenetv1_125"),
    *("mobilenetv2_050", "mobilenetv2_100", "mobilenetv2_140"),
    *("mobilenetv3_large_100", "mobilenetv3_small_075", "mobilenetv3_small_100"),
    "vgg16",
)
TORCHVISION = (
    *("resnet50", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "vgg16"),
)


def shapes(model):
    return {
        name: list(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def main():
    found = {f"timm/{n}": shapes(timm.create_model(n, pretrained=False)) for n in TIMM}
    for name in TORCHVISION:
        model = torchvision.models.get_model(name, weights=None)
        found[f"torchvision/{name}"] = shapes(model)
    trainings = [n for n in timm.list_pretrained() if n.split(".")[0] in TIMM]
    content = {"timm": timm.__version__, "torchvision": torchvision.__version__}
    content |= {"shapes": found, "trainings": trainings}
    path = Path(__file__).with_name("pytorch_names.json.gz")
    path.write_bytes(gzip.compress(json.dumps(content).encode(), mtime=0))


if __name__ == "__main__":
    main()
