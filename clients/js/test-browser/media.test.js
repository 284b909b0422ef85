/**
 * Players on a live stream that fails, stalls, pauses, returns and ends, in real engines, against a real housecount. Compares the time
 * that is counted, and the ledger at the end.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { ENGINES, start } from "./support/engines.js";
import { startServer, startSite, until } from "./support/server.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TYPES = { ".m3u8": "application/vnd.apple.mpegurl", ".ts": "video/mp2t", ".js": "text/javascript", ".css": "text/css" };
/** Time that may be counted beyond the moving pictures, per stall: `stallMs`, and the polling interval of the page. */
const STALL_MS = 3_000;

/** Starts a live stream of a test picture and a tone, in segments of a second. */
async function startStream() {
  const folder = await mkdtemp(join(tmpdir(), "housecount-hls-"));
  const encode = "-c:v libx264 -preset ultrafast -tune zerolatency -profile:v baseline -pix_fmt yuv420p -g 10 -c:a aac -b:a 32k";
  const input = "-re -f lavfi -i testsrc=size=160x90:rate=10 -re -f lavfi -i sine=frequency=440:sample_rate=44100";
  const args = `-hide_banner -loglevel error ${input} ${encode} -f hls -hls_time 1 -hls_list_size 6 -hls_flags delete_segments ${folder}/live.m3u8`;
  const child = spawn("ffmpeg", args.split(" "), { stdio: ["pipe", "ignore", "inherit"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  return {
    /** State of the stream: `ok`, `dead` (503), or `stalled` (no response). */
    state: "ok",
    /** Ends the stream and its playlist. */
    async finish() {
      child.stdin.write("q");
      await ended;
    },
    async read(path) {
      if (this.state === "dead") return [503, "text/plain", "away"];
      while (this.state === "stalled") await new Promise((resolve) => setTimeout(resolve, 50));
      const bytes = await readFile(join(folder, path.slice(5))).catch(() => null);
      return bytes ? [200, TYPES[extname(path)], bytes] : [404, "text/plain", "no such segment"];
    },
    async end() {
      this.state = "dead";
      child.kill("SIGKILL");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

for (const engine of ENGINES) {
  for (const player of ["hls", "videojs"]) {
    test(`${player} in ${engine}: counted while it plays, and credited for the played time`, async (t) => {
      const server = await startServer("cold=embedded:" + (await mkdtemp(join(tmpdir(), "housecount-cold-"))), "interval=1s", "ttl=60s", "leave_grace=100ms", "window=5s", "snapshot_interval=2s");
      t.after(() => server.end());
      const stream = await startStream();
      t.after(() => stream.end());
      const lib = async (path) => [200, TYPES[extname(path)], await readFile(join(ROOT, "node_modules", path.slice(5)))];
      const page = await readFile(join(ROOT, "test-browser/support/media.html"), "utf8");
      const site = await startSite(server.url, { "/hls/": (path) => stream.read(path), "/lib/": lib, "/media": page });
      t.after(() => site.end());
      // A shorter stream has no live edge yet: players stay three segments behind its end.
      await until("a stream of five segments", async () => String((await stream.read("/hls/live.m3u8"))[2]).split("#EXTINF").length > 5);
      const browser = await start(engine);
      t.after(() => browser.end());

      const stage = `${player}-${engine}`;
      const tab = await browser.open(`${site.url}/media?${new URLSearchParams({ player, src: "/hls/live.m3u8", stage, viewer: "ann" })}`);
      const isCounted = async () => (await server.count(stage)).viewers === 1;
      const status = async () => (await tab.evaluate("recorded")).statuses.at(-1);
      const becomes = (what, counted) => until(`${what} (${counted ? "" : "not "}counted)`, async () => (await isCounted()) === counted);
      let stalls = 0;

      await until("a player", async () => (await tab.evaluate("recorded")).statuses.length > 0);
      assert.equal(await isCounted(), false, "nothing plays yet");
      const begin = Date.now();
      await tab.evaluate("void globalThis.play()");
      await becomes("it plays", true);
      await tab.evaluate("void globalThis.pause()");
      await becomes("paused", false);
      assert.equal(await status(), "stopped paused");
      await tab.evaluate("void globalThis.play()");
      await becomes("it plays again", true);
      for (const state of ["dead", "stalled"]) {
        stream.state = state;
        await becomes(`the stream is ${state}`, false);
        stalls += 1;
        // WebKit reports the end at the live edge, because video.js sets the media's duration to it.
        assert.match(await status(), /^stopped (stalled|error|ended)$/);
        stream.state = "ok";
        await becomes("the stream is back", true);
        // It must keep playing.
        const { counts } = await tab.evaluate("recorded");
        await until("heartbeats", async () => (await tab.evaluate("recorded")).counts > counts + 2);
      }
      // A browser pauses a removed element.
      await tab.evaluate("void globalThis.video.remove()");
      await becomes("removed", false);
      const { playedMs, statuses, errors } = await tab.evaluate("recorded");
      t.diagnostic(`${statuses.join(", ")}; errors of the player: ${[...new Set(errors)].join(", ")}`);
      await tab.close();

      const credited = async () => {
        const answer = await server.get(`/v1/viewer/watch?viewer=ann&from=${begin - 60_000}&to=${Date.now() + 60_000}`);
        return answer?.watch.find((each) => each.stage === stage)?.watchMs ?? 0;
      };
      let before = -1;
      await until("the ledger has all", async () => {
        const now = await credited();
        await new Promise((resolve) => setTimeout(resolve, 6_000));
        return now > 0 && now === before ? true : ((before = now), false);
      });
      const watchMs = await credited();
      t.diagnostic(`pictures moved for ${Math.round(playedMs)} ms, ${watchMs} ms are credited, ${stalls} stalls`);
      assert.ok(watchMs >= playedMs - 1_500 * (stalls + 2), `${watchMs} of ${playedMs}`);
      assert.ok(watchMs <= playedMs + (STALL_MS + 1_500) * (stalls + 2), `${watchMs} of ${playedMs}`);
    });
  }
}
