"use strict";
// The browser of questions. Text from models only ever becomes textContent, never markup.
(() => {
  const PAGE = 50;
  const { labels, pair, sets } = JSON.parse(document.getElementById("questions-data").textContent);
  const get = (id) => document.getElementById(id);
  const [setBox, showBox, searchBox, openBox] = ["set", "show", "search", "open"].map(get);
  const [list, found, previous, next] = ["list", "found", "previous", "next"].map(get);
  if (!list) return;
  let page = 0;
  let matches = [];

  const make = (tag, className, ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };
  const spaced = (verdict) => verdict.replaceAll("_", " ");
  const answerOf = (row, system) => row.answers.find((answer) => answer.system === system);
  const right = (row, system) => Boolean(answerOf(row, system)?.right);

  // What can be shown of a set: a name and a test on a row.
  function choices(set) {
    const all = ["All", () => true];
    if (set.split === "train") {
      const verdicts = [...new Set(set.rows.flatMap((row) => row.verdicts))];
      return [
        all,
        ["No rationale kept", (row) => !row.verdicts.includes("kept")],
        ...verdicts.map((name) => [`With a rationale: ${spaced(name)}`, (row) => row.verdicts.includes(name)]),
      ];
    }
    const measured = (name) => set.rows.some((row) => answerOf(row, name));
    const systems = Object.keys(labels).filter(measured);
    const wrong = systems.map((name) => [`${labels[name]} wrong`, (row) => !right(row, name)]);
    if (!pair?.every(measured)) return [all, ...wrong];
    const [one, two] = pair;
    return [
      all,
      [`${labels[one]} right, ${labels[two]} wrong`, (row) => right(row, one) && !right(row, two)],
      [`${labels[two]} right, ${labels[one]} wrong`, (row) => right(row, two) && !right(row, one)],
      [`${labels[one]} and ${labels[two]} both right`, (row) => right(row, one) && right(row, two)],
      [`${labels[one]} and ${labels[two]} both wrong`, (row) => !right(row, one) && !right(row, two)],
      ...wrong,
    ];
  }

  function words(row) {
    row.words ??= [
      row.id, row.text, row.gold, row.template ?? "", ...row.choices,
      ...row.answers.map((answer) => answer.text), ...row.rationales.map((rationale) => rationale.text),
    ].join("\n").toLowerCase();
    return row.words;
  }

  function written(good, mark, who, item) {
    const read = item.answer === null ? "no answer found" : `answers ${item.answer}`;
    const summary = make("summary", "", make("span", `mark ${good ? "right" : "wrong"}`, `${good ? "✓" : "✗"} ${mark}`));
    if (who) summary.append(make("span", "who", who));
    summary.append(make("span", "read", read, item.cut ? make("span", "cut", " · cut off") : ""));
    const details = make("details", "answer", summary, make("p", "written", item.text || "(nothing written)"));
    details.open = openBox.checked;
    return details;
  }

  function card(row) {
    const about = row.template ? `${row.id} · template ${row.template}` : row.id;
    const item = make("li", "question", make("p", "id", about), make("p", "asked", row.text));
    if (row.choices.length) {
      const options = make("ol", "", ...row.choices.map((choice) => make("li", "", choice)));
      options.type = "A";
      item.append(options);
    }
    item.append(make("p", "gold", "Gold answer: ", make("strong", "", row.gold)));
    for (const answer of row.answers) {
      item.append(written(answer.right, answer.right ? "right" : "wrong", labels[answer.system] ?? answer.system, answer));
    }
    for (const rationale of row.rationales) {
      item.append(written(rationale.verdict === "kept", spaced(rationale.verdict), rationale.teacher, rationale));
    }
    if (row.more) item.append(make("p", "id", `and ${row.more} more in the run's store`));
    return item;
  }

  function draw() {
    const first = page * PAGE;
    const last = Math.min(first + PAGE, matches.length);
    list.replaceChildren(...matches.slice(first, last).map(card));
    found.textContent = matches.length
      ? `${(first + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${matches.length.toLocaleString("en")}`
      : "No question matches.";
    previous.disabled = page === 0;
    next.disabled = last >= matches.length;
  }

  function find() {
    const set = sets[setBox.value];
    const [, test] = choices(set)[showBox.value];
    const sought = searchBox.value.trim().toLowerCase();
    matches = set.rows.filter((row) => test(row) && (!sought || words(row).includes(sought)));
    page = 0;
    draw();
  }

  function choose() {
    const set = sets[setBox.value];
    const options = choices(set).map(([name, test], number) => {
      const count = set.rows.filter(test).length.toLocaleString("en");
      return new Option(`${name} (${count})`, number);
    });
    showBox.replaceChildren(...options);
    find();
  }

  function turn(by) {
    page += by;
    draw();
    get("questions").scrollIntoView();
  }

  setBox.addEventListener("change", choose);
  showBox.addEventListener("change", find);
  searchBox.addEventListener("input", find);
  openBox.addEventListener("change", draw);
  previous.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  get("find").addEventListener("submit", (event) => event.preventDefault());
  choose();
})();
