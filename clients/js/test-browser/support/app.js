/** A React page for the test of the hooks. */

import { StrictMode, createElement } from "react";
import { createRoot } from "react-dom/client";

import { useAudience, useViewers } from "housecount/react";

/** Texts that were shown, in order. */
globalThis.shown = [];

function Player({ stage, viewer, token, others }) {
  const { count, error } = useAudience({ url: "", stage, viewer, token: token && (async () => token) });
  const live = useViewers({ url: "" }, stage);
  const counts = useViewers({ url: "" }, others ?? []);
  globalThis.counts = counts;
  globalThis.shown.push([stage, viewer, count && count.viewers]);
  return `watching: ${count?.viewers ?? "unknown"}; live: ${live?.viewers ?? "?"}; error: ${error?.code ?? "none"}`;
}

const root = createRoot(document.getElementById("root"));
globalThis.render = (props) => root.render(createElement(StrictMode, null, props && createElement(Player, props)));
