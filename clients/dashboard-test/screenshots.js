/**
 * Takes the screenshots of docs/images, of a server that has had an audience for a while:
 *
 *   housecount serve & node audience.js http://127.0.0.1:7400      and an hour later
 *   HOUSECOUNT_BIN=… HOUSECOUNT_URL=http://127.0.0.1:7400 npm run screenshots [-- NAME …]
 *
 * HOUSECOUNT_BIN starts an empty server for one of them. pngquant (from Debian) compresses the images.
 */

import { execFileSync } from "node:child_process";
import { mkdir, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { serveFreshAssets } from "./support/browser.js";
import { Server } from "./support/server.js";

const url = process.env.HOUSECOUNT_URL;
if (!url) throw new Error("HOUSECOUNT_URL is not set: give the URL of a server with an audience");
const BYTES_MAX = 200_000;
const images = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const MATCH = "#/stage/match-1?range=1h";
/** Whole hours and minutes are easier to read in the pictures. */
const MINUTE_MS = 60_000;
const end = Math.floor(Date.now() / MINUTE_MS - 5) * MINUTE_MS;
const ago = (/** @type {number} */ minutes) => new Date(end - minutes * MINUTE_MS).toISOString();
const REPORT = `#/report?stage=match-1&from=${ago(50)}&to=${ago(0)}&tz=UTC`;
const COMPARE = `#/compare?a=concert/main@${ago(25)}..${ago(0)}&b=concert/main@${ago(50)}..${ago(25)}&tz=UTC`;
const empty = new Server();

/** @type {{name: string, hash: string, width?: number, height?: number, colorScheme?: "light" | "dark", of?: string, whole: string, listens?: boolean}[]} */
const shots = [
  { name: "overview-light", hash: "#/", whole: ".stages tbody:not([aria-hidden]) td", listens: true },
  {
    name: "overview-dark",
    hash: "#/",
    colorScheme: "dark",
    whole: ".stages tbody:not([aria-hidden]) td",
    listens: true,
  },
  { name: "stage", hash: MATCH, height: 1000, whole: ".tabs tbody:not([aria-hidden]) td", listens: true },
  { name: "health", hash: "#/health", whole: ".facts" },
  { name: "cost", hash: "#/cost", whole: "main p, main table" },
  { name: "report", hash: REPORT, height: 1300, whole: "[data-figure]" },
  { name: "compare", hash: COMPARE, height: 1300, whole: "tr[data-figure]" },
  { name: "customers", hash: "#/customers?tz=UTC", whole: ".usage-table" },
  { name: "wall", hash: "#/wall?stage=match-1", whole: ".wall-status", height: 810, listens: true },
  { name: "phone", hash: "#/", width: 320, height: 780, whole: ".stages tbody:not([aria-hidden]) td", listens: true },
  {
    name: "4k",
    hash: "#/",
    width: 3840,
    height: 2160,
    colorScheme: "dark",
    whole: ".stages tbody:not([aria-hidden]) td",
    listens: true,
  },
  { name: "first-run", hash: "#/", of: "empty", whole: ".first-run" },
];
/** Time before a screenshot: pages with live counts collect some of the live curve first. */
const LISTEN_MS = Number(process.env.LISTEN_SECONDS ?? 240) * 1000;
const SETTLE_MS = 12_000;

await mkdir(images, { recursive: true });
await empty.start();
const fonts = fileURLToPath(new URL("fonts.conf", import.meta.url));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
  env: { ...process.env, FONTCONFIG_FILE: fonts },
});
try {
  const wanted = process.argv.slice(2);
  await Promise.all(shots.filter(({ name }) => !wanted.length || wanted.includes(name)).map(shoot));
} finally {
  await browser.close();
  await empty.end();
}

/** @param {(typeof shots)[number]} shot */
async function shoot({ name, hash, width = 1440, height = 900, colorScheme = "light", of, whole, listens }) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme, locale: "en-GB", timezoneId: "UTC" });
  if (process.env.FRESH_ASSETS) await serveFreshAssets(page.context());
  await page.goto(`${of ? empty.url : url}/${hash}`);
  await page.locator(whole).first().waitFor();
  await page.waitForTimeout(listens ? LISTEN_MS : SETTLE_MS);
  const path = `${images}dashboard-${name}.png`;
  await page.screenshot({ path });
  await page.close();
  execFileSync("pngquant", ["--force", "--skip-if-larger", "--strip", "--output", path, "64", path]);
  const { size } = await stat(path);
  if (size > BYTES_MAX) throw new Error(`${path} has ${size} bytes; at most ${BYTES_MAX} are allowed`);
  console.log(`${path}: ${size} bytes`);
}
