// ---- what the page shows: tiles, charts, tables. Each reads the latest report and the samples.

const sum = (list) => list.reduce((total, x) => total + x, 0);
const ratio = (s) => s.hits / (s.hits + sum(s.misses));
const smoothRatio = (samples) => ratio({ hits: sum(samples.map((s) => s.hits)), misses: samples.flatMap((s) => s.misses) });
const named = (names, colours, field) => names.map((name, i) => ({ name, colour: colours[i], get: (s) => s[field][i] }));
const perSecond = (x) => `${group(x)} /s`;

const TILES = [
  { name: "Operations", get: (s) => sum(s.ops), show: rate, note: (r, s) => `${text(cpus(s.cpu))} of ${r.server.workers} ${r.server.workers === 1 ? "worker" : "workers"}` },
  { name: "Latency p99", get: (s) => s.latency.p99 || NaN, show: (x) => nanos(x || 0), note: (r, s) => `last minute ${text(nanos(s.latency_minute.p99))}` },
  { name: "Hit ratio", get: ratio, now: (samples) => smoothRatio(samples.slice(-10)), full: 1, show: percent, note: (r, s) => `${text(rate(sum(s.misses)))} misses` },
  { name: "Memory", get: (s) => s.store, show: bytes, note: (r, s) => (r.server.maxmemory ? `${text(percent(s.store / r.server.maxmemory))} of ${text(bytes(r.server.maxmemory))}` : "no limit") },
  { name: "Keys", get: (s) => s.keys, show: count, note: (r) => `${text(count(sum(r.databases.map((d) => d.expires))))} with expiry` },
  { name: "Clients", get: (s) => s.clients, show: count, note: (r, s) => `${text(rate(s.connections))} new, at most ${group(r.server.max_clients)}` },
];

class Tile {
  constructor(spec) {
    this.spec = spec;
    this.figure = document.createTextNode("\u2013");
    this.unit = h("small");
    this.value = h("p.figure", null, this.figure, this.unit);
    this.note = h("p.note");
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.element = h("article.tile", { "aria-label": spec.name }, h("h2", null, spec.name), this.value, this.note, this.canvas);
    new ResizeObserver(() => this.draw && this.draw()).observe(this.canvas);
  }
  show(report, samples, from, span) {
    const last = samples[samples.length - 1];
    if (!last) return;
    const value = this.spec.now ? this.spec.now(samples) : this.spec.get(last);
    const [figure, unit] = this.spec.show(value);
    if (this.figure.data !== figure) this.figure.data = figure;
    setText(this.unit, unit);
    this.value.title = Number.isFinite(value) ? value.toString() : "";
    const note = this.spec.note(report, last);
    setText(this.note, note);
    this.note.title = note;
    this.draw = () => spark(this.canvas, samples, from, span, this.spec.get, this.spec.full);
    this.draw();
  }
}

const charts = (report) => [
  { title: "Operations", hint: "per second, by kind", kind: "stack", format: rate, exact: perSecond, min: 10, series: named(report.kinds, ["--c1", "--c2", "--c4", "--c3", "--c7"], "ops") },
  { title: "Latency", hint: "time in execution, log scale", kind: "lines", format: nanos, exact: (x) => `${group(x)} ns`, log: true, empty: "No commands", series: [["p50", "--q1"], ["p99", "--q2"], ["p99.9", "--q3"]].map(([name, c]) => ({ name, colour: c, get: (s) => s.latency[name.replace(".", "")] })) },
  { title: "Hits and misses", hint: "lookups per second, misses by what became of the key", kind: "stack", format: rate, exact: perSecond, min: 10, empty: "No lookups", series: [{ name: "hits", colour: "--c1", get: (s) => s.hits }, ...named(report.causes, ["--c7", "--c3", "--c6", "--c5"], "misses")] },
  { title: "Memory", hint: "by class", kind: "stack", format: bytes, exact: (x) => `${group(x)} B`, base: 1024, min: 1 << 20, limit: () => [view.report.server.maxmemory, "maxmemory"], series: named(report.classes, ["--c1", "--c2", "--c3", "--c6", "--c4", "--c5", "--c8", "--c7"], "memory") },
  { title: "Evictions and expiries", hint: "keys per second", kind: "lines", format: rate, exact: perSecond, min: 10, empty: "Nothing has left", series: [{ name: "evicted", colour: "--c6", get: (s) => s.evicted }, { name: "expired", colour: "--c1", get: (s) => s.expired }] },
  { title: "Network", hint: "bytes per second", kind: "lines", format: byteRate, exact: (x) => `${group(x)} B/s`, base: 1024, min: 1024, series: [{ name: "received", colour: "--c2", get: (s) => s.net_in }, { name: "sent", colour: "--c1", get: (s) => s.net_out }] },
];

// How fast counters of things with names grow, from one report to the next.
class Growth {
  constructor(key, fields) { Object.assign(this, { key, fields, last: new Map(), at: 0 }); }
  of(list, now) {
    const passed = (now - this.at) / 1000;
    const grown = list.map((item) => {
      const before = this.last.get(item[this.key]);
      const rates = this.fields.map((f) => (before && passed > 0 ? Math.max(0, item[f] - before[f]) / passed : 0));
      return { ...item, rates };
    });
    this.last = new Map(list.map((item) => [item[this.key], item]));
    this.at = now;
    return grown;
  }
}

function scale(words) {
  return h("div.scale", { "aria-hidden": "true" }, "0", h("i"), words);
}

class Workers {
  constructor() {
    this.heat = new Heat("Operations by worker");
    this.top = h("span", null, "");
    this.states = new Table("Workers", [
      { name: "Worker", cell: (w) => w.name },
      { name: "State", cell: (w) => h(`span.mark.${w.state[0]}`, null, h("span.dot", { "aria-hidden": "true" }), w.state[1]) },
      { name: "Clients", number: true, cell: (w) => group(w.clients) },
      { name: "Operations", number: true, cell: (w) => text(rate(w.ops)) },
    ], "No workers yet");
    const made = card("half", "Workers", "operations over time", this.heat.canvas, scale(this.top), this.states.element);
    this.element = made.element;
  }
  show(report, samples) {
    const last = samples[samples.length - 1];
    if (!last) return;
    const top = Math.max(1, ...samples.flatMap((s) => s.workers));
    setText(this.top, text(rate(top)));
    this.heat.show(report.workers.map((w, i) => ({
      name: `worker ${w.name}`,
      note: text(rate(last.workers[i] || 0)),
      cells: samples.map((s) => ({ share: s.workers[i] / top, title: clock(s.time), rows: [[`worker ${w.name}`, perSecond(s.workers[i] || 0)]] })),
    })), report.workers.length > 16 ? 12 : 26, `Operations by worker over time, at most ${text(rate(top))}`);
    const state = (w) => (w.silence_ms === null ? ["", "at rest"] : w.silence_ms > 5000 ? ["bad", `silent for ${seconds(w.silence_ms / 1000)}`] : w.overloaded ? ["warn", "overloaded"] : ["good", "well"]);
    this.states.show(report.workers.map((w, i) => ({ ...w, ops: last.workers[i] || 0, state: state(w) })));
  }
}

class Shards {
  constructor() {
    this.heat = new Heat("Load by shard");
    this.growth = new Growth("name", ["changes", "role_taken"]);
    const made = card("half", "Shards", "share of the largest", this.heat.canvas, scale("largest"));
    this.note = made.note;
    this.element = made.element;
  }
  learn(report) { this.shards = this.growth.of(report.shards, report.server.now); }
  show(report) {
    const shards = this.shards;
    setText(this.note, `${group(report.server.shards)} shards, each cell relative to the largest of its row`);
    const rows = [
      ["keys", (s) => s.keys, count],
      ["memory", (s) => s.bytes, bytes],
      ["changes", (s) => s.rates[0], rate],
      ["roles taken", (s) => s.rates[1], rate],
    ];
    this.heat.show(rows.map(([name, get, show]) => {
      const top = Math.max(1e-9, ...shards.map(get));
      return {
        name,
        note: text(show(sum(shards.map(get)))),
        cells: shards.map((s) => ({ share: get(s) / top, title: `shard ${s.name}`, rows: rows.map(([n, g, f]) => [n, text(f(g(s)))]) })),
      };
    }), 30, `Keys, memory and changes of ${report.server.shards} shards`);
  }
}

class Commands {
  constructor() {
    this.growth = new Growth("name", ["calls", "nanos"]);
    this.table = new Table("Commands", [
      { name: "Command", cell: (c) => c.name, kind: ["code"] },
      { name: "Calls", number: true, cell: (c) => text(rate(c.rates[0])), title: (c) => `${group(c.calls)} in all` },
      { name: "Share of time", help: "of all time in execution since the start", cell: (c) => h("span", null, meter(c.share), text(percent(c.share))), title: (c) => `${text(nanos(c.nanos))} in all`, wide: true },
      { name: "p50", number: true, cell: (c) => text(nanos(c.latency.p50)) },
      { name: "p99", number: true, cell: (c) => text(nanos(c.latency.p99)) },
      { name: "p99.9", number: true, cell: (c) => text(nanos(c.latency.p999)), wide: true },
      { name: "Failed", number: true, cell: (c) => (c.failed + c.rejected ? text(count(c.failed + c.rejected)) : "\u2013"), title: (c) => `${group(c.failed)} failed, ${group(c.rejected)} refused` },
    ], "No command has been called yet");
    this.element = card("half", "Commands", "by time since the start", this.table.element).element;
  }
  learn(report) { this.commands = this.growth.of(report.commands, report.server.now); }
  show() {
    const { commands } = this;
    const whole = Math.max(1, sum(commands.map((c) => c.nanos)));
    this.table.show(commands.map((c) => ({ ...c, share: c.nanos / whole })));
  }
}

class SlowLog {
  constructor() {
    this.threshold = 0;
    this.table = new Table("Slow log", [
      { name: "Time", cell: (s) => clock(s.time * 1000), title: (s) => new Date(s.time * 1000).toString() },
      { name: "Took", number: true, cell: (s) => text(nanos(s.micros * 1000)), title: (s) => `${group(s.micros)} \u00b5s` },
      { name: "Command", cell: (s) => s.line, title: (s) => s.line, kind: ["code", "cut"] },
      { name: "Client", cell: (s) => s.name || s.addr, title: (s) => s.addr, kind: ["name"], wide: true },
    ], () => (this.threshold < 0 ? "Off: slowlog-log-slower-than is negative" : `No command has taken ${text(nanos(this.threshold * 1000))} or more`));
    const made = card("half", "Slow log", "", this.table.element);
    Object.assign(this, { element: made.element, note: made.note });
  }
  show(report) {
    const { threshold, length, entries } = report.slowlog;
    this.threshold = threshold;
    setText(this.note, length ? `${group(length)} kept, newest first` : "");
    this.table.show(entries);
  }
}

class Clients {
  constructor() {
    this.growth = new Growth("id", ["commands", "net_in", "net_out"]);
    this.by = "memory";
    this.table = new Table("Clients", [
      { name: "Client", cell: (c) => c.name || c.addr, title: (c) => [`id ${c.id}`, c.addr, c.library].filter(Boolean).join(", "), kind: ["name"] },
      { name: "User", cell: (c) => c.user, kind: ["name"], wide: true },
      { name: "Last command", cell: (c) => c.command.toLowerCase(), kind: ["code"] },
      { name: "Commands", number: true, cell: (c) => text(rate(c.rates[0])), title: (c) => `${group(c.commands)} in all` },
      { name: "Memory", number: true, cell: (c) => text(bytes(c.memory)), title: (c) => `${group(c.memory)} B` },
      { name: "Received", number: true, cell: (c) => text(byteRate(c.rates[1])), wide: true },
      { name: "Sent", number: true, cell: (c) => text(byteRate(c.rates[2])), wide: true },
      { name: "Worker", number: true, cell: (c) => c.worker.toString(), wide: true },
      { name: "Flags", cell: (c) => c.flags, help: "as in CLIENT LIST", wide: true },
      { name: "Age", number: true, cell: (c) => seconds(c.age_seconds), wide: true },
      { name: "Idle", number: true, cell: (c) => seconds(c.idle_seconds) },
    ], "No client is connected");
    const made = card("full", "Clients", "the twelve with the most", this.table.element);
    const choose = (by) => { this.by = by; this.show(); };
    made.head.append(segmented("Order of clients", [["memory", "Memory"], ["commands", "Commands"]], this.by, choose));
    this.element = made.element;
  }
  learn(report) { this.clients = this.growth.of(report.clients, report.server.now); }
  show() {
    const order = this.by === "memory" ? (c) => c.memory : (c) => c.rates[0] + c.commands * 1e-12;
    this.table.show([...this.clients].sort((a, b) => order(b) - order(a)).slice(0, 12));
  }
}

class Keys {
  constructor() {
    const name = (k) => k.name || (k.name === null ? "(all others)" : "(no prefix)");
    const key = { name: "Key", cell: (k) => k.name, title: (k) => k.name, kind: ["code", "cut"] };
    const db = { name: "Database", number: true, cell: (k) => `db${k.db}`, wide: true };
    const none = (words) => () => (view.report && !view.report.server.show_keys ? "Names of keys are hidden (admin-show-keys)" : words());
    const idle = () => (view.report && !view.report.keys.sampling ? "Off: no commands are sampled" : "No key is used much");
    this.tables = {
      hot: new Table("Hottest keys", [key, { name: "Accesses", help: "estimate from samples", number: true, cell: (k) => text(rate(k.per_second)) }, db], none(idle)),
      big: new Table("Biggest keys", [key, { name: "Type", cell: (k) => k.kind, wide: true }, { name: "Length", help: "elements, or bytes of a string", number: true, cell: (k) => text(count(k.len)), title: (k) => group(k.len), wide: true }, { name: "Memory", number: true, cell: (k) => text(bytes(k.bytes)), title: (k) => `${group(k.bytes)} B` }, db], none(() => "No key has been found yet: a slow walk looks at all of them")),
      prefixes: new Table("Prefixes", [{ name: "Prefix", cell: name, title: name, kind: ["code", "cut"] }, { name: "Keys", number: true, cell: (k) => text(count(k.keys)), title: (k) => group(k.keys) }, { name: "Memory", number: true, cell: (k) => text(bytes(k.bytes)), title: (k) => `${group(k.bytes)} B` }, { name: "Accesses", help: "estimate from samples", number: true, cell: (k) => text(count(k.accesses)), wide: true }, { name: "Hit ratio", number: true, cell: (k) => text(percent(k.hits / (k.hits + k.misses))) }, { name: "Traffic", number: true, cell: (k) => text(bytes(k.net_bytes)), wide: true }], none(() => "There are no keys")),
    };
    this.by = "hot";
    const made = card("half", "Keys", "", ...Object.values(this.tables).map((t) => t.element));
    const choose = (by) => { this.by = by; this.show(view.report); };
    made.element.classList.add("steady");
    made.head.append(segmented("What to show of keys", [["hot", "Hottest"], ["big", "Biggest"], ["prefixes", "Prefixes"]], this.by, choose));
    Object.assign(this, { element: made.element, note: made.note });
  }
  show(report) {
    setText(this.note, { hot: "by accesses, estimated", big: "by memory, as last walked by", prefixes: "what they cost and bring" }[this.by]);
    for (const [what, table] of Object.entries(this.tables)) {
      table.element.hidden = what !== this.by;
      if (what === this.by) table.show(report.keys[what]);
    }
  }
}

const FORMATS = { count, bytes, rate };

class Limits {
  constructor() {
    const show = (l, x) => text(FORMATS[l.unit](x));
    const state = (l) => (l.holds ? "bad" : l.share > 0.9 ? "warn" : "");
    this.table = new Table("Limits", [
      { name: "Limit", cell: (l) => l.name },
      { name: "Used", cell: (l) => (l.value !== null && l.limit ? h("span", null, meter(l.share, state(l)), text(percent(l.share))) : ""), wide: true },
      { name: "Now", number: true, cell: (l) => (l.value === null ? "" : show(l, l.value)), title: (l) => (l.value === null ? "" : group(l.value)) },
      { name: "At most", number: true, cell: (l) => (l.limit === null ? "no limit" : show(l, l.limit)), title: (l) => (l.limit === null ? "" : group(l.limit)) },
      { name: "State", cell: (l) => h(`span.mark.${l.holds ? "bad" : "good"}`, null, h("span.dot", { "aria-hidden": "true" }), l.holds ? "holds back" : "open") },
      { name: "So far", cell: (l) => l.note, wide: true },
    ], "No limits");
    this.element = card("half", "Limits", "what is held back, and how near it is", this.table.element).element;
  }
  show(report) { this.table.show(report.limits.map((l) => ({ ...l, share: l.value !== null && l.limit ? l.value / l.limit : 0 }))); }
}

class Databases {
  constructor() {
    this.table = new Table("Databases", [
      { name: "Database", cell: (d) => `db${d.db}` },
      { name: "Keys", number: true, cell: (d) => group(d.keys) },
      { name: "With expiry", number: true, cell: (d) => group(d.expires) },
      { name: "Mean TTL", number: true, cell: (d) => (d.expires ? seconds(d.avg_ttl_ms / 1000) : "\u2013") },
    ], "There are no keys");
    this.element = card("full", "Databases", "", this.table.element).element;
  }
  show(report) { this.table.show(report.databases); }
}

const PANELS = [Workers, Shards, Commands, Keys, SlowLog, Limits, Databases, Clients];
