/** What operators say about a stage: read, created, changed, deleted. */

import { call, isAbort, path } from "./api.js";
import { fill, freshId, h, icon, say } from "./dom.js";
import * as format from "./format.js";
import { adviceOn } from "./parts.js";

/** @typedef {import("./stage.js").StageAnswer} StageAnswer */

/** What is exported of the time before stays. @param {{effectiveFrom: number}} answer */
const since = ({ effectiveFrom }) => `Applies to watch time from ${format.moment(effectiveFrom)} on.`;

/**
 * @param {import("./scope.js").Scope} scope
 * @param {string} id
 * @param {(stage: StageAnswer) => void} onChanged
 * @param {() => void} onDeleted
 */
export function configTab(scope, id, onChanged, onDeleted) {
  /** @type {StageAnswer | null} what the form was filled from */
  let stage = null;
  let isTouched = false;
  const name = field("Name", "What people call it");
  const customer = field("Customer", "Who pays for it: exports are grouped by it");
  const tags = tagFields(() => (isTouched = true));
  const told = h("p", { class: "told", role: "status" });
  const failed = h("p", { class: "told bad", role: "alert" });
  const save = h("button", { type: "submit", class: "main" }, "Save");
  const remove = h(
    "button",
    { type: "button", class: "danger", onclick: () => confirmDelete(scope, id, () => void erase()) },
    "Delete configuration",
  );
  const intro = h("p", { class: "hint" });

  const act = async (/** @type {() => Promise<void>} */ work) => {
    save.disabled = remove.disabled = true;
    say(told, "");
    say(failed, "");
    try {
      await work();
    } catch (error) {
      if (!isAbort(error)) say(failed, adviceOn(error));
    }
    save.disabled = remove.disabled = stage?.configurationKnown === false;
  };
  const submit = () =>
    act(async () => {
      const said = { name: name.input.value.trim(), customer: customer.input.value.trim(), tags: tags.read() };
      const { signal } = scope;
      const answer = stage?.configured
        ? await call(path`/v1/stages/${id}`, { method: "PATCH", body: changes(stage, said), signal })
        : await call("/v1/stages", {
            method: "POST",
            body: { stage: id, name: said.name || null, customer: said.customer || null, tags: said.tags },
            signal,
          });
      isTouched = false;
      onChanged(answer);
      say(told, `Saved. ${since(answer)}`);
    });
  const erase = () =>
    act(async () => {
      const answer = await call(path`/v1/stages/${id}`, { method: "DELETE", signal: scope.signal });
      isTouched = false;
      stage = null;
      onDeleted();
      say(told, `Deleted. ${since(answer)} Watch time, history and snapshots are still there.`);
      // The button that was pressed is gone.
      name.input.focus();
    });

  const form = h(
    "form",
    {
      class: "form",
      oninput: () => (isTouched = true),
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        void submit();
      },
    },
    intro,
    name.element,
    customer.element,
    tags.element,
    h("div", { class: "tools" }, save, remove),
    told,
    failed,
  );

  return {
    key: "configuration",
    title: "Configuration",
    element: form,
    /** @param {StageAnswer | null} found null: it isn't configured */
    show(found) {
      // What somebody is typing isn't taken away.
      if (isTouched) return;
      stage = found;
      const isConfigured = found?.configured ?? false;
      const isKnown = found?.configurationKnown !== false;
      name.input.value = found?.name ?? "";
      customer.input.value = found?.customer ?? "";
      tags.write(found?.tags ?? {});
      say(save, isConfigured ? "Save" : "Configure this stage");
      remove.hidden = !isConfigured;
      save.disabled = remove.disabled = !isKnown;
      if (!isKnown)
        say(intro, "The cold tier is away, so nobody can say what is configured. It can be changed when it is back.");
      else if (isConfigured) say(intro, "Names and customers join exports.");
      else
        say(
          intro,
          "This stage isn't configured. It needs no configuration to be watched; a name and a customer make lists and exports readable.",
        );
    },
  };
}

/**
 * @param {string} title
 * @param {string} hint
 */
function field(title, hint) {
  const id = freshId();
  const input = h("input", { id, maxlength: 256, autocomplete: "off", "aria-describedby": `${id}h` });
  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id }, title),
    input,
    h("p", { id: `${id}h`, class: "hint" }, hint),
  );
  return { input, element };
}

/** @param {() => void} onTouched */
function tagFields(onTouched) {
  const rows = h("div", { class: "tag-rows" });
  const add = (key = "", value = "") => {
    const cell = (/** @type {string} */ label, /** @type {string} */ text, /** @type {number} */ max) => {
      const input = h("input", { "aria-label": label, placeholder: label, maxlength: max, autocomplete: "off" });
      input.value = text;
      return input;
    };
    const name = cell("Tag", key, 128);
    name.required = true;
    const row = h("div", { class: "tag-row" }, name, cell("Value", value, 256));
    const label = key ? `Remove tag ${key}` : "Remove this tag";
    const drop = h(
      "button",
      {
        type: "button",
        class: "icon",
        "aria-label": label,
        onclick: () => {
          row.remove();
          onTouched();
          more.focus();
        },
      },
      icon("bad"),
    );
    row.append(drop);
    rows.append(row);
    return row;
  };
  const more = h(
    "button",
    {
      type: "button",
      onclick: () => {
        onTouched();
        add().querySelector("input")?.focus();
      },
    },
    "Add a tag",
  );
  const element = h("fieldset", { class: "field" }, h("legend", null, "Tags"), rows, more);
  return {
    element,
    /** @param {Record<string, string>} tags */
    write(tags) {
      fill(rows);
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
 * What PATCH must be told: null removes.
 * @param {StageAnswer} before
 * @param {{name: string, customer: string, tags: Record<string, string>}} said
 */
function changes(before, said) {
  /** @type {Record<string, unknown>} */
  const body = {};
  if (said.name !== (before.name ?? "")) body.name = said.name || null;
  if (said.customer !== (before.customer ?? "")) body.customer = said.customer || null;
  const old = before.tags ?? {};
  const gone = Object.keys(old).filter((key) => !Object.hasOwn(said.tags, key));
  const changed = Object.entries(said.tags).filter(([key, value]) => old[key] !== value);
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
  const title = freshId();
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": title },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: title }, "Delete this stage's configuration?"),
      h(
        "p",
        null,
        "Its name, customer and tags are forgotten. Who watched it, its history and its snapshots stay, and it goes on being counted.",
      ),
      h("p", null, h("code", null, id)),
      h(
        "div",
        { class: "dialog-end" },
        h("button", { type: "submit", value: "no", autofocus: true }, "Keep it"),
        h("button", { type: "submit", value: "yes", class: "danger" }, "Delete configuration"),
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
