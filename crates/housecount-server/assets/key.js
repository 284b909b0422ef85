/** Dialog that asks for the operator's key when the server requires one. */

import { key, setKey } from "./api.js";
import { createElement } from "./dom.js";
import { sharedStage } from "./share.js";

/** @type {HTMLDialogElement | null} */
let openDialog = null;
/** True if the operator closed the dialog without a key. It then opens by its button only. */
let isDismissed = false;
let wasRejected = false;
/** True if the rejected key was a share link. */
let wasLink = false;

/**
 * Opens the dialog after a rejected call, unless it is open or was dismissed.
 * @param {() => void} onKey called with a new key: reloads the page's data
 */
export function needKey(onKey) {
  wasRejected = key() !== null;
  if (wasRejected) {
    isDismissed = false;
    wasLink = sharedStage() !== null;
  }
  setKey(null);
  if (!isDismissed) askForKey(onKey);
}

/**
 * Opens the dialog, unless it is open.
 * @param {() => void} onKey
 */
export function askForKey(onKey) {
  if (openDialog) return;
  const field = createElement("input", {
    id: "key",
    name: "key",
    type: "password",
    required: true,
    autocomplete: "current-password",
    spellcheck: "false",
    "aria-describedby": "key-hint",
  });
  const rejected = wasLink
    ? "The share link has expired or was withdrawn. Ask for another one."
    : "The server rejected the key. Is it one of its operator keys?";
  const hint = wasRejected ? rejected : "This server shows its counts to operators only.";
  const dialog = createElement(
    "dialog",
    { class: "dialog", "aria-labelledby": "key-title" },
    createElement(
      "form",
      {
        method: "dialog",
        onsubmit: () => {
          setKey(field.value.trim());
          isDismissed = false;
          onKey();
        },
      },
      createElement("h2", { id: "key-title" }, "Operator's key"),
      createElement("p", { id: "key-hint", class: "hint" }, `${hint} The key is kept in this tab only.`),
      createElement("label", { for: "key" }, "Key"),
      field,
      createElement(
        "div",
        { class: "dialog-end" },
        createElement("button", { type: "submit", class: "main" }, "Continue"),
      ),
    ),
  );
  dialog.addEventListener("close", () => {
    isDismissed = key() === null;
    dialog.remove();
    openDialog = null;
  });
  openDialog = dialog;
  document.body.append(dialog);
  dialog.showModal();
}
