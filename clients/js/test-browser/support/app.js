/** A React page for the test of the hooks. */

import { StrictMode, createElement } from "react";
import { createRoot } from "react-dom/client";

import { useAudience, useViewers } from "housecount/react";

function Player({ stage, viewer }) {
  const { count, error } = useAudience({ url: "", stage, viewer });
  const live = useViewers({ url: "" }, stage);
  return `watching: ${count?.viewers ?? "nobody knows"}; live: ${live?.viewers ?? "?"}; error: ${error?.code ?? "none"}`;
}

const root = createRoot(document.getElementById("root"));
globalThis.render = (props) => root.render(createElement(StrictMode, null, props && createElement(Player, props)));
