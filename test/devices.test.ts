/**
 * Devices: the CPU, and a sentence about why a GPU is not used.
 */
import { devices, nn, ones } from "napier";
import { expect, test } from "vitest";

test("devices() says what each is, or why it is not used", () => {
  const [cpu, cuda] = devices();
  expect(cpu).toMatchObject({ name: "cpu", available: true });
  expect(cpu!.detail).toMatch(/^(scalar|avx2|avx512|neon), \d+ threads$/);
  expect(cuda!.detail.length).toBeGreaterThan(10);
});

test('to("cpu") is the tensor itself; an absent device is an error that says why', () => {
  const x = ones([2]);
  expect(x.device).toBe("cpu");
  expect(x.to("cpu")).toBe(x);
  const layer = new nn.Linear(2, 2);
  expect(layer.to("cpu")).toBe(layer);
  if (devices()[1]!.available) return;
  expect(() => x.to("cuda")).toThrow(/to: the device cuda is not available: ./);
  expect(() => layer.to("cuda")).toThrow(/Module.to: the device cuda is not available: ./);
});
