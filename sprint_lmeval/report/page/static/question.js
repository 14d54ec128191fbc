// One question: the problem, what every run made of it, and each candidate's answer in the chosen run.

const VERDICTS = [
  { name: "correct", sign: "✓" },
  { name: "incorrect", sign: "✗" },
  { name: "no answer", sign: "–" },
  { name: "timeout", sign: "t" },
  { name: "error", sign: "!" },
];

const NUMBERS = ["Rank", "Score", "Tokens"];

function verdictOf(letter) {
  return VERDICTS[letter] ?? { name: "not run", sign: " " };
}

function hideQuestion() {
  byId("question").hidden = true;
  delete byId("question").dataset.question;
  delete byId("question").dataset.id;
  writeAddress();
  byId("questions").focus();
}

function signs(verdicts) {
  const sign = (letter, place) => {
    const { name, sign: text } = verdictOf(letter);
    return el("span", { class: `sign ${name.replace(" ", "-")}`, title: `answer ${place + 1}: ${name}` }, text);
  };
  return [...verdicts].map(sign);
}

function runStrips(explorer, question) {
  const rows = explorer.runsOfTask().map((run, place) => {
    const verdicts = run.places.has(question) ? run.verdicts[run.places.get(question)] : "";
    const current = run === explorer.run();
    const name = el("button", { type: "button", class: "link", "aria-current": current, onclick: () => explorer.chooseRun(place) }, run.label);
    const solved = [...verdicts].filter((letter) => letter === "0").length;
    const spoken = `${solved} of ${verdicts.length} correct`;
    return el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "strip" }, ...signs(verdicts)), el("td", { class: "number" }, spoken));
  });
  return el("div", { class: "wide" }, el("table", { class: "plain strips" }, el("caption", {}, "Every run, its answers in order"), el("tbody", {}, ...rows)));
}

function scoreCell(scores, place) {
  const score = scores[place];
  if (score === null) return el("td", { class: "number", "data-label": "Score" }, "–");
  const known = scores.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const share = high > low ? (score - low) / (high - low) : 1;
  const bar = el("span", { class: "bar", "aria-hidden": "true" }, el("span", { style: `width:${Math.round(100 * share)}%` }));
  return el("td", { class: "number score", "data-label": "Score" }, score.toPrecision(4), bar);
}

function responseCell(row, block, place, texts) {
  const why = texts ? "not in the samples" : "left out";
  if (!row.texts) return el("td", { class: "response about", "data-label": "Response" }, why);
  const box = el("pre", {});
  const details = el("details", {}, el("summary", {}, "read"), box);
  details.addEventListener("toggle", () => box.replaceChildren(block.texts[row.texts[place]]));
  return el("td", { class: "response", "data-label": "Response" }, details);
}

function candidateRow(row, block, place, letter, texts) {
  const { name, sign } = verdictOf(letter);
  const label = name.replace(" ", "-");
  const answer = row.answers && row.answers[place] >= 0 ? pieceNodes(block.answers[row.answers[place]]) : ["–"];
  const tokens = row.tokens ? String(row.tokens[place]) : "–";
  const cut = row.truncated?.[place] === 1;
  return el(
    "tr",
    { class: label },
    el("td", { class: "number", "data-label": "Rank" }, String(place + 1)),
    row.candidates && el("td", { "data-label": "Candidate" }, block.candidates[row.candidates[place]]),
    row.scores && scoreCell(row.scores, place),
    el("td", { "data-label": "Verdict" }, el("span", { class: `sign ${label}`, "aria-hidden": "true" }, sign), ` ${name}`),
    el("td", { class: "answer", "data-label": "Answer" }, ...answer),
    el("td", { class: "number", "data-label": "Tokens" }, tokens, cut && el("span", { class: "cut", title: "stopped at the limit of new tokens" }, " cut")),
    responseCell(row, block, place, texts),
  );
}

function candidatesTable(explorer, block, place, verdicts) {
  const row = block.rows[place % explorer.questionsInBlock];
  const head = ["Rank", row.candidates && "Candidate", row.scores && "Score", "Verdict", "Answer", "Tokens", "Response"].filter(Boolean);
  const rows = [...verdicts].map((letter, rank) => candidateRow(row, block, rank, letter, explorer.texts));
  const caption = `${explorer.run().label}: answers in the order of the strategy`;
  return el(
    "table",
    { class: "plain cards" },
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col", class: NUMBERS.includes(text) && "number" }, text)))),
    el("tbody", {}, ...rows),
  );
}

// What the model was sent: with few-shot examples and the chat template, as the harness logged it.
function promptBox({ rows, texts }, place) {
  const number = rows?.[place].prompt ?? null;
  return number === null ? "" : el("details", { class: "prompt" }, el("summary", {}, "The prompt as sent"), el("pre", {}, texts[number]));
}

function stepButtons(neighbours) {
  const go = (text, step) => el("button", { type: "button", onclick: () => neighbours()[step]?.() || undefined }, text);
  return el("span", { class: "steps" }, go("← previous", 0), go("next →", 1), el("button", { type: "button", onclick: hideQuestion }, "close"));
}

async function showQuestion(explorer, question, neighbours, focus) {
  const run = explorer.run();
  const place = run.places.get(question);
  const { pieces, subject, level, id, gold } = explorer.task().questions[question];
  const article = byId("question");
  Object.assign(article.dataset, { question, id, task: explorer.task().name });
  const name = `block-${run.number}-${Math.floor(place / explorer.questionsInBlock)}`;
  const block = await unpackedJson(name).catch((error) => ({ missing: error.message }));
  if (article.dataset.question !== String(question) || run !== explorer.run()) return; // another was chosen meanwhile
  const focused = [...article.querySelectorAll("button")].indexOf(document.activeElement);
  const about = [subject, level == null ? null : `level ${level}`, id].filter(Boolean).join(" · ");
  writeAddress();
  const link = el("a", { href: location.hash, title: "the address of this view" }, "link");
  const noText = `The text of the problem is not in ${explorer.texts ? "the samples" : "this page"}.`;
  article.replaceChildren(
    el("header", {}, el("h3", {}, `Question ${question + 1}`), el("span", { class: "about" }, about), link, stepButtons(neighbours)),
    el("p", { class: "problem-text" }, ...(pieces.length ? pieceNodes(pieces) : [noText])),
    gold.length ? el("p", {}, el("strong", {}, "Correct answer: "), ...pieceNodes(gold)) : "",
    promptBox(block, place % explorer.questionsInBlock),
    explorer.runsOfTask().length > 1 ? runStrips(explorer, question) : "",
    block.missing ? el("p", { class: "note" }, `The answers cannot be shown: ${block.missing}.`) : candidatesTable(explorer, block, place, run.verdicts[place]),
  );
  article.hidden = false;
  article.querySelectorAll("button")[focused]?.focus({ preventScroll: true }); // the same button of the new question
  if (focus) {
    article.focus({ preventScroll: true });
    article.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }
}
