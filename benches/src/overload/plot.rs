//! Line plots as SVG, readable on light and dark pages.

use std::fmt::Write as _;
use std::path::Path;

use crate::Outcome;

/// A point with the range of its rounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A line with its name.
#[derive(Clone, Debug)]
pub(super) struct Line {
    name: String,
    points: Vec<Point>,
}

impl Line {
    /// A line through the points that are there.
    pub(super) fn new(name: &str, mut points: Vec<Point>) -> Self {
        points.retain(|p| p.y.is_finite());
        Self { name: name.to_owned(), points }
    }
}

/// An axis: how its numbers are laid out.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    log: bool,
    /// Marks to show; if none, they are chosen.
    marks: Vec<f64>,
    /// Shown at least up to here.
    to: f64,
}

impl Axis {
    /// From zero.
    pub(super) fn linear() -> Self {
        Self { log: false, marks: Vec::new(), to: 0.0 }
    }

    /// Logarithmic, with these marks.
    pub(super) fn log(marks: &[f64]) -> Self {
        Self { log: true, marks: marks.to_vec(), to: 0.0 }
    }

    /// Shows at least up to `to`.
    pub(super) fn to(mut self, to: f64) -> Self {
        self.to = to;
        self
    }

    fn scale(&self, values: impl Iterator<Item = f64>) -> Scale {
        let values: Vec<f64> = values.filter(|v| v.is_finite()).chain(self.marks.clone()).collect();
        let high = values.iter().copied().fold(self.to, f64::max);
        if !self.log {
            let step = nice(high / 6.0);
            let high = (high / step - 1e-9).ceil().max(1.0) * step;
            let marks = (0..=(high / step).round() as u32).map(|i| f64::from(i) * step).collect();
            return Scale { log: false, low: 0.0, high, marks };
        }
        let low = values.iter().copied().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
        if !self.marks.is_empty() {
            return Scale { log: true, low, high, marks: self.marks.clone() };
        }
        // What is a little beyond a power of ten needs no further one.
        let (low, high) = (decade(low * 1.05, f64::floor), decade(high / 1.05, f64::ceil));
        let count = (high / low).log10().round() as i32;
        let marks = (0..=count).map(|i| low * 10f64.powi(i)).collect();
        Scale { log: true, low, high, marks }
    }
}

/// The power of ten at or beyond a number.
fn decade(value: f64, round: fn(f64) -> f64) -> f64 {
    if value.is_finite() && value > 0.0 { 10f64.powf(round(value.log10())) } else { 1.0 }
}

/// The round number (1, 2 or 5 times a power of ten) at or above `value`.
fn nice(value: f64) -> f64 {
    let power = decade(value, f64::floor);
    let found = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= value * (1.0 - 1e-9));
    found.unwrap_or(10.0) * power
}

struct Scale {
    log: bool,
    low: f64,
    high: f64,
    marks: Vec<f64>,
}

impl Scale {
    /// Where a number lies between the ends, 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln().max(1e-9)
        } else {
            (value - self.low) / (self.high - self.low).max(1e-9)
        };
        share.clamp(0.0, 1.0)
    }
}

/// One plot. Its title names what goes up, and the unit.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    /// What goes to the right, and its unit.
    pub(super) across: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

/// Plots side by side under a title.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) panels: Vec<Panel>,
}

/// Size of a panel and of the margins around its plot.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 48.0;
/// Room for the figure's title and the names of its lines.
const HEAD: f64 = 66.0;

const STYLE: &str = "\
:root { color-scheme: light dark; }
svg { --page: #ffffff; --ink: #1f2328; --soft: #59636e; --grid: #d8dee4;
  --c0: #0969da; --c1: #bc4c00; --c2: #6e7781; --c3: #1a7f37; }
@media (prefers-color-scheme: dark) {
  svg { --page: #0d1117; --ink: #e6edf3; --soft: #9198a1; --grid: #30363d;
    --c0: #58a6ff; --c1: #f0883e; --c2: #b1bac4; --c3: #56d364; }
}
text { font: 12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: var(--soft); }
.title { font-size: 16px; font-weight: 600; fill: var(--ink); }
.name { font-size: 13px; fill: var(--ink); }
.page { fill: var(--page); }
.grid { stroke: var(--grid); stroke-width: 1; }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.c0 { stroke: var(--c0); fill: var(--c0); } .c1 { stroke: var(--c1); fill: var(--c1); }
.c2 { stroke: var(--c2); fill: var(--c2); } .c3 { stroke: var(--c3); fill: var(--c3); }
.line.c1 { stroke-dasharray: 7 4; } .line.c2 { stroke-dasharray: 2 4; stroke-linecap: round; }
.line { fill: none !important; }
.bar { stroke-width: 1.4; opacity: 0.6; }
";

impl Figure {
    /// Writes the file.
    pub(super) fn write(&self, path: &Path) -> Outcome<()> {
        std::fs::write(path, self.svg()).map_err(|e| format!("{}: {e}", path.display()))?;
        eprintln!("wrote {}", path.display());
        Ok(())
    }

    fn svg(&self) -> String {
        let (width, height) = (WIDTH * self.panels.len() as f64, HEAD + HEIGHT);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n\
             <rect class=\"page\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"28\">{title}</text>\n",
            title = escape(&self.title)
        );
        self.names(&mut out);
        for (i, panel) in self.panels.iter().enumerate() {
            let _ = writeln!(out, "<g transform=\"translate({} {HEAD})\">", WIDTH * i as f64);
            panel.draw(&mut out, |name| self.color(name));
            out.push_str("</g>\n");
        }
        out.push_str("</svg>\n");
        out
    }

    /// The names of the lines, each once, with a piece of its line.
    fn names(&self, out: &mut String) {
        let mut x = LEFT;
        for (i, name) in self.all_names().iter().enumerate() {
            let _ = writeln!(
                out,
                "<path class=\"line c{color}\" d=\"M{x} 48h26\"/>\
                 <text class=\"name\" x=\"{}\" y=\"52\">{}</text>",
                x + 34.0,
                escape(name),
                color = i % 4
            );
            x += 34.0 + 8.0 * name.chars().count() as f64 + 22.0;
        }
    }

    fn all_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for line in self.panels.iter().flat_map(|panel| &panel.lines) {
            if !names.contains(&line.name.as_str()) {
                names.push(&line.name);
            }
        }
        names
    }

    fn color(&self, name: &str) -> usize {
        self.all_names().iter().position(|n| *n == name).unwrap_or(0) % 4
    }
}

impl Panel {
    fn draw(&self, out: &mut String, color: impl Fn(&str) -> usize) {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = self.x.scale(points().map(|p| p.x));
        let y = self.y.scale(points().flat_map(|p| [p.low, p.y, p.high]));
        let (w, h) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let px = |value: f64| LEFT + w * x.at(value);
        let py = |value: f64| TOP + h * (1.0 - y.at(value));
        let middle = LEFT + w / 2.0;
        let _ = writeln!(
            out,
            "<text class=\"name\" x=\"{LEFT}\" y=\"20\">{}</text>\n\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            escape(&self.title),
            HEIGHT - 10.0,
            escape(&self.across)
        );
        for mark in &y.marks {
            let at = py(*mark);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}h{w}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                at + 4.0,
                show(*mark)
            );
        }
        for mark in &x.marks {
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{at:.1} {}v5\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                TOP + h,
                TOP + h + 18.0,
                show(*mark),
                at = px(*mark)
            );
        }
        for line in &self.lines {
            draw_line(out, line, color(&line.name), px, py);
        }
    }
}

fn draw_line(
    out: &mut String,
    line: &Line,
    color: usize,
    px: impl Fn(f64) -> f64,
    py: impl Fn(f64) -> f64,
) {
    let mut path = String::new();
    for (i, p) in line.points.iter().enumerate() {
        let step = if i == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{step}{:.1} {:.1}", px(p.x), py(p.y));
    }
    let _ = writeln!(out, "<path class=\"line c{color}\" d=\"{path}\"/>");
    // Marks for each point only where they can be told apart.
    if line.points.len() > 20 {
        return;
    }
    for p in &line.points {
        let (x, y) = (px(p.x), py(p.y));
        if p.low < p.high {
            let (low, high) = (py(p.low), py(p.high));
            let _ = write!(out, "<path class=\"bar c{color}\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>");
        }
        let _ = writeln!(out, "<circle class=\"c{color}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
    }
}

/// A number as short as it can be.
fn show(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales() {
        let linear = Axis::linear().scale([3.0, 37.0].into_iter());
        assert_eq!((linear.low, linear.high, linear.marks.len()), (0.0, 40.0, 5));
        let log = Axis::log(&[]).scale([0.03, 70.0].into_iter());
        assert_eq!(log.marks.len(), 5);
        assert!((log.at(1.0) - 0.5).abs() < 1e-9);
        assert_eq!(nice(0.03), 0.05);
        assert_eq!(show(0.5), "0.5");
        assert_eq!(show(100.0), "100");
    }

    #[test]
    fn a_figure_names_its_lines_once() {
        let point = |x, y| Point { x, y, low: y, high: y };
        let panel = |name| Panel {
            title: "a < b".to_owned(),
            across: "x".to_owned(),
            x: Axis::log(&[1.0, 10.0]),
            y: Axis::linear(),
            lines: vec![
                Line::new("one", vec![point(1.0, 2.0), point(10.0, f64::NAN)]),
                Line::new(name, vec![point(1.0, 3.0)]),
            ],
        };
        let figure = Figure { title: "t".to_owned(), panels: vec![panel("two"), panel("one")] };
        let svg = figure.svg();
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN"));
        assert_eq!(figure.all_names(), ["one", "two"]);
    }
}
