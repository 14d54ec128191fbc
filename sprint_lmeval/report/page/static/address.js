// The address of what is shown: after its # stand the controls that were changed, by id, and the open question.

function controls() {
  return [...document.querySelectorAll("main select, main input")].filter((node) => node.id);
}

function chosenIn(node) {
  if (node.type === "checkbox") return node.checked ? "yes" : "";
  return node.options ? (node.selectedIndex > 0 ? node.selectedOptions[0].textContent : "") : node.value;
}

function choose(node, value) {
  if (node.type === "checkbox") node.checked = value === "yes";
  else if (node.options) node.selectedIndex = Math.max(0, [...node.options].findIndex((option) => option.textContent === value));
  else node.value = value;
  node.dispatchEvent(new Event(node.type === "search" ? "input" : "change"));
}

function writeAddress() {
  const parts = new URLSearchParams(controls().map((node) => [node.id, chosenIn(node)]).filter(([, value]) => value));
  const { id } = byId("question").dataset;
  if (id) parts.set("question", id);
  history.replaceState(null, "", `#${parts}`);
}

// In the order of the page: a task before its runs, a matrix before its subjects.
function readAddress(openQuestion) {
  const parts = new URLSearchParams(location.hash.slice(1));
  const known = controls().filter((node) => parts.has(node.id));
  known.forEach((node) => choose(node, parts.get(node.id)));
  if (parts.has("question")) openQuestion?.(parts.get("question"));
  else if (known.length) known.at(-1).scrollIntoView({ block: "center" });
}

function startAddress(openQuestion) {
  readAddress(openQuestion);
  addEventListener("hashchange", () => readAddress(openQuestion));
  for (const kind of ["change", "input"]) document.querySelector("main").addEventListener(kind, writeAddress);
}
