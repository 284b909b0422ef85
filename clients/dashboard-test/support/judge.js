/** Checks of a page, as expressions for any engine. */

/** Violations that axe-core finds, as text. Its source must be evaluated first. */
export const VIOLATIONS = `axe.run().then(({ violations }) =>
  violations.map(({ id, help, nodes }) =>
    [id + ": " + help, ...nodes.map(({ html, failureSummary }) => html + " " + failureSummary)].join("\\n  ")).join("\\n"))`;

/** Elements that are wider than the window, or cut off in a table. */
export const TOO_WIDE = `(() => {
  const root = document.documentElement;
  const isShown = (element) => element.getClientRects().length > 0;
  const found = root.scrollWidth > innerWidth ? ["the page is " + root.scrollWidth + " px of " + innerWidth] : [];
  for (const table of [...document.querySelectorAll(".virtual")].filter(isShown)) {
    const heads = [...table.querySelectorAll("th")].filter(isShown);
    const sum = heads.reduce((px, head) => px + head.getBoundingClientRect().width, 0);
    if (Math.abs(sum - table.clientWidth) > 2) found.push("columns have " + sum + " px of " + table.clientWidth);
    for (const head of heads) if (head.scrollWidth > head.clientWidth) found.push(head.textContent + " is cut off");
  }
  for (const box of [...document.querySelectorAll(".scroll-x, .stacks, .chart-table")].filter(isShown))
    if (box.scrollWidth > box.clientWidth) found.push(box.textContent.slice(0, 40) + " is " + box.scrollWidth + " px of " + box.clientWidth);
  return found;
})()`;
