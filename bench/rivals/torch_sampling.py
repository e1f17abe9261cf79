"""The cases of bench/sampling.ts in PyTorch: the U-Net of models.UNet's layout "cs231n", DDIM with guidance."""
import math
import torch
import torch.nn as nn
import torch.nn.functional as F


class Norm(nn.Module):
    """RMS norm over the channels."""

    def __init__(self, c):
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, c, 1, 1))

    def forward(self, x):
        return F.normalize(x, dim=1) * self.g * x.shape[1] ** 0.5


class Block(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.proj, self.norm = nn.Conv2d(a, b, 3, padding=1), Norm(b)

    def forward(self, x, parts=None):
        x = self.norm(self.proj(x))
        return F.gelu(x if parts is None else x * (parts[0] + 1) + parts[1])


class Residual(nn.Module):
    def __init__(self, a, b, context):
        super().__init__()
        self.mlp = nn.Sequential(nn.GELU(), nn.Linear(context, 2 * b))
        self.block1, self.block2 = Block(a, b), Block(b, b)
        self.shortcut = nn.Identity() if a == b else nn.Conv2d(a, b, 1)

    def forward(self, x, context):
        parts = self.mlp(context)[:, :, None, None].chunk(2, 1)
        return self.block2(self.block1(x, parts)) + self.shortcut(x)


class UNet(nn.Module):
    def __init__(self, dim=16, mults=(2, 4), channels=1, classes=10):
        super().__init__()
        self.half, c = dim // 2, 4 * dim
        dims = [dim] + [dim * m for m in mults]
        self.first = nn.Conv2d(channels, dim, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(dim, c), nn.GELU(), nn.Linear(c, c))
        self.label = nn.Embedding(classes + 1, c)
        self.none = classes
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for a, b in zip(dims, dims[1:]):
            self.downs.append(nn.ModuleList([Residual(a, a, c), Residual(a, a, c), nn.Conv2d(a, b, 2, 2)]))
            up = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(b, a, 3, padding=1))
            self.ups.insert(0, nn.ModuleList([up, Residual(2 * a, a, c), Residual(2 * a, a, c)]))
        self.middle = nn.ModuleList([Residual(dims[-1], dims[-1], c) for _ in range(2)])
        self.last = nn.Conv2d(dim, channels, 1)

    def forward(self, x, t, labels=None):
        angles = t.float()[:, None] * torch.exp(-math.log(10000) / (self.half - 1) * torch.arange(self.half))[None]
        if labels is None:
            labels = torch.full((len(x),), self.none)
        c = self.time(torch.cat([angles.sin(), angles.cos()], -1)) + self.label(labels)
        x, skips = self.first(x), []
        for a, b, down in self.downs:
            x = a(x, c)
            skips.append(x)
            x = b(x, c)
            skips.append(x)
            x = down(x)
        for block in self.middle:
            x = block(x, c)
        for up, a, b in self.ups:
            x = a(torch.cat([up(x), skips.pop()], 1), c)
            x = b(torch.cat([x, skips.pop()], 1), c)
        return self.last(x)


def build(p):
    """The sampling of a batch, and the number of parameters."""
    torch.manual_seed(0)
    n, steps, guidance = int(p["n"]), int(p["steps"]), 3
    model = UNet().eval()
    f = lambda t: math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = torch.tensor([min(1 - f(t + 1) / f(t), 0.999) for t in range(1000)], dtype=torch.float64)
    left = torch.cumprod(1 - betas, 0).tolist()
    times = [(steps - i) * 1000 // steps - 1 for i in range(steps)]
    labels = torch.full((n,), 3)

    @torch.inference_mode()
    def run():
        x = torch.randn(n, 1, 28, 28)
        for now, after in zip(times, times[1:] + [-1]):
            t = torch.full((n,), now)
            without = model(x, t)
            v = without + guidance * (model(x, t, labels) - without)
            a = left[now]
            start = (math.sqrt(a) * x - math.sqrt(1 - a) * v).clamp(-1, 1)
            noise = (x - math.sqrt(a) * start) / math.sqrt(1 - a)
            b = left[after] if after >= 0 else 1
            x = math.sqrt(b) * start + math.sqrt(1 - b) * noise
        return x.flatten().tolist()

    return run, [sum(p.numel() for p in model.parameters())]
