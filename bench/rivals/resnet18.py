#!/usr/bin/python3
"""ResNet-18 (He et al. 2015) in evaluation mode, its weights by the formula of bench/contenders/resnet18.ts.
resnet18.py FILE: writes it as ONNX, batches of any size."""
import sys
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, ci, co, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(ci, co, 3, stride, 1, bias=False), nn.BatchNorm2d(co)
        self.conv2, self.bn2 = nn.Conv2d(co, co, 3, 1, 1, bias=False), nn.BatchNorm2d(co)
        same = stride == 1 and ci == co
        self.downsample = None if same else nn.Sequential(nn.Conv2d(ci, co, 1, stride, bias=False), nn.BatchNorm2d(co))

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for i, (ci, co) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512))):
            setattr(self, f"layer{i + 1}", nn.Sequential(Block(ci, co, 1 if i == 0 else 2), Block(co, co, 1)))
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def noise(count, seed):
    """[-0.5, 0.5) by the finisher of MurmurHash3."""
    with np.errstate(over="ignore"):
        h = np.arange(count, dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
        h = (h ^ h >> 16) * np.uint32(0x85EBCA6B)
        h = (h ^ h >> 13) * np.uint32(0xC2B2AE35)
    return ((h ^ h >> 16) / 2**32 - 0.5).astype(np.float32)


def resnet18():
    model = ResNet18().eval()
    with torch.no_grad():
        for seed, (name, t) in enumerate((n, t) for n, t in model.state_dict().items() if "num_batches" not in n):
            u = torch.from_numpy(noise(t.numel(), seed)).reshape(t.shape)
            if t.ndim > 1:
                t.copy_(u * np.float32(np.sqrt(24 / t[0].numel())))
            else:
                t.copy_(u * 0.2 + (1 if name.endswith(("bn1.weight", "bn2.weight", "1.weight", "var")) else 0))
    return model


def picture(n):
    return torch.from_numpy(noise(n * 3 * 224 * 224, 99)).reshape(n, 3, 224, 224) * 4


if __name__ == "__main__":
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    torch.onnx.export(resnet18(), torch.zeros(1, 3, 224, 224), sys.argv[1], input_names=["x"], output_names=["y"],
                      dynamic_axes=axes, opset_version=13)
