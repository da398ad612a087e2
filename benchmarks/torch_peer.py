"""ResNet50 and SE-ResNet50 in PyTorch, timed on request by `models.py`.

It runs under a Python that has torch (2.13.0 on a CPU), reads "NETWORK PASS" lines,
NETWORK being resnet50 or se_resnet50 and PASS predict or train, and answers each with
the seconds that one batch took. NCHW, as a user of torch has it by default.
"""

import sys
from time import perf_counter

import torch
from torch import nn


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, reduction_ratio=16):
        super().__init__()
        hidden = channels // reduction_ratio
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.gate(x)


def conv_norm(inputs, outputs, kernel_size, stride=1, relu=True):
    layers = [
        nn.Conv2d(inputs, outputs, kernel_size, stride, kernel_size // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return layers + [nn.ReLU(inplace=True)] * relu


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride, attention):
        super().__init__()
        outputs = 4 * width
        layers = conv_norm(inputs, width, 1) + conv_norm(width, width, 3, stride)
        layers += conv_norm(width, outputs, 1, relu=False)
        if attention:
            layers.append(SqueezeExcitation(outputs))
        self.main = nn.Sequential(*layers)
        self.shortcut = nn.Identity()
        if inputs != outputs or stride > 1:
            shortcut = conv_norm(inputs, outputs, 1, stride, relu=False)
            self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x):
        return torch.relu(self.main(x) + self.shortcut(x))


def resnet50(attention):
    layers = [*conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers.append(Bottleneck(channels, width, stride, attention))
            channels = 4 * width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]
    return nn.Sequential(*layers, *head)


class Peer:
    def __init__(self, attention, batch, cores):
        torch.set_num_threads(cores)
        torch.manual_seed(0)
        self.network = resnet50(attention)
        self.images = torch.randn(batch, 3, 224, 224)
        self.labels = torch.arange(batch)
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.01, 0.9)

    def predict(self):
        self.network.eval()
        with torch.inference_mode():
            self.network(self.images)

    def train(self):
        self.network.train()
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.network(self.images), self.labels)
        loss.backward()
        self.optimizer.step()


def main():
    batch, cores = map(int, sys.argv[1:])
    peers = {
        "resnet50": Peer(False, batch, cores),
        "se_resnet50": Peer(True, batch, cores),
    }
    print(torch.__version__, flush=True)
    for line in sys.stdin:
        network, step = line.split()
        start = perf_counter()
        getattr(peers[network], step)()
        print(perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
