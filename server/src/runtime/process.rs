//! What the operating system knows about the process.

use std::sync::OnceLock;

/// CPU seconds of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// In its own code.
    pub user: f64,
    /// In the kernel.
    pub system: f64,
    /// Of ended children, in their own code.
    pub children_user: f64,
    /// Of ended children, in the kernel.
    pub children_system: f64,
}

/// CPU seconds, from `/proc/self/stat`; zeros where there is none.
#[must_use]
pub fn cpu_time() -> CpuTime {
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

/// Open file descriptors; 0 where nothing tells.
#[must_use]
pub fn open_fds() -> u64 {
    const FDS: &str = "/proc/self/fd";
    // Newer kernels say how many there are; older ones say 0 and have them counted.
    match std::fs::metadata(FDS).map_or(0, |meta| meta.len()) {
        0 => std::fs::read_dir(FDS).map_or(0, |fds| fds.count() as u64),
        count => count,
    }
}

/// Name, release and machine of the operating system.
#[must_use]
pub fn os() -> &'static str {
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
    fn an_open_file_is_counted() {
        let before = open_fds();
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        // Other tests open and close files as well, but not that many.
        assert!(open_fds() >= before + 25, "{before} before {} more", files.len());
    }

    #[test]
    fn name_with_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) b (c) S 1 1 1 0 -1 4194560 5 0 0 0 150 50 20 10 20 0 1 0";
        let time = CpuTime { user: 1.5, system: 0.5, children_user: 0.2, children_system: 0.1 };
        assert_eq!(parse_stat(line, 100), time);
        assert_eq!(parse_stat("", 100), CpuTime::default());
    }
}
