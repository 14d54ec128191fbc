// Nodes of the page. Texts of problems and models become text nodes, never markup.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const SVG = "http://www.w3.org/2000/svg";

function byId(id) {
  return document.getElementById(id);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-")) node.setAttribute(name, value); // true and false are words there
    else if (value != null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// A tree is [tag, {attribute: value} or 0, child ...]; tags and attributes were chosen when the page was made.
function mathNode(tree) {
  const [tag, attributes, ...children] = tree;
  const nodes = children.map((child) => (typeof child === "string" ? child : mathNode(child)));
  return fill(document.createElementNS(MATHML, tag), attributes || {}, nodes);
}

function pieceNode(piece) {
  if (typeof piece === "string") return document.createTextNode(piece);
  const [source, tree] = piece;
  if (!tree) return el("code", { class: "source" }, source);
  return el("span", { class: "mathematics", title: source }, mathNode(tree));
}

function pieceNodes(pieces) {
  return pieces.map(pieceNode);
}

function plainText(pieces) {
  return pieces.map((piece) => (typeof piece === "string" ? piece : piece[0])).join("");
}

function options(select, values, label = String) {
  select.replaceChildren(...values.map((value, place) => el("option", { value: place }, label(value, place))));
}

function simpleTable(caption, head, rows) {
  return el(
    "table",
    { class: "plain" },
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((text) => el("td", {}, text))))),
  );
}

function percent(value, digits = 1) {
  return value == null ? "–" : (100 * value).toFixed(digits);
}

// Plotly reads names, and DataTables what it searches, as markup: escaped, they stay text.
function escaped(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
