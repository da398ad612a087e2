"""torchvision's Faster R-CNN R50-FPN, timed on request by `detection.py`.

It runs under a Python that has torchvision (0.29.1 on a CPU), reads lines that say
"network", the parts that torch runs without torchvision's compiled operators (backbone,
pyramid, and both heads, the second on maps as ROIAlign would cut them), or "whole",
and answers each with the seconds that one image took.
"""

import sys
from time import perf_counter

import torch
import torchvision


class Peer:
    def __init__(self, height, width, proposals):
        torch.manual_seed(0)
        self.model = torchvision.models.detection.fasterrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, min_size=height, max_size=width
        ).eval()
        self.image = torch.rand(3, height, width)
        self.pooled = torch.rand(proposals, 256, 7, 7)

    def network(self):
        features = self.model.backbone(self.image[None])
        self.model.rpn.head(list(features.values()))
        heads = self.model.roi_heads
        heads.box_predictor(heads.box_head(self.pooled))

    def whole(self):
        self.model([self.image])


def main():
    height, width, proposals, cores = map(int, sys.argv[1:])
    torch.set_num_threads(cores)
    peer = Peer(height, width, proposals)
    print(f"{torchvision.__version__}, torch {torch.__version__}", flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            start = perf_counter()
            getattr(peer, line.strip())()
            print(perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
