/**
 * Which C library the running Node was made for: the binaries for Linux come in two kinds.
 */

/** The parts of process.report.getReport() that tell. */
interface Report {
  header?: { glibcVersionRuntime?: string };
  /** Paths of the libraries that Node was loaded with. */
  sharedObjects?: readonly string[];
}

/**
 * "glibc", "musl" (Alpine), or "" away from Linux. Node made for glibc says its version; what musl's loader is called stands
 * among the libraries of the other. A Node that says neither is linked statically, as only musl's are.
 */
function libcOf(platform: NodeJS.Platform, { header, sharedObjects = [] }: Report): "glibc" | "musl" | "" {
  if (platform !== "linux") return "";
  if (sharedObjects.some((file) => /(^|\/)(ld-musl-|libc\.musl-)/.test(file))) return "musl";
  return header?.glibcVersionRuntime ? "glibc" : "musl";
}

export = { libcOf };
