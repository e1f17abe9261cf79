/** @file Published weights: SqueezeNet 1.0 (Deep Compression, ImageNet), under torchvision's keys. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { io, models, noGrad, tensor } from "napier";
import { describe, expect, test } from "vitest";

const folder = process.env.NAPIER_DATA && join(process.env.NAPIER_DATA, "squeezenet-imagenet");
const present = folder && existsSync(join(folder, "expected.json"));

describe.skipIf(!present)("SqueezeNet 1.0 (needs NAPIER_DATA, a folder with squeezenet-imagenet/)", () => {
  test("25 ImageNet pictures: the published weights' scores, 14 right at first guess, 20 among five", async () => {
    const file = (name: string) => join(folder!, name);
    const weights = await io.load(file("squeezenet1_0_deepcompressed.safetensors"));
    const model = new models.SqueezeNet({ version: "1.0", finalPadding: 1 }).eval();
    model.loadStateDict(weights);
    const pictures = await io.loadNpy(file("imagenet_val_25_X_u8_nhwc.npy"));
    const channels = pictures.to("float32").permute([0, 3, 1, 2]);
    // Caffe's preprocessing: blue first, the means of ImageNet taken off.
    const x = channels.flip([1]).sub(tensor([104, 117, 123], [3, 1, 1]));
    const scores = noGrad(() => model.forward(x));
    const want = await io.loadNpy(file("expected_logits_val25_f32.npy"));
    const error = scores
      .sub(want.reshape([...scores.shape]))
      .abs()
      .max()
      .itemSync();
    expect(error).toBeLessThan(1e-3 * want.abs().max().itemSync());
    const expected = JSON.parse(readFileSync(file("expected.json"), "utf8")).val25;
    const { indices } = scores.topk(5, 1);
    const guesses = [...indices.dataSync()].map(Number);
    const hits = (n: number) =>
      (expected.y as number[]).filter((label, i) => guesses.slice(5 * i, 5 * i + n).includes(label)).length;
    expect([hits(1), hits(5)]).toEqual([expected.top1_correct, expected.top5_correct]);
  });
});
