// ---- charts on canvas: lines or stacked areas over time, sparklines, heat.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const GAP_MS = 2500; // Samples further apart than this are not joined.

// A canvas as sharp as the screen; returns its context and size, or null while it has none.
function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const ratio = window.devicePixelRatio || 1;
  const [w, hgt] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== hgt) Object.assign(canvas, { width: w, height: hgt });
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return { ctx, width, height };
}

// Round numbers from 0 to at least `max`, in powers of `base`.
function ticks(max, base) {
  if (!(max > 0)) return [0, 1];
  const scale = base === 1024 ? 1024 ** Math.floor(Math.log(max) / Math.log(1024)) : 1;
  const raw = max / scale / 3;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw) * scale;
  const list = [];
  for (let v = 0; v < max + step * 0.999; v += step) list.push(v);
  return list;
}

function logTicks(min, max) {
  const list = [];
  const [low, high] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
  for (let e = low; e <= Math.max(high, low + 1); e += 1) list.push(10 ** e);
  return list;
}

// Runs of samples that follow each other.
function runs(samples) {
  const list = [];
  samples.forEach((sample, i) => {
    if (i === 0 || sample.time - samples[i - 1].time > GAP_MS) list.push([]);
    list[list.length - 1].push(sample);
  });
  return list;
}

// spec: {title, hint, kind: "stack" | "lines", format, exact, series: [{name, colour, get}], log,
// base, min: smallest top of the axis, max: fixed top, limit: () => [value, name], empty}
class Chart {
  constructor(spec) {
    this.spec = spec;
    this.canvas = h("canvas.chart", { role: "img", tabindex: "0", "aria-label": spec.title });
    this.values = spec.series.map(() => h("b", null, "\u2013"));
    const legend = h("ul.legend", null, ...spec.series.map((series, i) => {
      const swatch = h(`span.swatch${spec.kind === "lines" ? ".line" : ""}`, { "aria-hidden": "true" });
      swatch.style.setProperty("--swatch", `var(${series.colour})`);
      return h("li", null, swatch, h("span", null, series.name), this.values[i]);
    }));
    this.element = card(spec.size, spec.title, spec.hint, legend, h("div.plot", null, this.canvas)).element;
    this.samples = [];
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.listen();
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const area = this.area;
      if (!area || !this.samples.length) return;
      const time = area.from + ((event.clientX - box.left - area.left) / area.width) * area.span;
      view.hover(this.nearest(time), this, event.clientX, event.clientY);
    });
    canvas.addEventListener("pointerleave", () => view.hover(null));
    canvas.addEventListener("blur", () => view.hover(null));
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") view.hover(null);
      if (!step || !this.samples.length) return;
      event.preventDefault();
      const last = this.samples.length - 1;
      const at = view.hovered ? this.samples.indexOf(view.hovered) : last - step;
      const sample = this.samples[Math.max(0, Math.min(last, (at < 0 ? last : at) + step))];
      const box = canvas.getBoundingClientRect();
      view.hover(sample, this, box.left + this.x(sample.time), box.top + 24);
    });
  }

  nearest(time) {
    const distance = (sample) => Math.abs(sample.time - time);
    return this.samples.reduce((best, sample) => (distance(sample) < distance(best) ? sample : best));
  }

  show(samples, from, span) {
    Object.assign(this, { samples, from, span });
    this.draw();
  }

  // Rows of the tooltip: exact figures of one sample.
  rows(sample) {
    const { series, exact, format, kind } = this.spec;
    return series.map((s) => [s.name, (exact || ((x) => text(format(x))))(s.get(sample)), `var(${s.colour})`, kind === "lines"]);
  }

  x(time) { return this.area.left + ((time - this.area.from) / this.area.span) * this.area.width; }
  y(value) {
    const { top, height, low, high } = this.area;
    if (!this.spec.log) return top + height * (1 - value / high);
    const at = (Math.log10(Math.max(value, low)) - Math.log10(low)) / (Math.log10(high) - Math.log10(low));
    return top + height * (1 - at);
  }

  axis() {
    const { series, kind, log, base, min, max, limit } = this.spec;
    const all = this.samples.flatMap((s) => {
      const values = series.map((one) => one.get(s)).filter(Number.isFinite);
      return kind === "stack" ? [values.reduce((sum, v) => sum + v, 0)] : values;
    }).filter((v) => !log || v > 0);
    let top = Math.max(min || 0, ...all);
    if (log) return logTicks(Math.min(...(all.length ? all : [1000])), all.length ? top : 10000);
    if (max) return [0, 0.25, 0.5, 0.75, 1].map((part) => part * max);
    const bound = limit && limit();
    if (bound && bound[0] > 0 && bound[0] < top * 3) top = Math.max(top, bound[0]);
    return ticks(top, base);
  }

  draw() {
    const shown = view.hovered && this.samples.includes(view.hovered) ? view.hovered : this.samples[this.samples.length - 1];
    this.spec.series.forEach((series, i) => setText(this.values[i], shown ? text(this.spec.format(series.get(shown))) : "\u2013"));
    const label = this.spec.series.map((s, i) => `${s.name} ${this.values[i].textContent}`).join(", ");
    this.canvas.setAttribute("aria-label", `${this.spec.title}: ${label}. Arrow keys read earlier figures.`);
    const ready = prepare(this.canvas);
    if (!ready || !this.span) return;
    const { ctx, width, height } = ready;
    const list = this.axis();
    ctx.font = `11px ${colour("--sans")}`;
    const labels = list.map((tick) => text(this.spec.format(tick)).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, ""));
    const left = Math.max(...labels.map((l) => ctx.measureText(l).width)) + 8;
    this.area = { left, top: 8, width: width - left - 4, height: height - 30, from: this.from, span: this.span, low: list[0], high: list[list.length - 1] };
    this.grid(ctx, list, labels);
    ctx.save();
    ctx.beginPath();
    ctx.rect(this.area.left, 0, this.area.width + 4, height);
    ctx.clip();
    if (this.spec.kind === "stack") this.stack(ctx);
    else this.lines(ctx);
    ctx.restore();
    this.limit(ctx);
    this.cross(ctx);
    if (!this.samples.length) this.message(ctx, "Waiting for the first figures");
    else if (this.spec.empty && this.samples.every((s) => this.spec.series.every((one) => !one.get(s)))) this.message(ctx, this.spec.empty);
  }

  message(ctx, words) {
    ctx.fillStyle = colour("--ink-3");
    ctx.font = `12.5px ${colour("--sans")}`;
    ctx.textAlign = "center";
    ctx.fillText(words, this.area.left + this.area.width / 2, this.area.top + this.area.height / 2);
  }

  grid(ctx, list, labels) {
    const { left, top, width, height, from, span } = this.area;
    ctx.lineWidth = 1;
    ctx.fillStyle = colour("--ink-3");
    ctx.textBaseline = "middle";
    list.forEach((tick, i) => {
      const y = Math.round(this.y(tick)) + 0.5;
      ctx.strokeStyle = colour(i === 0 ? "--line-2" : "--line");
      ctx.beginPath();
      ctx.moveTo(left, y);
      ctx.lineTo(left + width, y);
      ctx.stroke();
      ctx.textAlign = "right";
      ctx.fillText(labels[i], left - 6, y);
    });
    const step = [15000, 30000, 60000, 120000].find((each) => (each / span) * width > 56) || 300000;
    ctx.textBaseline = "alphabetic";
    for (let time = Math.ceil(from / step) * step; time <= from + span; time += step) {
      const words = clock(time, step < 60000);
      const half = ctx.measureText(words).width / 2;
      const x = this.x(time);
      if (x - half < left - 2 || x + half > left + width + 4) continue;
      ctx.textAlign = "center";
      ctx.fillText(words, x, top + height + 17);
    }
  }

  stack(ctx) {
    for (const run of runs(this.samples)) {
      let below = run.map(() => 0);
      for (const series of this.spec.series) {
        const above = run.map((s, i) => below[i] + (series.get(s) || 0));
        if (run.length === 1) {
          const [x, top] = [this.x(run[0].time), this.y(above[0])];
          ctx.fillStyle = colour(series.colour);
          ctx.fillRect(x - 1, top, 2, this.y(below[0]) - top);
        } else if (above.some((v, i) => v > below[i])) {
          ctx.fillStyle = colour(series.colour);
          ctx.beginPath();
          run.forEach((s, i) => ctx.lineTo(this.x(s.time), this.y(above[i])));
          for (let i = run.length - 1; i >= 0; i -= 1) ctx.lineTo(this.x(run[i].time), this.y(below[i]));
          ctx.closePath();
          ctx.fill();
        }
        below = above;
      }
    }
  }

  lines(ctx) {
    ctx.lineWidth = 1.75;
    ctx.lineJoin = "round";
    for (const series of this.spec.series) {
      ctx.strokeStyle = colour(series.colour);
      ctx.fillStyle = ctx.strokeStyle;
      const there = this.samples.filter((s) => Number.isFinite(series.get(s)) && (!this.spec.log || series.get(s) > 0));
      for (const run of runs(there)) {
        ctx.beginPath();
        run.forEach((s) => ctx.lineTo(this.x(s.time), this.y(series.get(s))));
        if (run.length === 1) ctx.arc(this.x(run[0].time), this.y(series.get(run[0])), 1.5, 0, 7);
        ctx.stroke();
      }
    }
  }

  limit(ctx) {
    const bound = this.spec.limit && this.spec.limit();
    if (!bound || !(bound[0] > 0) || bound[0] > this.area.high) return;
    const y = Math.round(this.y(bound[0])) + 0.5;
    ctx.strokeStyle = colour("--ink-2");
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    ctx.moveTo(this.area.left, y);
    ctx.lineTo(this.area.left + this.area.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.font = `11px ${colour("--sans")}`;
    ctx.textAlign = "right";
    ctx.fillStyle = colour("--ink-2");
    ctx.fillText(bound[1], this.area.left + this.area.width - 2, y < 22 ? y + 13 : y - 5);
  }

  cross(ctx) {
    if (!view.hovered || !this.samples.includes(view.hovered)) return;
    const x = Math.round(this.x(view.hovered.time)) + 0.5;
    ctx.strokeStyle = colour("--ink-3");
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(x, this.area.top);
    ctx.lineTo(x, this.area.top + this.area.height);
    ctx.stroke();
  }
}

// A line without axes, for tiles.
function spark(canvas, samples, from, span, get, full) {
  const ready = prepare(canvas);
  if (!ready) return;
  const { ctx, width, height } = ready;
  const top = full || Math.max(...samples.map(get).filter(Number.isFinite), 1e-9);
  const at = (s) => [((s.time - from) / span) * width, height - 2 - (get(s) / top) * (height - 5)];
  for (const run of runs(samples.filter((s) => Number.isFinite(get(s))))) {
    ctx.beginPath();
    run.forEach((s) => ctx.lineTo(...at(s)));
    ctx.strokeStyle = colour("--accent");
    ctx.lineWidth = 1.5;
    ctx.lineJoin = "round";
    ctx.stroke();
    ctx.lineTo(at(run[run.length - 1])[0], height);
    ctx.lineTo(at(run[0])[0], height);
    ctx.globalAlpha = 0.1;
    ctx.fillStyle = colour("--accent");
    ctx.fill();
    ctx.globalAlpha = 1;
  }
}

// Rows of cells whose colour is their share of the largest: rows are {name, note, cells: [{share, title, rows}]}.
class Heat {
  constructor(label) {
    this.canvas = h("canvas.strip", { role: "img", "aria-label": label });
    this.rows = [];
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.canvas.addEventListener("pointermove", (event) => {
      const found = this.find(event);
      if (found) tip.show(event.clientX, event.clientY, found.title, found.rows);
      else tip.hide();
    });
    this.canvas.addEventListener("pointerleave", () => tip.hide());
  }

  show(rows, rowHeight, label) {
    Object.assign(this, { rows, rowHeight });
    this.canvas.style.height = `${Math.max(1, rows.length) * rowHeight}px`;
    this.canvas.setAttribute("aria-label", label);
    this.draw();
  }

  find(event) {
    const box = this.canvas.getBoundingClientRect();
    const row = this.rows[Math.floor((event.clientY - box.top) / this.rowHeight)];
    const at = (event.clientX - box.left - this.left) / this.cells;
    return row && at >= 0 && at < 1 ? row.cells[Math.floor(at * row.cells.length)] : null;
  }

  draw() {
    const ready = prepare(this.canvas);
    if (!ready || !this.rows.length) return;
    const { ctx, width } = ready;
    ctx.font = `12px ${colour("--sans")}`;
    ctx.textBaseline = "middle";
    this.left = Math.ceil(Math.max(...this.rows.map((r) => ctx.measureText(r.name).width))) + 10;
    const right = Math.ceil(Math.max(...this.rows.map((r) => ctx.measureText(r.note).width))) + 10;
    this.cells = width - this.left - right;
    const [cold, hot, ink, ink2] = ["--heat-0", "--heat-1", "--ink", "--ink-2"].map(colour);
    this.rows.forEach((row, r) => {
      const y = r * this.rowHeight;
      ctx.fillStyle = ink2;
      ctx.textAlign = "left";
      ctx.fillText(row.name, 0, y + this.rowHeight / 2);
      ctx.fillStyle = ink;
      ctx.textAlign = "right";
      ctx.fillText(row.note, width, y + this.rowHeight / 2);
      const one = this.cells / row.cells.length;
      const space = one > 5 ? 1 : 0;
      row.cells.forEach((cell, i) => {
        const x = this.left + i * one;
        const rectangle = [x, y + 2, one - space + (space ? 0 : 0.5), this.rowHeight - 4];
        ctx.fillStyle = cold;
        ctx.fillRect(...rectangle);
        ctx.globalAlpha = Math.min(1, Math.max(0, cell.share || 0));
        ctx.fillStyle = hot;
        ctx.fillRect(...rectangle);
        ctx.globalAlpha = 1;
      });
    });
  }
}
