/** A real housecount, and a site in front of it that can misbehave. */

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BIN = process.env.HOUSECOUNT_BIN ?? join(ROOT, "../../target/debug/housecount");
/** The environment without this test's own variables, which the server would reject as unknown settings. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("HOUSECOUNT_")));

/**
 * Starts a housecount on its own port. It stores nothing unless `cold` is set.
 *
 * @param {string[]} settings such as `ttl=6s`
 */
export async function startServer(...settings) {
  const data = await mkdtemp(join(tmpdir(), "housecount-js-"));
  const args = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--log", "memory:", ...(settings.some((each) => each.startsWith("cold=")) ? [] : ["--cold", "none"]), ...settings.flatMap((each) => ["--set", each])];
  const child = spawn(BIN, args, { env: ENV, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const url = await new Promise((resolve, reject) => {
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on("line", (line) => {
        output += `${line}\n`;
        const found = /listens on (http:\S+)/.exec(line);
        if (found) resolve(found[1]);
      });
    }
    child.once("error", reject);
    child.once("close", (code) => reject(new Error(`housecount ended with ${code}:\n${output}`)));
  });
  const get = async (path) => {
    const response = await fetch(url + path);
    if (response.ok) return response.json();
    await response.text();
    return null;
  };
  await until("ready", async () => (await fetch(`${url}/readyz`)).ok);
  return {
    url,
    get,
    /** Returns a stage's count; zeros before the first viewer. */
    count: async (stage) => (await get(`/v1/stages/${stage}`)) ?? { viewers: 0, sessions: 0 },
    async end() {
      child.kill("SIGTERM");
      await ended;
      await rm(data, { recursive: true, force: true });
    },
  };
}

const TYPES = { ".js": "text/javascript", ".html": "text/html" };

/**
 * Starts a site: pages, this library's sources, and a proxy of the housecount at `/v1/`.
 *
 * @param {string} target the housecount's address
 * @param {Record<string, string | ((path: string) => Promise<[number, string, string | Buffer]>)>} files what else it has, by path, or by folder
 */
export async function startSite(target, files = {}) {
  const { hostname, port } = new URL(target);
  const site = {
    url: "",
    /** True: the proxy blocks WebSockets. */
    blocksSockets: false,
    /** True: the proxy blocks all requests. */
    isCut: false,
    /** Heartbeats and leaves that came as requests. @type {{ path: string, session: string, viewer: string, contentType: string | undefined }[]} */
    received: [],
    /** Number of requested WebSockets. */
    upgrades: 0,
    /** Addresses that WebSockets and streams were asked for at. @type {Set<string>} */
    addresses: new Set(),
    /** Number of open streams of counts. */
    streams: 0,
    cut() {
      site.isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    async end() {
      server.close();
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
    },
  };
  const sockets = new Set();
  const server = createServer(async (asked, answer) => {
    const { pathname } = new URL(asked.url, "http://site");
    if (!pathname.startsWith("/v1/")) {
      const [status, type, text] = await file(pathname, files);
      // Sandboxed frames have an opaque origin, and must still load modules.
      answer.writeHead(status, { "content-type": type, "access-control-allow-origin": "*" }).end(text);
      return;
    }
    if (site.isCut) return asked.socket.destroy();
    const chunks = [];
    for await (const chunk of asked) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (body.length) site.received.push({ path: pathname, contentType: asked.headers["content-type"], ...JSON.parse(body.toString()) });
    const { "access-control-allow-origin": _, ...headers } = asked.headers;
    const onward = request({ hostname, port, path: asked.url, method: asked.method, headers }, (response) => {
      answer.writeHead(response.statusCode, { ...response.headers, "access-control-allow-origin": "*" });
      response.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    if (pathname === "/v1/live") {
      site.streams += 1;
      site.addresses.add(asked.url);
    }
    answer.on("close", () => {
      if (pathname === "/v1/live") site.streams -= 1;
      onward.destroy();
    });
    onward.end(body);
  });
  server.on("upgrade", (asked, socket, head) => {
    site.upgrades += 1;
    site.addresses.add(asked.url);
    socket.on("error", () => {});
    if (site.blocksSockets || site.isCut) return socket.destroy();
    sockets.add(socket);
    const onward = request({ hostname, port, path: asked.url, headers: asked.headers });
    socket.on("close", () => {
      sockets.delete(socket);
      onward.destroy();
    });
    onward.on("error", () => socket.destroy());
    onward.on("upgrade", (response, tunnel, first) => {
      socket.write(`${headOf(response)}\r\n`);
      socket.write(first);
      tunnel.on("error", () => socket.destroy()).on("close", () => socket.destroy());
      socket.on("close", () => tunnel.destroy());
      tunnel.write(head);
      socket.pipe(tunnel).pipe(socket);
    });
    // A rejected one is no tunnel: the browser would send its next request of this site through it.
    onward.on("response", (response) => {
      socket.write(`${headOf(response)}connection: close\r\n\r\n`);
      response.pipe(socket);
    });
    onward.end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  site.url = `http://127.0.0.1:${server.address().port}`;
  return site;
}

/** Writes a response's first line and headers. */
function headOf({ statusCode, statusMessage, rawHeaders }) {
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage}\r\n`];
  for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}\r\n`);
  return lines.join("");
}

async function file(path, files) {
  const type = TYPES[extname(path)] ?? "text/html";
  if (path in files) return [200, type, files[path]];
  const folder = `${path.split("/", 2).join("/")}/`;
  if (folder in files) return files[folder](path);
  const found = path === "/" ? "test-browser/support/page.html" : path.startsWith("/src/") && !path.includes("..") ? path.slice(1) : null;
  if (!found) return [404, "text/plain", "nothing here"];
  return [200, type, await readFile(join(ROOT, found))];
}

/**
 * Polls until a condition holds.
 *
 * @template T
 * @param {string} what
 * @param {() => Promise<T> | T} isSo
 * @returns {Promise<T>}
 */
export async function until(what, isSo) {
  const end = Date.now() + 60_000;
  let last;
  while (Date.now() < end) {
    try {
      last = await isSo();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`still not: ${what} (${last})`);
}
