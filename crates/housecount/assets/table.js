/**
 * A table of any length: real rows for what is in view, and the height of the others. It scrolls with the page. Sorted,
 * searched, and changed in place: a row's cells are drawn again without being made again.
 *
 * While the pointer or the keyboard is in it, rows keep their places; a link must not move away under a finger.
 */

import { fill, freshId, h, icon, say } from "./dom.js";

/** @typedef {import("./scope.js").Scope} Scope */

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} key
 * @property {string} title
 * @property {string} [hint] what it means, where the title doesn't say
 * @property {string} [class] of its cells: `num`, and those that hide it where there is no room
 * @property {(row: Row) => string | number} [sort] what it is sorted by; not sortable if missing
 * @property {boolean} [descends] sorted largest first at first
 * @property {() => {cell: Node | null, draw: (cell: HTMLTableCellElement, row: Row) => void}} make a cell's content and what draws a row into it
 */

/** Rows beyond the edges, so that Tab finds the next one. */
const OVERSCAN = 6;
const ROWS_MIN = 10;
/** Longer texts may not fit a cell. */
const CELL_CHARS = 16;
/** Rows that are printed: twenty pages. */
const PRINTED_ROWS_MAX = 1_000;
/** Rows change places this often at most. */
const ARRANGE_MS = 1_000;

/**
 * A column of text.
 * @template Row
 * @param {(row: Row) => string} text
 * @returns {Column<Row>["make"]}
 */
export const asText = (text) => () => ({
  cell: null,
  draw: (cell, row) => {
    const shown = text(row);
    say(cell, shown);
    // It may be cut off.
    if (shown.length > CELL_CHARS && cell.title !== shown) cell.title = shown;
    else if (shown.length <= CELL_CHARS && cell.title) cell.removeAttribute("title");
  },
});

/** @template Row */
export class Table {
  /** @type {Row[]} */
  #rows = [];
  /** @type {Row[]} what is shown, in order */
  #shown = [];
  /** @type {Column<Row>[]} */
  #columns;
  #sorted;
  /** @type {((row: Row) => boolean) | null} */
  #filter = null;
  /** @type {{tr: HTMLTableRowElement, draw: (row: Row, index: number) => void}[]} in view, from #first on */
  #drawn = [];
  #first = 0;
  #rowPx = 0;
  #isHeld = false;
  #isDirty = false;
  #arrangedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #later = null;
  #before = h("td", { class: "gap" });
  #after = h("td", { class: "gap" });
  #empty = h("p", { class: "table-empty", hidden: true });
  #body = h("tbody");
  #table;
  /** @type {Map<string, HTMLTableCellElement>} */
  #heads = new Map();
  #ask;

  /**
   * @param {Scope} scope
   * @param {{label: string, columns: Column<Row>[], sorted: {key: string, descends: boolean}}} options
   */
  constructor(scope, { label, columns, sorted }) {
    this.#columns = columns;
    this.#sorted = { ...sorted };
    const caption = freshId();
    const spacer = (/** @type {HTMLElement} */ cell) => h("tbody", { "aria-hidden": "true" }, h("tr", null, cell));
    this.#table = h(
      "table",
      { class: "virtual", "aria-labelledby": caption, tabindex: -1 },
      h("caption", { id: caption, class: "sr" }, label),
      h(
        "colgroup",
        null,
        columns.map((column) => h("col", { class: `col-${column.key} ${column.class ?? ""}` })),
      ),
      h(
        "thead",
        null,
        h(
          "tr",
          { "aria-rowindex": 1 },
          columns.map((column) => this.#head(column)),
        ),
      ),
      spacer(this.#before),
      this.#body,
      spacer(this.#after),
    );
    this.element = h("div", { class: "table" }, this.#table, this.#empty);

    this.#ask = scope.frame(() => this.#draw());
    const { element } = this;
    scope.on(document, "scroll", () => this.#ask());
    scope.on(window, "resize", () => this.#ask());
    scope.on(window, "beforeprint", () => this.#drawForPrint());
    scope.on(window, "afterprint", () => this.#ask());
    scope.on(element, "pointerenter", () => (this.#isHeld = true));
    scope.on(element, "pointerleave", () => (this.#isHeld = this.#hasFocus()));
    scope.on(element, "focusin", () => (this.#isHeld = true));
    scope.on(element, "focusout", () => (this.#isHeld = element.matches(":hover")));
    scope.on(element, "keydown", (event) => this.#onKey(event));
    const resize = new ResizeObserver(() => {
      this.#rowPx = 0;
      this.#ask();
    });
    resize.observe(element);
    scope.defer(() => {
      resize.disconnect();
      clearTimeout(this.#later ?? undefined);
    });
    this.#showSorted();
  }

  /**
   * Other rows.
   * @param {Row[]} rows
   */
  setRows(rows) {
    this.#rows = rows;
    this.arrange();
  }

  /**
   * Only rows that fit.
   * @param {((row: Row) => boolean) | null} filter
   */
  setFilter(filter) {
    this.#filter = filter;
    this.#toTop();
    this.arrange();
  }

  /**
   * What is said where there are no rows.
   * @param {...import("./dom.js").Child} children
   */
  setEmpty(...children) {
    fill(this.#empty, ...children);
  }

  /** How many rows fit the filter. */
  get length() {
    return this.#shown.length;
  }

  /** Rows have changed: draws them, and now and then puts them in order again, unless somebody is at it. */
  refresh() {
    this.#isDirty = true;
    this.#ask();
  }

  /** Puts the rows in order, now. */
  arrange() {
    const column = this.#columns.find(({ key }) => key === this.#sorted.key);
    const shown = this.#filter ? this.#rows.filter(this.#filter) : [...this.#rows];
    const by = column?.sort;
    if (by) {
      const turn = this.#sorted.descends ? -1 : 1;
      shown.sort((a, b) => turn * compare(by(a), by(b)));
    }
    this.#shown = shown;
    this.#isDirty = false;
    this.#arrangedAt = performance.now();
    this.#ask();
  }

  #arrangeNowAndThen() {
    if (!this.#isDirty || this.#isHeld) return;
    const wait = this.#arrangedAt + ARRANGE_MS - performance.now();
    if (wait <= 0) this.arrange();
    else
      this.#later ??= setTimeout(() => {
        this.#later = null;
        this.#ask();
      }, wait);
  }

  /** @param {Column<Row>} column */
  #head(column) {
    const props = { scope: "col", class: `col-${column.key} ${column.class ?? ""}`, title: column.hint };
    const head = h("th", props);
    if (column.sort) {
      head.append(
        h("button", { type: "button", class: "sort", onclick: () => this.#sortBy(column) }, column.title, icon("back")),
      );
    } else {
      head.append(column.title);
    }
    this.#heads.set(column.key, head);
    return head;
  }

  /** @param {Column<Row>} column */
  #sortBy(column) {
    const isSame = this.#sorted.key === column.key;
    this.#sorted = { key: column.key, descends: isSame ? !this.#sorted.descends : (column.descends ?? false) };
    this.#showSorted();
    this.#toTop();
    this.arrange();
  }

  /** Where the first rows are, if the page was scrolled past them. */
  #toTop() {
    if (this.element.getBoundingClientRect().top < 0) this.element.scrollIntoView({ block: "start" });
  }

  #showSorted() {
    for (const [key, head] of this.#heads) {
      if (key === this.#sorted.key) head.setAttribute("aria-sort", this.#sorted.descends ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  #hasFocus() {
    return this.element.contains(document.activeElement);
  }

  #draw() {
    this.#arrangeNowAndThen();
    this.#empty.hidden = this.#shown.length > 0;
    this.#table.setAttribute("aria-rowcount", String(this.#shown.length + 1));
    // Nobody sees it: it is in a tab that isn't chosen.
    if (!this.element.getClientRects().length) return;
    if (!this.#rowPx) this.#measure();
    const above = -this.#before.getBoundingClientRect().top;
    const count = this.#shown.length;
    const clamp = (/** @type {number} */ row) => Math.max(0, Math.min(count, row));
    const first = clamp(Math.floor(above / this.#rowPx) - OVERSCAN);
    // Some there always are, also below the window: who doesn't look at it reads on without scrolling.
    const last = Math.max(clamp(Math.ceil((above + innerHeight) / this.#rowPx) + OVERSCAN), clamp(first + ROWS_MIN));
    this.#showRows(first, last);
    this.#before.style.height = `${first * this.#rowPx}px`;
    this.#after.style.height = `${(this.#shown.length - first - this.#drawn.length) * this.#rowPx}px`;
  }

  /** Paper doesn't scroll: rows are drawn whether in view or not. */
  #drawForPrint() {
    const count = this.#shown.length;
    this.#showRows(0, Math.min(count, PRINTED_ROWS_MAX));
    for (const gap of [this.#before, this.#after]) gap.style.height = "0";
  }

  /** Rows are of one height, in rem: the style sheet says which. */
  #measure() {
    const probe = this.#drawn[0] ?? this.#make();
    if (!probe.tr.isConnected) this.#body.append(probe.tr);
    this.#rowPx = probe.tr.getBoundingClientRect().height;
    if (!this.#drawn.includes(probe)) probe.tr.remove();
  }

  /**
   * Exactly these rows. A row that goes on one side comes back on the other, so that scrolling makes none.
   * @param {number} first
   * @param {number} last
   */
  #showRows(first, last) {
    const spare = [];
    while (this.#drawn.length && this.#first < first) spare.push(this.#take("shift"));
    while (this.#drawn.length && this.#first + this.#drawn.length > last) spare.push(this.#take("pop"));
    if (!this.#drawn.length) this.#first = first;
    while (this.#first > first) {
      const row = spare.pop() ?? this.#make();
      this.#body.prepend(row.tr);
      this.#drawn.unshift(row);
      this.#first -= 1;
    }
    while (this.#first + this.#drawn.length < last) {
      const row = spare.pop() ?? this.#make();
      this.#body.append(row.tr);
      this.#drawn.push(row);
    }
    for (const row of spare) row?.tr.remove();
    this.#drawn.forEach((row, i) => row.draw(this.#shown[first + i], first + i));
  }

  /** @param {"shift" | "pop"} end */
  #take(end) {
    const row = this.#drawn[end]();
    if (end === "shift") this.#first += 1;
    // Focus that is in a row which goes would be lost: the table keeps it.
    if (row?.tr.contains(document.activeElement)) this.#table.focus({ preventScroll: true });
    return row;
  }

  #make() {
    const cells = this.#columns.map((column) => {
      const { cell: content, draw } = column.make();
      const cell = h("td", { class: `col-${column.key} ${column.class ?? ""}` }, content);
      return { cell, draw };
    });
    const tr = h(
      "tr",
      null,
      cells.map(({ cell }) => cell),
    );
    return {
      tr,
      draw: (/** @type {Row} */ row, /** @type {number} */ index) => {
        tr.setAttribute("aria-rowindex", String(index + 2));
        for (const { cell, draw } of cells) draw(cell, row);
      },
    };
  }

  /**
   * Up and down go from row to row, where rows have links.
   * @param {KeyboardEvent} event
   */
  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const at = this.#drawn.findIndex(({ tr }) => tr.contains(document.activeElement));
    if (!step || at < 0) return;
    const link = this.#drawn[at + step]?.tr.querySelector("a");
    if (!link) return;
    event.preventDefault();
    link.focus();
  }
}

const texts = new Intl.Collator(undefined, { numeric: true });

/**
 * @param {string | number} a
 * @param {string | number} b
 */
const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : texts.compare(String(a), String(b));
