"use strict";
// Asks /live.json once a second and draws it. What was drawn is kept for five minutes, here in the page.

const KEPT = 300;
const PATIENCE_MS = 3000;
const NAMESPACE = "http://www.w3.org/2000/svg";
const of = (id) => document.getElementById(id);

const history = []; // one entry a second; null where there was no answer
let latest = null; // the last answer
let heard = 0; // when it came
let bySecond = true;

// ---- Numbers ----

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function count(value) {
  if (value >= 1e6) return (value / 1e6).toFixed(value < 1e7 ? 2 : 1) + "M";
  if (value >= 1e5) return (value / 1e3).toFixed(0) + "k";
  if (value >= 100 || Number.isInteger(value)) return grouped.format(value);
  return value.toFixed(value < 10 ? 1 : 0);
}

function time(milliseconds) {
  if (milliseconds == null) return "–";
  if (milliseconds >= 1000) return (milliseconds / 1000).toFixed(milliseconds < 10000 ? 2 : 1) + " s";
  if (milliseconds >= 100) return milliseconds.toFixed(0) + " ms";
  if (milliseconds >= 1) return milliseconds.toFixed(milliseconds < 10 ? 2 : 1) + " ms";
  return (milliseconds * 1000).toFixed(0) + " µs";
}

/** A round time, as axes have them. */
function mark(milliseconds) {
  const [value, unit] = milliseconds >= 1000 ? [milliseconds / 1000, "s"] : milliseconds >= 1 ? [milliseconds, "ms"] : [milliseconds * 1000, "µs"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}

function age(seconds) {
  const [days, hours, minutes] = [86400, 3600, 60].map((unit) => Math.floor(seconds / unit));
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

const sum = (list, value) => list.reduce((total, item) => total + value(item), 0);

// ---- Elements ----

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function figure(id, value, unit, alarm) {
  const place = of(id);
  place.replaceChildren(value, unit ? element("small", { textContent: " " + unit }) : "");
  place.parentElement.classList.toggle("alarm", Boolean(alarm));
}

// ---- Lines ----

/** A path through the values, with gaps where there are none. `x` and `y` say where a value stands. */
function path(values, x, y) {
  let text = "", drawing = false;
  values.forEach((value, index) => {
    if (value == null) { drawing = false; return; }
    text += `${drawing ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    // A point between two gaps would not be seen.
    if (!drawing && values[index + 1] == null) text += "h1";
    drawing = true;
  });
  return text;
}

/** The same closed at the bottom: each stretch by itself. */
function area(values, x, y, bottom) {
  let text = "", first = null;
  values.forEach((value, index) => {
    if (value == null) return;
    if (first == null) { first = index; text += `M${x(index).toFixed(1)} ${bottom}`; }
    text += `L${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    if (values[index + 1] == null) { text += `L${x(index).toFixed(1)} ${bottom}Z`; first = null; }
  });
  return text;
}

/** Seconds that a line shows: a minute at first, and more as there is more. */
const span = () => Math.min(KEPT, Math.max(60, Math.ceil(history.length / 60) * 60)) - 1;

const place = (width) => (index) => width - (history.length - 1 - index) * (width / span());

function sparkline(id, value) {
  const values = history.map((entry) => entry && value(entry));
  const most = Math.max(...values.map((value) => value ?? 0)) || 1;
  const x = place(300), y = (value) => 31 - (value / most) * 27;
  const svg = of(id);
  svg.setAttribute("viewBox", "0 0 300 34");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.replaceChildren(
    shape("path", { class: "area", d: area(values, x, y, 34) }),
    shape("path", { class: "line", d: path(values, x, y) }),
  );
}

/** Round numbers from 0 to the first that holds all values. */
function steps(most) {
  const unit = 10 ** Math.floor(Math.log10(most || 1));
  const step = [0.2, 0.5, 1, 2, 2.5, 5].map((part) => part * unit).find((step) => step * 4 >= most);
  return [0, 1, 2, 3, 4].map((times) => times * step);
}

/** Powers of ten around all values, or also twice and five times them where that makes too few. */
function decades(least, most) {
  const powers = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power++) powers.push(10 ** power);
  if (powers.length > 3) return powers;
  const between = powers.flatMap((power) => [power, 2 * power, 5 * power]);
  const first = between.findLastIndex((value) => value <= least), last = between.findIndex((value) => value >= most);
  return between.slice(Math.max(first, 0), last + 1);
}

/** Lines over time in the pixels that there are. */
function chart(id, series, logarithmic, words) {
  const svg = of(id), { width, height } = svg.getBoundingClientRect();
  if (!width) return;
  const [left, bottom, top] = [52, height - 18, 6];
  const lines = series.map(([name, value]) => [name, history.map((entry) => entry && value(entry))]);
  const all = lines.flatMap(([, values]) => values.filter((value) => value != null && (!logarithmic || value > 0)));
  const marks = logarithmic
    ? decades(Math.min(...all, all.length ? Infinity : 0.1), Math.max(...all, all.length ? 0 : 10))
    : steps(Math.max(...all, 1));
  const scale = logarithmic ? Math.log10 : (value) => value;
  const [low, high] = [scale(marks[0]), scale(marks.at(-1))];
  const y = (value) => bottom - ((scale(logarithmic ? Math.max(value, marks[0]) : value) - low) / (high - low || 1)) * (bottom - top);
  const across = place(width - left), x = (index) => left + across(index);
  const drawn = marks.flatMap((mark) => [
    shape("line", { class: "grid", x1: left, x2: width, y1: y(mark), y2: y(mark) }),
    shape("text", { x: left - 8, y: y(mark) + 4, "text-anchor": "end" }, words(mark)),
  ]);
  const minutes = (span() + 1) / 60;
  for (const [part, anchor] of [[1, "start"], [0.5, "middle"], [0, "end"]]) {
    const text = part ? `−${part * minutes < 1 ? "30 s" : `${part * minutes} min`}` : "now";
    drawn.push(shape("text", { x: width - part * (width - left), y: height - 3, "text-anchor": anchor }, text));
  }
  if (!logarithmic) drawn.push(shape("path", { class: "area", d: area(lines[0][1], x, y, bottom) }));
  for (const [name, values] of lines) drawn.push(shape("path", { class: "line " + name, d: path(values, x, y) }));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...drawn);
}

// ---- The page ----

function drawFigures({ all, cores, queued }) {
  const flying = sum(cores, (core) => core.in_flight);
  figure("rate", count(all.rate), "/s");
  figure("p99", time(all.latency?.p99));
  figure("postgres", time(all.postgres_ms));
  figure("batch", all.batch == null ? "–" : all.batch.toFixed(1));
  const open = sum(cores, (core) => core.postgres_open);
  figure("connections", `${count(sum(cores, (core) => core.connections))}, ${count(open)}`);
  figure("flight", `${count(flying)}, ${count(queued)}`);
  figure("sheds", count(all.sheds), "/s", all.sheds > 0);
  figure("errors", count(all.errors), "/s", all.errors > 0);
}

function drawHistory() {
  sparkline("rate-line", (entry) => entry.rate);
  sparkline("p99-line", (entry) => entry.p99);
  sparkline("postgres-line", (entry) => entry.postgres);
  sparkline("batch-line", (entry) => entry.batch);
  sparkline("connections-line", (entry) => entry.connections);
  sparkline("flight-line", (entry) => entry.flight);
  sparkline("sheds-line", (entry) => entry.sheds);
  sparkline("errors-line", (entry) => entry.errors);
  chart("rate-chart", [["rate", (entry) => entry.rate]], false, count);
  const lines = ["p50", "p99", "p999"].map((name) => [name, (entry) => entry[name]]);
  chart("latency-chart", lines, true, mark);
}

function drawCores(cores) {
  of("cores").replaceChildren(...cores.map((core) => {
    const bar = shape("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none" });
    const busy = Math.min(core.busy, 1) * 100;
    bar.append(shape("rect", { width: core.stuck ? 100 : busy, height: 8 }));
    const word = core.stuck ? `stuck, ${age(core.lag_seconds)}` : `${busy.toFixed(0)} % busy`;
    const facts = [
      ["requests/s", count(core.rate)],
      ["connections", count(core.connections)],
      ["in flight", count(core.in_flight)],
      ["Postgres", core.postgres_open + (core.postgres_opening ? ` + ${core.postgres_opening}` : "")],
      ["passes/s", count(core.passes)],
    ];
    const list = facts.flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value })]);
    return element("div", { className: core.stuck ? "core stuck" : "core" },
      element("h3", {}, `core ${core.core}`, element("span", { textContent: word })),
      element("div", { className: "bar" }, bar),
      element("dl", {}, ...list));
  }));
}

function drawRoutes(routes) {
  const [per, word] = bySecond ? ["/s", "last"] : ["", "start"];
  of("rate-head").textContent = "Requests" + per;
  of("sheds-head").textContent = "Refused" + per;
  of("errors-head").textContent = "5xx" + per;
  of("nothing").hidden = routes.length > 0;
  of("routes").replaceChildren(...routes.map((route) => {
    const shown = route[word] ?? {};
    const requests = (bySecond ? shown.rate : shown.requests) ?? 0;
    const latency = shown.latency ?? {};
    const cells = [
      ["requests" + per, count(requests)],
      ...[["p50", "p50"], ["p99", "p99"], ["p99.9", "p999"], ["max", "max"]].map(([label, key]) => [label, time(latency[key])]),
      ["Postgres", shown.postgres_ms ? time(shown.postgres_ms) : "–"],
      ["batch", shown.batch == null ? "–" : shown.batch.toFixed(1)],
      ["refused" + per, count(shown.sheds ?? 0), shown.sheds > 0],
      ["5xx" + per, count(shown.errors ?? 0), shown.errors > 0],
    ];
    return element("tr", { className: requests > 0 ? "" : "still" },
      element("th", { scope: "row", textContent: route.name }),
      ...cells.map(([label, text, alarm]) => {
        const cell = element("td", { textContent: text, className: alarm ? "alarm" : "" });
        cell.dataset.label = label;
        return cell;
      }));
  }));
}

function drawStatus() {
  const silent = latest == null ? null : Math.round((performance.now() - heard) / 1000);
  const gone = history.length > 0 && history.at(-1) == null;
  const stuck = latest?.cores.some((core) => core.stuck);
  const problems = gone ? [] : [...(latest?.problems ?? [])];
  let [state, text] = ["fine", "serving"];
  if (gone) {
    [state, text] = ["failed gone", latest ? `no answer for ${age(silent)}` : "no answer"];
    problems.push(latest
      ? `The server does not answer. What is shown is from ${new Date(Date.now() - silent * 1000).toLocaleTimeString()}.`
      : "The server does not answer.");
  } else if (latest == null) [state, text] = ["waiting", "connecting"];
  else if (stuck) [state, text] = ["failed", "a core is stuck"];
  else if (latest.draining) [state, text] = ["warned", "stopping"];
  else if (!latest.ready) [state, text] = ["failed", "not ready"];
  else if (problems.length) [state, text] = ["warned", "serving, see below"];
  document.body.className = state;
  if (of("status-text").textContent !== text) of("status-text").textContent = text;
  of("problems").hidden = problems.length === 0;
  of("problems").replaceChildren(...problems.map((problem) => element("li", { textContent: problem })));
}

function draw() {
  drawStatus();
  drawHistory();
  if (latest == null) return;
  of("title").textContent = latest.title;
  of("about").textContent = `Pinion ${latest.version}, up ${age(latest.uptime_seconds)}`;
  const gone = history.at(-1) == null;
  document.title = gone ? `no answer · ${latest.title}` : `${count(latest.all.rate)}/s · ${latest.title}`;
  drawFigures(latest);
  drawCores(latest.cores);
  drawRoutes(latest.routes);
}

function remember(answer) {
  const { all, cores } = answer;
  return {
    rate: all.rate, p50: all.latency?.p50, p99: all.latency?.p99, p999: all.latency?.p999,
    postgres: all.postgres_ms, batch: all.batch, sheds: all.sheds, errors: all.errors,
    connections: sum(cores, (core) => core.connections),
    flight: sum(cores, (core) => core.in_flight) + answer.queued,
  };
}

async function ask() {
  const started = performance.now();
  try {
    const response = await fetch("/live.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    latest = await response.json();
    heard = performance.now();
    history.push(remember(latest));
  } catch {
    history.push(null);
  }
  if (history.length > KEPT) history.shift();
  draw();
  setTimeout(ask, Math.max(0, 1000 - (performance.now() - started)));
}

for (const [id, second] of [["by-last", true], ["by-start", false]]) {
  of(id).addEventListener("click", () => {
    bySecond = second;
    of("by-last").setAttribute("aria-pressed", second);
    of("by-start").setAttribute("aria-pressed", !second);
    if (latest) drawRoutes(latest.routes);
  });
}
addEventListener("resize", drawHistory);
ask();
