"use strict";

// Tables: a click on a head sorts by its column, a second one the other way round.
function compare(a, b, numeric) {
  return numeric ? a - b : a.localeCompare(b, "en", { numeric: true });
}

function sortRows(head) {
  const heads = [...head.parentElement.children];
  const column = heads.indexOf(head);
  const numeric = head.classList.contains("number");
  const descending = head.getAttribute("aria-sort") === "ascending";
  const key = (row) => row.children[column].dataset.key;
  const body = head.closest("table").tBodies[0];
  const rows = [...body.rows].sort((a, b) => {
    const [first, second] = [key(a), key(b)];
    if (first === "" || second === "") return (first === "") - (second === "");
    return (descending ? -1 : 1) * compare(first, second, numeric);
  });
  heads.forEach((each) => each.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...rows);
}

for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => sortRows(button.closest("th")));
}

// Galleries: a thumbnail opens the viewer, which steps through its gallery.
const viewer = document.getElementById("viewer");
const body = viewer.querySelector(".viewer-body");
let current = null; // the <li> that is shown

function show(item) {
  const items = [...item.parentElement.children];
  current = item;
  body.replaceChildren(item.querySelector("template").content.cloneNode(true));
  body.scrollTop = 0;
  viewer.querySelector("h2").textContent = item.querySelector(".caption").textContent;
  viewer.querySelector(".count").textContent =
    `${items.indexOf(item) + 1} of ${items.length}`;
  if (!viewer.open) viewer.showModal();
}

function step(by) {
  const items = [...current.parentElement.children];
  show(items[(items.indexOf(current) + by + items.length) % items.length]);
}

for (const button of document.querySelectorAll(".gallery button")) {
  button.addEventListener("click", () => show(button.closest("li")));
}
for (const button of viewer.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => step(Number(button.dataset.step)));
}
viewer.querySelector("[data-close]").addEventListener("click", () => viewer.close());
viewer.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  step(by);
});
// A click beside the viewer closes it.
viewer.addEventListener("click", (event) => {
  if (event.target === viewer) viewer.close();
});
viewer.addEventListener("close", () => {
  body.replaceChildren();
  current.querySelector("button").focus();
});
