/**
 * A simulated audience with a shape: stages that fill and empty like matches do, so that curves have something to show.
 * `housecount load` simulates steady audiences; this script is for screenshots, over hours.
 *
 *   housecount serve --set labels=country,device
 *   node audience.js http://127.0.0.1:7400 [MINUTES]
 *
 * The viewers have labels if the server has these.
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
/** Values of labels, with their shares of the audience. */
const LABELS = {
  country: { TW: 34, NO: 22, DE: 14, JP: 11, US: 9, BR: 5, KE: 3, IS: 1.5, NZ: 0.5 },
  device: { phone: 46, tv: 29, laptop: 20, tablet: 5 },
};
const STAY_MS = 14 * 60_000;
const INTERVAL_MS = 30_000;

const [url = "http://127.0.0.1:7400", minutes = "240"] = process.argv.slice(2);
const post = (path, body) =>
  fetch(url + path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });

for (const [stage, name, customer] of STAGES) {
  if (name) await post("/v1/stages", { stage, name, customer, tags: { region: "eu" } });
}

/** Draws a value at random, by the shares. */
function draw(/** @type {Record<string, number>} */ shares) {
  let rest = Math.random() * Object.values(shares).reduce((sum, share) => sum + share, 0);
  return Object.keys(shares).find((value) => (rest -= shares[value]) < 0);
}

/** Draws a viewer's labels; one viewer in thirty has no country. */
const drawLabels = () => ({
  country: Math.random() < 1 / 30 ? null : draw(LABELS.country),
  device: draw(LABELS.device),
});

const { labels: keys = [] } = await (await fetch(`${url}/v1/stages/match-1`)).json();
/** Picks the labels that the server has. */
const known = (/** @type {object} */ labels) => Object.fromEntries(Object.entries(labels).filter(([key]) => keys.includes(key)));
let viewerCount = 0;
const audiences = STAGES.map(
  () => /** @type {Map<string, {next: number, until: number, labels: object}>} */ (new Map()),
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
      viewers.set(`viewer-${(++viewerCount).toString(36).padStart(5, "0")}-${i}`, {
        next: now,
        until: now + stay,
        labels: drawLabels(),
      });
    }
    let tooMany = viewers.size - target;
    for (const [viewer, seat] of viewers) {
      if (seat.until < now || tooMany > 0.02 * viewers.size + 1) {
        viewers.delete(viewer);
        tooMany -= 1;
        leaves.push({ stage, viewer });
      } else if (seat.next <= now) {
        seat.next = now + INTERVAL_MS;
        beats.push({ stage, viewer, labels: known(seat.labels) });
        if (viewer.charCodeAt(11) % 9 === 0)
          beats.push({ stage, viewer, session: "tablet", labels: known({ ...seat.labels, device: "tablet" }) });
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
