"use strict";

// Search, order and columns stand in the address, so that a link shows what its sender saw.
const element = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const state = new URLSearchParams();
const find = element("find");
const only = element("only");
const boxes = all("#columns input");

function remember(name, value) {
  if (value) state.set(name, value);
  else state.delete(name);
  history.replaceState(null, "", `#${state}`);
}

function compare(column, numeric, sign) {
  const cell = (body) => body.rows[0].cells[column];
  return (a, b) => {
    const apart = a.classList.contains("disputed") - b.classList.contains("disputed");
    if (apart) return apart;
    const [left, right] = [cell(a), cell(b)];
    if (!numeric) return sign * left.textContent.localeCompare(right.textContent);
    const missing = !("value" in left.dataset) - !("value" in right.dataset);
    return missing || sign * (Number(left.dataset.value) - Number(right.dataset.value)) || 0;
  };
}

function order(key, descending) {
  for (const heading of all(".grid > thead th")) {
    heading.removeAttribute("aria-sort");
    if (heading.dataset.key !== key) continue;
    heading.ariaSort = descending ? "descending" : "ascending";
    const table = heading.closest("table");
    const numeric = heading.classList.contains("number");
    table.append(...[...table.tBodies].sort(compare(heading.cellIndex, numeric, descending ? -1 : 1)));
  }
}

function ask(heading) {
  const { key, better } = heading.dataset;
  const first = better === "higher" ? "descending" : "ascending";
  const descending = (heading.ariaSort === first) !== (first === "descending");
  order(key, descending);
  remember("sort", `${key} ${descending ? "down" : "up"}`);
}

function search() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const section of all("section.measured")) {
    let shown = 0;
    for (const body of section.querySelector(".grid").tBodies) {
      const name = (body.rows[0].querySelector("th") ?? body.rows[0]).textContent.toLowerCase();
      body.hidden = !words.every((word) => name.includes(word));
      shown += !body.hidden;
    }
    section.hidden = !shown || Boolean(only?.value && only.value !== section.id);
    found += !section.hidden;
  }
  element("nothing").hidden = found > 0;
}

function showColumns() {
  const hidden = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
  for (const table of all(".grid")) {
    for (const heading of table.tHead.rows[0].cells) {
      const gone = hidden.has(heading.dataset.key);
      if (heading.hidden === gone) continue;
      for (const part of [table.tHead, ...table.tBodies]) part.rows[0].cells[heading.cellIndex].hidden = gone;
    }
  }
}

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(element(id).textContent), (char) => char.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

const opened = new Map();

async function open(button) {
  const row = element(button.getAttribute("aria-controls"));
  if (!row.cells[0].hasChildNodes()) {
    // escaped by the page's maker, like all of its text
    const [, id, number] = row.id.match(/^(.*)-(\d+)$/);
    if (!opened.has(id)) opened.set(id, unpacked(`${id}-details`).then(JSON.parse));
    row.cells[0].innerHTML = (await opened.get(id))[number];
  }
  row.hidden = !row.hidden;
  button.ariaExpanded = String(!row.hidden);
}

function copyOld(text) {
  // for pages from a plain http server, where browsers keep the clipboard away
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

async function copy(button) {
  const { copy: id } = button.dataset;
  const text = id ? await unpacked(id) : button.previousElementSibling.textContent;
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copyOld(text);
  element("said").textContent = `copied, ${text.length} characters`;
  button.focus();
}

function restore() {
  const asked = location.hash.includes("=") ? new URLSearchParams(location.hash.slice(1)) : [];
  for (const [name, value] of asked) state.set(name, value);
  find.value = state.get("find") ?? "";
  if (only) only.value = state.get("only") ?? "";
  const hidden = new Set((state.get("hide") ?? "").split(","));
  for (const box of boxes) box.checked = !hidden.has(box.value);
  const [key, direction] = (state.get("sort") ?? "").split(" ");
  if (key) order(key, direction === "down");
  showColumns();
  search();
}

for (const button of all(".grid > thead button")) button.addEventListener("click", () => ask(button.parentElement));
for (const button of all("[aria-controls]")) button.addEventListener("click", () => open(button));
document.addEventListener("click", ({ target }) => {
  if (target.matches("[data-copy]")) copy(target);
  const menu = document.querySelector(".columns");
  if (!menu.contains(target)) menu.open = false;
});
for (const link of all('a[href^="#"]')) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    element(link.hash.slice(1)).scrollIntoView();
  });
}
find.addEventListener("input", () => (remember("find", find.value), search()));
only?.addEventListener("change", () => (remember("only", only.value), search()));
element("columns").addEventListener("change", () => {
  remember("hide", boxes.filter((box) => !box.checked).map((box) => box.value).join());
  showColumns();
});
const controls = document.querySelector(".controls");
controls.addEventListener("submit", (event) => event.preventDefault());
controls.hidden = false;
restore();
