// Heat map of single pruned heads, layer by head, by subject, from outcome matrices.

const MEASURES = [
  { name: "gain over the whole model, points", gain: true },
  { name: "Pass@1, %", gain: false },
];

function percentsOf(shares) {
  return shares.map((row) => row.map((share) => (share === null ? null : 100 * share)));
}

function colorsOf(names) {
  return names.map((name, place) => [place / (names.length - 1), color(name)]);
}

// Gains have zero in the middle, in the colour of the page, and an end that a few ruinous heads do not set.
function scaleOf(values, gain) {
  const known = values.flat().filter((value) => value !== null);
  if (!gain) return { zmin: Math.min(...known), zmax: Math.max(...known), colorscale: colorsOf(["low", "high"]) };
  const sizes = known.map(Math.abs).sort((a, b) => a - b);
  const most = Math.max(sizes[Math.ceil(0.8 * sizes.length) - 1] ?? 0, 0.1);
  return { zmin: -most, zmax: most, colorscale: colorsOf(["worse", "panel", "better"]) };
}

// Whole numbers where a cell has room for one.
function numbersOf(values, matrix, gain) {
  const room = (byId("heads-chart").clientWidth - 140) / matrix.heads.length;
  if (room < 22) return {};
  const whole = (value) => (gain && value > -0.5 ? `+${Math.abs(Math.round(value))}` : String(Math.round(value)));
  const text = values.map((row) => row.map((value) => (value === null ? "" : whole(value))));
  return { text, texttemplate: "%{text}", textfont: { size: Math.min(12, room / 2.4) } };
}

function headsTrace(values, matrix, gain) {
  return {
    type: "heatmap",
    x: matrix.heads.map((head) => `H${head}`),
    y: matrix.layers.map((layer) => `L${layer}`),
    z: values,
    ...scaleOf(values, gain),
    ...numbersOf(values, matrix, gain),
    xgap: 1,
    ygap: 1,
    hoverongaps: false,
    colorbar: { thickness: 12, outlinewidth: 0, ticksuffix: gain ? "" : " %" },
    hovertemplate: `%{y}%{x}: <b>%{z:${gain ? "+" : ""}.1f}</b> ${gain ? "points" : "%"}<extra></extra>`,
  };
}

function headsNote(matrix, place) {
  const base = matrix.base[place];
  const whole = base === null ? "" : `The whole model solves ${percent(base)} % of these ${matrix.counts[place]} questions. `;
  return whole + (matrix.left_out ? `${matrix.left_out} candidates that prune several heads are not shown.` : "");
}

function startHeads(core) {
  const matrix = () => core.matrices[byId("heads-matrix").value];
  let measures = MEASURES;

  function chooseMatrix() {
    options(byId("heads-subject"), matrix().subjects, (subject, place) => `${subject} (${matrix().counts[place]})`);
    measures = MEASURES.filter((measure) => !measure.gain || matrix().base.every((base) => base !== null));
    options(byId("heads-measure"), measures, (measure) => measure.name);
    draw();
  }

  function draw() {
    const place = Number(byId("heads-subject").value);
    const measure = measures[byId("heads-measure").value];
    const values = percentsOf((measure.gain ? matrix().gains : matrix().rates)[place]);
    const trace = headsTrace(values, matrix(), measure.gain);
    const axes = {
      xaxis: { type: "category", showgrid: false, title: { text: "pruned head" } },
      yaxis: { type: "category", showgrid: false, autorange: "reversed", title: { text: "layer" } },
    };
    byId("heads-chart").style.height = `${Math.max(220, 90 + 24 * trace.y.length)}px`;
    Plotly.react(byId("heads-chart"), [trace], { ...chartLayout(axes), plot_bgcolor: color("none-back") }, CHART);
    const rows = values.map((row, layer) => [trace.y[layer], ...row.map((value) => value?.toFixed(1) ?? "–")]);
    byId("heads-values").replaceChildren(simpleTable(measure.name, ["", ...trace.x], rows));
    byId("heads-note").textContent = headsNote(matrix(), place);
  }

  options(byId("heads-matrix"), core.matrices, (one) => one.label);
  byId("heads-matrix").addEventListener("change", chooseMatrix);
  ["heads-subject", "heads-measure"].forEach((id) => byId(id).addEventListener("change", draw));
  themeListeners.push(draw);
  chooseMatrix();
}
