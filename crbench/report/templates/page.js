"use strict";

const sections = [...document.querySelectorAll("section")];
const filter = document.getElementById("filter");
const search = document.getElementById("search");

function compare(column, numeric, sign) {
  return (a, b) => {
    const [left, right] = [a.cells[column], b.cells[column]];
    if (!numeric) return sign * left.textContent.localeCompare(right.textContent);
    const missing = !("value" in left.dataset) - !("value" in right.dataset);
    return missing || sign * (Number(left.dataset.value) - Number(right.dataset.value)) || 0;
  };
}

function sort(heading) {
  const row = heading.parentElement;
  const body = heading.closest("table").tBodies[0];
  const numeric = heading.classList.contains("number");
  const largestFirst = heading.dataset.better === "higher";
  const reverse = heading.ariaSort === (largestFirst ? "descending" : "ascending");
  const descending = reverse !== largestFirst;
  for (const other of row.cells) other.removeAttribute("aria-sort");
  heading.ariaSort = descending ? "descending" : "ascending";
  body.append(...[...body.rows].sort(compare(heading.cellIndex, numeric, descending ? -1 : 1)));
}

function show() {
  const words = search.value.toLowerCase();
  for (const section of sections) {
    const { fingerprint } = section.dataset;
    section.hidden = filter.value !== "" && fingerprint !== filter.value;
    for (const row of section.querySelectorAll("tbody tr")) {
      const names = [...row.querySelectorAll(".word")].map((cell) => cell.textContent.toLowerCase());
      row.hidden = !names.some((name) => name.includes(words));
    }
  }
}

function save(button) {
  const text = document.getElementById(button.dataset.save).textContent;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = button.dataset.name;
  link.click();
  URL.revokeObjectURL(link.href);
}

for (const heading of document.querySelectorAll("th")) {
  heading.firstElementChild.addEventListener("click", () => sort(heading));
}
for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", () => save(button));
}
filter.addEventListener("change", show);
search.addEventListener("input", show);
document.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
document.querySelector(".controls").hidden = false;
