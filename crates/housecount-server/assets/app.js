/**
 * Application shell: routing, connection status, theme button and key form. Starts the dashboard.
 */

import { authEvents, isAbort } from "./api.js";
import { cost } from "./cost.js";
import { customers } from "./customers.js";
import { byId, setChildren, createElement, icon, setText } from "./dom.js";
import * as format from "./format.js";
import { health } from "./health.js";
import { askForKey, needKey } from "./key.js";
import { compare } from "./compare.js";
import { events } from "./events.js";
import { connection } from "./live.js";
import { overview } from "./overview.js";
import { report } from "./report.js";
import { Scope } from "./scope.js";
import { sharedStage, takeShareLink } from "./share.js";
import { stage } from "./stage.js";
import { startThemeButton } from "./theme-button.js";
import { wall } from "./wall.js";

/**
 * `update`: shows another query of the same address, instead of a new page.
 * @typedef {{title: string, element: Element, update?: (query: URLSearchParams) => void}} Page
 * @typedef {(scope: Scope, address: {id: string, query: URLSearchParams}) => Page} MakePage
 */

/** @type {Record<string, MakePage>} */
const PAGES = { "": overview, stage, report, compare, customers, events, wall, health, cost };
/** Link of the navigation under which a page is, if that is another page's. @type {Record<string, string>} */
const PARENTS = { stage: "", compare: "report", wall: "" };

/** Labels of the connection status in the header. */
const CONNECTION_LABELS = {
  off: "",
  opening: "Connecting",
  live: "Live",
  polling: "Every 2 s",
  broken: "Reconnecting",
  refused: "Key needed",
};

const root = document.documentElement;
const main = byId("page");
let scope = new Scope();
let isFirst = true;
/** @type {{address: string, page: Page} | null} */
let shown = null;

/** Shows the page of the URL's hash. A share link has one page. */
function show() {
  takeShareLink();
  const shared = sharedStage();
  root.toggleAttribute("data-shared", shared !== null);
  const home = shared === null ? null : `#/stage/${encodeURIComponent(shared)}`;
  if (home !== null && location.hash.split("?")[0] !== home) history.replaceState(null, "", home);
  const [, name = "", id = "", search = ""] = /^#?\/?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(location.hash) ?? [];
  const query = new URLSearchParams(search);
  const address = `${name}/${id}`;
  if (shown?.address === address && shown.page.update) return shown.page.update(query);
  scope.end();
  scope = new Scope();
  root.dataset.page = name;
  const make = Object.hasOwn(PAGES, name) ? PAGES[name] : notFound;
  const page = make(scope, { id: decodeId(id), query });
  shown = { address, page };
  document.title = page.title ? `${page.title} · housecount` : "housecount";
  setChildren(main, page.element);
  for (const anchor of document.querySelectorAll("nav a")) {
    const isHere = anchor.getAttribute("href") === `#/${PARENTS[name] ?? name}`;
    anchor.toggleAttribute("data-here", isHere);
    if (isHere && !(name in PARENTS)) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  // A link moves the focus to the new page's title, which a screen reader then announces.
  if (!isFirst) {
    scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
  isFirst = false;
}

/** Creates the page again: a new key may show what was refused. */
function reopen() {
  shown = null;
  show();
}

/** @param {string} id percent-encoded, unless an operator typed it */
function decodeId(id) {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

/** @type {MakePage} */
const notFound = () => ({
  title: "Not found",
  element: createElement(
    "div",
    { class: "page" },
    createElement("h1", { tabindex: -1 }, "Page not found"),
    createElement("p", null, "The URL may be incomplete. ", createElement("a", { href: "#/" }, "Go to the overview")),
  ),
});

function showConnection() {
  const { state } = connection;
  const mark = byId("connection");
  // A failure shows a notice; the recovery is only announced.
  if (mark.dataset.state === "broken" && state === "live") setText(byId("announcement"), "Connected again");
  if (state === "broken") setText(byId("announcement"), "");
  root.dataset.connection = state;
  mark.dataset.state = state;
  setText(mark, CONNECTION_LABELS[state]);
  setChildren(byId("notices"), NOTICES[state]?.());
}

const disconnectedNotice = () =>
  createElement(
    "div",
    { class: "notice bad", role: "alert" },
    icon("warn"),
    createElement(
      "p",
      null,
      createElement("strong", null, "Not connected. "),
      connection.why,
      connection.lastMessageAt ? ` The data shown is from ${format.timeOfDaySeconds(connection.lastMessageAt)}.` : "",
      " This page reconnects automatically.",
    ),
    createElement("button", { type: "button", onclick: () => connection.retry() }, "Try now"),
  );

const pollingNotice = () =>
  createElement(
    "div",
    { class: "notice", role: "status" },
    icon("wait"),
    createElement(
      "p",
      null,
      "The live stream is unavailable, so this page polls totals every 2 s and stages every 10 s. The usual cause is a proxy that buffers responses.",
    ),
  );

const refusedNotice = () =>
  createElement(
    "div",
    { class: "notice", role: "status" },
    icon("warn"),
    createElement("p", null, "This server shows its counts to operators only."),
    createElement("button", { type: "button", onclick: () => askForKey(reopen) }, "Enter the key"),
  );

/** @type {Partial<Record<import("./live.js").ConnectionState, () => Element>>} */
const NOTICES = { broken: disconnectedNotice, polling: pollingNotice, refused: refusedNotice };

connection.addEventListener("change", showConnection);
authEvents.addEventListener("unauthorized", () => needKey(reopen));
addEventListener("hashchange", show);
byId("skip").addEventListener("click", (event) => {
  // The hash holds the route: it must not change to #page.
  event.preventDefault();
  main.focus();
});
// An aborted request is not an error; other unhandled rejections belong in the console.
addEventListener("unhandledrejection", (event) => isAbort(event.reason) && event.preventDefault());
startThemeButton();
showConnection();
show();
