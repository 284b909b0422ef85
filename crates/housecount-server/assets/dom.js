/**
 * DOM helpers. The only file that creates elements, and none of them from HTML: the server's text becomes text nodes and attributes,
 * never markup.
 */

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Props */

/**
 * Creates an element. In `props`, a function is a listener (`onclick`), and `true` an empty attribute. `false`, null and undefined
 * are left out. `style` throws, because the page's policy forbids that attribute.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Props | null} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function createElement(tag, props, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, props ?? {});
  element.append(...toNodes(children));
  return element;
}

/**
 * Creates an SVG element.
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Props | null} [props]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function createSvgElement(tag, props, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, props ?? {});
  element.append(...toNodes(children));
  return element;
}

/**
 * Sets attributes and adds listeners.
 *
 * @param {Element} element
 * @param {Props} props
 */
export function setAttributes(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (name === "style") throw new TypeError("style is not an attribute here; use a class");
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else element.setAttribute(name, String(value));
  }
}

/** @param {(Child | Child[])[]} children */
const toNodes = (children) =>
  /** @type {(Node | string)[]} */ (
    children
      .flat()
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map((child) => (child instanceof Node ? child : String(child)))
  );

/**
 * Sets an element's text if it differs: most figures stay the same from one second to the next.
 * @param {Element} element
 * @param {string | number} value
 */
export function setText(element, value) {
  const text = String(value);
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Replaces an element's children.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function setChildren(element, ...children) {
  element.replaceChildren(...toNodes(children));
}

/**
 * Returns the element of index.html with this id.
 * @param {string} id
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

let lastId = 0;

/** Returns an id that is unique on the page. */
export const uniqueId = () => `n${++lastId}`;

/**
 * Paths of the 16-pixel icons, drawn in the text's colour.
 * @type {Record<string, string>}
 */
const ICONS = {
  sun: "M8 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM8 .8v1.6M8 13.6v1.6M.8 8h1.6M13.6 8h1.6M2.9 2.9 4 4M12 12l1.1 1.1M13.1 2.9 12 4M4 12l-1.1 1.1",
  moon: "M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3z",
  ok: "M3 8.5 6.5 12 13 4.5",
  warn: "M8 1.8 15 14H1zM8 6.2v3.6M8 11.6v.6",
  bad: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  wait: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM8 4.5V8l2.5 1.5",
  back: "M9.8 3 5 8l4.8 5",
  next: "M6.2 3 11 8l-4.8 5",
  down: "M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
};

/** @param {keyof typeof ICONS} name */
export const icon = (name) =>
  createSvgElement(
    "svg",
    { class: "i", viewBox: "0 0 16 16", "aria-hidden": "true" },
    createSvgElement("path", { d: ICONS[name] }),
  );
