/** CSV files that the browser saves. */

import { createElement } from "./dom.js";

/**
 * Quotes a text, with ' before one that a spreadsheet would run as a formula.
 * @param {string} text
 */
export const csvText = (text) => csvField(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);

/** Quotes a field by RFC 4180. @param {string} text */
const csvField = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/**
 * Saves lines as a file.
 * @param {string[]} lines
 * @param {string} name
 */
export function saveCsv(lines, name) {
  const url = URL.createObjectURL(new Blob([lines.join("\r\n"), "\r\n"], { type: "text/csv" }));
  createElement("a", { href: url, download: name }).click();
  // The browser keeps the blob for the started download.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * Returns a text as a part of a file's name.
 * @param {string} text
 */
export const fileWord = (text) => text.replaceAll(/[^\w.-]+/g, "_").slice(-80);
