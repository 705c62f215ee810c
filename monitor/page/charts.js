/* The charts: a small set of series per table over the last five minutes, drawn by uPlot. Without the library, no charts. */
"use strict";

const CHART_SECONDS = 300;
const CHART_LEAST = 60; /* the time axis is at least this long */
const CHART_TABLES = 8; /* as many as can be told apart by colour; the busiest are taken */
const CHART_HEIGHT = 190;

const BYTE_STEPS = Array.from({length: 50}, (_, power) => 2 ** power);

const CHARTS = [
  {id: "put", title: "Rows put per second", unit: count, value: (now, before) => rate(now.put, before.put)},
  {id: "delivered", title: "Rows delivered per second", unit: count, value: (now, before) => rate(now.delivered, before.delivered)},
  {id: "usage", title: "Fullest ring", unit: percent, top: 1, value: (now) => now.usage},
  {id: "insert", title: "Insert, 99 % of the last minute", unit: milliseconds, value: (now) => now.insertMs || null},
  {id: "log", title: "Log on disk (critical tables)", unit: bytes, value: (now) => now.log || null},
  {id: "pressure", title: "Pressure level", unit: count, top: 3, value: (now) => now.pressure},
];

function rate(now, before) {
  return before === undefined || now < before ? null : now - before;
}

function count(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1e9) return (value / 1e9).toFixed(2) + " G";
  if (value >= 1e6) return (value / 1e6).toFixed(2) + " M";
  if (value >= 1e4) return (value / 1e3).toFixed(1) + " k";
  return value < 10 && value % 1 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

function percent(value) {
  return value === null || value === undefined ? "–" : (value * 100).toFixed(value < 0.1 && value > 0 ? 1 : 0) + " %";
}

function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value >= 1000 ? (value / 1000).toFixed(1) + " s" : value.toFixed(value < 10 ? 1 : 0) + " ms";
}

function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  while (value >= 1024 && power < units.length - 1) { value /= 1024; power++; }
  return value.toFixed(power && value < 100 ? 1 : 0) + " " + units[power];
}

/* One second of every table: {time, tables: {name: {put, delivered, usage, …}}}. */
class Charts {
  constructor(host, legend) {
    this.host = host;
    this.legend = legend;
    this.seconds = [];
    this.names = [];
    this.hidden = new Set();
    this.plots = [];
    this.made = "";
    new ResizeObserver(() => this.resize()).observe(host);
  }

  static available() { return typeof uPlot !== "undefined"; }

  add(second) {
    const last = this.seconds[this.seconds.length - 1];
    if (last && second.time - last.time < 0.2) return;
    this.seconds.push(second);
    while (this.seconds.length && this.seconds[0].time < second.time - CHART_SECONDS) this.seconds.shift();
  }

  /* The busiest tables, in the region's order, so that colours stay. */
  choose() {
    const last = this.seconds[this.seconds.length - 1];
    const all = last ? Object.keys(last.tables) : [];
    if (all.length <= CHART_TABLES) return all;
    const busy = [...all].sort((a, b) => last.tables[b].put - last.tables[a].put).slice(0, CHART_TABLES);
    return all.filter((name) => busy.includes(name));
  }

  data(chart) {
    const times = this.seconds.map((second) => second.time);
    const columns = this.names.map((name) => this.seconds.map((second, i) => {
      const now = second.tables[name];
      const before = i ? this.seconds[i - 1].tables[name] : undefined;
      if (!now || (i && !before)) return null;
      const value = chart.value(now, before || {});
      const span = i ? second.time - this.seconds[i - 1].time : 1;
      return chart.value.length === 2 && value !== null ? value / span : value;
    }));
    return [times, ...columns];
  }

  newest() { return this.seconds[this.seconds.length - 1].time; }

  color(index) {
    return getComputedStyle(document.documentElement).getPropertyValue("--s" + index).trim();
  }

  make() {
    const style = getComputedStyle(document.documentElement);
    const axis = {stroke: style.getPropertyValue("--quiet").trim(), font: "12px system-ui, sans-serif",
                  grid: {stroke: style.getPropertyValue("--line").trim(), width: 1}, ticks: {show: false}};
    this.plots.forEach(({plot}) => plot.destroy());
    this.host.textContent = "";
    this.plots = CHARTS.map((chart) => {
      const figure = this.host.appendChild(document.createElement("figure"));
      figure.id = "chart-" + chart.id;
      const caption = figure.appendChild(document.createElement("figcaption"));
      caption.append(chart.title, document.createElement("span"));
      const box = figure.appendChild(document.createElement("div"));
      box.setAttribute("role", "img");
      const plot = new uPlot({
        width: Math.max(200, box.clientWidth), height: CHART_HEIGHT, legend: {show: false}, cursor: {y: false, drag: {x: false, y: false}},
        scales: {x: {time: true, range: () => [Math.min(this.seconds[0].time, this.newest() - CHART_LEAST), this.newest()]}, y: {range: (u, low, high) => [0, Math.max(chart.top || 0, (high || 1) * 1.05)]}},
        axes: [{...axis, size: 26, space: 64, values: "{HH}:{mm}:{ss}"}, {...axis, size: 62, ...(chart.unit === bytes ? {incrs: BYTE_STEPS} : {}), values: (u, ticks) => ticks.map((tick) => chart.unit(tick))}],
        series: [{}, ...this.names.map((name, i) => ({label: name, stroke: this.color(i), width: 1.75, spanGaps: false,
                                                      show: !this.hidden.has(name), points: {show: false}}))],
        hooks: {setCursor: [(u) => this.tell(chart, u, caption.lastChild)]},
      }, this.data(chart), box);
      return {chart, plot, box, note: caption.lastChild};
    });
    this.makeLegend();
  }

  makeLegend() {
    this.legend.textContent = "";
    this.names.forEach((name, i) => {
      const button = this.legend.appendChild(document.createElement("button"));
      button.type = "button";
      button.style.color = this.color(i);
      button.appendChild(document.createElement("span")).textContent = name;
      button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
      button.addEventListener("click", () => {
        this.hidden.has(name) ? this.hidden.delete(name) : this.hidden.add(name);
        button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
        this.plots.forEach(({plot}) => plot.setSeries(i + 1, {show: !this.hidden.has(name)}));
      });
    });
  }

  /* Beside the title: the values under the pointer, or the sum or maximum of the newest second. */
  tell(chart, plot, note) {
    const index = plot.cursor.idx;
    if (index !== null && index !== undefined && plot.cursor.left >= 0) {
      note.textContent = this.names.map((name, i) => [name, plot.data[i + 1][index]]).filter(([name, value]) => value !== null && !this.hidden.has(name))
        .map(([name, value]) => name + " " + chart.unit(value)).join("  ");
      return;
    }
    const newest = plot.data.slice(1).map((column) => column[column.length - 1]).filter((value) => value !== null && value !== undefined);
    const sum = chart.value.length === 2 || chart.id === "log";
    const value = newest.length ? (sum ? newest.reduce((a, b) => a + b, 0) : Math.max(...newest)) : null;
    note.textContent = chart.unit(value);
  }

  draw(force) {
    if (!Charts.available() || this.seconds.length === 0) return;
    this.names = this.choose();
    if (force || this.made !== this.names.join()) {
      this.made = this.names.join();
      this.make();
    }
    for (const {chart, plot, box, note} of this.plots) {
      plot.setData(this.data(chart));
      this.tell(chart, plot, note);
      box.setAttribute("aria-label", chart.title + ": now " + note.textContent + ". The tables below have the numbers.");
    }
  }

  resize() {
    for (const {plot, box} of this.plots)
      if (box.clientWidth && box.clientWidth !== plot.width) plot.setSize({width: box.clientWidth, height: CHART_HEIGHT});
  }
}
