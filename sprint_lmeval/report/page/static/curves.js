// Pass@N curves of one task: Plotly draws, buttons below are the legend (reachable by keyboard, and on a phone).

// As in the figures: lines and markers by the strategy's number, 0 being the unpruned model.
const DASHES = ["solid", "dash", "dashdot", "dot"];
const DASH_ARRAYS = { solid: "", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };
const SYMBOLS = ["circle", "square", "triangle-down", "triangle-up", "diamond", "x", "star", "cross"];
const SIGNS = ["●", "■", "▼", "▲", "◆", "✖", "★", "✚"];
const COLORS = 10; // --series-0 ... in page.css
const CHART = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };

// A strategy has one colour and marker; the models of a chart differ in their lines.
function lookOf({ look, model, bold }) {
  return {
    color: color(`series-${look % COLORS}`),
    dash: DASHES[(look + Math.floor(look / SYMBOLS.length) + model) % DASHES.length],
    symbol: SYMBOLS[look % SYMBOLS.length],
    sign: SIGNS[look % SYMBOLS.length],
    width: bold ? 3.2 : 1.6, // thick: the unpruned model, and what learned from questions
  };
}

// Axes and texts in the colours of the page; nothing can be dragged, so that a phone scrolls over the chart.
function chartLayout(axes) {
  const axis = { gridcolor: color("line"), linecolor: color("line"), zerolinecolor: color("line"), fixedrange: true, automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("text"), family: "system-ui, sans-serif", size: 13 },
    hoverlabel: { bgcolor: color("panel"), bordercolor: color("line"), font: { color: color("text") } },
    margin: { t: 12, r: 12, b: 44, l: 48 },
    showlegend: false,
    dragmode: false,
    ...axes,
    xaxis: { ...axis, ...axes.xaxis },
    yaxis: { ...axis, ...axes.yaxis },
  };
}

function axisOfN(n) {
  const ticks = [1, 2, 4, 8, 16, 32, 64, 128].filter((tick) => tick <= n);
  if (ticks.at(-1) !== n) ticks.push(n);
  return { type: "log", tickvals: ticks, ticktext: ticks.map(String), title: { text: "answers per question (N)" } };
}

function bandOf(run, x, { color: fillColor }) {
  return {
    x: [...x, ...x.toReversed()],
    y: [...run.high, ...run.low.toReversed()].map((value) => 100 * value),
    fill: "toself", fillcolor: fillColor, opacity: 0.15, line: { width: 0 }, hoverinfo: "skip", mode: "lines",
  };
}

function lineOf(run, x, look) {
  return {
    x,
    y: run.curve.map((value) => 100 * value),
    name: escaped(run.label),
    mode: "lines+markers",
    line: { color: look.color, dash: look.dash, width: look.width },
    marker: { symbol: look.symbol, size: 7, color: look.color },
    customdata: run.curve.map((_, k) => [k + 1, percent(run.low?.[k]), percent(run.high?.[k])]),
    hovertemplate: "%{fullData.name}<br>Pass@%{customdata[0]}: <b>%{y:.1f} %</b> (95 %: %{customdata[1]}–%{customdata[2]})<extra></extra>",
  };
}

function sampleOf(look) {
  const line = { x1: 1, y1: 7, x2: 33, y2: 7, stroke: look.color, "stroke-width": look.width, "stroke-dasharray": DASH_ARRAYS[look.dash] };
  return svg("svg", { width: 34, height: 14, "aria-hidden": "true" }, svg("line", line), svg("text", { x: 17, y: 11.5, "text-anchor": "middle", "font-size": 12, fill: look.color }, look.sign));
}

function curvesTable(runs) {
  const n = Math.max(...runs.map((run) => run.curve.length));
  const ks = Array.from({ length: n }, (_, k) => k);
  const head = ["Run", ...ks.map((k) => `@${k + 1}`)];
  return simpleTable("Pass@N in per cent", head, runs.map((run) => [run.label, ...ks.map((k) => percent(run.curve[k]))]));
}

function startCurves(core) {
  const hidden = new Set();
  const runsShown = () => core.runs.filter((run) => run.task === Number(byId("curves-task").value) && run.curve);

  function legendButton(run) {
    const button = el("button", { type: "button", "aria-pressed": !hidden.has(run) }, sampleOf(lookOf(run)), el("span", {}, run.label));
    button.addEventListener("click", () => {
      if (!hidden.delete(run)) hidden.add(run);
      button.setAttribute("aria-pressed", !hidden.has(run));
      drawChart();
    });
    return button;
  }

  function drawLegend(runs) {
    const all = el("button", { type: "button", class: "quiet" }, "Show all / none");
    all.addEventListener("click", () => {
      const none = runs.every((run) => !hidden.has(run));
      runs.forEach((run) => (none ? hidden.add(run) : hidden.delete(run)));
      draw();
      byId("curves-legend").lastElementChild.focus();
    });
    byId("curves-legend").replaceChildren(...runs.map((run) => legendButton(run)), all);
  }

  function drawChart() {
    const overTokens = byId("curves-axis").value === "tokens";
    const runs = runsShown();
    const lines = [];
    runs.forEach((run) => {
      if (hidden.has(run) || (overTokens && !run.tokens)) return;
      const x = overTokens ? run.tokens : run.curve.map((_, k) => k + 1);
      if (byId("curves-bands").checked && run.low) lines.unshift(bandOf(run, x, lookOf(run)));
      lines.push(lineOf(run, x, lookOf(run)));
    });
    const n = Math.max(1, ...runs.map((run) => run.curve.length));
    const xaxis = overTokens ? { title: { text: "generated tokens per question (mean)" }, rangemode: "tozero" } : axisOfN(n);
    Plotly.react(byId("curves-chart"), lines, chartLayout({ xaxis, yaxis: { title: { text: "Pass@N, %", standoff: 8 } } }), CHART);
  }

  function draw() {
    const runs = runsShown();
    const known = runs.some((run) => run.tokens);
    byId("curves-axis").options[1].disabled = !known;
    if (!known) byId("curves-axis").value = "n";
    drawLegend(runs);
    drawChart();
    byId("curves-values").replaceChildren(curvesTable(runs));
  }

  options(byId("curves-task"), core.tasks.map((task) => task.name));
  ["curves-task", "curves-axis", "curves-bands"].forEach((id) => byId(id).addEventListener("change", draw));
  themeListeners.push(draw);
  draw();
}
