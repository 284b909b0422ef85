/**
 * Share of leaves that arrive from pages that are closed, reloaded, or left for another site: `npm run leave-share`.
 *
 * Each page counts its viewer, or opens a bare WebSocket, and leaves in `pagehide`. The server of this script records the leaves, and
 * which ones needed a connection of their own. It has another port than the pages, so that no connection of a page itself is used.
 *
 * `ENGINES=chromium,firefox,webkit CHANNELS=watch,beacon COUNT=200 npm run leave-share`; exits 1 if `watch` loses more than 2 %.
 */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { WebSocketServer } from "ws";

import { ENGINES, start } from "./support/engines.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Pages per channel and way. */
const COUNT = Math.min(Number(process.env.COUNT ?? 200), 1_000);
/** Longest wait for a page, or for the last leaves. */
const WAIT_MS_MAX = 15_000;
/** Time between a page's heartbeat and its end, so that the page has the answer. */
const SETTLE_MS = 30;
const SHARE_MIN = 0.98;

/** Code of a page by channel: this library over each transport, and the bare calls. */
const CHANNELS = {
  watch: "watch({ url, ...ids, transport: 'ws' });",
  "watch-http": "watch({ url, ...ids, transport: 'http' });",
  frame: "const socket = open(); onEnd(() => (socket.send('{\"leave\":true}'), socket.close()));",
  fetch: "open(); onEnd(() => fetch(`${url}/v1/leave`, { method: 'POST', body: JSON.stringify(ids), keepalive: true, credentials: 'omit' }));",
  beacon: "open(); onEnd(() => navigator.sendBeacon(`${url}/v1/leave`, JSON.stringify(ids)));",
};
const channels = (process.env.CHANNELS ?? "watch,watch-http").split(",");

const page = (channel, url, viewer) => `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<script type="module">
  import { watch } from "/src/index.js";
  const url = "${url}";
  const ids = { stage: "s", viewer: "${viewer}" };
  const onEnd = (callback) => addEventListener("pagehide", callback);
  function open() {
    const socket = new WebSocket(url.replace("http", "ws") + "/v1/ws", ["housecount.1"]);
    socket.onopen = () => socket.send(JSON.stringify(ids));
    return socket;
  }
  ${CHANNELS[channel]}
</script>`;

const listen = (server) => new Promise((resolve) => server.listen(0, () => resolve(server.address().port)));

/** Starts a server of pages, and one that speaks as much of housecount's protocol as `watch` needs. */
async function startServers() {
  let pages = 0;
  let onReady = (_viewer) => {};
  const self = {
    channel: "",
    /** Ways of arrival by viewer; each page has its own. @type {Map<string, string>} */
    leaves: new Map(),
    /** Resolves with the viewer of the next page that is counted. */
    ready: () =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error("no page came")), WAIT_MS_MAX);
        onReady = (viewer) => (clearTimeout(timer), setTimeout(resolve, SETTLE_MS, viewer));
      }),
  };
  const count = { viewers: 1, sessions: 1, asOf: 1, complete: true, recovering: false, nextMs: 30_000 };
  function receive({ viewer, leave }, way) {
    if (!leave) onReady(viewer);
    else self.leaves.set(viewer, way);
    return JSON.stringify(leave ? { left: true } : count);
  }

  const counter = createServer(async (asked, response) => {
    let body = "";
    for await (const chunk of asked) body += chunk;
    asked.socket.requests = (asked.socket.requests ?? 0) + 1;
    const way = asked.socket.requests > 1 ? "request" : "request on a new connection";
    response.setHeader("access-control-allow-origin", "*").end(receive({ ...JSON.parse(body), leave: asked.url === "/v1/leave" }, way));
  });
  new WebSocketServer({ server: counter, handleProtocols: () => "housecount.1" }).on("connection", (socket) => {
    let ids = {};
    socket.on("message", (text) => {
      const message = JSON.parse(text);
      ids = { ...ids, ...message };
      socket.send(receive({ ...message, viewer: ids.viewer }, "frame"));
    });
  });
  const url = `http://127.0.0.1:${await listen(counter)}`;
  const site = createServer(async ({ url: path }, response) => {
    if (!path.startsWith("/src/")) return response.setHeader("content-type", "text/html").end(page(self.channel, url, `${(pages += 1)}`));
    response.setHeader("content-type", "text/javascript").end(await readFile(join(ROOT, path)));
  });
  const port = await listen(site);
  return Object.assign(self, {
    address: (host) => `http://${host}:${port}/`,
    end() {
      for (const server of [site, counter]) {
        server.closeAllConnections();
        server.close();
      }
    },
  });
}

/** Ends pages one after the other in one tab; each end is the start of the next page. */
async function chain(engine, servers, move) {
  let ready = servers.ready();
  const tab = await engine.open(servers.address("127.0.0.1"));
  const viewers = [];
  while (viewers.length < COUNT) {
    viewers.push(await ready);
    ready = servers.ready();
    await move(tab, viewers.length);
  }
  await ready;
  await tab.close();
  return viewers;
}

/** Ways in which `COUNT` pages end. Each returns their viewers. */
const WAYS = {
  async close(engine, servers) {
    const viewers = [];
    while (viewers.length < COUNT) {
      const ready = servers.ready();
      const tab = await engine.open(servers.address("127.0.0.1"));
      viewers.push(await ready);
      await tab.close();
    }
    return viewers;
  },
  reload: (engine, servers) => chain(engine, servers, (tab) => tab.reload()),
  navigate: (engine, servers) =>
    chain(engine, servers, (tab, n) => tab.evaluate(`setTimeout(() => location.assign("${servers.address(n % 2 ? "localhost" : "127.0.0.1")}")) && 0`)),
};

const servers = await startServers();
console.log("engine\tchannel\tend\tarrived\tby");
for (const name of ENGINES) {
  const engine = await start(name);
  for (servers.channel of channels) {
    for (const [way, end] of Object.entries(WAYS)) {
      const viewers = await end(engine, servers);
      const arrived = () => viewers.flatMap((viewer) => servers.leaves.get(viewer) ?? []);
      for (const until = Date.now() + WAIT_MS_MAX; arrived().length < COUNT && Date.now() < until; ) await new Promise((resolve) => setTimeout(resolve, 50));
      const by = [...new Set(arrived())].map((one) => `${arrived().filter((each) => each === one).length} ${one}`);
      console.log([name, servers.channel, way, `${arrived().length} of ${COUNT}`, by.join(", ")].join("\t"));
      if (servers.channel.startsWith("watch") && arrived().length < SHARE_MIN * COUNT) process.exitCode = 1;
    }
  }
  await engine.end();
}
servers.end();
