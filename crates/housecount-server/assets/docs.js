/**
 * API page: all operations and schemas of /openapi.json, with a form to call this node.
 *
 * The URL's hash names the open entry: `#showStage` an operation, `#schema-Stage` a schema.
 */

import { call, key, setKey } from "./api.js";
import { byId, setChildren, uniqueId, createElement } from "./dom.js";
import { responseView } from "./docs-try.js";
import { prose, sample, schemaView, typeText } from "./docs-schema.js";
import { panel, searchField, responsiveTable, statusBox } from "./parts.js";
import { startThemeButton } from "./theme-button.js";

/** @typedef {import("./docs-schema.js").Schema} Schema */
/** @typedef {{schema?: Schema}} Media */
/** @typedef {{name: string, in: "path" | "query" | "header", required: boolean, description?: string, schema: Schema}} Parameter */
/**
 * @typedef {object} Operation
 * @property {string} operationId
 * @property {string} [summary]
 * @property {string} [description]
 * @property {string[]} [tags]
 * @property {Parameter[]} [parameters]
 * @property {{required?: boolean, content: Record<string, Media>}} [requestBody]
 * @property {Record<string, {description: string, content?: Record<string, Media>}>} responses
 * @property {Record<string, string[]>[]} [security]
 */
/** @typedef {{name: string, description?: string}} Tag */
/**
 * @typedef {object} Api
 * @property {{version: string, description: string}} info
 * @property {Tag[]} tags
 * @property {Record<string, Record<string, Operation>>} paths
 * @property {{schemas: import("./docs-schema.js").Schemas}} components
 */

const main = byId("page");
const status = statusBox();

/** Loads and shows the document. */
async function load() {
  status.showLoading("Loading /openapi.json");
  try {
    show(await call("/openapi.json"));
  } catch (error) {
    status.showError(error, load);
  }
}

/** @param {Api} api */
function show(api) {
  status.clear();
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  const sections = api.tags.map(({ name, description }) =>
    group(
      name,
      description ?? "",
      operations.filter(({ operation }) => operation.tags?.includes(name)).map((each) => operationEntry(each, api)),
    ),
  );
  const schemas = Object.entries(api.components.schemas).map(([name, schema]) =>
    entry(`schema-${name}`, [createElement("code", null, name)], `${name} ${schema.description ?? ""}`, () => [
      createElement("p", null, prose(schema.description ?? "")),
      ...schemaView(schema),
    ]),
  );
  sections.push(group("schemas", "Bodies of requests and responses", schemas));
  const find = searchField("Find an operation or a schema", (words) => filter(sections, words));
  setChildren(
    main,
    createElement(
      "div",
      { class: "page stack docs" },
      createElement(
        "div",
        { class: "page-head" },
        createElement("h1", { tabindex: -1 }, "API"),
        createElement("p", { class: "subtitle" }, prose(api.info.description)),
      ),
      createElement("div", { class: "tools" }, find, keyField()),
      ...sections.map(({ element }) => element),
    ),
  );
  openFromUrl();
}

/** @typedef {{element: HTMLElement, words: string}} Entry */

/**
 * @param {string} name
 * @param {string} description
 * @param {Entry[]} entries
 */
const group = (name, description, entries) => ({
  entries,
  element: panel(
    name[0].toUpperCase() + name.slice(1),
    { end: [createElement("span", { class: "hint" }, description)] },
    ...entries.map(({ element }) => element),
  ),
});

/**
 * Creates an entry that opens. Its content is built when it opens first.
 * @param {string} id
 * @param {import("./dom.js").Child[]} title
 * @param {string} words searched text
 * @param {() => import("./dom.js").Child[]} content
 * @returns {Entry}
 */
function entry(id, title, words, content) {
  const element = createElement("details", { id, class: "entry" }, createElement("summary", null, title));
  element.addEventListener("toggle", () => {
    if (element.open && element.childElementCount === 1)
      element.append(createElement("div", { class: "entry-body" }, content()));
    if (element.open && location.hash !== `#${id}`) history.replaceState(null, "", `#${id}`);
  });
  return { element, words: `${id} ${words}`.toLowerCase() };
}

/**
 * @param {{entries: Entry[], element: HTMLElement}[]} sections
 * @param {string} words
 */
function filter(sections, words) {
  for (const { entries, element } of sections) {
    for (const each of entries) each.element.hidden = !words.split(" ").every((word) => each.words.includes(word));
    element.hidden = entries.every((each) => each.element.hidden);
  }
}

/** Opens the entry that the URL's hash names, and scrolls to it. */
function openFromUrl() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(named instanceof HTMLDetailsElement)) return;
  // The search may have hidden it, with its section.
  for (const part of [named, named.closest("section")]) part?.removeAttribute("hidden");
  named.open = true;
  named.scrollIntoView();
  named.querySelector("summary")?.focus({ preventScroll: true });
}

/** Creates the field for the operator's key or viewer's token of calls. */
function keyField() {
  const field = createElement("input", {
    id: "key",
    type: "password",
    class: "search",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "none",
    onchange: () => setKey(field.value.trim() || null),
  });
  field.value = key() ?? "";
  const form = createElement(
    "form",
    { class: "tools" },
    createElement("label", { for: "key" }, "Key or token for calls"),
    field,
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  return form;
}

/**
 * @param {{path: string, method: string, operation: Operation}} what
 * @param {Api} api
 */
function operationEntry(what, api) {
  const { path, method, operation } = what;
  const title = [
    createElement("span", { class: `verb ${method.toLowerCase()}` }, method),
    createElement("code", null, path),
    createElement("span", { class: "entry-title" }, operation.summary ?? ""),
  ];
  return entry(operation.operationId, title, `${method} ${path} ${operation.summary}`, () =>
    [
      operation.description?.split("\n\n").map((text) => createElement("p", null, prose(text))),
      createElement("p", { class: "hint" }, credentialsText(operation)),
      // The form can't open a WebSocket.
      "101" in operation.responses ? null : form(what, api),
      responsesTable(operation),
    ].flat(),
  );
}

/** @param {Operation} operation */
function credentialsText({ security = [] }) {
  const names = security.flatMap((scheme) =>
    Object.entries(scheme).map(([name, scopes]) => (scopes.length ? `${name} (scope ${scopes.join(", ")})` : name)),
  );
  if (!names.length) return "No credentials.";
  return `Credentials, if the node requires them: ${names.join(" or ")}.`;
}

/**
 * @param {{path: string, method: string, operation: Operation}} what
 * @param {Api} api
 */
function form({ path, method, operation }, api) {
  const fields = (operation.parameters ?? []).map((parameter) => ({ parameter, ...parameterField(parameter) }));
  const [contentType, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const body = media?.schema && bodyField(media.schema, api);
  const answer = responseView();
  const send = () => {
    const query = new URLSearchParams();
    let where = path;
    for (const { parameter, input } of fields) {
      if (parameter.in === "path") where = where.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.append(parameter.name, input.value);
    }
    void answer.send({
      method,
      path: query.size ? `${where}?${query}` : where,
      body: body?.input.value,
      contentType,
    });
  };
  return createElement(
    "form",
    {
      class: "try",
      onsubmit: (/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        send();
      },
    },
    ...fields.map(({ element }) => element),
    body?.element,
    createElement(
      "div",
      { class: "tools" },
      createElement("button", { type: "submit", class: "main" }, "Send"),
      createElement("button", { type: "button", onclick: () => answer.stop() }, "Stop"),
    ),
    answer.element,
  );
}

/** @param {Parameter} parameter */
function parameterField({ name, required, description = "", schema, in: place }) {
  const id = uniqueId();
  const input = createElement("input", {
    id,
    name,
    required,
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": `${id}-hint`,
  });
  const element = createElement(
    "div",
    { class: "field" },
    createElement(
      "label",
      { for: id },
      createElement("code", null, name),
      createElement("span", { class: "sub" }, ` ${place}, `, typeText(schema), required ? "" : ", optional"),
    ),
    input,
    createElement("span", { class: "hint", id: `${id}-hint` }, prose(description)),
  );
  return { input, element };
}

/**
 * @param {Schema} schema
 * @param {Api} api
 */
function bodyField(schema, api) {
  const id = uniqueId();
  const text = JSON.stringify(sample(schema, api.components.schemas), null, 2);
  const input = createElement(
    "textarea",
    { id, rows: Math.min(12, text.split("\n").length + 1), spellcheck: "false" },
    text,
  );
  const element = createElement(
    "div",
    { class: "field" },
    createElement("label", { for: id }, "Body"),
    createElement("span", { class: "hint" }, typeText(schema)),
    input,
  );
  return { input, element };
}

/** @param {Operation} operation */
function responsesTable({ responses }) {
  /** @param {[string, Operation["responses"][string]]} response */
  const row = ([status, { description, content = {} }]) =>
    createElement(
      "tr",
      null,
      createElement("th", { scope: "row" }, status),
      createElement("td", null, prose(description)),
      createElement(
        "td",
        null,
        Object.entries(content).map(([type, { schema }]) =>
          createElement("div", null, schema ? typeText(schema) : type),
        ),
      ),
    );
  return responsiveTable(
    "Responses",
    createElement(
      "thead",
      null,
      createElement(
        "tr",
        null,
        ["Status", "When", "Body"].map((title) => createElement("th", { scope: "col" }, title)),
      ),
    ),
    createElement(
      "tbody",
      null,
      Object.entries(responses).map((each) => row(each)),
    ),
  );
}

startThemeButton();
setChildren(main, status.element);
addEventListener("hashchange", openFromUrl);
void load();
