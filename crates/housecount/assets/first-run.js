/** What the overview shows while nobody has ever been here: how to be the first. */

import { h } from "./dom.js";
import { code } from "./parts.js";

/** @param {string} origin where this server is */
export function firstRun(origin) {
  const curl = `curl ${origin}/v1/heartbeat \\\n  -H 'content-type: application/json' \\\n  -d '{"stage":"match-1","viewer":"ann"}'`;
  const player = `import { watch } from "housecount";\n\nwatch({ url: "${origin}", stage: "match-1", viewer: "ann" });`;
  return h(
    "section",
    { class: "first-run", "aria-labelledby": "first-run" },
    h("h2", { id: "first-run" }, "Nobody is here yet"),
    h(
      "p",
      { class: "lead" },
      "A viewer is counted from its first heartbeat. This page shows it at once; there is nothing to set up or reload.",
    ),
    h(
      "ol",
      { class: "steps" },
      h("li", null, h("h3", null, "Send a heartbeat"), h("p", null, "From any terminal:"), code(curl, "curl command")),
      h(
        "li",
        null,
        h("h3", null, "Put it into your player"),
        h("p", null, "It beats every 30 s, and says goodbye when the tab is closed:"),
        code(player, "player snippet"),
      ),
      h(
        "li",
        null,
        h("h3", null, "Or just look around"),
        h("p", null, "with 500 simulated viewers on a few stages:"),
        code("housecount serve --demo 500", "demo command"),
      ),
    ),
  );
}
