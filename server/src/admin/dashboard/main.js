// ---- the page's life: ask once a second, keep the samples, draw.

const POLL_MS = 1000;
const PATIENCE_MS = 4000;
const KEPT = 330;

const view = {
  report: null,
  samples: [],
  next: 0,
  span: 300000,
  paused: false,
  hovered: null,
  failures: 0,
  since: Date.now(),
  parts: null,

  // Builds the page when the first report says what there is.
  build(report) {
    this.tiles = TILES.map((spec) => new Tile(spec));
    this.charts = charts(report).map((spec) => new Chart(spec));
    this.panels = PANELS.map((Panel) => new Panel());
    $("tiles").replaceChildren(...this.tiles.map((tile) => tile.element));
    $("charts").replaceChildren(...this.charts.map((chart) => chart.element));
    $("tables").replaceChildren(...this.panels.map((panel) => panel.element));
    this.parts = [...this.tiles, ...this.panels];
  },

  // Takes a report over. Another process at the same address begins anew.
  take(report) {
    if (this.report && this.report.server.run_id !== report.server.run_id) {
      Object.assign(this, { report: null, samples: [], next: 0, parts: null });
      return;
    }
    this.report = report;
    this.next = report.next;
    this.samples.push(...report.samples);
    if (this.samples.length > KEPT) this.samples.splice(0, this.samples.length - KEPT);
    if (!this.parts) this.build(report);
    this.parts.forEach((part) => part.learn && part.learn(report));
    this.head(report);
    this.show();
  },

  show() {
    if (!this.report || !this.parts) return;
    const last = this.samples[this.samples.length - 1];
    const until = last ? last.time : this.report.server.now;
    // A young history fills the width all the same, from a minute on.
    const span = Math.max(60000, Math.min(this.span, last ? until - this.samples[0].time : 0));
    const from = until - span;
    // One more than is seen, so that lines come in from the edge.
    const samples = this.samples.filter((s) => s.time >= from - 1500);
    this.charts.forEach((chart) => chart.show(samples, from, span));
    this.parts.forEach((part) => part.show(this.report, samples, from, span));
  },

  head({ server }) {
    setText($("version"), server.version);
    const listen = [server.port && `:${server.port}`, server.tls_port && `:${server.tls_port} TLS`].filter(Boolean).join(", ");
    const facts = [["Listening", listen || "unix socket"], ["Up", seconds(server.uptime_seconds)], ["Workers", group(server.workers)], ["Policy", server.policy], ["Process", server.pid.toString()]];
    $("facts").replaceChildren(...facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
    document.title = `Dunlin ${listen}`;
    const resident = this.samples.length ? `Resident ${text(bytes(this.samples[this.samples.length - 1].resident))}. ` : "";
    setText($("foot"), `${resident}Peak ${text(bytes(server.peak_memory))}. Refused connections ${group(server.rejected_connections)}. Evicted clients ${group(server.evicted_clients)}.`);
  },

  status() {
    const phase = this.report ? this.report.server.phase : "";
    const last = this.samples[this.samples.length - 1];
    let [state, words] = ["wait", "Connecting"];
    if (this.failures > 1) [state, words] = ["bad", "Disconnected"];
    else if (this.paused) [state, words] = ["wait", "Paused"];
    else if (phase && phase !== "serving") [state, words] = ["warn", phase[0].toUpperCase() + phase.slice(1)];
    else if (last && last.overloaded) [state, words] = ["warn", "Overloaded"];
    else if (phase) [state, words] = ["good", "Serving"];
    if ($("status").dataset.state !== state) $("status").dataset.state = state;
    setText($("status-text"), words);
    document.body.classList.toggle("stale", this.failures > 1);
    $("notice").hidden = this.failures < 2;
    if (this.failures > 1) setText($("notice"), `No answer from the server since ${clock(this.since)}. Trying again every second.`);
  },

  hover(sample, chart, x, y) {
    this.hovered = sample;
    if (sample && chart) tip.show(x, y, clock(sample.time), chart.rows(sample));
    else tip.hide();
    if (this.charts) this.charts.forEach((one) => one.draw());
  },
};

async function ask() {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(`/api/stats?since=${view.next}`, { signal, cache: "no-store" });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

async function poll() {
  // A page that nobody sees asks for nothing; the samples that it misses are kept by the server.
  if (!view.paused && !document.hidden) {
    const report = await ask();
    if (report) Object.assign(view, { failures: 0, since: Date.now() });
    else view.failures += 1;
    setTimeout(poll, POLL_MS);
    if (report) view.take(report);
  } else {
    setTimeout(poll, POLL_MS);
  }
  view.status();
}

// ---- controls

const THEMES = ["auto", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");
let theme = "auto";
try { theme = localStorage.getItem("theme") || "auto"; } catch { /* storage may be forbidden */ }

function paint() {
  const isDark = theme === "dark" || (theme === "auto" && dark.matches);
  document.documentElement.toggleAttribute("data-dark", isDark);
  setText($("theme"), theme[0].toUpperCase() + theme.slice(1));
  $("theme").setAttribute("aria-label", `Colours: ${theme}`);
  view.show();
}

function pause() {
  view.paused = !view.paused;
  $("pause").setAttribute("aria-pressed", String(view.paused));
  setText($("pause"), view.paused ? "Resume" : "Pause");
  view.status();
}

dark.addEventListener("change", paint);
$("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  try { localStorage.setItem("theme", theme); } catch { /* it lasts as long as the page, then */ }
  paint();
});
$("pause").addEventListener("click", pause);
document.addEventListener("keydown", (event) => {
  if (event.key === " " && event.target === document.body) {
    event.preventDefault();
    pause();
  }
});
for (const button of $("spans").children) {
  button.addEventListener("click", () => {
    view.span = Number(button.dataset.span) * 1000;
    for (const other of $("spans").children) other.setAttribute("aria-pressed", String(other === button));
    view.show();
  });
}
paint();
poll();
