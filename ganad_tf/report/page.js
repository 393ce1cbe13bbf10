// Tables are sorted by a click on a column's head, or by Enter on it; a second time the other way round.
"use strict";
function value(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (cell.dataset.value === undefined && !cell.classList.contains("number")) return text;
  const number = Number.parseFloat(text);
  return Number.isNaN(number) ? Number.NEGATIVE_INFINITY : number;
}
function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return Math.sign(one - other) || 0; // NaN: both infinite
  return String(one).localeCompare(String(other), "en", { numeric: true });
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => compare(value(one, column), value(other, column)) * (order === "ascending" ? 1 : -1));
    table.tBodies[0].append(...rows);
  }));
}
// What is closed would be missing on paper.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((each) => (each.open = true));
});
addEventListener("afterprint", () => opened.forEach((each) => (each.open = false)));
