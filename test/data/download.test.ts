/**
 * @file Downloads against servers on 127.0.0.1: digests, mirrors, transfers that break and go on, proxies, two processes at
 * once, archives. Nothing leaves the machine.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { data } from "napier";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { datasetFolder, downloadFile } from "#lib/data/download.js";
import { get, proxyFor } from "#lib/data/http.js";
import { unpack } from "#lib/data/tar.js";

const folders: string[] = [];
const servers: Server[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "napier-download-"));
  folders.push(folder);
});

const content = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >> 3));
const md5 = createHash("md5").update(content).digest("hex");
const sha256 = createHash("sha256").update(content).digest("hex");
const direct = { env: {} }; // whatever proxy this machine has

/** A server, the requests it saw, and its address. */
async function serve(handle: (request: IncomingMessage, response: ServerResponse, turn: number) => void) {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    handle(request, response, requests.length);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, requests, address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

/** Sends the content, or what a Range asks for; breaks off after `most` bytes. */
function send(
  request: IncomingMessage,
  response: ServerResponse,
  most = Number.POSITIVE_INFINITY,
  bytes = content,
): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const headers = { "content-length": bytes.length - from };
  if (from >= bytes.length) response.writeHead(416).end();
  else {
    if (from > 0)
      response.writeHead(206, { ...headers, "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
    else response.writeHead(200, headers);
    if (most >= bytes.length - from) response.end(bytes.subarray(from));
    else response.write(bytes.subarray(from, from + most), () => setTimeout(() => response.destroy(), 20));
  }
}
const remote = (address: string, digest = md5) => ({ name: "file.bin", urls: [`${address}file.bin`], digest });
const held = () => readFileSync(join(folder, "file.bin"));

describe("transfers", () => {
  test.each([md5, sha256])("a file arrives whole, with progress; the second call asks nobody (%s)", async (digest) => {
    const { requests, address } = await serve((request, response) => send(request, response));
    const seen: data.DownloadProgress[] = [];
    const options = { ...direct, onProgress: (p: data.DownloadProgress) => seen.push(p) };
    const path = await downloadFile("test", remote(address, digest), folder, options);
    expect(path).toBe(join(folder, "file.bin"));
    expect(held().equals(content)).toBe(true);
    expect(seen[0]).toEqual({ file: "file.bin", received: 0, total: content.length });
    expect(seen.at(-1)).toEqual({ file: "file.bin", received: content.length, total: content.length });
    await downloadFile("test", remote(address, digest), folder, direct);
    expect(requests).toHaveLength(1);
    expect(readdirSync(folder)).toEqual(["file.bin"]);
  });
  test("a transfer that breaks goes on where it broke", async () => {
    const { requests, address } = await serve((request, response, turn) =>
      send(request, response, turn < 3 ? 100_000 : 1e9),
    );
    await downloadFile("test", remote(address), folder, direct);
    expect(requests.map((r) => r.headers.range)).toEqual([undefined, "bytes=100000-", "bytes=200000-"]);
    expect(held().equals(content)).toBe(true);
  });
  test("what an earlier process left is used, and thrown away where it was another file's", async () => {
    const { requests, address } = await serve((request, response) => send(request, response));
    writeFileSync(join(folder, "file.bin.part"), content.subarray(0, 1234));
    await downloadFile("test", remote(address), folder, direct);
    expect(requests[0]!.headers.range).toBe("bytes=1234-");
    rmSync(join(folder, "file.bin"));
    writeFileSync(join(folder, "file.bin.part"), Buffer.alloc(1234, 7));
    await downloadFile("test", remote(address), folder, direct);
    expect(requests.slice(1).map((r) => r.headers.range)).toEqual(["bytes=1234-", undefined]);
    rmSync(join(folder, "file.bin"));
    writeFileSync(join(folder, "file.bin.part"), content); // only the renaming was missing
    await downloadFile("test", remote(address), folder, direct);
    expect(held().equals(content)).toBe(true);
  });
  test("a server that knows no Range sends all of it again", async () => {
    const { address } = await serve((_, response) =>
      response.writeHead(200, { "content-length": content.length }).end(content),
    );
    writeFileSync(join(folder, "file.bin.part"), content.subarray(0, 500));
    await downloadFile("test", remote(address), folder, direct);
    expect(held().equals(content)).toBe(true);
  });
  test("redirects are followed, but not forever", async () => {
    const { address } = await serve((request, response) =>
      request.url === "/file.bin" ? response.writeHead(302, { location: "/there" }).end() : send(request, response),
    );
    await downloadFile("test", remote(address), folder, direct);
    const circle = await serve((_, response) => response.writeHead(301, { location: "/again" }).end());
    await expect(get(circle.address, direct)).rejects.toThrow("more than 5 redirects");
  });
  test("an aborted transfer leaves what came", async () => {
    const { address } = await serve((request, response) => {
      const { length } = content;
      response.writeHead(200, { "content-length": length }).write(content.subarray(0, 50_000));
      request.on("close", () => response.destroy());
    });
    const controller = new AbortController();
    const onProgress = ({ received }: data.DownloadProgress) => received === 50_000 && controller.abort();
    await expect(
      downloadFile("test", remote(address), folder, { ...direct, signal: controller.signal, onProgress }),
    ).rejects.toThrow("aborted");
    expect(existsSync(join(folder, "file.bin"))).toBe(false);
    expect(existsSync(join(folder, "file.bin.lock"))).toBe(false);
  });
  test("two at once fetch it once; the lock of a process that is gone is broken", async () => {
    const { requests, address } = await serve((request, response) => setTimeout(() => send(request, response), 50));
    writeFileSync(join(folder, "file.bin.lock"), "999999999");
    await Promise.all([1, 2].map(() => downloadFile("test", remote(address), folder, direct)));
    expect(requests).toHaveLength(1);
  });
});

describe("errors", () => {
  test("each address is tried and named with its reason; mirrors come first", async () => {
    const wrong = await serve((request, response) => send(request, response, 1e9, Buffer.from("another file")));
    const missing = await serve((_, response) => response.writeHead(404).end());
    const refusing = `http://127.0.0.1:${(await closedPort()).toString()}/`;
    const failing = downloadFile(
      "cifar10",
      { name: "file.bin", urls: [`${missing.address}file.bin`, `${refusing}file.bin`], digest: md5 },
      folder,
      {
        ...direct,
        mirrors: [wrong.address.slice(0, -1)],
      },
    );
    const error = (await failing.catch((e) => e)) as Error;
    expect(error.message).toContain("cifar10: cannot download file.bin. Tried:");
    expect(error.message).toContain(`${wrong.address}file.bin: expected a file of digest ${md5}, got`);
    expect(error.message).toContain(`${missing.address}file.bin: the server answers 404 Not Found`);
    expect(error.message).toMatch(/file\.bin: .*ECONNREFUSED/);
    expect(error.message).toContain("set HTTPS_PROXY");
    expect(error.message).toContain(folder);
    expect(existsSync(join(folder, "file.bin"))).toBe(false);
    const good = await serve((request, response) => send(request, response));
    await downloadFile("cifar10", remote(missing.address), folder, { ...direct, mirrors: [good.address] });
  });
  test("an answer that never comes", async () => {
    const { address } = await serve(() => {});
    await expect(get(address, { ...direct, timeout: 50 })).rejects.toThrow("no answer came for 0.05 s");
  });
});

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("proxies", () => {
  test("the variables and their exceptions", () => {
    const proxy = (url: string, env: NodeJS.ProcessEnv) => proxyFor(new URL(url), env)?.href ?? null;
    const env = { HTTPS_PROXY: "http://p:8080", http_proxy: "q:80", NO_PROXY: "localhost, .inner.org,other.org:8443" };
    expect(proxy("https://a.org/x", env)).toBe("http://p:8080/");
    expect(proxy("http://a.org/x", env)).toBe("http://q/");
    for (const url of ["https://localhost/", "https://inner.org/", "http://a.inner.org/", "https://other.org:8443/"])
      expect(proxy(url, env), url).toBe(null);
    expect(proxy("https://other.org/", env)).toBe("http://p:8080/");
    expect(proxy("https://notinner.org/", env)).toBe("http://p:8080/");
    expect(proxy("https://a.org/", { ...env, no_proxy: "*" })).toBe(null);
    expect(proxy("https://a.org/", { ALL_PROXY: "http://r:1" })).toBe("http://r:1/");
    expect(proxy("https://a.org/", {})).toBe(null);
    expect(() => proxy("https://a.org/", { https_proxy: "socks5://p:1" })).toThrow("got socks5://");
  });
  test("plain HTTP goes through it by its whole address, with the name and password", async () => {
    const origin = await serve((request, response) => send(request, response));
    const proxy = await serve((request, response) => send(request, response));
    const env = { http_proxy: proxy.address.replace("//", "//me:p%40ss@") };
    await downloadFile("test", remote("http://data.invalid/"), folder, { env });
    expect(origin.requests).toHaveLength(0);
    expect(proxy.requests[0]!.url).toBe("http://data.invalid/file.bin");
    expect(proxy.requests[0]!.headers["proxy-authorization"]).toBe(
      `Basic ${Buffer.from("me:p@ss").toString("base64")}`,
    );
  });
  test("HTTPS asks it for a tunnel to the host, and says so where it refuses", async () => {
    const asked: string[] = [];
    const sockets: Socket[] = [];
    const { server, address } = await serve(() => {});
    server.on("connect", (request, socket: Socket) => {
      asked.push(request.url!);
      sockets.push(socket);
      if (asked.length === 1) socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
      else {
        // A tunnel to a server that speaks no TLS: the handshake goes through and fails there.
        const inner = connect(Number(new URL(address).port), "127.0.0.1");
        sockets.push(inner);
        socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
        for (const [from, to] of [
          [socket, inner],
          [inner, socket],
        ] as const)
          from.on("error", () => to.destroy()).pipe(to);
      }
    });
    const env = { https_proxy: address };
    await expect(get("https://data.invalid/file", { env })).rejects.toThrow(/the proxy 127.0.0.1:\d+ answers 407/);
    await expect(get("https://data.invalid:444/file", { env })).rejects.toThrow();
    expect(asked).toEqual(["data.invalid:443", "data.invalid:444"]);
    for (const socket of sockets) socket.destroy();
  });
});

/** A tar archive of files, ustar. */
function tar(files: Record<string, Buffer>): Buffer {
  const parts = Object.entries(files).flatMap(([name, bytes]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write("0000644\0", 100);
    header.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("0", 156);
    header.write("ustar\0", 257);
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

describe("archives", () => {
  test("give the wanted files by their base names, wherever they claim to belong", async () => {
    const path = join(folder, "a.tar.gz");
    writeFileSync(
      path,
      gzipSync(tar({ "x/readme": Buffer.from("no"), "../../up/one.bin": content, "x/empty": Buffer.alloc(0) })),
    );
    await unpack("test", path, join(folder, "out"), ["one.bin", "empty"]);
    expect(readdirSync(join(folder, "out")).sort()).toEqual(["empty", "one.bin"]);
    expect(readFileSync(join(folder, "out/one.bin")).equals(content)).toBe(true);
    await expect(unpack("test", path, join(folder, "out"), ["two.bin"])).rejects.toThrow("it holds no two.bin");
  });
  test("that are torn, or none", async () => {
    const path = join(folder, "a.tar.gz");
    const whole = gzipSync(tar({ "one.bin": content }), { level: 0 });
    writeFileSync(path, whole.subarray(0, 100_000));
    await expect(unpack("test", path, join(folder, "out"), ["one.bin"])).rejects.toThrow(
      /cannot unpack .*fetch it again/,
    );
    expect(existsSync(join(folder, "out/one.bin"))).toBe(false);
    writeFileSync(path, "not gzip at all");
    await expect(unpack("test", path, join(folder, "out"), ["one.bin"])).rejects.toThrow("cannot unpack");
  });
});

describe("named sets", () => {
  const record = (labels: number[], value: number) => Buffer.concat([Buffer.from(labels), Buffer.alloc(3072, value)]);
  test("CIFAR-100: fine and coarse labels, and what a wrong one says", async () => {
    writeFileSync(join(folder, "train.bin"), Buffer.concat([record([19, 99], 51), record([0, 3], 0)]));
    writeFileSync(join(folder, "test.bin"), record([4, 0], 255));
    const fine = await data.cifar100(folder);
    expect([fine.train.length, fine.test.length, fine.classes.length]).toEqual([2, 1, 100]);
    const [x, y] = fine.train.batch(Int32Array.of(0), { seed: 0, epoch: 0 });
    expect(x!.dataSync()[0]).toBeCloseTo((0.2 - 0.5071) / 0.2673, 5);
    expect(fine.classes[y!.itemSync()]).toBe("worm");
    const coarse = await data.cifar100(folder, { labels: "coarse", normalize: false });
    expect(coarse.classes).toHaveLength(20);
    expect(coarse.classes[coarse.train.batch(Int32Array.of(0), { seed: 0, epoch: 0 })[1]!.itemSync()]).toBe(
      "vehicles_2",
    );
    writeFileSync(join(folder, "test.bin"), record([20, 0], 255));
    await expect(data.cifar100(folder)).rejects.toThrow("readCifar100: expected labels 0-19");
    await expect(data.cifar100(folder, { labels: "both" as "fine" })).rejects.toThrow('"fine" or "coarse", got both');
  });
  test("nothing is fetched unasked, nor what is there; a digest that is not the official one is refused", async () => {
    const { requests, address } = await serve((_, response) => response.end(gzipSync(tar({}))));
    await expect(data.cifar10(folder)).rejects.toThrow("data_batch_1.bin");
    expect(requests).toHaveLength(0);
    const env = { ...process.env };
    process.env.https_proxy = address; // the official address would go there
    process.env.no_proxy = "127.0.0.1";
    try {
      await expect(data.cifar10(folder, { download: true, mirrors: [address] })).rejects.toThrow(
        /cifar-10-binary\.tar\.gz: expected a file of digest c32a1d4ab5d03f1284b67883e8d87530, got/,
      );
    } finally {
      process.env = env;
    }
    expect(requests[0]!.url).toBe("/cifar-10-binary.tar.gz");
    const before = requests.length;
    writeFileSync(join(folder, "train.bin"), record([0, 0], 1));
    writeFileSync(join(folder, "test.bin"), record([0, 0], 1));
    expect((await data.cifar100(folder, { download: true, mirrors: [address] })).train.length).toBe(1);
    expect(requests).toHaveLength(before);
  });
  test("the cache folder follows XDG_CACHE_HOME", () => {
    expect(datasetFolder("mnist", { XDG_CACHE_HOME: "/cache" })).toBe(join("/cache", "napier", "datasets", "mnist"));
  });
});
