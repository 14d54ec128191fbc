// The list of questions of one task, with what became of each in the chosen run.

const OUTCOMES = [
  { name: "any", fits: () => true },
  { name: "solved by the first answer", fits: (row) => row.first === 1 },
  { name: "solved by a later answer only", fits: (row) => row.first > 1 },
  { name: "solved by no answer", fits: (row) => row.first === null },
  { name: "runs differ", fits: (row) => row.differ },
];

// What a run made of a question: place of the first correct answer (from 1, or null), and how many are correct.
function outcomeOf(run, question) {
  const verdicts = run.verdicts[run.places.get(question)];
  const first = verdicts.indexOf("0");
  return { first: first < 0 ? null : first + 1, correct: [...verdicts].filter((verdict) => verdict === "0").length };
}

function rowsOf(task, run, runs) {
  return [...run.places.keys()].map((question) => {
    const { pieces, subject, level } = task.questions[question];
    const solved = new Set(runs.filter((one) => one.places.has(question)).map((one) => outcomeOf(one, question).first !== null));
    const about = pieces.length ? pieces : [task.questions[question].id];
    return { question, text: plainText(about), about, subject, level, differ: solved.size > 1, ...outcomeOf(run, question) };
  });
}

function questionColumns(open) {
  const cell = (text) => (value, type, row) => {
    if (type === "display") return el("span", {}, text(row));
    return type === "filter" ? escaped(text(row)) : value;
  };
  const problem = (value, type, row) => {
    if (type !== "display") return type === "filter" ? escaped(row.text) : row.text;
    return el("button", { type: "button", class: "link", onclick: () => open(row.question) }, ...pieceNodes(row.about));
  };
  return [
    { data: "question", title: "#", className: "number", type: "num", render: cell((row) => row.question + 1) },
    { data: "text", title: "Problem", className: "text problem", type: "string", render: problem },
    { data: "subject", title: "Subject", className: "text about-problem", type: "string", render: cell((row) => row.subject || "–") },
    { data: "level", title: "Level", className: "number about-problem", type: "num", render: cell((row) => row.level ?? "–") },
    { data: "first", title: "First correct", className: "number", type: "num", render: (v, type, row) => (type === "display" ? el("span", {}, v ?? "–") : v ?? Infinity) },
    { data: "correct", title: "Correct", className: "number", type: "num", render: cell((row) => row.correct) },
  ];
}

function startQuestions(DataTable, core) {
  const runs = core.runs.filter((run) => run.verdicts);
  if (!runs.length) {
    byId("questions-controls").replaceChildren("No run has samples: give lm_eval --log_samples to see single questions.");
    return;
  }
  runs.forEach((run) => (run.places = new Map(run.questions.map((question, place) => [question, place]))));
  const tasks = core.tasks.filter((_, place) => runs.some((run) => run.task === place));
  const task = () => tasks[byId("questions-task").value];
  const runsOfTask = () => runs.filter((run) => core.tasks[run.task] === task());
  const run = () => runsOfTask()[byId("questions-run").value];
  const explorer = { task, run, runsOfTask, questionsInBlock: core.questions_in_block, texts: core.texts };

  const table = new DataTable(byId("questions-table"), {
    data: [],
    columns: questionColumns((question) => showQuestion(explorer, question, neighbours(question), true)),
    order: [[0, "asc"]],
    pageLength: 10,
    autoWidth: false,
    layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
    language: { info: "_TOTAL_ questions", infoFiltered: "of _MAX_", infoEmpty: "no question", zeroRecords: "No question fits." },
  });
  table.search.fixed("chosen", (_, row) => OUTCOMES[byId("questions-outcome").value].fits(row) && subjectFits(row));

  function subjectFits(row) {
    const chosen = byId("questions-subject").selectedOptions[0];
    return chosen.value === "0" || row.subject === chosen.textContent;
  }

  // The question before and after this one in the table as it is sorted and filtered.
  function neighbours(question) {
    return () => {
      const order = table.rows({ order: "applied", search: "applied" }).data().toArray().map((row) => row.question);
      const place = order.indexOf(question);
      const step = (by) => (place < 0 ? undefined : order[place + by]);
      return [step(-1), step(1)].map((one) => one !== undefined && (() => showQuestion(explorer, one, neighbours(one), false)));
    };
  }

  function chooseTask() {
    options(byId("questions-run"), runsOfTask(), (one) => one.label);
    const subjects = [...new Set(task().questions.map((question) => question.subject).filter(Boolean))].sort();
    options(byId("questions-subject"), ["all", ...subjects]);
    table.columns([2]).visible(subjects.length > 0);
    table.columns([3]).visible(task().questions.some((question) => question.level != null));
    chooseRun();
  }

  function chooseRun() {
    table.clear().rows.add(rowsOf(task(), run(), runsOfTask())).draw();
    const shown = byId("question").dataset;
    if (shown.question === undefined) return;
    const question = Number(shown.question);
    if (shown.task === task().name && run().places.has(question)) showQuestion(explorer, question, neighbours(question), false);
    else hideQuestion();
  }

  explorer.chooseRun = (place) => {
    byId("questions-run").value = place;
    chooseRun();
  };
  options(byId("questions-task"), tasks, (one) => one.name);
  options(byId("questions-outcome"), OUTCOMES, (outcome) => outcome.name);
  byId("questions-task").addEventListener("change", chooseTask);
  byId("questions-run").addEventListener("change", chooseRun);
  byId("questions-search").addEventListener("input", (event) => table.search(event.target.value).draw());
  ["questions-subject", "questions-outcome"].forEach((id) => byId(id).addEventListener("change", () => table.draw()));
  chooseTask();
  return (id) => {
    const question = task().questions.findIndex((one) => one.id === id);
    if (run().places.has(question)) showQuestion(explorer, question, neighbours(question), true);
  };
}
