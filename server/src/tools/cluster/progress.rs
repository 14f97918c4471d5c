//! How far something is: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};

/// Characters of a bar.
const WIDTH: u64 = 40;
/// Lines at most, where there is no terminal.
const LINES: u64 = 10;

pub(super) struct Progress {
    what: &'static str,
    is_terminal: bool,
    /// The most that was left.
    all: u64,
    /// Tenths that have been told of.
    told: u64,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        Progress { what, is_terminal: std::io::stderr().is_terminal(), all: 0, told: 0 }
    }

    /// So much is left.
    pub(super) fn show(&mut self, left: u64) {
        if left > self.all {
            (self.all, self.told) = (left, 0);
        }
        if let Some(text) = self.text(left) {
            // Nobody reads it: that is no reason to stop.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }

    /// Nothing more is shown.
    pub(super) fn end(&self) {
        if self.is_terminal && self.all > 0 {
            eprintln!();
        }
    }

    fn text(&mut self, left: u64) -> Option<String> {
        let done = self.all - left.min(self.all);
        if self.all == 0 {
            return None;
        }
        let (all, what) = (self.all, self.what);
        if self.is_terminal {
            let full = (done * WIDTH / all) as usize;
            let bar = "#".repeat(full) + &".".repeat(WIDTH as usize - full);
            return Some(format!("\r[{bar}] {done} of {all} {what} "));
        }
        let tenths = done * LINES / all;
        let is_new = tenths > self.told;
        self.told = tenths;
        is_new.then(|| format!("{done} of {all} {what}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_lines() {
        let mut bar = Progress { what: "slots", is_terminal: true, all: 10, told: 0 };
        let text = bar.text(5).unwrap();
        assert_eq!(text, format!("\r[{}{}] 5 of 10 slots ", "#".repeat(20), ".".repeat(20)));
        let mut lines = Progress { what: "slots", is_terminal: false, all: 100, told: 0 };
        assert_eq!(lines.text(95), None);
        assert_eq!(lines.text(85).as_deref(), Some("15 of 100 slots\n"));
        assert_eq!(lines.text(84), None);
        assert_eq!(lines.text(0).as_deref(), Some("100 of 100 slots\n"));
        assert_eq!(Progress { all: 0, ..lines }.text(0), None);
    }
}
