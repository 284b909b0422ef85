/** Calls an operation of the API's page with the values of its form, and shows the answer as it comes. */

import { isAbort, key } from "./api.js";
import { h, say } from "./dom.js";
import { code } from "./parts.js";

/** Characters of an answer that are shown. The stream of counts has no end. */
const SHOWN_CHARS_MAX = 100_000;

/**
 * @typedef {object} Call
 * @property {string} method
 * @property {string} path with its parameters
 * @property {string} [body]
 * @property {string} [contentType] of the body
 */

/**
 * The same call for a terminal. The key is not in it.
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
 * Sends calls and shows the last one's answer.
 * @returns {{element: HTMLElement, send: (call: Call) => Promise<void>, stop: () => void}}
 */
export function answerBox() {
  const status = h("p", { class: "answer-status", role: "status" });
  const text = h("pre", { tabindex: 0, "aria-label": "Answer", hidden: true });
  const command = h("div", null);
  const element = h("div", { class: "answer" }, command, status, text);
  let ended = new AbortController();
  return {
    element,
    stop: () => ended.abort(),
    async send(call) {
      ended.abort();
      const { signal } = (ended = new AbortController());
      command.replaceChildren(code(curl(call), "curl command"));
      text.hidden = true;
      say(status, "Sent. No answer yet.");
      try {
        const headers = new Headers(call.body === undefined ? {} : { "content-type": call.contentType ?? "" });
        const bearer = key();
        if (bearer !== null) headers.set("authorization", `Bearer ${bearer}`);
        const response = await fetch(call.path, {
          method: call.method,
          headers,
          body: call.body,
          signal,
          cache: "no-store",
        });
        const head = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
        say(status, `${response.status} ${response.statusText}`.trim());
        text.hidden = false;
        await show(response, head, text);
      } catch (error) {
        if (signal === ended.signal) say(status, isAbort(error) ? "Stopped." : `No answer: ${String(error)}`);
      }
    },
  };
}

/**
 * @param {Response} response
 * @param {string} head
 * @param {Element} element
 */
async function show(response, head, element) {
  let body = "";
  say(element, `${head}\n`);
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  const pieces = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await pieces?.read(); piece && !piece.done; piece = await pieces?.read()) {
    body += piece.value;
    if (body.length > SHOWN_CHARS_MAX) {
      say(element, `${head}\n\n${body.slice(0, SHOWN_CHARS_MAX)}\n\nThe rest is not shown.`);
      return pieces?.cancel();
    }
    if (!isJson) say(element, `${head}\n\n${body}`);
  }
  say(element, `${head}\n\n${isJson ? indented(body) : body}`.trimEnd());
}

/** @param {string} text */
function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
