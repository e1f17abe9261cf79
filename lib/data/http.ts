/**
 * GET over HTTP and HTTPS with node:http alone, so that the proxy variables count (Node's fetch ignores them): HTTPS_PROXY,
 * HTTP_PROXY and ALL_PROXY, upper or lower case, and NO_PROXY. HTTPS goes through a CONNECT tunnel.
 */
import http from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import tls from "node:tls";

/** What a GET may need beside the address. */
export interface GetOptions {
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Milliseconds without a byte before the transfer counts as broken. Default 30,000. */
  timeout?: number;
  /** Where proxy variables are read. Default process.env. */
  env?: NodeJS.ProcessEnv;
}

const MOST_REDIRECTS = 5;

/** The proxy for an address by the variables of `env`; null where it is reached directly. */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv = process.env): URL | null {
  const read = (name: string) => env[name.toLowerCase()] || env[name.toUpperCase()];
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  for (const entry of (read("no_proxy") ?? "").split(/[\s,]+/).filter(Boolean)) {
    const [, host, only] = /^(.*?)(?::(\d+))?$/.exec(entry.replace(/^\*?\./, "")) as unknown as [
      string,
      string,
      string?,
    ];
    if (entry === "*") return null;
    const matches = url.hostname === host || url.hostname.endsWith(`.${host}`);
    if (matches && (only === undefined || only === port)) return null;
  }
  const text = read(url.protocol === "https:" ? "https_proxy" : "http_proxy") || read("all_proxy");
  if (!text) return null;
  const proxy = new URL(/^[a-z0-9]+:\/\//i.test(text) ? text : `http://${text}`);
  if (proxy.protocol !== "http:" && proxy.protocol !== "https:")
    throw new Error(
      `expected a proxy at http:// or https://, got ${proxy.protocol}// in the environment; unset it, or name another`,
    );
  return proxy;
}

const authorization = (proxy: URL): Record<string, string> =>
  proxy.username === ""
    ? {}
    : {
        "proxy-authorization": `Basic ${Buffer.from(
          `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`,
        ).toString("base64")}`,
      };

const hostOf = ({ hostname }: URL) => hostname.replace(/^\[|\]$/g, "");

/** A TLS connection to the address through the proxy. */
function tunnel(url: URL, proxy: URL, { signal, timeout }: GetOptions): Promise<Socket> {
  const target = `${url.hostname}:${url.port || 443}`;
  return new Promise((resolve, reject) => {
    const request = (proxy.protocol === "https:" ? https : http).request({
      method: "CONNECT",
      host: hostOf(proxy),
      port: proxy.port || (proxy.protocol === "https:" ? 443 : 80),
      path: target,
      headers: { host: target, ...authorization(proxy) },
      agent: false,
      signal,
      timeout,
    });
    request.once("connect", (response, socket) => {
      if (response.statusCode !== 200) {
        socket.destroy();
        reject(
          new Error(`the proxy ${proxy.host} answers ${response.statusCode} ${response.statusMessage ?? ""}`.trim()),
        );
        return;
      }
      const secure = tls.connect({ socket, servername: hostOf(url) }, () => resolve(secure));
      secure.once("error", reject);
    });
    request.once("timeout", () => request.destroy(new Error(`the proxy ${proxy.host} did not answer`)));
    request.once("error", (error) => reject(new Error(`the proxy ${proxy.host}: ${error.message}`, { cause: error })));
    request.end();
  });
}

/**
 * The response to a GET, its body unread; redirects are followed.
 *
 * @throws Error with what the network, the proxy or the server said; the status of a response is the caller's to judge
 */
export async function get(address: string | URL, options: GetOptions = {}): Promise<http.IncomingMessage> {
  const { headers = {}, signal, timeout = 30_000, env = process.env } = options;
  let url = new URL(address);
  for (let redirects = 0; ; redirects++) {
    const response = await once(url, { headers, signal, timeout, env });
    const { statusCode = 0 } = response;
    const { location } = response.headers;
    if (![301, 302, 303, 307, 308].includes(statusCode) || location === undefined) return response;
    response.destroy();
    if (redirects === MOST_REDIRECTS)
      throw new Error(`more than ${MOST_REDIRECTS} redirects, the last one to ${location}`);
    url = new URL(location, url);
  }
}

async function once(url: URL, options: Required<Omit<GetOptions, "signal">> & { signal?: AbortSignal }) {
  const { headers, signal, timeout, env } = options;
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new Error(`expected an address at http:// or https://, got ${url.protocol}//`);
  const proxy = proxyFor(url, env);
  const secure = url.protocol === "https:";
  const socket = proxy && secure ? await tunnel(url, proxy, options) : null;
  const via = proxy && !secure ? proxy : url;
  return new Promise<http.IncomingMessage>((resolve, reject) => {
    const request = (via.protocol === "https:" ? https : http).request({
      host: hostOf(via),
      port: via.port || (via.protocol === "https:" ? 443 : 80),
      path: via === proxy ? url.href : `${url.pathname}${url.search}`,
      headers: { host: url.host, ...(via === proxy ? authorization(proxy) : {}), ...headers },
      signal,
      timeout,
      agent: false,
      ...(socket ? { createConnection: () => socket } : {}),
    });
    request.once("response", (response) => {
      response.setTimeout(timeout, () => response.destroy(new Error(`no byte came for ${timeout / 1000} s`)));
      resolve(response);
    });
    request.once("timeout", () => request.destroy(new Error(`no answer came for ${timeout / 1000} s`)));
    request.once("error", reject);
    request.end();
  });
}
