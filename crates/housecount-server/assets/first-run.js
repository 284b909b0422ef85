/** Overview of a server without any heartbeat yet: how to send the first one. */

import { createElement } from "./dom.js";
import { copyableCode } from "./parts.js";

/** @param {string} origin of this server */
export function firstRun(origin) {
  const curl = `curl ${origin}/v1/heartbeat \\\n  -H 'content-type: application/json' \\\n  -d '{"stage":"match-1","viewer":"ann"}'`;
  const player = `import { watch } from "housecount";\n\nwatch({ url: "${origin}", stage: "match-1", viewer: "ann" });`;
  return createElement(
    "section",
    { class: "first-run", "aria-labelledby": "first-run" },
    createElement("h2", { id: "first-run" }, "No viewers yet"),
    createElement(
      "p",
      { class: "lead" },
      "A viewer is counted from the first heartbeat. This page shows it at once, without setup or reload.",
    ),
    createElement(
      "ol",
      { class: "steps" },
      createElement(
        "li",
        null,
        createElement("h3", null, "Send a heartbeat"),
        createElement("p", null, "From any terminal:"),
        copyableCode(curl, "curl command"),
      ),
      createElement(
        "li",
        null,
        createElement("h3", null, "Add it to your player"),
        createElement("p", null, "It sends a heartbeat every 30 s, and a leave when the tab closes:"),
        copyableCode(player, "player snippet"),
      ),
      createElement(
        "li",
        null,
        createElement("h3", null, "Or try the demo"),
        createElement("p", null, "With 500 simulated viewers on a few stages:"),
        copyableCode("housecount serve --demo 500", "demo command"),
      ),
    ),
  );
}
