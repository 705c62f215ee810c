/* The page: asks /api/v1/status once a second and shows what it says; when nothing answers, it says that. */
"use strict";

const ASK_MS = 1000;
const REFUSED_S = 600; /* for so long the banner says that ClickHouse refused rows */
const ANSWER_MS = 1200; /* longer than this, and the monitor counts as lost: an outage shows within two seconds */

const $ = (id) => document.getElementById(id);
let charts = null;
let before = null; /* the last document, for rates */
let sort = {key: null, down: true};

/* ---- verdict ---- */

function judge(status) {
  if (!status.present) return ["bad", "✖", "NO REGION"];
  if (!status.recorder.alive) return ["bad", "✖", "NO RECORDER"];
  if (status.recorder.state !== "running" && !(status.recorder.heartbeat_age_s < 3)) return ["warn", "▲", status.recorder.state.toUpperCase()];
  if (status.recorder.heartbeat_age_s > 3) return ["bad", "✖", "RECORDER STUCK"];
  if (status.tables.some((t) => !t.ledger.balanced)) return ["bad", "✖", "LEDGER OFF"];
  if (status.recorder.clickhouse === "down") return ["bad", "✖", "CLICKHOUSE DOWN"];
  if (budgetSpent(status)) return ["bad", "✖", "BUDGET SPENT"];
  if (any(status, (t) => t.log && t.log.state === "failing")) return ["bad", "✖", "LOG FAILING"];
  if (any(status, (t) => t.log && t.log.state === "full")) return ["bad", "✖", "LOG FULL"];
  if (any(status, (t) => t.ring_usage >= 0.9)) return ["bad", "✖", "RING FILLING"];
  if (any(status, (t) => t.inserts.parked_since !== null)) return ["bad", "✖", "TABLE PARKED"];
  if (any(status, (t) => t.paused_since !== null)) return ["warn", "▲", "TABLE PAUSED"];
  if (status.recorder.mode === "disabled") return ["warn", "▲", "NOT SENDING"];
  if (status.canary && status.canary.stale) return ["bad", "✖", "CANARY STALE"];
  if (!status.healthy) return ["warn", "▲", "DEGRADED"];
  if (any(status, (t) => t.refused_ago_s !== null && t.refused_ago_s < REFUSED_S)) return ["warn", "▲", "ROWS REFUSED"];
  return ["good", "✔", "All well"];
}

const any = (status, what) => status.tables.some(what);

/* The day's figure is of an earlier day until the recorder sends again. */
function sentToday(status) {
  return status.recorder.sent_day === Math.floor(status.time / 86400) ? status.recorder.sent_day_bytes : 0;
}

function budgetSpent(status) {
  return status.recorder.sent_day_limit > 0 && sentToday(status) >= status.recorder.sent_day_limit;
}

/* Which command mends it. */
const MENDS = {
  "NO REGION": "Mend: coldpath init, or start coldpathd: it makes the region.",
  "NO RECORDER": "Mend: systemctl start coldpathd; coldpath doctor says what is wrong with the host if it does not stay.",
  "RECORDER STUCK": "Mend: systemctl restart coldpathd loses nothing; its log says what it waits for.",
  "LEDGER OFF": "Look: coldpath audit holds the ledger against ClickHouse. Keep the region.",
  "CLICKHOUSE DOWN": "Look: coldpath query 'SELECT 1' tries the connection. Rows are sent by themselves when it is back.",
  "BUDGET SPENT": "Mend: raise limits.daily_bytes, then coldpath reload; or wait for midnight UTC.",
  "LOG FAILING": "Look: coldpath doctor, and the recorder's log, which has the disk's error. Rows stay in their rings.",
  "LOG FULL": "Look: coldpath doctor for the disk, coldpath status for what holds rows up. Mend: room, wal_limit, or ClickHouse.",
  "RING FILLING": "Look: coldpath top shows what holds rows up. A full ring refuses rows; ring_size makes it larger.",
  "TABLE PARKED": "Look: coldpath schema diff. Mend: coldpath schema apply, then coldpath flush.",
  "TABLE PAUSED": "Somebody paused it: its rows wait. Mend: coldpath resume TABLE, or all.",
  "NOT SENDING": "Mode disabled. When that is not meant: mode: direct, then coldpath reload.",
  "CANARY STALE": "Look: coldpath doctor looks for what holds rows up, on this host and in ClickHouse.",
  "ROWS REFUSED": "Look: coldpath quarantine ls. Mend what ClickHouse refuses them for, then coldpath quarantine retry.",
  "DEGRADED": "Look: coldpath status.",
  "NO ANSWER": "Mend: systemctl start coldpathd, or coldpath monitor.",
};

/* What it costs, in rows. */
function cost(status) {
  if (!status.present) return "";
  const refused = sum(status, (t) => t.refused_full + t.refused_too_big);
  const gone = sum(status, (t) => t.ledger.dropped + t.ledger.given_up);
  return count(sum(status, waiting)) + " rows wait, the fullest ring is " + percent(most(status, (t) => t.ring_usage)) + " full; " +
    (refused + gone === 0 ? "nothing is lost." : count(gone) + " rows were lost, " + count(refused) + " puts refused since the region was made.");
}

function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

const ICONS = {good: "%230f7a3d", warn: "%239a5b00", bad: "%23b3151f", lost: "%23b3151f"};

function verdict(state, sign, word, reasons, notices) {
  document.body.dataset.state = state;
  if ($("word").textContent !== word) { $("word").textContent = word; $("sign").textContent = sign; }
  document.title = (state === "good" ? "" : sign + " " + word + " · ") + "coldpath";
  $("icon").href = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'><rect width='8' height='8' rx='2' fill='" + ICONS[state] + "'/></svg>";
  list($("reasons"), together(reasons));
  list($("notices"), notices);
  say("mend", MENDS[word] || "");
}

/* Sets the items of a list, touching it only when they changed: a screen reader would read them again. */
function list(host, texts) {
  if (host.dataset.texts === JSON.stringify(texts)) return;
  host.dataset.texts = JSON.stringify(texts);
  host.replaceChildren(...texts.map((text) => Object.assign(document.createElement("li"), {textContent: text})));
}

/* Several tables with one complaint share a line: "quotes, trades: retrying: …". */
function together(texts) {
  const lines = new Map();
  for (const text of texts) {
    const [, table, rest] = text.match(/^(\w+)((?: \(retrying\))?: .*)$/) || [null, null, text];
    lines.set(rest, [...(lines.get(rest) || []), ...(table ? [table] : [])]);
  }
  return [...lines].map(([rest, tables]) => tables.join(", ") + rest);
}

/* ---- numbers ---- */

function perSecond(status, table, pick) {
  const old = before && before.tables.find((t) => t.table === table.table);
  const span = before ? status.time - before.time : 0;
  const change = old ? pick(table) - pick(old) : -1;
  return span > 0.2 && change >= 0 ? change / span : null;
}

const waiting = (t) => t.ledger.in_ring + t.ledger.in_log + t.ledger.at_risk;
const unknownAge = (t) => t.oldest_unshipped_s === null && t.paused_since !== null && waiting(t) > 0; /* a paused table's rows are not taken up */
const lost = (t) => t.ledger.dropped + t.ledger.given_up + t.refused_full + t.refused_too_big;
const sum = (status, pick) => status.tables.reduce((all, t) => all + (pick(t) || 0), 0);
const most = (status, pick) => status.tables.reduce((top, t) => Math.max(top, pick(t) || 0), 0);
const seconds = (value) => value === null ? "–" : value < 100 ? value.toFixed(1) + " s" : value < 6000 ? Math.round(value / 60) + " min" : Math.round(value / 3600) + " h";
const whole = (value) => value.toLocaleString("en");

function canaryLag(canary) {
  return canary.lag_s > 0 ? milliseconds(canary.lag_s * 1000) : "–";
}

function tiles(status) {
  const usage = most(status, (t) => t.ring_usage);
  const insert = most(status, (t) => t.inserts.p99_ms);
  const oldest = most(status, (t) => t.oldest_unshipped_s);
  const all = [
    ["Put / s", count(sum(status, (t) => t.in))],
    ["Delivered / s", count(sum(status, (t) => t.out))],
    ["Rows that wait", count(sum(status, waiting)), oldest > 60],
    ["Oldest waits", oldest ? seconds(oldest) : any(status, unknownAge) ? "?" : "–", oldest > 60],
    ["Fullest ring", percent(usage), usage >= 0.8],
    ["Insert, 99 %", insert ? milliseconds(insert) : "–", insert > 5000],
    ["Logs on disk", bytes(sum(status, (t) => t.log && t.log.bytes)), status.tables.some((t) => t.log && (t.log.state === "full" || t.log.state === "failing"))],
    ["Lost or refused", count(sum(status, lost)), sum(status, lost) > 0],
  ];
  if (status.canary) all.push(["Canary lag", canaryLag(status.canary), status.canary.stale]);
  const limit = status.recorder && status.recorder.sent_day_limit;
  if (limit > 0) all.push(["Budget today", budgetSpent(status) ? "spent" : percent(sentToday(status) / limit), sentToday(status) >= 0.9 * limit]);
  $("tiles").style.setProperty("--all", all.length); /* in one row where there is room, else in rows of one length */
  const few = all.length % 5 === 0 ? 5 : all.length % 3 === 0 ? 3 : 4;
  $("tiles").style.setProperty("--few", few);
  $("tiles").style.setProperty("--wide", all.length > 8 ? few : all.length);
  $("tiles").replaceChildren(...all.map(([title, value, alarm]) => {
    const box = document.createElement("div");
    box.className = alarm ? "alarm" : "";
    box.append(Object.assign(document.createElement("dt"), {textContent: title}), Object.assign(document.createElement("dd"), {textContent: value}));
    return box;
  }));
}

/* ---- tables ---- */

const COLUMNS = [
  {key: "table", title: "table", value: (t) => t.table},
  {key: "class", title: "class", text: true, value: (t) => t.class},
  {key: "in", title: "put/s", value: (t) => t.in, show: count},
  {key: "out", title: "delivered/s", value: (t) => t.out, show: count},
  {key: "ring", title: "ring", value: (t) => t.ring_usage, meter: true},
  {key: "peak", title: "peak", value: (t) => t.ring_usage_peak, show: percent},
  {key: "wait", title: "rows wait", value: waiting, show: count},
  {key: "oldest", title: "oldest", value: (t) => t.oldest_unshipped_s, show: (v, t) => unknownAge(t) ? "?" : seconds(v), care: (v) => v > 60},
  {key: "p50", title: "insert", value: (t) => t.inserts.p50_ms, show: milliseconds},
  {key: "p99", title: "insert 99 %", value: (t) => t.inserts.p99_ms, show: milliseconds, care: (v) => v > 5000},
  {key: "log", title: "log", value: (t) => t.log ? t.log.bytes : null, show: bytes, alarm: (v, t) => t.log && t.log.state !== "takes rows" && t.log.state !== "none"},
  {key: "pressure", title: "pressure", value: (t) => t.pressure, show: whole, care: (v) => v > 0},
  {key: "lost", title: "lost", value: lost, show: whole, alarm: (v) => v > 0},
  {key: "producers", title: "producers", value: (t) => t.live_producers, show: (v, t) => v + "/" + t.slots},
  {key: "delivery", title: "delivery", text: true, value: (t) => t.guarantee},
];
const LEDGER = ["put", "delivered", "in_ring", "in_log", "at_risk", "suppressed", "quarantined", "held", "rejected", "dropped", "given_up"];

function head() {
  for (const column of COLUMNS) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    cell.className = column.text ? "text" : "";
    const button = cell.appendChild(document.createElement("button"));
    button.type = "button";
    button.textContent = column.title;
    button.addEventListener("click", () => {
      sort = {key: column.key, down: sort.key === column.key ? !sort.down : true};
      document.querySelectorAll("#live th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      if (before) rows(before);
    });
    document.querySelector("#live thead tr").append(cell);
  }
  for (const title of ["table", ...LEDGER, "balanced"]) {
    const cell = Object.assign(document.createElement("th"), {scope: "col", textContent: title.replace("_", " ")});
    cell.setAttribute("role", "columnheader");
    document.querySelector("#ledger thead tr").append(cell);
  }
}

function sorted(tables) {
  const column = COLUMNS.find((c) => c.key === sort.key);
  if (!column) return tables;
  const rank = (t) => { const v = column.value(t); return v === null || v === undefined ? -1 : v; };
  return [...tables].sort((a, b) => (rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : 0) * (sort.down ? -1 : 1));
}

/* What a narrow screen shows of the head, which is not above the cell there; roles, which the layout takes from a table's parts. */
function label(cell, title) {
  cell.dataset.title = title;
  cell.setAttribute("role", cell.scope === "row" ? "rowheader" : "cell");
  return cell;
}

function rowOf() {
  const row = document.createElement("tr");
  row.setAttribute("role", "row");
  return row;
}

function cellOf(column, table, first) {
  const value = column.value(table);
  const cell = document.createElement(first ? "th" : "td");
  if (first) cell.scope = "row";
  label(cell, column.title);
  if (column.text) cell.className = "text";
  if (column.alarm && column.alarm(value, table)) cell.className = "alarm";
  else if (column.care && value !== null && column.care(value)) cell.className = "care";
  if (column.meter) {
    const meter = Object.assign(document.createElement("meter"), {min: 0, max: 1, low: 0.5, high: 0.8, optimum: 0, value});
    meter.setAttribute("aria-hidden", "true");
    cell.append(meter, " " + percent(value));
  } else {
    cell.textContent = column.show ? column.show(value, table) : value;
  }
  return cell;
}

function rows(status) {
  document.querySelector("#live tbody").replaceChildren(...sorted(status.tables).map((table) => {
    const row = rowOf();
    row.append(...COLUMNS.map((column, i) => cellOf(column, table, i === 0)));
    return row;
  }));
  document.querySelector("#ledger tbody").replaceChildren(...status.tables.map((table) => {
    const row = rowOf();
    row.append(label(Object.assign(document.createElement("th"), {scope: "row", textContent: table.table}), "table"));
    for (const part of LEDGER) {
      const some = table.ledger[part] > 0;
      const className = some && (part === "dropped" || part === "given_up") ? "alarm" : some && part === "quarantined" ? "care" : "";
      row.append(label(Object.assign(document.createElement("td"), {textContent: whole(table.ledger[part]), className}), part.replace("_", " ")));
    }
    row.append(label(Object.assign(document.createElement("td"), {textContent: table.ledger.balanced ? "yes" : "NO", className: table.ledger.balanced ? "" : "alarm"}), "balanced"));
    return row;
  }));
  const errors = status.tables.filter((t) => t.inserts.last_error).map((t) => t.table + (t.inserts.retrying ? " (retrying): " : ": ") + t.inserts.last_error);
  list($("errors"), errors.length ? together(errors) : ["none"]);
}

/* ---- asking ---- */

function second(status) {
  const tables = {};
  for (const t of status.tables)
    tables[t.table] = {put: t.ledger.put, delivered: t.ledger.delivered, usage: t.ring_usage, insertMs: t.inserts.p99_ms, log: t.log ? t.log.bytes : 0, pressure: t.pressure};
  return {time: status.time, tables};
}

function show(status) {
  for (const table of status.tables) {
    table.in = perSecond(status, table, (t) => t.ledger.put);
    table.out = perSecond(status, table, (t) => t.ledger.delivered);
  }
  verdict(...judge(status), status.reasons, status.notices);
  say("cost", document.body.dataset.state === "good" ? "" : cost(status));
  $("namespace").textContent = status.namespace || "";
  $("version").textContent = "coldpath " + status.version;
  const recorder = status.recorder;
  $("facts").textContent = !recorder ? status.region :
    `recorder ${recorder.alive ? recorder.state + ", pid " + recorder.pid : "absent"} · heartbeat ${seconds(recorder.heartbeat_age_s)} ago · ClickHouse ${recorder.clickhouse}${recorder.alive && recorder.heartbeat_age_s < 3 ? "" : " when it was last seen"}${recorder.mode === "direct" ? "" : " · mode " + recorder.mode} · ${status.region}`;
  tiles(status);
  rows(status);
  if (charts) { charts.add(second(status)); charts.draw(); }
  before = status;
}

async function ask(path) {
  const answer = await fetch(location.origin + path, {cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS)});
  if (!answer.ok) throw new Error("status " + answer.status);
  return answer.json();
}

async function turn() {
  const began = performance.now();
  try {
    show(await ask("/api/v1/status"));
  } catch (error) {
    const since = before ? " since " + new Date(before.time * 1000).toLocaleTimeString() : "";
    verdict("lost", "✖", "NO ANSWER", ["The monitor at " + location.host + " has not answered" + since + ": what is shown below is old. Is coldpathd, or coldpath monitor, running?"], []);
  }
  setTimeout(turn, Math.max(100, ASK_MS - (performance.now() - began)));
}

async function remember() {
  const history = await ask("/api/v1/history");
  const names = Object.keys(history.tables);
  const length = Math.max(0, ...names.map((name) => history.tables[name].length));
  for (let i = 0; i < length; i++) {
    const tables = {};
    for (const name of names) {
      const p = history.tables[name][i];
      if (p) tables[name] = {put: p[0], delivered: p[1], usage: p[3] / 1000, insertMs: p[4] / 1000, log: p[5], pressure: p[6]};
    }
    charts.add({time: history.time - (length - i) * history.interval_s, tables});
  }
}

/* ---- colours ---- */

const dark = matchMedia("(prefers-color-scheme: dark)");

function paint() {
  const chosen = localStorage.getItem("theme") || "auto";
  document.documentElement.dataset.theme = chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen;
  $("theme").textContent = "Colours: " + chosen;
  $("theme").setAttribute("aria-label", "Colours: " + (chosen === "auto" ? "as the system has them" : chosen));
  if (charts) charts.draw(true);
}

function start() {
  head();
  if (Charts.available()) charts = new Charts($("charts"), $("legend"));
  else $("no-charts").hidden = false;
  $("theme").addEventListener("click", () => {
    const order = ["auto", "light", "dark"];
    localStorage.setItem("theme", order[(order.indexOf(localStorage.getItem("theme") || "auto") + 1) % 3]);
    paint();
  });
  dark.addEventListener("change", paint);
  paint();
  (charts ? remember().catch(() => {}) : Promise.resolve()).then(turn);
}

start();
