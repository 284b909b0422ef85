/**
 * A simulated audience with a shape: stages that fill and empty like matches do, so that curves have something to show.
 * `housecount load` simulates steady audiences; this script is for screenshots, over hours.
 *
 *   node audience.js http://127.0.0.1:7400 [MINUTES]
 */

/** Popularity at the top, and the period and phase of its waves in minutes. */
const STAGES = [
  ["arn:aws:ivs:us-east-1:123456789012:stage/QkT3xVb8mLpR", "Cup final", "Northern League", 1400, 95, 0],
  ["arn:aws:ivs:us-east-1:123456789012:stage/hZ7dWn2CsYfE", "Morning show", "Daybreak", 420, 70, 20],
  ["match-1", "Quarter-final 1", "Northern League", 610, 50, 10],
  ["match-2", "Quarter-final 2", "Northern League", 480, 55, 30],
  ["concert/main", "Main stage", "Harbour Festival", 900, 120, 45],
  ["concert/tent", "Tent", "Harbour Festival", 160, 40, 5],
  ["keynote-2026", "Keynote", "Acme", 340, 60, 50],
  ["town-hall", "Town hall", "Acme", 75, 35, 8],
  ["chess/board-1", "Board 1", "Open Chess", 130, 80, 33],
  ["chess/board-2", "Board 2", "Open Chess", 64, 80, 12],
  ["auction-lot-42", null, null, 38, 25, 3],
  ["yoga-at-seven", "Yoga at seven", "Studio Linde", 22, 45, 40],
];
const STAY_MS = 14 * 60_000;
const INTERVAL_MS = 30_000;

const [url = "http://127.0.0.1:7400", minutes = "240"] = process.argv.slice(2);
const post = (path, body) =>
  fetch(url + path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });

for (const [stage, name, customer] of STAGES) {
  if (name) await post("/v1/stages", { stage, name, customer, tags: { region: "eu" } });
}

let viewerCount = 0;
const audiences = STAGES.map(
  () => /** @type {Map<string, {next: number, until: number, session?: string}>} */ (new Map()),
);
const targetOf = ([, , , top, period, phase], now) => {
  const turn = Math.sin(((now / 60_000 + phase) / period) * 2 * Math.PI);
  return Math.round(top * (0.55 + 0.4 * turn + 0.05 * Math.sin(now / 47_000 + phase)));
};

const started = Date.now();
while (Date.now() - started < Number(minutes) * 60_000) {
  const now = Date.now();
  const beats = [];
  const leaves = [];
  STAGES.forEach((shape, i) => {
    const stage = shape[0];
    const viewers = audiences[i];
    // The audience arrives within the first two minutes.
    const target = targetOf(shape, now) * Math.min(1, (now - started) / 120_000);
    while (viewers.size < target) {
      const stay = -Math.log(1 - Math.random()) * STAY_MS;
      viewers.set(`viewer-${(++viewerCount).toString(36).padStart(5, "0")}-${i}`, { next: now, until: now + stay });
    }
    let tooMany = viewers.size - target;
    for (const [viewer, seat] of viewers) {
      if (seat.until < now || tooMany > 0.02 * viewers.size + 1) {
        viewers.delete(viewer);
        tooMany -= 1;
        leaves.push({ stage, viewer });
      } else if (seat.next <= now) {
        seat.next = now + INTERVAL_MS;
        beats.push({ stage, viewer });
        if (viewer.charCodeAt(11) % 9 === 0) beats.push({ stage, viewer, session: "tablet" });
      }
    }
  });
  try {
    if (beats.length) await post("/v1/heartbeats", beats);
    for (const leave of leaves) await post("/v1/leave", leave);
  } catch (error) {
    console.error(String(error));
  }
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, 1_000 - (Date.now() - now))));
}
