/**
 * Where tensors can live, and why a GPU is not among the places that are used.
 */
import { existsSync } from "node:fs";
import { addon, type DType } from "./native.js";

/** Where a tensor can live. Only "cpu" is available in this version (devices() says why). */
export type Device = "cpu" | "cuda";

/** One device, as devices() tells it. */
export interface DeviceInfo {
  /** What to() takes. */
  name: Device;
  /** Whether tensors can be there. */
  available: boolean;
  /** What it computes with, or why it is not used. */
  detail: string;
}

function cuda(): DeviceInfo {
  const not = (detail: string): DeviceInfo => ({ name: "cuda", available: false, detail });
  if (process.platform !== "linux") return not(`GPUs are used on Linux only, this is ${process.platform}`);
  if (!existsSync("/proc/driver/nvidia/version")) {
    return not("no NVIDIA driver is loaded (/proc/driver/nvidia/version is missing)");
  }
  return not("there is an NVIDIA driver, but this version of napier has no CUDA library; it computes on the CPU");
}

/** The devices known, with what each is or why it is not used. */
export function devices(): DeviceInfo[] {
  return [{ name: "cpu", available: true, detail: `${addon.isa()}, ${addon.threads()} threads` }, cuda()];
}

/** Splits the argument of `to`: a dtype, or a device that is available (else an error that says why it is not). */
export function dtypeOrDevice(op: string, target: DType | Device): DType | null {
  if (target !== "cpu" && target !== "cuda") return target;
  const device = devices().find(({ name }) => name === target)!;
  if (!device.available) throw new Error(`${op}: the device ${target} is not available: ${device.detail}`);
  return null;
}
