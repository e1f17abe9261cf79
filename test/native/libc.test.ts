/** Which of the two binaries for Linux is loaded: what Node's report says, here and on Alpine. */
import { expect, test } from "vitest";
import libcs from "#lib/libc.cjs";

const alpine = ["/lib/ld-musl-x86_64.so.1", "/usr/lib/libstdc++.so.6", "/usr/lib/libgcc_s.so.1"];

test.each([
  { what: "Debian", platform: "linux", report: { header: { glibcVersionRuntime: "2.36" } }, libc: "glibc" },
  { what: "Alpine", platform: "linux", report: { header: {}, sharedObjects: alpine }, libc: "musl" },
  {
    what: "Alpine on arm64",
    platform: "linux",
    report: { header: {}, sharedObjects: ["/lib/libc.musl-aarch64.so.1"] },
    libc: "musl",
  },
  {
    what: "Alpine with gcompat's glibc beside musl",
    platform: "linux",
    report: { header: { glibcVersionRuntime: "2.36" }, sharedObjects: alpine },
    libc: "musl",
  },
  { what: "a Node linked statically", platform: "linux", report: {}, libc: "musl" },
  { what: "macOS", platform: "darwin", report: { header: {} }, libc: "" },
  { what: "Windows", platform: "win32", report: { header: {} }, libc: "" },
] as const)("$what: $libc", ({ platform, report, libc }) => {
  expect(libcs.libcOf(platform, report)).toBe(libc);
});

test.skipIf(process.platform !== "linux")("this Node's own report names the C library that it runs on", () => {
  const report = process.report!.getReport() as { sharedObjects?: string[] };
  const musl = (report.sharedObjects ?? []).some((file) => file.includes("musl"));
  expect(libcs.libcOf(process.platform, report)).toBe(musl ? "musl" : "glibc");
});
