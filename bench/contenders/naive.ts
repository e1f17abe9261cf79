/** Contender: plain TypeScript on one thread. */
import * as naive from "../naive/kernels.js";
import { serve } from "./serve.js";

const random = (n: number) => Float32Array.from({ length: n }, () => Math.random() - 0.5);

await serve(({ op, params, naive: takesPart }) => {
  if (!takesPart) return null;
  const p = params as Record<string, number>;
  switch (op) {
    case "matmul": {
      const [a, b] = [random(p.m! * p.k!), random(p.k! * p.n!)];
      return () => void naive.matmul(a, b, p.m!, p.k!, p.n!);
    }
    case "conv2d":
    case "conv2d+backward": {
      const s = params as unknown as naive.Conv;
      const [x, w] = [random(s.n * s.c * s.h * s.h), random(s.o * s.c * s.r * s.r)];
      return () => {
        const y = naive.conv2d(x, w, s);
        if (op !== "conv2d") naive.conv2dGrad(y, x, w, s);
      };
    }
    case "batchnorm":
    case "batchnorm+backward": {
      const [n, c, inner] = [p.n!, p.c!, p.h! * p.h!];
      const x = random(n * c * inner);
      return () => {
        const { y, mean, rstd } = naive.batchnorm(x, n, c, inner);
        if (op !== "batchnorm") naive.batchnormGrad(y, x, mean, rstd, n, c, inner);
      };
    }
    default:
      return null;
  }
});
