"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const root = document.documentElement;
  const PAGE = 25, SHOWN_ROWS = 20;
  const DASH = { line: "", dash: "5 3", dot: "1.5 3" };

  function broken(what) {
    const line = by("broken");
    line.hidden = false;
    line.textContent = what;
  }

  async function unpacked(id) {
    const bytes = Uint8Array.from(atob(by(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // Themes: the system's, or the one chosen; printed always light.
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null, printing = false;
  const theme = () => (printing ? "light" : chosen || (system.matches ? "dark" : "light"));
  function applyTheme() {
    root.dataset.theme = theme();
    by("theme").textContent = theme() === "dark" ? "Light" : "Dark";
  }
  applyTheme();

  // Colours by role: "@limit" is what the page's style says.
  function coloured(value, style) {
    if (typeof value === "string") return value[0] === "@" ? style.getPropertyValue("--" + value.slice(1)).trim() : value;
    if (Array.isArray(value)) return value.map((each) => coloured(each, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, TEXTS.has(name) ? each : coloured(each, style)]));
    }
    return value;
  }
  const TEXTS = new Set(["text", "hovertext", "x", "y", "ticktext", "categoryarray", "name"]);

  const charts = new Map();
  const hidden = new Map();

  function draw(chart) {
    const box = document.querySelector('.chart[data-chart="' + chart.key + '"]');
    const style = getComputedStyle(root);
    const off = hidden.get(chart.key);
    const traces = chart.traces.map((trace, i) => ({ ...coloured(trace, style), visible: !off.has(i) }));
    // A title is a text in an object: its colours are the font's.
    const layout = coloured(chart.layout, style);
    for (const name of ["xaxis", "yaxis"]) {
      const given = chart.layout[name].title;
      if (given) layout[name].title = { ...given };
    }
    const narrow = box.clientWidth < 560;
    layout.height = Math.round(chart.height * (narrow ? 0.85 : 1));
    if (printing) layout.width = 660;
    if (narrow) {
      layout.font = { ...layout.font, size: 12 };
      layout.margin = { ...layout.margin, l: 52, r: 10 };
      const title = layout.xaxis.title;
      if (title) title.text = title.text.replace("KL(policy || base), ", "KL, ");
    }
    return Plotly.react(box, traces, layout, {
      responsive: !printing, displaylogo: false, displayModeBar: false, scrollZoom: false, doubleClick: false,
    });
  }

  function swatch(layer) {
    const color = "var(--" + layer.color.slice(1) + ")";
    const name = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(name, "svg");
    svg.setAttribute("width", 26); svg.setAttribute("height", 14); svg.setAttribute("aria-hidden", "true");
    const add = (tag, values) => {
      const part = document.createElementNS(name, tag);
      for (const [key, value] of Object.entries(values)) part.setAttribute(key, value);
      svg.append(part);
    };
    if (layer.swatch in DASH) {
      add("line", { x1: 1, x2: 25, y1: 7, y2: 7, "stroke-width": 2.6, "stroke-dasharray": DASH[layer.swatch], style: "stroke:" + color });
    } else if (layer.swatch === "ring") {
      add("circle", { cx: 13, cy: 7, r: 4.6, "stroke-width": 2.2, style: "fill:var(--paper);stroke:" + color });
    } else if (layer.swatch === "disc") {
      add("circle", { cx: 13, cy: 7, r: 5, style: "fill:" + color });
    } else if (layer.swatch === "diamond") {
      add("path", { d: "M13 1 L19 7 L13 13 L7 7 Z", style: "fill:" + color });
    } else if (layer.swatch === "square") {
      add("rect", { x: 8, y: 2, width: 10, height: 10, style: "fill:" + color });
    } else {
      add("rect", { x: 2, y: 1, width: 22, height: 12, "stroke-width": 1, style: "fill:" + color + ";stroke:var(--text)" });
      const mark = { "stroke-width": 1.2, style: "stroke:var(--partline);fill:var(--partline)" };
      if (["hatch", "allocation", "off-reward"].includes(layer.swatch)) for (const x of [3, 10, 17]) add("line", { x1: x, x2: x + 6, y1: 13, y2: 1, ...mark });
      if (["off-reward", "shape + off-reward"].includes(layer.swatch)) for (const x of [3, 10, 17]) add("line", { x1: x, x2: x + 6, y1: 1, y2: 13, ...mark });
      if (layer.swatch === "shape") for (const x of [6, 13, 20]) add("circle", { cx: x, cy: 7, r: 1.3, ...mark });
    }
    return svg;
  }

  function switches(chart) {
    const box = document.querySelector('.switches[data-chart="' + chart.key + '"]');
    for (const layer of chart.layers) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(swatch(layer), document.createTextNode(layer.name));
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        for (const i of layer.traces) on ? hidden.get(chart.key).delete(i) : hidden.get(chart.key).add(i);
        Plotly.restyle(document.querySelector('.chart[data-chart="' + chart.key + '"]'), { visible: on }, layer.traces);
      });
      box.append(button);
    }
  }

  const redraw = () => Promise.all([...charts.values()].map(draw));

  // Tables.
  const integer = (value) => Number.isInteger(value) ? value.toLocaleString("en") : null;
  function shown(value) {
    if (value === null) return "-";
    if (value === true) return "yes";
    if (value === false) return "no";
    if (typeof value !== "number") return String(value);
    return integer(value) ?? String(Number(value.toPrecision(4)));
  }
  function cell(tag, text, number) {
    const made = document.createElement(tag);
    made.textContent = text;
    if (number) made.className = "number";
    return made;
  }
  const isNumber = (column) => column.some((value) => typeof value === "number") && column.every((value) => typeof value !== "string" || value.endsWith("inf"));

  function csv(table) {
    const quoted = (value) => {
      const text = value === null ? "" : String(value);
      return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    };
    const rows = [table.columns.map(quoted).join(",")];
    const count = table.values.length ? table.values[0].length : 0;
    for (let i = 0; i < count; i++) rows.push(table.values.map((column) => quoted(column[i])).join(","));
    return rows.join("\r\n") + "\r\n";
  }

  function numberTable(table) {
    const made = by("number-table");
    const count = table.values.length ? table.values[0].length : 0;
    const head = document.createElement("tr");
    const numeric = table.values.map(isNumber);
    table.columns.forEach((name, k) => { const th = cell("th", name, numeric[k]); th.scope = "col"; head.append(th); });
    const body = document.createElement("tbody");
    for (let i = 0; i < Math.min(count, SHOWN_ROWS); i++) {
      const row = document.createElement("tr");
      table.values.forEach((column, k) => row.append(cell("td", shown(column[i]), numeric[k])));
      body.append(row);
    }
    const caption = document.createElement("caption");
    const told = document.createElement("span");
    caption.append(told);
    told.textContent = count > SHOWN_ROWS
      ? "The first " + SHOWN_ROWS + " of " + count.toLocaleString("en") + " rows, rounded; the CSV has all, in full precision"
      : "Rounded; the CSV has full precision";
    const thead = document.createElement("thead");
    thead.append(head);
    made.replaceChildren(caption, thead, body);
  }

  function numbers(tables) {
    const select = by("table-name");
    for (const name of Object.keys(tables)) select.append(new Option(name, name));
    const update = () => { numberTable(tables[select.value]); by("copied").textContent = ""; };
    select.addEventListener("change", update);
    for (const link of document.querySelectorAll("a[data-table]")) {
      link.addEventListener("click", () => { select.value = link.dataset.table; update(); });
    }
    by("download").addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([csv(tables[select.value])], { type: "text/csv" }));
      link.download = select.value + ".csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    by("copy").addEventListener("click", async () => {
      const text = csv(tables[select.value]);
      let done = false;
      try { await navigator.clipboard.writeText(text); done = true; } catch { done = copiedByHand(text); }
      by("copied").textContent = done ? "Copied" : "This browser does not let the page copy; download instead";
    });
    update();
  }
  function copiedByHand(text) {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }

  function promptTable(table, columns) {
    const place = new Map(table.columns.map((name, k) => [name, k]));
    const names = table.values[0], folded = names.map((name) => name.toLowerCase());
    const groups = [...new Set(columns.map((column) => column.group))];
    let group = "", sort = null, down = false, start = 0, rows = names.map((_, i) => i);
    if (groups.length > 1) {
      by("groups").hidden = false;
      for (const each of groups) by("group").append(new Option(each || "the base model", each));
      by("group").addEventListener("change", () => { group = by("group").value; sort = null; update(); });
    }
    by("search").addEventListener("input", () => { start = 0; update(); });

    function order(a, b, column) {
      const x = column[a], y = column[b];
      if (x === null || y === null) return (x === null) - (y === null);  // missing ones last, either way
      const number = (v) => v === "inf" ? Infinity : v === "-inf" ? -Infinity : v;
      const [p, q] = [number(x), number(y)];
      const found = typeof p === "string" ? p.localeCompare(q, "en", { numeric: true }) : p < q ? -1 : p > q ? 1 : 0;
      return down ? -found : found;
    }

    function update() {
      const wanted = by("search").value.trim().toLowerCase();
      rows = names.map((_, i) => i).filter((i) => folded[i].includes(wanted));
      const visible = [columns[0], ...columns.slice(1).filter((column) => column.group === group)];
      if (sort !== null) rows.sort((a, b) => order(a, b, table.values[place.get(sort)]) || a - b);
      start = Math.min(start, Math.max(0, Math.floor((rows.length - 1) / PAGE) * PAGE));
      const head = document.createElement("tr");
      for (const column of visible) {
        const th = document.createElement("th");
        th.scope = "col";
        th.title = column.meaning;
        th.setAttribute("aria-sort", sort === column.name ? (down ? "descending" : "ascending") : "none");
        const button = document.createElement("button");
        button.type = "button";
        button.dataset.column = column.name;
        button.textContent = column.heading + (sort === column.name ? (down ? " ▼" : " ▲") : "");
        button.addEventListener("click", () => {
          down = sort === column.name ? !down : false;
          sort = column.name;
          start = 0;
          update();
          document.querySelector('#prompt-table button[data-column="' + CSS.escape(column.name) + '"]').focus();
        });
        th.append(button);
        if (column !== columns[0]) th.className = "number";
        head.append(th);
      }
      const body = document.createElement("tbody");
      for (const i of rows.slice(start, start + PAGE)) {
        const row = document.createElement("tr");
        visible.forEach((column, k) => {
          const made = cell(k ? "td" : "th", shown(table.values[place.get(column.name)][i]), k > 0);
          if (!k) made.scope = "row";
          row.append(made);
        });
        body.append(row);
      }
      const thead = document.createElement("thead");
      thead.append(head);
      by("prompt-table").replaceChildren(thead, body);
      const last = Math.min(start + PAGE, rows.length);
      by("count").textContent = rows.length
        ? (start + 1).toLocaleString("en") + " to " + last.toLocaleString("en") + " of " + rows.length.toLocaleString("en") + " prompts"
        : "no prompt's id holds that text";
      pager();
    }
    function pager() {
      const step = (text, to, on) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = text;
        button.disabled = !on;
        button.addEventListener("click", () => { start = to; update(); });
        return button;
      };
      by("pager").replaceChildren(...(rows.length <= PAGE ? [] : [
        step("Previous", start - PAGE, start > 0), step("Next", start + PAGE, start + PAGE < rows.length),
      ]));
    }
    update();
  }

  async function start() {
    if (typeof DecompressionStream === "undefined") {
      broken("This browser is too old for the charts and the table of prompts: they need one from 2023 or later. All else on this page can be read.");
      return;
    }
    const data = JSON.parse(await unpacked("data"));
    promptTable(data.tables.prompts, data.columns);
    numbers(data.tables);
    const library = document.createElement("script");
    library.textContent = await unpacked("plotly");
    document.head.append(library);
    for (const chart of data.charts) {
      charts.set(chart.key, chart);
      hidden.set(chart.key, new Set());
      switches(chart);
      await draw(chart);
    }
    by("theme").hidden = false;
    by("theme").addEventListener("click", () => { chosen = theme() === "dark" ? "light" : "dark"; applyTheme(); redraw(); });
    system.addEventListener("change", () => { applyTheme(); redraw(); });
    let unfolded = [];  // paper cannot be unfolded
    addEventListener("beforeprint", () => {
      printing = true;
      unfolded = [...unfolded, ...document.querySelectorAll("#answer details:not([open])")];
      for (const each of unfolded) each.open = true;
      applyTheme();
      redraw();
    });
    addEventListener("afterprint", () => {
      printing = false;
      for (const each of unfolded.splice(0)) each.open = false;
      applyTheme();
      redraw();
    });
    root.dataset.ready = "true";
  }
  start().catch((error) => { broken("The charts cannot be drawn: " + error.message); throw error; });
})();
