/**
 * Virtual table: DOM rows for the visible part, and spacers for the others. It scrolls with the page. Sorting, filtering and updates
 * redraw existing rows.
 *
 * While the pointer or the focus is in the table, rows keep their places, so that a link doesn't move before a click.
 */

import { setChildren, uniqueId, createElement, icon, setText } from "./dom.js";

/** @typedef {import("./scope.js").Scope} Scope */

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} key
 * @property {string} title
 * @property {string} [hint] tooltip of the title
 * @property {string} [class] of its cells: `num`, or the width below which the column is hidden
 * @property {(row: Row) => string | number} [sort] sort key; without it the column is not sortable
 * @property {boolean} [descends] first click sorts descending
 * @property {() => {cell: Node | null, draw: (cell: HTMLTableCellElement, row: Row) => void}} make creates a cell's content, and the function that draws a row into it
 */

/** Rows drawn beyond the visible part, so that Tab reaches the next one. */
const OVERSCAN = 6;
const ROWS_MIN = 10;
/** Length from which a text may be cut off, and gets a tooltip. */
const CELL_CHARS = 16;
/** Printed rows: twenty pages. */
const PRINTED_ROWS_MAX = 1_000;
/** Shortest time between two sorts after updates. */
const SORT_MS = 1_000;

/**
 * Creates the cells of a text column.
 * @template Row
 * @param {(row: Row) => string} text
 * @returns {Column<Row>["make"]}
 */
export const asText = (text) => () => ({
  cell: null,
  draw: (cell, row) => {
    const shown = text(row);
    setText(cell, shown);
    // The cell may cut the text off.
    if (shown.length > CELL_CHARS && cell.title !== shown) cell.title = shown;
    else if (shown.length <= CELL_CHARS && cell.title) cell.removeAttribute("title");
  },
});

/** @template Row */
export class Table {
  /** @type {Row[]} */
  #rows = [];
  /** @type {Row[]} filtered rows, in order */
  #visible = [];
  /** @type {Column<Row>[]} */
  #columns;
  #sorted;
  /** @type {((row: Row) => boolean) | null} */
  #filter = null;
  /** @type {{tr: HTMLTableRowElement, draw: (row: Row, index: number) => void}[]} drawn rows, from #first on */
  #drawn = [];
  #first = 0;
  #rowPx = 0;
  #isHeld = false;
  #isDirty = false;
  #sortedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #sortTimer = null;
  #before = createElement("td", { class: "gap" });
  #after = createElement("td", { class: "gap" });
  #empty = createElement("p", { class: "table-empty", hidden: true });
  #body = createElement("tbody");
  #table;
  /** @type {Map<string, HTMLTableCellElement>} */
  #heads = new Map();
  #requestDraw;

  /**
   * @param {Scope} scope
   * @param {{label: string, columns: Column<Row>[], sorted: {key: string, descends: boolean}}} options
   */
  constructor(scope, { label, columns, sorted }) {
    this.#columns = columns;
    this.#sorted = { ...sorted };
    const caption = uniqueId();
    const spacer = (/** @type {HTMLElement} */ cell) =>
      createElement("tbody", { "aria-hidden": "true" }, createElement("tr", null, cell));
    this.#table = createElement(
      "table",
      { class: "virtual", "aria-labelledby": caption, tabindex: -1 },
      createElement("caption", { id: caption, class: "sr" }, label),
      createElement(
        "colgroup",
        null,
        columns.map((column) => createElement("col", { class: `col-${column.key} ${column.class ?? ""}` })),
      ),
      createElement(
        "thead",
        null,
        createElement(
          "tr",
          { "aria-rowindex": 1 },
          columns.map((column) => this.#createHead(column)),
        ),
      ),
      spacer(this.#before),
      this.#body,
      spacer(this.#after),
    );
    this.element = createElement("div", { class: "table" }, this.#table, this.#empty);

    this.#requestDraw = scope.frame(() => this.#draw());
    const { element } = this;
    scope.on(document, "scroll", () => this.#requestDraw());
    scope.on(window, "resize", () => this.#requestDraw());
    scope.on(window, "beforeprint", () => this.#drawForPrint());
    scope.on(window, "afterprint", () => this.#requestDraw());
    scope.on(element, "pointerenter", () => (this.#isHeld = true));
    scope.on(element, "pointerleave", () => (this.#isHeld = this.#hasFocus()));
    scope.on(element, "focusin", () => (this.#isHeld = true));
    scope.on(element, "focusout", () => (this.#isHeld = element.matches(":hover")));
    scope.on(element, "keydown", (event) => this.#onKey(event));
    const resize = new ResizeObserver(() => {
      this.#rowPx = 0;
      this.#requestDraw();
    });
    resize.observe(element);
    scope.defer(() => {
      resize.disconnect();
      clearTimeout(this.#sortTimer ?? undefined);
    });
    this.#showSortOrder();
  }

  /**
   * Replaces the rows.
   * @param {Row[]} rows
   */
  setRows(rows) {
    this.#rows = rows;
    this.sortRows();
  }

  /**
   * Sets the filter.
   * @param {((row: Row) => boolean) | null} filter
   */
  setFilter(filter) {
    this.#filter = filter;
    this.#scrollToTop();
    this.sortRows();
  }

  /**
   * Sets the text of an empty table.
   * @param {...import("./dom.js").Child} children
   */
  setEmpty(...children) {
    setChildren(this.#empty, ...children);
  }

  /** Number of rows that match the filter. */
  get length() {
    return this.#visible.length;
  }

  /** Redraws changed rows, and sorts them at intervals, unless the pointer or the focus is in the table. */
  refresh() {
    this.#isDirty = true;
    this.#requestDraw();
  }

  /** Filters and sorts the rows at once. */
  sortRows() {
    const column = this.#columns.find(({ key }) => key === this.#sorted.key);
    const shown = this.#filter ? this.#rows.filter(this.#filter) : [...this.#rows];
    const by = column?.sort;
    if (by) {
      const turn = this.#sorted.descends ? -1 : 1;
      shown.sort((a, b) => turn * compare(by(a), by(b)));
    }
    this.#visible = shown;
    this.#isDirty = false;
    this.#sortedAt = performance.now();
    this.#requestDraw();
  }

  #sortIfDue() {
    if (!this.#isDirty || this.#isHeld) return;
    const wait = this.#sortedAt + SORT_MS - performance.now();
    if (wait <= 0) this.sortRows();
    else
      this.#sortTimer ??= setTimeout(() => {
        this.#sortTimer = null;
        this.#requestDraw();
      }, wait);
  }

  /** @param {Column<Row>} column */
  #createHead(column) {
    const props = { scope: "col", class: `col-${column.key} ${column.class ?? ""}`, title: column.hint };
    const head = createElement("th", props);
    if (column.sort) {
      head.append(
        createElement(
          "button",
          { type: "button", class: "sort", onclick: () => this.#sortBy(column) },
          column.title,
          icon("back"),
        ),
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
    this.#showSortOrder();
    this.#scrollToTop();
    this.sortRows();
  }

  /** Scrolls to the first row, if the page is scrolled past it. */
  #scrollToTop() {
    if (this.element.getBoundingClientRect().top < 0) this.element.scrollIntoView({ block: "start" });
  }

  #showSortOrder() {
    for (const [key, head] of this.#heads) {
      if (key === this.#sorted.key) head.setAttribute("aria-sort", this.#sorted.descends ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  #hasFocus() {
    return this.element.contains(document.activeElement);
  }

  #draw() {
    this.#sortIfDue();
    this.#empty.hidden = this.#visible.length > 0;
    this.#table.setAttribute("aria-rowcount", String(this.#visible.length + 1));
    // The table is in a hidden tab.
    if (!this.element.getClientRects().length) return;
    if (!this.#rowPx) this.#measure();
    const above = -this.#before.getBoundingClientRect().top;
    const count = this.#visible.length;
    const clamp = (/** @type {number} */ row) => Math.max(0, Math.min(count, row));
    const first = clamp(Math.floor(above / this.#rowPx) - OVERSCAN);
    // A screen reader continues below the window without scrolling: keep some rows there.
    const last = Math.max(clamp(Math.ceil((above + innerHeight) / this.#rowPx) + OVERSCAN), clamp(first + ROWS_MIN));
    this.#showRows(first, last);
    this.#before.style.height = `${first * this.#rowPx}px`;
    this.#after.style.height = `${(this.#visible.length - first - this.#drawn.length) * this.#rowPx}px`;
  }

  /** Draws rows for print, in view or not. */
  #drawForPrint() {
    const count = this.#visible.length;
    this.#showRows(0, Math.min(count, PRINTED_ROWS_MAX));
    for (const gap of [this.#before, this.#after]) gap.style.height = "0";
  }

  /** Measures the height of a row, which the style sheet sets in rem. */
  #measure() {
    const probe = this.#drawn[0] ?? this.#createRow();
    if (!probe.tr.isConnected) this.#body.append(probe.tr);
    this.#rowPx = probe.tr.getBoundingClientRect().height;
    if (!this.#drawn.includes(probe)) probe.tr.remove();
  }

  /**
   * Draws exactly these rows. Rows that leave on one side are reused on the other.
   * @param {number} first
   * @param {number} last
   */
  #showRows(first, last) {
    const spare = [];
    while (this.#drawn.length && this.#first < first) spare.push(this.#detachRow("shift"));
    while (this.#drawn.length && this.#first + this.#drawn.length > last) spare.push(this.#detachRow("pop"));
    if (!this.#drawn.length) this.#first = first;
    while (this.#first > first) {
      const row = spare.pop() ?? this.#createRow();
      this.#body.prepend(row.tr);
      this.#drawn.unshift(row);
      this.#first -= 1;
    }
    while (this.#first + this.#drawn.length < last) {
      const row = spare.pop() ?? this.#createRow();
      this.#body.append(row.tr);
      this.#drawn.push(row);
    }
    for (const row of spare) row?.tr.remove();
    this.#drawn.forEach((row, i) => row.draw(this.#visible[first + i], first + i));
  }

  /** @param {"shift" | "pop"} end */
  #detachRow(end) {
    const row = this.#drawn[end]();
    if (end === "shift") this.#first += 1;
    // A removed row would lose the focus: move it to the table.
    if (row?.tr.contains(document.activeElement)) this.#table.focus({ preventScroll: true });
    return row;
  }

  #createRow() {
    const cells = this.#columns.map((column) => {
      const { cell: content, draw } = column.make();
      const cell = createElement("td", { class: `col-${column.key} ${column.class ?? ""}` }, content);
      return { cell, draw };
    });
    const tr = createElement(
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
   * Moves the focus between the rows' links with the arrow keys.
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
