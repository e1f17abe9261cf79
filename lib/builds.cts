/**
 * Where `napier build` puts the addon that it builds for an installed package, and where load.cts finds it: in the
 * user's cache, by version, platform and Node-API, outside of node_modules.
 */
import os = require("node:os");
import path = require("node:path");

function cacheRoot(): string {
  if (process.env.XDG_CACHE_HOME) return process.env.XDG_CACHE_HOME;
  if (process.platform === "win32" && process.env.LOCALAPPDATA) return process.env.LOCALAPPDATA;
  return path.join(os.homedir(), process.platform === "darwin" ? "Library/Caches" : ".cache");
}

/** The folder that a package of this version is built in. */
function buildFolder(version: string, target: string): string {
  return path.join(cacheRoot(), "napier", `${version}-${target}`);
}

export = { buildFolder, binaryIn: (folder: string) => path.join(folder, "build/Release/napier.node") };
