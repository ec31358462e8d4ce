// What the page does beyond showing: opens what a link points to, says how old the search is, and
// lets readers pool their own selection. Everything that matters is there without it.
(() => {
  "use strict";
  const MINUS = "\u2212";
  const node = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "text") made.textContent = value; else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };
  const drawn = (name, attributes = {}, text = "") => {
    const made = document.createElementNS(document.querySelector("svg").namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return made;
  };
  const fixed = (value, digits = 2) => {
    if (value === null || !Number.isFinite(value)) return "\u2013";
    const text = value.toFixed(digits);
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", MINUS);
  };

  // --- how old the search is, by the reader's own calendar ---------------------------------------
  const living = document.getElementById("living");
  if (living) {
    const days = (text) => Date.parse(`${text}T00:00:00Z`) / 86400000;
    const today = Math.floor(Date.now() / 86400000);
    const age = today - days(living.dataset.searched), over = today - days(living.dataset.due);
    const words = living.querySelector("[data-age]");
    if (over > 0) {
      living.classList.add("stale");
      words.textContent = `Stale since ${living.dataset.due}: the search is ${age} days old, and newer trials may exist.`;
    } else if (age >= 0) {
      words.textContent = age === 0 ? "The search was closed today."
        : `The search is ${age} ${age === 1 ? "day" : "days"} old by your calendar.`;
    }
    living.hidden = false;
  }

  // --- links into closed parts -------------------------------------------------------------------
  function open(id) {
    const target = id && document.getElementById(id);
    if (!target) return;
    for (let part = target; part; part = part.parentElement) {
      if (part.tagName === "DETAILS") part.open = true;
    }
    target.scrollIntoView();
  }
  window.addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not(.card)")) {
      if (!part.open) { part.dataset.closed = ""; part.open = true; }
    }
  });
  window.addEventListener("afterprint", () => {
    for (const part of document.querySelectorAll("details[data-closed]")) {
      part.open = false; delete part.dataset.closed;
    }
  });
  // --- a selection of one's own ------------------------------------------------------------------
  const source = document.getElementById("engine-data");
  const analyses = source ? JSON.parse(source.textContent) : [];
  const TAU2 = [["REML", "REML"], ["DL", "DerSimonian\u2013Laird"]];
  const CI = [["knapp-hartung-conservative", "Knapp\u2013Hartung, conservative"],
    ["knapp-hartung", "Knapp\u2013Hartung"], ["wald", "Wald"]];
  const widgets = new Map();

  function shown(value, ratio) {
    if (value === null) return "\u2013";
    if (!ratio) return fixed(value);
    const x = Math.exp(Math.min(value, 700));
    if (x < 0.01) return "< 0.01";
    return x > 1000 ? "> 1,000" : fixed(x);
  }

  function choice(id, label, options, chosen) {
    const select = node("select", { id });
    for (const [value, words] of options) {
      const option = node("option", { value, text: words });
      option.selected = value === chosen;
      select.append(option);
    }
    return [node("label", { for: id, text: label }), select];
  }

  function build(data) {
    const place = document.querySelector(`[data-try="${CSS.escape(data.name)}"]`);
    if (!place) return;
    const id = (part) => `try-${data.name}-${part}`;
    const state = { part: data.parts[0].key, off: new Set(), tau2: data.tau2, ci: data.ci,
      measure: data.measure };
    const form = node("div", { class: "choices" });
    const parts = data.parts.map((part) => [part.key, part.label]);
    const [partLabel, part] = choice(id("part"), data.counted, parts, state.part);
    const [tauLabel, tau] = choice(id("tau"), "Between-trial variance", TAU2, state.tau2);
    const [ciLabel, ci] = choice(id("ci"), "Interval", CI, state.ci);
    const [mLabel, measure] = choice(id("measure"), "Measure",
      data.measures.length ? data.measures : [[data.measure, data.measure_label]], data.measure);
    const fields = [[tauLabel, tau], [ciLabel, ci]];
    if (parts.length > 1) fields.unshift([partLabel, part]);
    if (data.measures.length > 1) fields.push([mLabel, measure]);
    for (const pair of fields) form.append(node("div", {}, ...pair));
    const list = node("fieldset", {}, node("legend", { text: `${data.counted} in the selection` }));
    const banner = node("p", { class: "selection-banner" });
    const unsaid = node("p", { class: "small", "data-unsaid": "" });
    const numbers = node("dl", { class: "numbers", "aria-live": "polite" });
    const plot = node("div", { class: "scroll", tabindex: "0", role: "region",
      "aria-label": "Forest plot of your selection" });
    const link = node("a", { href: "#", text: "Link to this selection" });
    const back = node("button", { type: "button", text: "Back to the published choices" });
    const foot = node("p", { class: "try-links" }, link, " ", back);
    const details = node("details", { class: "try fold", id: id("box") },
      node("summary", { text: "Recompute: change the trials or the method, and pool again" }),
      form, list, banner, unsaid, numbers, plot, foot);
    place.append(details);

    const current = () => data.parts.find((item) => item.key === state.part) || data.parts[0];
    function boxes() {
      list.replaceChildren(list.firstElementChild);
      for (const row of current().rows) {
        const box = node("input", { type: "checkbox", value: row.id });
        box.checked = !state.off.has(row.id);
        box.addEventListener("change", () => {
          if (box.checked) state.off.delete(row.id); else state.off.add(row.id);
          update();
        });
        list.append(node("label", {}, box, ` ${row.label}`));
      }
    }
    function address() {
      const words = [`try=${encodeURIComponent(data.name)}`];
      if (state.part !== data.parts[0].key) words.push(`part=${encodeURIComponent(state.part)}`);
      if (state.off.size) words.push(`off=${[...state.off].sort().map(encodeURIComponent).join(",")}`);
      if (state.tau2 !== data.tau2) words.push(`tau2=${state.tau2}`);
      if (state.ci !== data.ci) words.push(`ci=${state.ci}`);
      if (state.measure !== data.measure) words.push(`measure=${state.measure}`);
      return `#${words.join("&")}`;
    }
    function update() {
      const ticked = current().rows.filter((row) => !state.off.has(row.id)).map((row) => {
        if (state.measure === data.measure) return { ...row, has: true };
        const effect = row.c ? engine.ofCounts(state.measure, row.c)
          : row.a && { y: row.a[0], v: row.a[1] };
        return { ...row, ...effect, has: Boolean(effect) };
      });
      const rows = ticked.filter((row) => row.has), mute = ticked.filter((row) => !row.has);
      unsaid.textContent = mute.length ? "Left out, because their sources do not give this measure: "
        + `${mute.map((row) => row.label).join(", ")}.` : "";
      unsaid.hidden = !mute.length;
      const ratio = state.measure === data.measure ? data.is_ratio : ["OR", "RR"].includes(state.measure);
      const fit = engine.pool(rows.map((row) => row.y), rows.map((row) => row.v),
        { tau2: state.tau2, ci: state.ci, level: data.level });
      const same = state.off.size === 0 && state.tau2 === data.tau2 && state.ci === data.ci
        && state.measure === data.measure;
      // Where another model leads, this one stands beside it and is never called the result.
      const led = current().led, published = same && !led;
      banner.textContent = !same ? "Your selection, not the published result."
        : led ? `The usual model, which stands beside the published result. Published: ${led}.`
          : "These are the published choices: the published result.";
      banner.classList.toggle("own", !same);
      const label = (data.measures.find((item) => item[0] === state.measure) || [0, data.measure_label])[1];
      const items = fit === null ? [[data.counted, "none chosen: tick at least one trial above, or go back to the published choices"]] : [
        [data.counted, String(fit.k)],
        [label, `${shown(fit.estimate, ratio)} (${shown(fit.ci_low, ratio)} to ${shown(fit.ci_high, ratio)})`],
      ];
      if (fit && fit.tau2 !== null) {
        items.push(["Between-trial variance (tau\u00b2)", fixed(fit.tau2, 3)],
          ["I\u00b2", `${fixed(100 * fit.i2, 0)}%`]);
      }
      if (fit && fit.pi_low !== null) {
        items.push(["Prediction interval for a new trial",
          `${shown(fit.pi_low, ratio)} to ${shown(fit.pi_high, ratio)}`]);
      }
      numbers.replaceChildren(...items.map(([term, value]) =>
        node("div", {}, node("dt", { text: term }), node("dd", { text: value }))));
      plot.replaceChildren(...(fit ? [forest(rows, fit, ratio, data, published ? "Published result"
        : same ? "The usual model, beside the published result" : "Your selection, not the published result",
      label)] : []));
      link.setAttribute("href", address());
      back.hidden = same;
      // The address bar holds the selection, so that it can be sent, and comes back on reload.
      if (details.open) history.replaceState(null, "", address());
      widgets.get(data.name).fit = fit;
    }
    for (const [select, key] of [[tau, "tau2"], [ci, "ci"], [measure, "measure"], [part, "part"]]) {
      select.addEventListener("change", () => {
        state[key] = select.value;
        if (key === "part") boxes();
        update();
      });
    }
    function set(next) {
      Object.assign(state, { part: data.parts[0].key, off: new Set(), tau2: data.tau2, ci: data.ci,
        measure: data.measure }, next);
      tau.value = state.tau2; ci.value = state.ci; measure.value = state.measure;
      part.value = state.part;
      boxes(); update();
    }
    back.addEventListener("click", () => { set({ part: state.part }); tau.focus(); });
    widgets.set(data.name, { data, details, set, state, fit: null });
    details.addEventListener("toggle", () => { if (details.open && !numbers.children.length) set({}); });
  }

  function forest(rows, fit, ratio, data, title, label) {
    const own = title.startsWith("Your");
    const z = engine.critical(data.level, null);
    const spread = rows.map((row) => [row.y - z * Math.sqrt(row.v), row.y + z * Math.sqrt(row.v)]);
    const all = [0, fit.ci_low, fit.ci_high, ...rows.map((row) => row.y)];
    let low = Math.min(...all), high = Math.max(...all);
    const near = spread.flat().filter((x) => Math.abs(x) < 3 * Math.max(Math.abs(low), Math.abs(high), 0.5));
    low = Math.min(low, ...near); high = Math.max(high, ...near);
    const pad = 0.06 * (high - low || 1);
    low -= pad; high += pad;
    const left = 210, right = 560, width = 760, step = 22, top = 34;
    const height = top + step * (rows.length + 1) + 54;
    const x = (value) => left + (right - left) * (Math.min(high, Math.max(low, value)) - low) / (high - low);
    const sentence = `${title}: ${fit.k} ${data.counted.toLowerCase()}, ${label} `
      + `${shown(fit.estimate, ratio)} (${shown(fit.ci_low, ratio)} to ${shown(fit.ci_high, ratio)}).`;
    const svg = drawn("svg", { class: "plot own-plot", role: "img", viewBox: `0 0 ${width} ${height}`,
      "aria-label": `Forest plot. ${sentence}` });
    const text = (at, y, words, extra = {}) =>
      svg.append(drawn("text", { x: at, y, "font-size": 12, ...extra }, words));
    text(8, 20, title, { class: "b", fill: own ? "#8a3b00" : "#1a1a1a" });
    svg.append(drawn("line", { x1: x(0), x2: x(0), y1: top - 4, y2: height - 46, stroke: "#5f5f5f" }));
    rows.forEach((row, i) => {
      const y = top + step * i + 10;
      text(8, y + 4, row.label);
      svg.append(drawn("line", { x1: x(spread[i][0]), x2: x(spread[i][1]), y1: y, y2: y,
        stroke: "#1a1a1a", "stroke-width": 1.3 }));
      const side = 4 + 12 * Math.sqrt(fit.weights[i]);
      svg.append(drawn("rect", { x: x(row.y) - side / 2, y: y - side / 2, width: side, height: side,
        fill: "#0072b2" }));
      text(width - 6, y + 4, `${shown(row.y, ratio)} (${shown(spread[i][0], ratio)} to ${shown(spread[i][1], ratio)})`,
        { "text-anchor": "end" });
    });
    const y = top + step * rows.length + 14;
    text(8, y + 4, `Pooled (k = ${fit.k})`, { class: "b" });
    svg.append(drawn("path", { d: `M${x(fit.ci_low)} ${y}L${x(fit.estimate)} ${y - 7}L${x(fit.ci_high)} ${y}L${x(fit.estimate)} ${y + 7}Z`,
      fill: own ? "#d55e00" : "#12354f" }));
    text(width - 6, y + 4, `${shown(fit.estimate, ratio)} (${shown(fit.ci_low, ratio)} to ${shown(fit.ci_high, ratio)})`,
      { "text-anchor": "end", class: "b" });
    const axis = y + 20;
    svg.append(drawn("line", { x1: left, x2: right, y1: axis, y2: axis, stroke: "#1a1a1a" }));
    for (const value of ticks(low, high, ratio)) {
      svg.append(drawn("line", { x1: x(value), x2: x(value), y1: axis, y2: axis + 4, stroke: "#1a1a1a" }));
      const words = ratio ? String(Number(Math.exp(value).toPrecision(3)))
        : String(Number(value.toPrecision(3))).replace("-", MINUS);
      text(x(value), axis + 17, words, { "text-anchor": "middle" });
    }
    return svg;
  }

  function ticks(low, high, ratio) {
    if (ratio) {
      const all = [0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000].map(Math.log)
        .filter((value) => value >= low && value <= high);
      return all.length > 6 ? all.filter((value) => Math.abs(Math.log10(Math.exp(value)) % 1) < 1e-9) : all;
    }
    const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
    const size = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const found = [];
    for (let value = Math.ceil(low / size) * size; value <= high + 1e-9; value += size) {
      found.push(Math.abs(value) < size / 1e6 ? 0 : value);
    }
    return found;
  }

  analyses.forEach(build);

  function follow() {
    const hash = location.hash.slice(1);
    if (!hash.startsWith("try=")) { open(decodeURIComponent(hash)); return; }
    const words = new Map(hash.split("&").map((pair) => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)];
    }));
    const widget = widgets.get(decodeURIComponent(words.get("try")));
    if (!widget) return;
    const { data } = widget, next = { off: new Set() };
    const allowed = { tau2: TAU2.map((item) => item[0]), ci: CI.map((item) => item[0]),
      measure: data.measures.map((item) => item[0]), part: data.parts.map((item) => item.key) };
    for (const key of Object.keys(allowed)) {
      const value = decodeURIComponent(words.get(key) || "");
      if (words.has(key) && allowed[key].includes(value)) next[key] = value;
    }
    const known = new Set(data.parts.flatMap((part) => part.rows.map((row) => row.id)));
    for (const name of (words.get("off") || "").split(",").map(decodeURIComponent)) {
      if (known.has(name)) next.off.add(name);
    }
    widget.set(next);
    open(widget.details.id);
  }
  window.addEventListener("hashchange", follow);
  window.ketameta = { engine: typeof engine === "undefined" ? null : engine, analyses, widgets };
  if (location.hash) follow();
})();
