"use strict";
// What can be done with the page's figures and tables: save, sort, link. Nothing is requested.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  function save(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // A file opened without a server may have no clipboard; then the address is shown to be copied.
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false;
    }
  }

  // Figures as SVG: the page's style sheet stays behind, so its values are written into the copy.
  const STYLES = [
    "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity",
    "paint-order", "text-anchor", "font-family", "font-size", "font-weight",
  ];
  function standalone(drawing) {
    const copied = drawing.cloneNode(true);
    const originals = [drawing, ...all("*", drawing)];
    [copied, ...all("*", copied)].forEach((element, number) => {
      const style = getComputedStyle(originals[number]);
      for (const name of STYLES) element.setAttribute(name, style.getPropertyValue(name));
      element.removeAttribute("class");
    });
    for (const link of all("a", copied)) link.replaceWith(...link.childNodes);
    const [, , width, height] = drawing.getAttribute("viewBox").split(" ");
    const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    ground.setAttribute("width", width);
    ground.setAttribute("height", height);
    ground.setAttribute("fill", getComputedStyle(document.body).backgroundColor);
    copied.prepend(ground);
    copied.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copied.setAttribute("width", width);
    copied.setAttribute("height", height);
    return new XMLSerializer().serializeToString(copied);
  }
  for (const button of all("[data-svg]")) {
    button.addEventListener("click", () => {
      const drawings = all("svg[viewBox]", button.closest("figure"));
      const shown = drawings.find((drawing) => drawing.getClientRects().length);
      if (shown) save(`${button.dataset.svg}.svg`, "image/svg+xml", standalone(shown));
    });
  }

  // Tables as CSV: numbers as programs read them, and no text that a spreadsheet would compute.
  const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  function words(cell) {
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    const parts = [];
    while (walker.nextNode()) parts.push(walker.currentNode.data);
    return parts.join(" ").replace(/[▲▼↕]/g, "").replace(/\s+/g, " ").trim();
  }
  // What stands in brackets is two numbers; a cell of several numbers names each of them exactly.
  const INTERVAL = /^\[(.+), (.+)\]$/;
  function values(cell) {
    if (cell.dataset.values !== undefined) return cell.dataset.values.split("|");
    const text = words(cell);
    const ends = INTERVAL.exec(text);
    return ends ? ends.slice(1) : [text];
  }
  function heads(cell) {
    return cell.dataset.heads?.split("|") ?? [words(cell)];
  }
  function padded(found, length) {
    return [...found, ...Array(Math.max(0, length - found.length)).fill("")];
  }
  // What a spreadsheet would compute stands behind an apostrophe; numbers stay.
  function inert(text) {
    return /^(\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r])/.test(text) && !/^[+-]?[\d.,]+(e[+-]?\d+)?$/i.test(text) ? `'${text}` : text;
  }
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  function field(value) {
    let text = value.replaceAll("−", "-").replace(/(\d),(?=\d{3}(\D|$))/g, "$1");
    text = text.replace(/ ?× ?10(⁻?)([⁰¹²³⁴-⁹]+)/g, (_, sign, digits) =>
      `e${sign && "-"}${[...digits].map((digit) => RAISED.indexOf(digit)).join("")}`);
    if (text === "–") text = "";
    if (/^[+-]?[\d.]+%$/.test(text)) return String(parseFloat(text)); // its column's head says %
    if (/^[+-]?[\d.]+(e-?\d+)?$/.test(text)) return text.replace(/^\+/, "");
    return quoted(inert(text));
  }
  // The rows of a table, or of the one part of it that a figure draws; a part's heading is a column.
  function grid(table, part) {
    const bodies = [...table.tBodies].filter((body) => !part || body.dataset.part === part);
    const rows = bodies.flatMap((body) => [...body.rows].filter((row) => !row.matches(".group")));
    const columns = [...table.tHead.rows[0].cells].map(heads);
    const grouped = Boolean(table.querySelector("tr.group"));
    const lines = rows.map((row) => {
      const group = grouped ? [words(row.closest("tbody").querySelector(".group") ?? row.cells[0])] : [];
      return [...group, ...columns.flatMap((names, column) => padded(values(row.cells[column]), names.length))];
    });
    return [[...(grouped ? ["Group"] : []), ...columns.flat()], ...lines];
  }
  for (const button of all("[data-csv]")) {
    button.addEventListener("click", () => {
      const { csv, name, part, columns } = button.dataset;
      const [[names, ...first], ...others] = csv.split(" ").map((id) => grid(document.getElementById(id), part));
      const rows = [names, ...first, ...others.flatMap((rows) => rows.slice(1))];
      const wanted = columns?.split("|");
      const kept = names.map((head, column) => [head, column]).filter(([head]) => head && (!wanted || wanted.includes(head)));
      const lines = rows.map((row) => kept.map(([, column]) => field(row[column])).join(","));
      save(`${name}.csv`, "text/csv", `${lines.join("\r\n")}\r\n`);
    });
  }

  // Every answer to the questions that the page holds, a line each; a served page has all of them.
  const ANSWERS = ["task", "split", "question_id", "question", "gold", "system", "answer", "verdict", "finish", "tokens"];
  function* answers() {
    for (const { task, split, rows } of JSON.parse(document.getElementById("questions-data").textContent).sets) {
      for (const row of rows) {
        const known = [task, split, row.id, row.text, row.gold];
        for (const one of row.answers) {
          yield [...known, one.system, one.answer ?? "", one.right ? "right" : "wrong", one.finish, one.tokens];
        }
        for (const one of row.written) {
          yield [...known, one.teacher || "teacher", one.answer ?? "", one.verdict, one.finish, one.tokens];
        }
      }
    }
  }
  document.getElementById("answers-csv")?.addEventListener("click", () => {
    const lines = [ANSWERS, ...answers()].map((line) => line.map((one) => quoted(typeof one === "string" ? inert(one) : String(one))).join(","));
    save("answers.csv", "text/csv", `${lines.join("\r\n")}\r\n`);
  });

  // Sorting: each head holds a button; what was not measured stays last either way.
  const order = new Intl.Collator("en", { numeric: true });
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    if (column === 0) return cell.textContent.trim();
    return cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
  };
  function compare(one, other, sign) {
    if (one === null || other === null) return (one === null) - (other === null);
    return sign * (typeof one === "number" ? one - other : order.compare(one, other));
  }
  function sort(table, heads, column) {
    const wasDescending = heads[column].getAttribute("aria-sort") === "descending";
    const first = column === 0 ? "ascending" : "descending";
    const direction = heads[column].hasAttribute("aria-sort") ? (wasDescending ? "ascending" : "descending") : first;
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", direction);
    const [body] = table.tBodies;
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
    body.append(...rows.sort(([one], [other]) => compare(one, other, sign)).map(([, row]) => row));
  }
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "plain sort";
      button.append(...[...head.childNodes].filter((part) => part.nodeName !== "SMALL"));
      button.addEventListener("click", () => sort(table, heads, column));
      head.prepend(button);
    });
  }

  for (const button of all("[data-download]")) {
    const data = document.getElementById(button.dataset.download);
    button.addEventListener("click", () => save(button.dataset.name, "application/json", data.textContent));
  }
  const link = document.getElementById("copy-link");
  link?.addEventListener("click", async () => {
    link.textContent = (await copy(location.href)) ? "copied" : location.href;
    setTimeout(() => { link.textContent = "copy link"; }, 4000);
  });
  // Printed, the page holds the whole recipe, and the tiles all that they say.
  const folded = all("#recipe, .tile details");
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = folded.filter((one) => !one.open);
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of closed) one.open = false; });

  for (const row of all(".downloads, .tools")) row.hidden = false;
})();
