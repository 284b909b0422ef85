/** Asks for the operator's key when the server wants one. */

import { key, setKey } from "./api.js";
import { h } from "./dom.js";

/** @type {HTMLDialogElement | null} */
let open = null;

/**
 * Opens the form, unless it is open.
 * @param {() => void} onKey a key has been given: everything may be asked for again
 */
export function askForKey(onKey) {
  if (open) return;
  const wasRefused = key() !== null;
  setKey(null);
  const field = h("input", {
    id: "key",
    name: "key",
    type: "password",
    required: true,
    autocomplete: "current-password",
    spellcheck: "false",
    "aria-describedby": "key-hint",
  });
  const hint = wasRefused ? "The key was refused. Is it one of this server's operator keys?" : "This server shows its counts to operators only.";
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "key-title" },
    h(
      "form",
      {
        method: "dialog",
        onsubmit: () => {
          setKey(field.value.trim());
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
    dialog.remove();
    open = null;
  });
  open = dialog;
  document.body.append(dialog);
  dialog.showModal();
}
