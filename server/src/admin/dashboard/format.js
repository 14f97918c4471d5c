// ---- numbers, sizes, times as text. Each returns [figure, unit]; `text` joins them.

const text = ([figure, unit]) => (unit ? `${figure}\u202f${unit}` : figure);

// Three significant digits, without exponents.
function three(x) {
  if (x >= 99.95) return Math.round(x).toString();
  if (x >= 9.995) return x.toFixed(1);
  return x === 0 ? "0" : x.toFixed(2);
}

function scaled(x, units, step) {
  let i = 0;
  while (i < units.length - 1 && Math.abs(x) >= step * 0.9995) {
    x /= step;
    i += 1;
  }
  return [i === 0 && Number.isInteger(x) ? x.toString() : three(x), units[i]];
}

const count = (x) => (x < 9999.5 ? [group(Math.round(x)), ""] : scaled(x, ["", "k", "M", "G", "T"], 1000));
const rate = (x) => {
  const [figure, unit] = x < 999.5 ? [x < 0.95 && x > 0 ? x.toFixed(1) : Math.round(x).toString(), ""] : scaled(x, ["", "k", "M", "G"], 1000);
  return [figure, `${unit}/s`];
};
const bytes = (x) => scaled(x, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 1024);
const byteRate = (x) => {
  const [figure, unit] = bytes(x);
  return [figure, `${unit}/s`];
};
const nanos = (x) => (x === 0 ? ["\u2013", ""] : scaled(x, ["ns", "\u00b5s", "ms", "s"], 1000));
const percent = (x) => (Number.isFinite(x) ? [(x * 100).toFixed(x < 0.9995 && x > 0 ? 1 : 0), "%"] : ["\u2013", ""]);
const cpus = (x) => [x.toFixed(2), x === 1 ? "CPU" : "CPUs"];

// All digits, in groups: for tooltips and titles.
function group(n) {
  return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

function seconds(s) {
  s = Math.max(0, Math.round(s));
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = Math.max(0, parts.findIndex(([size]) => s >= size));
  const [[size, unit], next] = [parts[s === 0 ? 3 : at], parts[at + 1]];
  const rest = next ? Math.floor((s % size) / next[0]) : 0;
  const head = `${Math.floor(s / size)}\u202f${unit}`;
  return rest && s > 0 ? `${head} ${rest}\u202f${next[1]}` : head;
}

const two = (n) => n.toString().padStart(2, "0");
function clock(ms, withSeconds = true) {
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}${withSeconds ? `:${two(at.getSeconds())}` : ""}`;
}
