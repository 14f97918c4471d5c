// ---- elements. Text only ever becomes text: nothing here parses markup.

const $ = (id) => document.getElementById(id);

// h("td.n", {title: "x"}, "text", child, ...)
function h(what, attributes, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function setText(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function segmented(label, options, chosen, choose) {
  const buttons = options.map(([value, name]) => h("button", {
    type: "button", "aria-pressed": String(value === chosen),
    onclick: () => {
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i][0] === value)));
      choose(value);
    },
  }, name));
  return h("div.segmented", { role: "group", "aria-label": label }, ...buttons);
}

function meter(share, state) {
  const fill = h("i");
  fill.style.width = `${Math.min(100, Math.max(0, share * 100)).toFixed(1)}%`;
  return h(`span.meter${state ? `.${state}` : ""}`, { "aria-hidden": "true" }, fill);
}

// A table: columns are {name, cell: row => string or element, number, title: row => string, kind, wide}.
// Rows are replaced as a whole; there are few of them.
class Table {
  constructor(label, columns, empty) {
    this.columns = columns;
    this.empty = empty;
    this.body = h("tbody");
    const heads = columns.map((c) => h(`th${c.number ? ".n" : ""}${c.wide ? ".wide" : ""}`, { scope: "col", title: c.help }, c.name));
    this.table = h("table", { "aria-label": label }, h("thead", null, h("tr", null, ...heads)), this.body);
    this.none = h("p.empty", null);
    this.element = h("div.scroll", { tabindex: "0", role: "region", "aria-label": label }, this.table, this.none);
    this.show([]);
  }
  show(rows) {
    this.table.hidden = rows.length === 0;
    this.none.hidden = rows.length > 0;
    if (!rows.length) setText(this.none, typeof this.empty === "function" ? this.empty() : this.empty);
    this.body.replaceChildren(...rows.map((row) => h("tr", null, ...this.columns.map((c) => {
      const classes = [c.number && "n", c.wide && "wide", ...(c.kind || [])].filter(Boolean).map((k) => `.${k}`).join("");
      return h(`td${classes}`, { title: c.title && c.title(row) }, c.cell(row));
    }))));
  }
}

function card(size, title, hint, ...rest) {
  const note = h("span.hint", null, hint || "");
  const head = h("header", null, h("h2", null, title), note);
  const element = h(`article.card${size ? `.${size}` : ""}`, { "aria-label": title }, head, ...rest);
  return { element, head, note };
}

const tip = {
  show(x, y, title, rows) {
    const box = $("tip");
    box.replaceChildren(h("p", null, title), h("ul", null, ...rows.map(([name, value, colour, line]) => {
      const swatch = colour ? h(`span.swatch${line ? ".line" : ""}`, { "aria-hidden": "true" }) : null;
      if (swatch) swatch.style.setProperty("--swatch", colour);
      return h("li", null, swatch, h("span", null, name), h("b", null, value));
    })));
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const left = x + 16 + width > innerWidth ? x - width - 16 : x + 16;
    box.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, Math.min(y + 12, innerHeight - height - 4))}px)`;
  },
  hide() { $("tip").hidden = true; },
};
