/** Tab with a stage's configuration: shown, created, changed, deleted. */

import { call, isAbort, path } from "./api.js";
import { setChildren, uniqueId, createElement, icon, setText } from "./dom.js";
import * as format from "./format.js";
import { problemHint } from "./parts.js";

/** @typedef {import("./stage.js").StageAnswer} StageAnswer */

/** Describes from when a change applies. Exports of earlier watch time don't change. @param {{effectiveFrom: number}} answer */
const appliesFrom = ({ effectiveFrom }) => `Applies to watch time from ${format.moment(effectiveFrom)} on.`;

/**
 * @param {import("./scope.js").Scope} scope
 * @param {string} id
 * @param {(stage: StageAnswer) => void} onChanged
 * @param {() => void} onDeleted
 */
export function configTab(scope, id, onChanged, onDeleted) {
  /** @type {StageAnswer | null} configuration that the form shows */
  let stage = null;
  let isDirty = false;
  const name = field("Name", "Display name");
  const customer = field("Customer", "Paying customer: exports are grouped by it");
  const tags = tagFields(() => (isDirty = true));
  const savedNote = createElement("p", { class: "form-note", role: "status" });
  const errorNote = createElement("p", { class: "form-note bad", role: "alert" });
  const saveButton = createElement("button", { type: "submit", class: "main" }, "Save");
  const deleteButton = createElement(
    "button",
    { type: "button", class: "danger", onclick: () => confirmDelete(scope, id, () => void deleteConfiguration()) },
    "Delete configuration",
  );
  const intro = createElement("p", { class: "hint" });

  const perform = async (/** @type {() => Promise<void>} */ work) => {
    saveButton.disabled = deleteButton.disabled = true;
    setText(savedNote, "");
    setText(errorNote, "");
    try {
      await work();
    } catch (error) {
      if (!isAbort(error)) setText(errorNote, problemHint(error));
    }
    saveButton.disabled = deleteButton.disabled = stage?.configurationKnown === false;
  };
  const submit = () =>
    perform(async () => {
      const values = { name: name.input.value.trim(), customer: customer.input.value.trim(), tags: tags.read() };
      const { signal } = scope;
      const answer = stage?.configured
        ? await call(path`/v1/stages/${id}`, { method: "PATCH", body: patchBody(stage, values), signal })
        : await call("/v1/stages", {
            method: "POST",
            body: { stage: id, name: values.name || null, customer: values.customer || null, tags: values.tags },
            signal,
          });
      isDirty = false;
      onChanged(answer);
      setText(savedNote, `Saved. ${appliesFrom(answer)}`);
    });
  const deleteConfiguration = () =>
    perform(async () => {
      const answer = await call(path`/v1/stages/${id}`, { method: "DELETE", signal: scope.signal });
      isDirty = false;
      stage = null;
      onDeleted();
      setText(savedNote, `Deleted. ${appliesFrom(answer)} Watch time, history and snapshots are kept.`);
      // The pressed button is hidden now.
      name.input.focus();
    });

  const form = createElement(
    "form",
    {
      class: "form",
      oninput: () => (isDirty = true),
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        void submit();
      },
    },
    intro,
    name.element,
    customer.element,
    tags.element,
    createElement("div", { class: "tools" }, saveButton, deleteButton),
    savedNote,
    errorNote,
  );

  return {
    key: "configuration",
    title: "Configuration",
    element: form,
    /** @param {StageAnswer | null} found null: not configured */
    show(found) {
      // Keep what the operator is typing.
      if (isDirty) return;
      stage = found;
      const isConfigured = found?.configured ?? false;
      const isKnown = found?.configurationKnown !== false;
      name.input.value = found?.name ?? "";
      customer.input.value = found?.customer ?? "";
      tags.write(found?.tags ?? {});
      setText(saveButton, isConfigured ? "Save" : "Configure this stage");
      deleteButton.hidden = !isConfigured;
      saveButton.disabled = deleteButton.disabled = !isKnown;
      if (!isKnown) setText(intro, "The cold tier is unavailable, so the configuration can't be shown or changed.");
      else if (isConfigured) setText(intro, "The name and customer appear in lists and exports.");
      else
        setText(
          intro,
          "This stage isn't configured, and works without it. A name and a customer make lists and exports readable.",
        );
    },
  };
}

/**
 * @param {string} title
 * @param {string} hint
 */
function field(title, hint) {
  const id = uniqueId();
  const input = createElement("input", { id, maxlength: 256, autocomplete: "off", "aria-describedby": `${id}h` });
  const element = createElement(
    "div",
    { class: "field" },
    createElement("label", { for: id }, title),
    input,
    createElement("p", { id: `${id}h`, class: "hint" }, hint),
  );
  return { input, element };
}

/** @param {() => void} onChange */
function tagFields(onChange) {
  const rows = createElement("div", { class: "tag-rows" });
  const add = (key = "", value = "") => {
    const tagInput = (/** @type {string} */ label, /** @type {string} */ text, /** @type {number} */ max) => {
      const input = createElement("input", {
        "aria-label": label,
        placeholder: label,
        maxlength: max,
        autocomplete: "off",
      });
      input.value = text;
      return input;
    };
    const name = tagInput("Tag", key, 128);
    name.required = true;
    const row = createElement("div", { class: "tag-row" }, name, tagInput("Value", value, 256));
    const label = key ? `Remove tag ${key}` : "Remove this tag";
    const removeButton = createElement(
      "button",
      {
        type: "button",
        class: "icon",
        "aria-label": label,
        onclick: () => {
          row.remove();
          onChange();
          addButton.focus();
        },
      },
      icon("bad"),
    );
    row.append(removeButton);
    rows.append(row);
    return row;
  };
  const addButton = createElement(
    "button",
    {
      type: "button",
      onclick: () => {
        onChange();
        add().querySelector("input")?.focus();
      },
    },
    "Add a tag",
  );
  const element = createElement("fieldset", { class: "field" }, createElement("legend", null, "Tags"), rows, addButton);
  return {
    element,
    /** @param {Record<string, string>} tags */
    write(tags) {
      setChildren(rows);
      for (const [key, value] of Object.entries(tags)) add(key, value);
    },
    /** @returns {Record<string, string>} */
    read() {
      const pairs = [...rows.children].map((row) =>
        [...row.querySelectorAll("input")].map((input) => input.value.trim()),
      );
      return Object.fromEntries(pairs);
    },
  };
}

/**
 * Builds the body of PATCH, where null removes.
 * @param {StageAnswer} before
 * @param {{name: string, customer: string, tags: Record<string, string>}} values
 */
function patchBody(before, values) {
  /** @type {Record<string, unknown>} */
  const body = {};
  if (values.name !== (before.name ?? "")) body.name = values.name || null;
  if (values.customer !== (before.customer ?? "")) body.customer = values.customer || null;
  const old = before.tags ?? {};
  const gone = Object.keys(old).filter((key) => !Object.hasOwn(values.tags, key));
  const changed = Object.entries(values.tags).filter(([key, value]) => old[key] !== value);
  if (gone.length || changed.length) {
    body.tags = { ...Object.fromEntries(gone.map((key) => [key, null])), ...Object.fromEntries(changed) };
  }
  return body;
}

/**
 * @param {import("./scope.js").Scope} scope
 * @param {string} id
 * @param {() => void} onYes
 */
function confirmDelete(scope, id, onYes) {
  const title = uniqueId();
  const dialog = createElement(
    "dialog",
    { class: "dialog", "aria-labelledby": title },
    createElement(
      "form",
      { method: "dialog" },
      createElement("h2", { id: title }, "Delete this stage's configuration?"),
      createElement(
        "p",
        null,
        "This deletes its name, customer and tags. Watch time, history and snapshots are kept, and counting continues.",
      ),
      createElement("p", null, createElement("code", null, id)),
      createElement(
        "div",
        { class: "dialog-end" },
        createElement("button", { type: "submit", value: "no", autofocus: true }, "Keep it"),
        createElement("button", { type: "submit", value: "yes", class: "danger" }, "Delete configuration"),
      ),
    ),
  );
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "yes") onYes();
    dialog.remove();
  });
  document.body.append(dialog);
  scope.defer(() => dialog.close("no"));
  dialog.showModal();
}
