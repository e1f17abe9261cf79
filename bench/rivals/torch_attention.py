"""PyTorch's side of bench/attention.ts: of its two forms, the one that is faster for the case."""
import time
import torch
import torch.nn.functional as F


def build(op, p):
    n, heads, t, s, d, causal = (p[name] for name in ("n", "heads", "t", "s", "d", "causal"))
    backward = op.endswith("+backward")
    q, k, v = (torch.randn(n, heads, length, d).requires_grad_(backward) for length in (t, s, s))
    mask = torch.full((t, s), float("-inf")).triu(1) if causal else None

    def explicit():
        scores = (q * d**-0.5) @ k.transpose(-2, -1)
        return torch.softmax(scores if mask is None else scores + mask, -1) @ v

    def builtin():
        if hasattr(F, "scaled_dot_product_attention"):
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return F._scaled_dot_product_attention(q, k, v, is_causal=causal, need_attn_weights=False)[0]

    dy = torch.randn(n, heads, t, d)

    def run(forward):
        return (lambda: torch.autograd.grad(forward(), (q, k, v), dy)) if backward else forward

    def took(form):
        form()
        times = []
        for _ in range(2):
            start = time.perf_counter()
            form()
            times.append(time.perf_counter() - start)
        return min(times)

    return min((run(explicit), run(builtin)), key=took)
