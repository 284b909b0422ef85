/** Sends the request of an operation's form, and shows the response while it arrives. */

import { isAbort, key } from "./api.js";
import { createElement, setText } from "./dom.js";
import { copyableCode } from "./parts.js";

/** Shown characters of a response: the stream of counts never ends. */
const SHOWN_CHARS_MAX = 100_000;

/**
 * @typedef {object} Call
 * @property {string} method
 * @property {string} path with its parameters
 * @property {string} [body]
 * @property {string} [contentType] of the body
 */

/**
 * Builds the curl command of a call, without the key.
 * @param {Call} call
 */
export function curl({ method, path, body, contentType }) {
  const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const parts = [`curl ${method === "GET" ? "" : `-X ${method} `}${quoted(location.origin + path)}`];
  if (key() !== null) parts.push(`-H "authorization: Bearer $KEY"`);
  if (body !== undefined) parts.push(`-H ${quoted(`content-type: ${contentType}`)}`, `-d ${quoted(body)}`);
  return parts.join(" \\\n  ");
}

/**
 * Creates the view that sends calls and shows the last response.
 * @returns {{element: HTMLElement, send: (call: Call) => Promise<void>, stop: () => void}}
 */
export function responseView() {
  const status = createElement("p", { class: "answer-status", role: "status" });
  const text = createElement("pre", { tabindex: 0, "aria-label": "Response", hidden: true });
  const command = createElement("div", null);
  const element = createElement("div", { class: "answer" }, command, status, text);
  let controller = new AbortController();
  return {
    element,
    stop: () => controller.abort(),
    async send(call) {
      controller.abort();
      const { signal } = (controller = new AbortController());
      command.replaceChildren(copyableCode(curl(call), "curl command"));
      text.hidden = true;
      setText(status, "Sent. No response yet.");
      try {
        const headers = new Headers(call.body === undefined ? {} : { "content-type": call.contentType ?? "" });
        const operatorKey = key();
        if (operatorKey !== null) headers.set("authorization", `Bearer ${operatorKey}`);
        const response = await fetch(call.path, {
          method: call.method,
          headers,
          body: call.body,
          signal,
          cache: "no-store",
        });
        const head = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
        setText(status, `${response.status} ${response.statusText}`.trim());
        text.hidden = false;
        await showResponse(response, head, text);
      } catch (error) {
        if (signal === controller.signal)
          setText(status, isAbort(error) ? "Stopped." : `No response: ${String(error)}`);
      }
    },
  };
}

/**
 * @param {Response} response
 * @param {string} head
 * @param {Element} element
 */
async function showResponse(response, head, element) {
  let body = "";
  setText(element, `${head}\n`);
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read()) {
    body += chunk.value;
    if (body.length > SHOWN_CHARS_MAX) {
      setText(element, `${head}\n\n${body.slice(0, SHOWN_CHARS_MAX)}\n\nThe rest is not shown.`);
      return reader?.cancel();
    }
    if (!isJson) setText(element, `${head}\n\n${body}`);
  }
  setText(element, `${head}\n\n${isJson ? formatJson(body) : body}`.trimEnd());
}

/** @param {string} text */
function formatJson(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
