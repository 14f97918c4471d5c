//! What the operating system knows about the process.

use std::sync::OnceLock;

/// CPU seconds of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct CpuTime {
    pub(super) user: f64,
    pub(super) system: f64,
    pub(super) children_user: f64,
    pub(super) children_system: f64,
}

/// CPU seconds, from `/proc/self/stat`; zeros where there is none.
pub(super) fn cpu_time() -> CpuTime {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    parse_stat(&text, rustix::param::clock_ticks_per_second())
}

#[expect(clippy::cast_precision_loss, reason = "seconds with six decimals")]
fn parse_stat(text: &str, ticks_per_second: u64) -> CpuTime {
    // The second field is the program's name in parentheses and may contain anything.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut seconds = || {
        let ticks: u64 = fields.next().and_then(|field| field.parse().ok()).unwrap_or(0);
        ticks as f64 / ticks_per_second.max(1) as f64
    };
    CpuTime {
        user: seconds(),
        system: seconds(),
        children_user: seconds(),
        children_system: seconds(),
    }
}

/// Name, release and machine of the operating system.
pub(super) fn os() -> &'static str {
    static OS: OnceLock<String> = OnceLock::new();
    OS.get_or_init(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        format!("Linux {} {}", release.trim(), std::env::consts::ARCH)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) b (c) S 1 1 1 0 -1 4194560 5 0 0 0 150 50 20 10 20 0 1 0";
        let time = CpuTime { user: 1.5, system: 0.5, children_user: 0.2, children_system: 0.1 };
        assert_eq!(parse_stat(line, 100), time);
        assert_eq!(parse_stat("", 100), CpuTime::default());
    }
}
