"use strict";
// The browser of questions. Text from models only ever becomes textContent, never markup.
//
// What is looked at stands in the address, so that any view of it can be linked to:
//
//   #questions?task=NAME&start=right&student=wrong&q=TEXT
//
//   task, split      the set of questions; split is test (also where it is left out) or train
//   start, student   right or wrong: the two systems that the page is about
//   right, wrong     the label of any system, such as teacher or guided:first; may be repeated
//   verdict          questions with a rationale of this verdict; none_kept: with rationales, none kept
//   cut, unanswered  1: some answer was cut off at its limit, or none was found in some answer
//   length           short, middle or long: the third of the questions by their longest answer
//   template         the template's id
//   q                a text that the question or an answer to it holds, in small or large letters
//   sort             disagreement (also where it is left out), order or length
//   page             counted from 1
//   question         the id of a question, which is opened
//
// The questions come from one of two sources with the same two functions, find and whole: a page
// that is a file holds some of them; one that is served asks for them in the very words above.
(() => {
  const PAGE = 25;
  const get = (id) => document.getElementById(id);
  const data = JSON.parse(get("questions-data").textContent);
  const { labels, sets } = data;
  let pair = null; // the start and the student of the set that is shown
  const list = get("list"); // there is none where nothing was answered yet
  const [setBox, sortBox, searchBox] = ["set", "sort", "search"].map(get);
  const [found, changed, chips, previous, next] = ["found", "changed", "chips", "previous", "next"].map(get);

  const make = (tag, className, ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };
  const button = (className, text, act) => {
    const made = make("button", className, text);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  };
  const counted = (number) => number.toLocaleString("en");
  const spaced = (name) => name.replaceAll("_", " ");
  const named = (system) => labels[system] ?? system;
  // Control characters become visible signs of the same length, so that places in a text hold.
  const visible = (text) =>
    text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (one) =>
      one === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + one.charCodeAt(0)));

  // State: the parameters of the address --------------------------------------------------------

  const START = "#questions?";
  const state = () => new URLSearchParams(location.hash.startsWith(START) ? location.hash.slice(START.length) : "");
  const setOf = (params) => {
    const [task, split] = [params.get("task"), params.get("split")];
    const fits = (one) => (!task || one.task === task) && (one.split === (split ?? (task ? "test" : one.split)));
    return Math.max(sets.findIndex(fits), 0);
  };
  const addressed = (params) => START + params;

  function change(edit) {
    const params = state();
    edit(params);
    params.delete("page");
    params.delete("question");
    show(params);
  }

  function show(params) {
    history.replaceState(null, "", addressed(params));
    return apply();
  }

  function toggled(params, name, value) {
    const values = params.getAll(name);
    params.delete(name);
    const rest = values.filter((one) => one !== value);
    for (const one of rest) params.append(name, one);
    if (rest.length === values.length) params.append(name, value);
  }

  // Whether a system is asked to be right or wrong: the page's two have names of their own besides.
  function verdictOf(params, system) {
    const role = pair?.indexOf(system) ?? -1;
    const own = role >= 0 ? params.get(role ? "student" : "start") : null;
    return own ?? ["right", "wrong"].find((name) => params.getAll(name).includes(system)) ?? null;
  }

  function putVerdict(params, system, verdict) {
    const before = verdictOf(params, system);
    const wanted = before === verdict ? null : verdict;
    if (before) {
      const role = pair?.indexOf(system) ?? -1;
      if (role >= 0) params.delete(role ? "student" : "start");
      if (params.getAll(before).includes(system)) toggled(params, before, system);
    }
    if (wanted) params.append(wanted, system);
  }

  // Sources -------------------------------------------------------------------------------------

  const answerOf = (row, system) => row.answers.find((answer) => answer.system === system);

  function fits(set, params) {
    const wanted = Object.keys(set.systems)
      .map((system) => [system, verdictOf(params, system)])
      .filter(([, verdict]) => verdict);
    const [verdict, template, length] = ["verdict", "template", "length"].map((name) => params.get(name));
    const sought = (params.get("q") ?? "").trim().toLowerCase();
    return (row) =>
      wanted.every(([system, asked]) => answerOf(row, system)?.right === (asked === "right")) &&
      (!verdict || (verdict === "none_kept" ? row.rationales > 0 && row.kept === 0 : row.verdicts.includes(verdict))) &&
      (!params.has("cut") || row.answers.some((answer) => answer.finish === "length")) &&
      (!params.has("unanswered") || row.answers.some((answer) => answer.answer === null)) &&
      (!template || row.template === template) &&
      (!length || !set.thirds || length === third(row.length, set.thirds)) &&
      (!sought || words(row).includes(sought));
  }

  const third = (length, [short, middle]) => (length <= short ? "short" : length <= middle ? "middle" : "long");

  function words(row) {
    row.words ??= [
      row.id, row.text, row.gold, row.template ?? "", ...row.choices,
      ...row.answers.map((answer) => answer.text), ...row.written.map((one) => one.text),
    ].join("\n").toLowerCase();
    return row.words;
  }

  const ORDERS = {
    disagreement: (one, other) => other.split_by - one.split_by || one.place - other.place,
    length: (one, other) => other.length - one.length || one.place - other.place,
    order: (one, other) => one.place - other.place,
  };

  const held = {
    async find(number, params) {
      const matches = sets[number].rows.filter(fits(sets[number], params));
      matches.sort(ORDERS[params.get("sort")] ?? ORDERS.disagreement);
      const opened = params.get("question");
      const at = opened ? matches.findIndex((row) => row.id === opened) : -1;
      const asked = /^\d+$/.test(params.get("page")) ? Number(params.get("page")) : 1;
      const last = Math.max(Math.ceil(matches.length / PAGE), 1);
      const page = at >= 0 ? Math.floor(at / PAGE) : Math.min(Math.max(asked, 1), last) - 1;
      return { total: matches.length, page, rows: matches.slice(page * PAGE, (page + 1) * PAGE) };
    },
    async whole(number, row) {
      return row;
    },
  };

  async function ask(path, params) {
    const answer = await fetch(`${path}?${params}`);
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 300));
    return answer.json();
  }

  const served = {
    find(number, params) {
      const asked = new URLSearchParams(params);
      asked.set("task", sets[number].task);
      asked.set("split", sets[number].split);
      return ask("questions.json", asked);
    },
    whole(number, row) {
      const { task, split } = sets[number];
      return ask("question.json", new URLSearchParams({ task, split, question: row.id }));
    },
  };

  const source = data.served ? served : held;

  // One question ----------------------------------------------------------------------------------

  const ENDS = { stop: "ended by itself", length: "cut off at its limit", content_filter: "stopped by a content filter", tool_calls: "ended in a call of a tool", error: "failed" };
  const ended = (finish) => ENDS[finish] ?? `ended by “${visible(finish)}”`;

  const marked = (right, words) => make("span", `mark ${right ? "right" : "wrong"}`, `${right ? "✓" : "✗"} ${words}`);

  function read(answer) {
    return answer === null ? "no answer found" : `answers ${visible(answer)}`;
  }

  // A text in its parts: shaded by the model's confidence, the teacher's words, the first difference.
  function written(item, differs) {
    const whole = visible(item.text);
    if (!whole) return make("p", "written empty-text", "(nothing written)");
    const characters = Array.from(whole);
    const starts = new Set([0, characters.length]);
    const shades = [];
    let place = 0;
    for (const [length, percent] of item.shades ?? []) {
      shades.push([place, place + length, percent]);
      place += length;
    }
    const spans = [...(item.guided ?? []), ...(differs ? [differs] : []), ...shades];
    for (const [start, end] of spans) starts.add(start).add(end);
    const cuts = [...starts].filter((one) => one <= characters.length).sort((one, other) => one - other);
    const within = ([start, end], at) => start <= at && at < end;
    const paragraph = make("p", "written");
    const guided = item.guided ?? [];
    const difference = make("em", "differs");
    let [shade, marked, openSpan, openIn] = [0, null, null, null];
    for (let number = 0; number + 1 < cuts.length; number += 1) {
      const at = cuts[number];
      let part = characters.slice(at, cuts[number + 1]).join("");
      while (shade < shades.length && shades[shade][1] <= at) shade += 1;
      const sure = shade < shades.length && within(shades[shade], at) ? shades[shade][2] : null;
      if (sure !== null && sure < 95) {
        part = make("span", `sure sure-${sure < 20 ? 1 : sure < 50 ? 2 : sure < 80 ? 3 : 4}`, part);
        part.title = `probability ${sure}%`;
      }
      // One element for each span, however many tokens are in it.
      let into = paragraph;
      if (differs && within(differs, at)) {
        into = difference;
        if (!into.parentNode) paragraph.append(into);
      }
      const span = guided.find((one) => within(one, at));
      if (span) {
        if (span !== openSpan || into !== openIn) {
          marked = make("mark", "");
          into.append(marked);
          [openSpan, openIn] = [span, into];
        }
        into = marked;
      }
      into.append(part);
    }
    return paragraph;
  }

  function folded(className, title, ...children) {
    return make("details", className, make("summary", "", title), ...children);
  }

  function promptOf(row, item) {
    if (item.prompt === undefined) return [];
    const turns = row.prompts[item.prompt].flatMap(([role, text]) => [
      ...(role ? [make("p", "role", visible(role))] : []),
      make("p", "written", visible(text)),
    ]);
    return [folded("prompt", "Prompt as sent", ...turns)];
  }

  function panel(row, item, who, mark, differs) {
    const facts = [read(item.answer)];
    if (item.tokens) facts.push(`${counted(item.tokens)} tokens`);
    if (item.teacher_tokens) facts.push(`${counted(item.teacher_tokens)} of them the teacher's`);
    if (item.finish) facts.push(ended(item.finish));
    if (item.sure !== undefined) facts.push(`its tokens ${item.sure}% probable on average`);
    if (item.leaked) facts.push("the guidance holds the gold answer");
    const shown = make("div", "panel", make("h3", "", who, " ", mark), make("p", "about", facts.join(" · ")));
    if (item.thinking) {
      const size = counted(Array.from(item.thinking).length);
      shown.append(folded("thinking", `Thinking, ${size} characters`, make("p", "written", visible(item.thinking))));
    }
    shown.append(written(item, differs));
    if (item.guidance) {
      shown.append(make("p", "about", "The teacher's words, which do not stand in the answer as they were written: ", make("mark", "", visible(item.guidance))));
    }
    shown.append(...promptOf(row, item));
    return shown;
  }

  const answerPanel = (row, answer) =>
    panel(row, answer, visible(named(answer.system)), marked(answer.right, answer.right ? "right" : "wrong"), row.differs[answer.system]);

  const rationalePanel = (row, one) =>
    panel(row, one, one.teacher ? visible(one.teacher) : "Rationale", marked(one.verdict === "kept", spaced(one.verdict)));

  function copied(row, own) {
    const { words: _, place: __, ...plain } = row;
    const text = JSON.stringify(plain, null, 2);
    const said = (words) => {
      own.textContent = words;
      setTimeout(() => (own.textContent = "Copy as JSON"), 2000);
    };
    navigator.clipboard
      ? navigator.clipboard.writeText(text).then(() => said("Copied"), () => said("The browser refuses to copy"))
      : said("The browser cannot copy here");
  }

  // In words; the mark stands in both of two answers, or in the one that alone has such a step.
  function whatIsMarked(row, answers) {
    const isNumbers = row.differs_by === "numbers";
    if (answers > 1) {
      return isNumbers
        ? ", in each answer, the first step with a number that the other and the question lack."
        : " the first step that the two word otherwise, case and punctuation aside.";
    }
    return isNumbers
      ? " the first step with a number that the other answer and the question lack; the other answer has no such step."
      : " the first step that the other answer, which ends before it, does not have.";
  }

  function body(row) {
    const shown = make("div", "whole", make("p", "asked", visible(row.text)));
    if (row.choices.length) {
      const options = make("ol", "options", ...row.choices.map((choice) => make("li", "", visible(choice))));
      options.type = "A";
      shown.append(options);
    }
    shown.append(make("p", "gold", "Gold answer: ", make("strong", "", visible(row.gold))));
    const first = ["teacher", ...(pair ? [pair[1]] : [])].map((system) => answerOf(row, system)).filter(Boolean);
    const rest = row.answers.filter((answer) => !first.includes(answer));
    if (first.length) shown.append(make("div", "beside-answers", ...first.map((answer) => answerPanel(row, answer))));
    const parting = Object.keys(row.differs).length;
    if (parting) shown.append(make("p", "about", make("em", "differs", "Marked"), ` is${whatIsMarked(row, parting)}`));
    if (rest.length) {
      const panels = make("div", "beside-answers", ...rest.map((answer) => answerPanel(row, answer)));
      if (!first.length) shown.append(panels);
      else shown.append(folded("others", `Other answers (${rest.length})`, panels));
    }
    if (row.written.length) shown.append(make("div", "beside-answers", ...row.written.map((one) => rationalePanel(row, one))));
    if (row.more) shown.append(make("p", "about", `and ${counted(row.more)} more in the run's store`));
    if (shown.querySelector(".written mark")) {
      shown.append(make("p", "about", make("mark", "", "Underlined"), " words of a guided answer are the teacher's."));
    }
    if (shown.querySelector(".sure")) {
      shown.append(make("p", "about", "Shaded: words that the model was less sure of; the darker, the less."));
    }
    const copy = button("small", "Copy as JSON", () => copied(row, copy));
    shown.append(make("p", "acts", copy));
    return shown;
  }

  function outline(row) {
    const marks = make("span", "marks");
    const own = (pair ?? []).map((system) => answerOf(row, system));
    if (own.length && own.every(Boolean)) {
      for (const [number, answer] of own.entries()) {
        marks.append(marked(answer.right, number ? "student" : "start"));
      }
    } else if (row.answers.length) {
      const right = row.answers.filter((answer) => answer.right).length;
      marks.append(make("span", "mark", `${right} of ${row.answers.length} right`));
    } else if (row.rationales) {
      marks.append(make("span", "mark", `${row.kept} of ${row.rationales} kept`));
    }
    const about = row.template ? `${row.id} · ${row.template}` : row.id;
    const id = make("span", "id", visible(about));
    id.dataset.id = row.id;
    return make("summary", "", marks, make("span", "brief", visible(row.text.slice(0, 300))), id);
  }

  function card(number, row) {
    const details = make("details", "one", outline(row));
    details.addEventListener("toggle", async () => {
      if (!details.open || details.dataset.filled) return;
      details.dataset.filled = "yes";
      try {
        details.append(body(await source.whole(number, row)));
      } catch (error) {
        details.append(make("p", "warning", `This question could not be read: ${error.message}`));
      }
    });
    return make("li", "question", details);
  }

  // The list and what it is filtered by -----------------------------------------------------------

  let drawn = -1; // the set whose chips are shown
  const pressed = []; // what each chip shows of the state

  function chip(text, count, isOn, act) {
    const made = button("chip", text, () => change(act));
    made.append(" ", make("span", "count", counted(count)));
    pressed.push((params) => made.setAttribute("aria-pressed", String(isOn(params))));
    return made;
  }

  function group(name, ...children) {
    const made = make("div", "chips", make("span", "of", name), ...children);
    made.setAttribute("role", "group");
    made.setAttribute("aria-label", name);
    return made;
  }

  const only = (name, value) => [
    (params) => params.get(name) === value,
    (params) => (params.get(name) === value ? params.delete(name) : params.set(name, value)),
  ];

  function systemGroup(set, system) {
    const [right, wrong] = set.systems[system];
    const one = (verdict, sign, count) =>
      chip(`${sign} ${verdict}`, count, (params) => verdictOf(params, system) === verdict, (params) => putVerdict(params, system, verdict));
    return group(named(system), one("right", "✓", right), one("wrong", "✗", wrong));
  }

  function lengthGroup({ thirds: [short, middle], split }) {
    const unit = split === "train" ? "characters" : "tokens";
    const third = (name, words) => {
      const [isOn, act] = only("length", name);
      const made = button("chip", words, () => change(act));
      pressed.push((params) => made.setAttribute("aria-pressed", String(isOn(params))));
      return made;
    };
    return group("Longest answer", third("short", `up to ${counted(short)} ${unit}`), third("middle", `up to ${counted(middle)}`), third("long", "longer"));
  }

  function templateBox(templates) {
    const box = make("select");
    box.append(new Option("any", ""), ...Object.entries(templates).map(([id, count]) => new Option(`${id} (${counted(count)})`, id)));
    box.addEventListener("change", () => change((params) => (box.value ? params.set("template", box.value) : params.delete("template"))));
    pressed.push((params) => (box.value = params.get("template") ?? ""));
    return make("label", "of", "Template ", box);
  }

  function drawChips(set) {
    pressed.length = 0;
    const systems = Object.keys(set.systems);
    const first = systems.filter((system) => system === "teacher" || pair?.includes(system));
    const shown = systems.length > 5 && first.length ? first : systems;
    const rest = systems.filter((system) => !shown.includes(system));
    const rows = shown.map((system) => systemGroup(set, system));
    if (rest.length) {
      const further = folded("further", `Other systems (${rest.length})`, ...rest.map((system) => systemGroup(set, system)));
      pressed.push((params) => (further.open ||= rest.some((system) => verdictOf(params, system))));
      rows.push(further);
    }
    const verdicts = Object.entries(set.verdicts).map(([name, count]) => chip(spaced(name), count, ...only("verdict", name)));
    if (set.none_kept) verdicts.unshift(chip("none kept", set.none_kept, ...only("verdict", "none_kept")));
    if (verdicts.length) rows.push(group("With a rationale", ...verdicts));
    const ends = [];
    if (set.cut) ends.push(chip("cut off", set.cut, ...only("cut", "1")));
    if (set.unanswered) ends.push(chip("no answer found", set.unanswered, ...only("unanswered", "1")));
    if (ends.length) rows.push(group("Some answer", ...ends));
    if (set.thirds) rows.push(lengthGroup(set));
    if (Object.keys(set.templates).length) rows.push(templateBox(set.templates));
    chips.replaceChildren(...rows);
    // On a phone they would stand between the reader and the questions.
    const filters = get("filters");
    filters.open = matchMedia("(min-width: 40rem)").matches;
    pressed.push(() => {
      const active = chips.querySelectorAll("[aria-pressed='true']").length;
      filters.firstElementChild.textContent = active ? `Filters (${active} set)` : "Filters";
    });
  }

  // Start against student, two by two: each number is a link to its questions.
  function drawChanged(set) {
    changed.replaceChildren();
    if (!set.changed) return;
    const heads = ["", "Student right", "Student wrong"].map((words) => {
      const head = make(words ? "th" : "td", words ? "number" : "", words);
      if (words) head.scope = "col";
      return head;
    });
    const rows = set.changed.map((counts, start) => {
      const head = make("th", "", start ? "Start wrong" : "Start right");
      head.scope = "row";
      const cells = counts.map((count, student) => {
        const [one, other] = [start, student].map((wrong) => (wrong ? "wrong" : "right"));
        const link = make("a", start === student ? "" : student ? "wrong" : "right", counted(count));
        const what = start === student ? `both ${one}` : student ? "lost by the student" : "gained by the student";
        link.href = addressed(new URLSearchParams({ task: set.task, start: one, student: other }));
        pressed.push((params) => {
          const isHere = verdictOf(params, pair[0]) === one && verdictOf(params, pair[1]) === other;
          if (isHere) link.setAttribute("aria-current", "true");
          else link.removeAttribute("aria-current");
        });
        return make("td", "number", link, make("small", "", what));
      });
      return make("tr", "", head, ...cells);
    });
    const caption = make("caption", "", `${named(pair[0])} against ${named(pair[1])}, ${counted(set.changed.flat().reduce((sum, count) => sum + count, 0))} test questions`);
    changed.append(make("table", "", caption, make("thead", "", make("tr", "", ...heads)), make("tbody", "", ...rows)));
  }

  function told(set, answer, params) {
    const first = answer.page * PAGE;
    const filtered = [...params.keys()].some((name) => !["task", "split", "sort", "page", "question"].includes(name));
    const here = answer.total
      ? `${counted(first + 1)}–${counted(first + answer.rows.length)} of ${counted(answer.total)}${filtered ? " that match" : ""}`
      : "No question matches";
    const held = set.rows ? set.rows.length : set.total;
    const rest = held < set.total ? `. This page holds ${counted(held)} of ${counted(set.total)} questions, those first on which answers differ; the numbers on the chips are of all.` : "";
    return here + rest;
  }

  let asked = 0;

  async function apply() {
    const params = state();
    const number = setOf(params);
    const set = sets[number];
    pair = set.pair;
    if (drawn !== number) {
      drawn = number;
      drawChips(set);
      drawChanged(set);
    }
    for (const show of pressed) show(params);
    setBox.value = String(number);
    sortBox.value = params.get("sort") ?? "disagreement";
    if (document.activeElement !== searchBox) searchBox.value = params.get("q") ?? "";
    asked += 1;
    const own = asked;
    let answer;
    try {
      answer = await source.find(number, params);
    } catch (error) {
      if (own === asked) found.textContent = `The questions could not be read: ${error.message}`;
      return;
    }
    if (own !== asked) return; // another filter was set meanwhile
    list.replaceChildren(...answer.rows.map((row) => card(number, row)));
    found.textContent = told(set, answer, params);
    previous.disabled = answer.page === 0;
    next.disabled = (answer.page + 1) * PAGE >= answer.total;
    previous.value = answer.page;
    next.value = answer.page + 2;
    const place = answer.rows.findIndex((row) => row.id === params.get("question"));
    if (place >= 0) {
      list.children[place].firstChild.open = true;
      summaries()[place].focus({ preventScroll: true });
    }
  }

  async function turn(page) {
    const params = state();
    params.delete("question");
    params.set("page", page);
    await show(params);
    get("questions").scrollIntoView();
  }

  // Keys: j and k go down and up, Enter opens and closes, / searches ------------------------------

  const summaries = () => [...list.querySelectorAll(":scope > li > details > summary")];

  function isNear() {
    const focused = document.activeElement;
    if (focused && focused !== document.body) return get("questions").contains(focused);
    const { top, bottom } = get("questions").getBoundingClientRect();
    return top < innerHeight && bottom > 0;
  }

  async function go(by) {
    const all = summaries();
    const at = all.findIndex((summary) => summary.parentElement.contains(document.activeElement));
    const wanted = at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by;
    if (wanted >= 0 && wanted < all.length) return all[wanted].focus();
    const page = by > 0 ? next : previous;
    if (page.disabled || at < 0) return undefined;
    await turn(page.value);
    return summaries().at(by > 0 ? 0 : -1)?.focus();
  }

  // A served page looks whether the run has gone on. It is renewed at once where nothing would be
  // lost of what is being read, else when its reader says so.
  const WATCHED_EVERY = 3000; // ms

  function isRead() {
    const focused = document.activeElement;
    return Boolean(list?.querySelector("details[open]")) || (focused && focused !== document.body);
  }

  async function watch() {
    if (document.hidden) return;
    const told = get("renewal");
    try {
      const { version, at_work: atWork, fault } = await ask("version.json", "");
      if (version !== data.version) {
        if (!isRead()) return location.reload();
        if (!told.querySelector("button")) {
          told.replaceChildren("The run has gone on. ", button("small", "Show it", () => location.reload()));
        }
      } else told.textContent = fault ? `The run cannot be read anew: ${fault}` : atWork ? "The run is at work; this page follows it." : "";
    } catch {
      told.textContent = "potstill view has ended; this page shows what it had.";
    }
    return undefined;
  }
  if (data.served) {
    watch();
    setInterval(watch, WATCHED_EVERY);
  }

  // ------------------------------------------------------------------------------------------------

  if (!list) return;
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !isNear()) return;
    if (event.target.closest?.("input, select, textarea")) return;
    const act = { j: () => go(1), k: () => go(-1), "/": () => searchBox.focus() }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  // The question opened last stands in the address.
  list.addEventListener("toggle", ({ target }) => {
    if (!target.classList.contains("one")) return;
    const { id } = target.querySelector(".id").dataset;
    const params = state();
    if (target.open) params.set("question", id);
    else if (params.get("question") === id) params.delete("question");
    history.replaceState(null, "", addressed(params));
  }, true);

  setBox.addEventListener("change", () => {
    const { task, split } = sets[setBox.value];
    show(new URLSearchParams({ task, ...(split === "test" ? {} : { split }) }));
  });
  sortBox.addEventListener("change", () => change((params) => params.set("sort", sortBox.value)));
  let waiting = 0;
  searchBox.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => change((params) => (searchBox.value ? params.set("q", searchBox.value) : params.delete("q"))), 120);
  });
  previous.addEventListener("click", () => turn(previous.value));
  next.addEventListener("click", () => turn(next.value));
  get("clear").addEventListener("click", () => {
    searchBox.value = "";
    const { task, split } = sets[setOf(state())];
    show(new URLSearchParams({ task, ...(split === "test" ? {} : { split }) }));
  });
  get("find").addEventListener("submit", (event) => event.preventDefault());
  // An address leads to its question, or to the list. The link that was followed may stand elsewhere
  // on the page: the keys are of the questions only once the focus is there.
  async function arrive() {
    const isHere = location.hash.startsWith(START);
    const focused = document.activeElement;
    if (isHere && focused && focused !== document.body && !get("questions").contains(focused)) {
      get("questions-title").focus({ preventScroll: true });
    }
    await apply();
    if (!isHere) return;
    const opened = list.querySelector("details[open] > summary");
    (opened ?? get("questions")).scrollIntoView();
  }
  addEventListener("hashchange", arrive);
  document.addEventListener("click", ({ target }) => {
    const address = target.closest?.("a")?.getAttribute("href"); // in a figure, too
    if (address?.startsWith(START) && address === location.hash) arrive(); // no hashchange then
  });
  arrive();
})();
