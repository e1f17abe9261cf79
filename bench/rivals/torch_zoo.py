"""The training steps of bench/zoo.ts in PyTorch: the models of bench/contenders/zoo.ts, written as their authors do."""
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch_steps import ViT


class Basic(nn.Module):
    """ResNet-20's block, its shortcut without weights."""

    def __init__(self, ci, co, stride):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(ci, co, 3, stride, 1, bias=False), nn.BatchNorm2d(co)
        self.c2, self.b2 = nn.Conv2d(co, co, 3, 1, 1, bias=False), nn.BatchNorm2d(co)
        self.more = co - ci

    def forward(self, x):
        h = F.relu(self.b1(self.c1(x)))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(self.b2(self.c2(h)) + x)


def resnet20():
    layers, ci = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for co, stride in ((16, 1), (16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1)):
        layers.append(Basic(ci, co, stride))
        ci = co
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    return model, optimizer, torch.randn(128, 3, 32, 32), torch.randint(10, (128,)), None


def vit():
    model = ViT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    return model, optimizer, torch.randn(64, 3, 32, 32), torch.randint(10, (64,)), None


class Norm(nn.Module):
    """nanoGPT's: without a bias."""

    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)


class Decoder(nn.Module):
    def __init__(self, d, heads, context):
        super().__init__()
        self.heads, self.n1, self.n2 = heads, Norm(d), Norm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.ff = nn.Sequential(nn.Linear(d, 4 * d, bias=False), nn.GELU(), nn.Linear(4 * d, d, bias=False))
        self.register_buffer("mask", torch.tril(torch.ones(context, context)).view(1, 1, context, context))

    def attend(self, x):
        b, t, d = x.shape
        q, k, v = (y.view(b, t, self.heads, d // self.heads).transpose(1, 2) for y in self.qkv(x).split(d, 2))
        a = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(k.size(-1)))
        a = F.softmax(a.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf")), -1)
        return self.proj((a @ v).transpose(1, 2).contiguous().view(b, t, d))

    def forward(self, x):
        x = x + self.attend(self.n1(x))
        return x + self.ff(self.n2(x))


class GPT(nn.Module):
    def __init__(self, vocabulary=65, context=64, d=128, layers=4, heads=4):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, d), nn.Embedding(context, d)
        self.blocks, self.norm = nn.Sequential(*[Decoder(d, heads, context) for _ in range(layers)]), Norm(d)
        self.head = nn.Linear(d, vocabulary, bias=False)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0, 0.02)
        self.wte.weight = self.head.weight

    def forward(self, ids):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))


def gpt():
    model = GPT()
    of = lambda decayed: [p for p in model.parameters() if (p.dim() > 1) == decayed]
    groups = [{"params": of(True), "weight_decay": 0.1}, {"params": of(False), "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
    ids = lambda: torch.randint(65, (12, 64))
    return model, optimizer, ids(), ids(), 1.0


def build(name):
    """The step, and the number of parameters."""
    torch.manual_seed(0)
    make = {"ResNet": resnet20, "ViT": vit, "GPT": gpt}[name.replace("-", " ").split()[0]]
    model, optimizer, x, y, clip = make()

    def run():
        optimizer.zero_grad(set_to_none=True)
        scores = model(x)
        loss = F.cross_entropy(scores.view(-1, scores.shape[-1]), y.view(-1))
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        return loss.item()

    return run, [sum(p.numel() for p in model.parameters())]
