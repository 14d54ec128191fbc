// Unpacks the page: the leaderboard first, since it is what one sees, then the charts.

function hideSection(id) {
  byId(id).hidden = true;
  document.querySelector(`nav a[href="#${id}"]`).hidden = true;
}

async function start() {
  startTheme();
  const core = await unpackedJson("core");
  core.runs.forEach((run, number) => (run.number = number));
  if (!core.runs.length) ["leaderboard", "curves", "questions"].forEach(hideSection);
  if (!core.matrices.length) hideSection("heads");
  byId("summary").textContent = core.summary;
  byId("best").replaceChildren(...core.best.map((sentence) => el("li", {}, sentence)));
  byId("notes").replaceChildren(...core.notes.map((note) => el("li", {}, note)));
  byId("leaderboard-notes").replaceChildren(...core.leaderboard.notes.map((note) => el("li", {}, note)));
  const { default: DataTable } = await loadModule("library-datatables");
  DataTable.ext.errMode = "throw";
  let openQuestion;
  if (core.runs.length) {
    startLeaderboard(DataTable, core.leaderboard);
    openQuestion = startQuestions(DataTable, core);
  }
  await new Promise((resolve) => setTimeout(resolve)); // paint, before the largest library is read
  await loadScript("library-plotly");
  if (core.runs.length) startCurves(core);
  if (core.matrices.length) startHeads(core);
  startAddress(openQuestion);
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start().catch((error) => {
  byId("problem").textContent = `The page could not be shown (${error.message}). A current browser is needed (2023 or later); the same figures are in leaderboard.csv and README.md.`;
  byId("problem").hidden = false;
  throw error;
});
