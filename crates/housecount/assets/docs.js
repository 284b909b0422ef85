/**
 * The API's page: every operation and schema of /openapi.json, to read, and to try with this node.
 *
 * The address names what is open: `#showStage` an operation, `#schema-Stage` a schema.
 */

import { call, key, setKey } from "./api.js";
import { byId, fill, freshId, h } from "./dom.js";
import { answerBox } from "./docs-try.js";
import { prose, sample, shape, typeWords } from "./docs-schema.js";
import { panel, search, stackingTable, state } from "./parts.js";
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
const told = state();

/** Loads the document and shows it. */
async function load() {
  told.loading("Loading /openapi.json");
  try {
    show(await call("/openapi.json"));
  } catch (error) {
    told.failed(error, load);
  }
}

/** @param {Api} api */
function show(api) {
  told.clear();
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
    entry(`schema-${name}`, [h("code", null, name)], `${name} ${schema.description ?? ""}`, () => [
      h("p", null, prose(schema.description ?? "")),
      ...shape(schema),
    ]),
  );
  sections.push(group("schemas", "Bodies of requests and answers", schemas));
  const find = search("Find an operation or a schema", (words) => filter(sections, words));
  fill(
    main,
    h(
      "div",
      { class: "page stack docs" },
      h(
        "div",
        { class: "page-head" },
        h("h1", { tabindex: -1 }, "API"),
        h("p", { class: "subtitle" }, prose(api.info.description)),
      ),
      h("div", { class: "tools" }, find, keyField()),
      ...sections.map(({ element }) => element),
    ),
  );
  openNamed();
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
    { end: [h("span", { class: "hint" }, description)] },
    ...entries.map(({ element }) => element),
  ),
});

/**
 * A heading that opens. Its content is made when it is opened first.
 * @param {string} id
 * @param {import("./dom.js").Child[]} title
 * @param {string} words by which it is found
 * @param {() => import("./dom.js").Child[]} content
 * @returns {Entry}
 */
function entry(id, title, words, content) {
  const element = h("details", { id, class: "entry" }, h("summary", null, title));
  element.addEventListener("toggle", () => {
    if (element.open && element.childElementCount === 1) element.append(h("div", { class: "entry-body" }, content()));
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

/** Opens what the address names, and shows it. */
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(named instanceof HTMLDetailsElement)) return;
  // It may have been filtered out, with its section.
  for (const part of [named, named.closest("section")]) part?.removeAttribute("hidden");
  named.open = true;
  named.scrollIntoView();
  named.querySelector("summary")?.focus({ preventScroll: true });
}

/** The operator's key or viewer's token that calls are sent with. */
function keyField() {
  const field = h("input", {
    id: "key",
    type: "password",
    class: "search",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "none",
    onchange: () => setKey(field.value.trim() || null),
  });
  field.value = key() ?? "";
  const form = h("form", { class: "tools" }, h("label", { for: "key" }, "Key or token for calls"), field);
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
    h("span", { class: `verb ${method.toLowerCase()}` }, method),
    h("code", null, path),
    h("span", { class: "entry-title" }, operation.summary ?? ""),
  ];
  return entry(operation.operationId, title, `${method} ${path} ${operation.summary}`, () =>
    [
      operation.description?.split("\n\n").map((text) => h("p", null, prose(text))),
      h("p", { class: "hint" }, credentials(operation)),
      // A WebSocket is opened by programs.
      "101" in operation.responses ? null : form(what, api),
      answers(operation),
    ].flat(),
  );
}

/** @param {Operation} operation */
function credentials({ security = [] }) {
  const names = security.flatMap((scheme) =>
    Object.entries(scheme).map(([name, scopes]) => (scopes.length ? `${name} (scope ${scopes.join(", ")})` : name)),
  );
  if (!names.length) return "No credentials.";
  return `Credentials, where the node asks for them: ${names.join(" or ")}.`;
}

/**
 * @param {{path: string, method: string, operation: Operation}} what
 * @param {Api} api
 */
function form({ path, method, operation }, api) {
  const fields = (operation.parameters ?? []).map((parameter) => ({ parameter, ...parameterField(parameter) }));
  const [contentType, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const body = media?.schema && bodyField(media.schema, api);
  const answer = answerBox();
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
  return h(
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
    h(
      "div",
      { class: "tools" },
      h("button", { type: "submit", class: "main" }, "Send"),
      h("button", { type: "button", onclick: () => answer.stop() }, "Stop"),
    ),
    answer.element,
  );
}

/** @param {Parameter} parameter */
function parameterField({ name, required, description = "", schema, in: place }) {
  const id = freshId();
  const input = h("input", {
    id,
    name,
    required,
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": `${id}-hint`,
  });
  const element = h(
    "div",
    { class: "field" },
    h(
      "label",
      { for: id },
      h("code", null, name),
      h("span", { class: "sub" }, ` ${place}, `, typeWords(schema), required ? "" : ", optional"),
    ),
    input,
    h("span", { class: "hint", id: `${id}-hint` }, prose(description)),
  );
  return { input, element };
}

/**
 * @param {Schema} schema
 * @param {Api} api
 */
function bodyField(schema, api) {
  const id = freshId();
  const text = JSON.stringify(sample(schema, api.components.schemas), null, 2);
  const input = h("textarea", { id, rows: Math.min(12, text.split("\n").length + 1), spellcheck: "false" }, text);
  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id }, "Body"),
    h("span", { class: "hint" }, typeWords(schema)),
    input,
  );
  return { input, element };
}

/** @param {Operation} operation */
function answers({ responses }) {
  /** @param {[string, Operation["responses"][string]]} response */
  const row = ([status, { description, content = {} }]) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, status),
      h("td", null, prose(description)),
      h(
        "td",
        null,
        Object.entries(content).map(([type, { schema }]) => h("div", null, schema ? typeWords(schema) : type)),
      ),
    );
  return stackingTable(
    "Answers",
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        ["Answer", "When", "Body"].map((title) => h("th", { scope: "col" }, title)),
      ),
    ),
    h(
      "tbody",
      null,
      Object.entries(responses).map((each) => row(each)),
    ),
  );
}

startThemeButton();
fill(main, told.element);
addEventListener("hashchange", openNamed);
void load();
