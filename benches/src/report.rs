//! Tables on the terminal and the same rows as JSON.

use std::fmt::Write as _;

/// A cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A word.
    Text(String),
    /// A number and its decimals when printed.
    Number(f64, usize),
    /// Nothing to say.
    Empty,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Cell {
    fn from(n: u64) -> Self {
        Self::Number(n as f64, 0)
    }
}

impl From<Option<Cell>> for Cell {
    fn from(cell: Option<Cell>) -> Self {
        cell.unwrap_or(Self::Empty)
    }
}

/// A number with so many decimals.
#[must_use]
pub fn number(value: f64, decimals: usize) -> Cell {
    if value.is_finite() { Cell::Number(value, decimals) } else { Cell::Empty }
}

/// Rows under named columns.
#[derive(Clone, Debug)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&c| c.to_owned()).collect();
        Self { title: title.to_owned(), columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as text, columns aligned: words left, numbers right.
    #[must_use]
    pub fn text(&self) -> String {
        let shown: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(show).collect()).collect();
        let width = |i: usize| {
            let cells = shown.iter().filter_map(|row| row.get(i)).map(|c| c.chars().count());
            cells.chain([self.columns[i].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut out = format!("\n{}\n", self.title);
        for (i, column) in self.columns.iter().enumerate() {
            let w = widths[i];
            let _ = if self.is_text(i) {
                write!(out, "{column:<w$}  ")
            } else {
                write!(out, "{column:>w$}  ")
            };
        }
        for row in &shown {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            for (i, cell) in row.iter().enumerate() {
                let w = widths[i];
                let _ = if self.is_text(i) {
                    write!(out, "{cell:<w$}  ")
                } else {
                    write!(out, "{cell:>w$}  ")
                };
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
        out
    }

    /// The table as a JSON object: title and rows keyed by column.
    #[must_use]
    pub fn json(&self) -> String {
        let row = |cells: &Vec<Cell>| {
            let fields: Vec<String> = self
                .columns
                .iter()
                .zip(cells)
                .map(|(name, cell)| format!("{}:{}", quote(name), value(cell)))
                .collect();
            format!("{{{}}}", fields.join(","))
        };
        let rows: Vec<String> = self.rows.iter().map(row).collect();
        format!("{{\"title\":{},\"rows\":[{}]}}", quote(&self.title), rows.join(","))
    }

    fn is_text(&self, column: usize) -> bool {
        self.rows.iter().any(|row| matches!(row.get(column), Some(Cell::Text(_))))
    }
}

fn show(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number(n, decimals) => format!("{n:.decimals$}"),
        Cell::Empty => "-".to_owned(),
    }
}

fn value(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => quote(text),
        Cell::Number(n, _) => format!("{n}"),
        Cell::Empty => "null".to_owned(),
    }
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Prints tables as they come and collects them for the JSON file.
#[derive(Debug, Default)]
pub struct Report {
    tables: Vec<Table>,
    failures: Vec<String>,
}

impl Report {
    /// Prints and keeps a table.
    pub fn table(&mut self, table: Table) {
        print!("{}", table.text());
        self.tables.push(table);
    }

    /// Prints and keeps a goal that was missed.
    pub fn fail(&mut self, text: String) {
        println!("NOT MET: {text}");
        self.failures.push(text);
    }

    /// Notes a goal as missed unless `met`.
    pub fn goal(&mut self, met: bool, text: &str) {
        if met {
            println!("met: {text}");
        } else {
            self.fail(text.to_owned());
        }
    }

    /// Goals missed so far.
    #[must_use]
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Everything as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let tables: Vec<String> = self.tables.iter().map(Table::json).collect();
        let failures: Vec<String> = self.failures.iter().map(|f| quote(f)).collect();
        format!("{{\"tables\":[{}],\"not_met\":[{}]}}\n", tables.join(","), failures.join(","))
    }
}

/// The middle value (mean of the two middle ones); NaN of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Arithmetic mean; NaN of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Median of the ratios of values of the same round.
#[must_use]
pub fn ratio(values: &[f64], reference: &[f64]) -> f64 {
    let ratios: Vec<f64> = values.iter().zip(reference).map(|(a, b)| a / b).collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(ratio(&[1.0, 2.0, 9.0], &[2.0, 2.0, 3.0]), 1.0);
    }

    #[test]
    fn table_text_and_json() {
        let mut table = Table::new("t", &["server", "n"]);
        table.row(vec!["a\"b".into(), number(1.25, 1)]);
        table.row(vec!["longer".into(), Cell::Empty]);
        assert_eq!(table.text(), "\nt\nserver    n\na\"b     1.2\nlonger    -\n");
        let json =
            r#"{"title":"t","rows":[{"server":"a\"b","n":1.25},{"server":"longer","n":null}]}"#;
        assert_eq!(table.json(), json);
    }
}
