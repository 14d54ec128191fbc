// The leaderboard: a DataTable of the rows, with one selection for each column of names.

// No minus zero: what is rounded to 0 is +0.0.
function signed(value) {
  const text = value.toFixed(1);
  return Number(text) < 0 ? text : `+${Math.abs(Number(text)).toFixed(1)}`;
}

function pText(p) {
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}

function shown(value, column) {
  if (value == null) return "–";
  if (column.kind === "percent") return percent(value);
  if (column.kind === "number") return value.toLocaleString("en", { maximumFractionDigits: 0 });
  return String(value);
}

// Difference and interval above; p, its correction, and what it is compared with below.
function differenceCell(value) {
  if (!Array.isArray(value)) return el("span", {}, value ?? "–");
  const [difference, low, high, p, corrected, baseline, n] = value;
  const both = [...new Set([pText(p), pText(corrected)])].join(" / ");
  const below = `p ${both}; to ${baseline} at N = ${n}`;
  return el("span", {}, el("b", {}, signed(difference)), ` (${signed(low)} to ${signed(high)})`, el("small", {}, below));
}

function orderOf(value, column) {
  if (column.kind === "difference") return Array.isArray(value) ? value[0] : value ? 0 : -Infinity; // the best baseline: 0
  return value ?? (column.kind === "text" ? "" : -Infinity);
}

// DataTables sets strings as markup, and nodes as they are: cells are given as nodes, searched escaped, sorted by value.
function cellOf(column) {
  const node = column.kind === "difference" ? differenceCell : (value) => el("span", {}, shown(value, column));
  return (value, type) => {
    if (type === "display") return node(value);
    return type === "filter" ? escaped(shown(value, column)) : orderOf(value, column);
  };
}

function headOf(columns) {
  const cell = (column) => el("th", { scope: "col", title: column.meaning }, column.label);
  return el("thead", {}, el("tr", {}, ...columns.map(cell)));
}

function addFilter(table, column, place, values) {
  const select = el("select", { id: `filter-${place}` });
  options(select, ["all", ...values]);
  select.addEventListener("change", () => {
    const chosen = values[select.value - 1];
    table.column(place).search(chosen === undefined ? "" : (text) => text === chosen).draw();
  });
  byId("leaderboard-search").parentElement.before(el("label", {}, column.label, select));
}

function startLeaderboard(DataTable, { columns, rows }) {
  byId("leaderboard-table").append(headOf(columns));
  const table = new DataTable(byId("leaderboard-table"), {
    data: rows,
    columns: columns.map((column) => ({
      render: cellOf(column),
      type: column.kind === "text" ? "string" : "num",
      className: `${column.kind === "text" ? "text" : "number"} ${column.kind}`,
      visible: !column.rare,
      createdCell: (cell, value) => {
        cell.dataset.label = column.label;
        cell.classList.toggle("empty", value == null);
      },
      orderSequence: column.kind === "text" ? ["asc", "desc"] : ["desc", "asc"],
    })),
    order: [],
    pageLength: 25,
    lengthMenu: [10, 25, 50, { label: "all", value: -1 }],
    layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: rows.length > 25 ? "paging" : null },
    language: { info: "_TOTAL_ of _MAX_ runs", infoFiltered: "", infoEmpty: "no run", zeroRecords: "No run fits." },
  });
  const rare = columns.flatMap((column, place) => (column.rare ? [place] : []));
  byId("leaderboard-more").addEventListener("change", (event) => table.columns(rare).visible(event.target.checked));
  byId("leaderboard-search").addEventListener("input", (event) => table.search(event.target.value).draw());
  columns.forEach((column, place) => {
    const values = [...new Set(rows.map((row) => row[place]))].filter((value) => value != null);
    if (column.filter && values.length > 1) addFilter(table, column, place, values.map(String));
  });
}
