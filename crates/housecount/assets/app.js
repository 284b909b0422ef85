/**
 * The shell around the pages: which one is shown, how the page is connected, the theme, the key. Starts everything.
 */

import { access, isAbort } from "./api.js";
import { cost } from "./cost.js";
import { byId, fill, h, icon, say } from "./dom.js";
import * as format from "./format.js";
import { health } from "./health.js";
import { askForKey, needKey } from "./key.js";
import { link } from "./live.js";
import { overview } from "./overview.js";
import { Scope } from "./scope.js";
import { stage } from "./stage.js";
import { startThemeButton } from "./theme-button.js";

/**
 * @typedef {{title: string, element: Element}} Page
 * @typedef {(scope: Scope, address: {id: string, query: URLSearchParams}) => Page} MakePage
 */

/** @type {Record<string, MakePage>} */
const PAGES = { "": overview, stage, health, cost };

/** What the mark in the bar says. */
const LINK_WORDS = {
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

/** Shows the page that the address asks for. */
function show() {
  scope.end();
  scope = new Scope();
  const [, name = "", id = "", search = ""] = /^#?\/?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(location.hash) ?? [];
  const make = Object.hasOwn(PAGES, name) ? PAGES[name] : lost;
  const page = make(scope, { id: decoded(id), query: new URLSearchParams(search) });
  document.title = page.title ? `${page.title} · housecount` : "housecount";
  fill(main, page.element);
  for (const anchor of document.querySelectorAll("nav a")) {
    const isHere = anchor.getAttribute("href") === `#/${name === "stage" ? "" : name}`;
    anchor.toggleAttribute("data-here", isHere);
    if (isHere && name !== "stage") anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  // Who follows a link expects to be on the new page, and a screen reader to hear its title.
  if (!isFirst) {
    scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
  isFirst = false;
}

/** @param {string} id percent-encoded, unless somebody typed it */
function decoded(id) {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

/** @type {MakePage} */
const lost = () => ({
  title: "Not found",
  element: h(
    "div",
    { class: "page" },
    h("h1", { tabindex: -1 }, "There is no such page"),
    h("p", null, "The address may be incomplete. ", h("a", { href: "#/" }, "Go to the overview")),
  ),
});

function showLink() {
  const { state } = link;
  const mark = byId("link");
  // Trouble is told by its notice; that it is over has none.
  if (mark.dataset.state === "broken" && state === "live") say(byId("told"), "Connected again");
  if (state === "broken") say(byId("told"), "");
  root.dataset.link = state;
  mark.dataset.state = state;
  say(mark, LINK_WORDS[state]);
  fill(byId("notices"), NOTICES[state]?.());
}

const brokenNotice = () =>
  h(
    "div",
    { class: "notice bad", role: "alert" },
    icon("warn"),
    h(
      "p",
      null,
      h("strong", null, "Not connected. "),
      link.why,
      link.heardAt ? ` What is shown is of ${format.timeOfDaySeconds(link.heardAt)}.` : "",
      " This page tries again by itself.",
    ),
    h("button", { type: "button", onclick: () => link.retry() }, "Try now"),
  );

const pollingNotice = () =>
  h(
    "div",
    { class: "notice", role: "status" },
    icon("wait"),
    h(
      "p",
      null,
      "The live stream can't be had here, so totals are asked for every 2 s and stages every 10 s. A proxy that buffers answers is the usual cause.",
    ),
  );

const refusedNotice = () =>
  h(
    "div",
    { class: "notice", role: "status" },
    icon("warn"),
    h("p", null, "This server shows its counts to operators only."),
    h("button", { type: "button", onclick: () => askForKey(show) }, "Enter the key"),
  );

/** @type {Partial<Record<import("./live.js").LinkState, () => Element>>} */
const NOTICES = { broken: brokenNotice, polling: pollingNotice, refused: refusedNotice };

link.addEventListener("change", showLink);
access.addEventListener("unauthorized", () => needKey(show));
addEventListener("hashchange", show);
byId("skip").addEventListener("click", (event) => {
  // The address is the page's: it must not change to #page.
  event.preventDefault();
  main.focus();
});
// A request that ends with its page is no error; anything else nobody waited for is one, and belongs into the console.
addEventListener("unhandledrejection", (event) => isAbort(event.reason) && event.preventDefault());
startThemeButton();
showLink();
show();
