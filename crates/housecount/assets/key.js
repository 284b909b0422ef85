/** Asks for the operator's key when the server wants one. */

import { key, setKey } from "./api.js";
import { h } from "./dom.js";

/** @type {HTMLDialogElement | null} */
let open = null;
/** Somebody has closed the form without a key, and knows where to find it. */
let isPutOff = false;
let wasRefused = false;

/**
 * A call was refused: opens the form, unless it is open or was put off.
 * @param {() => void} onKey a key has been given: everything may be asked for again
 */
export function needKey(onKey) {
  wasRefused = key() !== null;
  if (wasRefused) isPutOff = false;
  setKey(null);
  if (!isPutOff) askForKey(onKey);
}

/**
 * Opens the form, unless it is open.
 * @param {() => void} onKey
 */
export function askForKey(onKey) {
  if (open) return;
  const field = h("input", {
    id: "key",
    name: "key",
    type: "password",
    required: true,
    autocomplete: "current-password",
    spellcheck: "false",
    "aria-describedby": "key-hint",
  });
  const hint = wasRefused
    ? "The key was refused. Is it one of this server's operator keys?"
    : "This server shows its counts to operators only.";
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "key-title" },
    h(
      "form",
      {
        method: "dialog",
        onsubmit: () => {
          setKey(field.value.trim());
          isPutOff = false;
          onKey();
        },
      },
      h("h2", { id: "key-title" }, "Operator's key"),
      h("p", { id: "key-hint", class: "hint" }, `${hint} It is kept in this tab only.`),
      h("label", { for: "key" }, "Key"),
      field,
      h("div", { class: "dialog-end" }, h("button", { type: "submit", class: "main" }, "Continue")),
    ),
  );
  dialog.addEventListener("close", () => {
    isPutOff = key() === null;
    dialog.remove();
    open = null;
  });
  open = dialog;
  document.body.append(dialog);
  dialog.showModal();
}
