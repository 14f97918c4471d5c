//! The log: one event per line, time in UTC, nothing of what clients store.
//!
//! tracing's events are written by [`Line`] in one of three shapes. Redis's level names map to
//! tracing's: warning = warn and error, notice = info, verbose = debug, debug = trace. The level
//! can be changed while the server runs ([`Log::set_level`]); a disabled event costs one load.
//!
//! Keys, values and arguments never go into an event: logs are read by people who may not see the
//! data. A message that a client can provoke goes through [`Every`], so that a hostile client
//! cannot fill the disk: at most one per interval, with the number of those left out.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;

use super::clock;
use crate::config::{LogFormat, LogLevel, Settings};

/// The running log.
#[derive(Debug, Clone)]
pub struct Log {
    level: reload::Handle<Targets, Registry>,
}

impl Log {
    /// Starts logging for the whole process.
    ///
    /// # Errors
    /// When the log file cannot be opened, or logging was started before.
    pub fn start(settings: &Settings) -> Result<Log, String> {
        let output = Output::open(settings.logfile.as_deref()).map_err(|e| {
            let path = settings.logfile.as_deref().unwrap_or(Path::new(""));
            format!("cannot open log file {}: {e}", path.display())
        })?;
        let (subscriber, log) = build(settings.loglevel, settings.log_format, output);
        tracing::subscriber::set_global_default(subscriber).map_err(|e| e.to_string())?;
        Ok(log)
    }

    /// A log that nobody reads, for tests with several servers.
    #[cfg(test)]
    pub(crate) fn silent() -> Log {
        build(LogLevel::default(), LogFormat::default(), io::sink).1
    }

    /// Changes the lowest severity that is logged.
    pub fn set_level(&self, level: LogLevel) {
        // Fails only when the subscriber is gone, and it lives as long as the process.
        let _ = self.level.modify(|filter| *filter = filter_of(level));
    }
}

fn build<W>(level: LogLevel, format: LogFormat, output: W) -> (impl Subscriber + Send + Sync, Log)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter_of(level));
    let lines = tracing_subscriber::fmt::layer().event_format(Line(format)).with_writer(output);
    let subscriber = Registry::default().with(filter).with(lines);
    (subscriber, Log { level: handle })
}

fn filter_of(level: LogLevel) -> Targets {
    let (level, raft) = match level {
        LogLevel::Debug => (LevelFilter::TRACE, LevelFilter::INFO),
        LogLevel::Verbose => (LevelFilter::DEBUG, LevelFilter::OFF),
        LogLevel::Notice => (LevelFilter::INFO, LevelFilter::OFF),
        LogLevel::Warning => (LevelFilter::WARN, LevelFilter::OFF),
        LogLevel::Nothing => (LevelFilter::OFF, LevelFilter::OFF),
    };
    // To it, that a node is not there is an error several times a second; what an operator wants to
    // know of it we say ourselves.
    Targets::new().with_default(level).with_target("openraft", raft)
}

fn name_of(level: Level) -> &'static str {
    match level {
        Level::TRACE => "debug",
        Level::DEBUG => "verbose",
        Level::INFO => "notice",
        Level::WARN => "warning",
        Level::ERROR => "error",
    }
}

// ---- where lines go

/// Standard output, or a file that is opened for every line: log rotation then needs no signal,
/// and lines are rare.
#[derive(Debug)]
struct Output {
    file: Option<PathBuf>,
}

impl Output {
    fn open(file: Option<&Path>) -> io::Result<Output> {
        let file = file.map(std::path::absolute).transpose()?;
        if let Some(path) = &file {
            append(path)?;
        }
        Ok(Output { file })
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Where one line goes.
enum Sink {
    File(File),
    Stdout(io::Stdout),
    Stderr(io::Stderr),
}

impl<'w> MakeWriter<'w> for Output {
    type Writer = Sink;

    fn make_writer(&'w self) -> Sink {
        match &self.file {
            None => Sink::Stdout(io::stdout()),
            // A log directory that went away must not silence the server.
            Some(path) => append(path).map_or_else(|_| Sink::Stderr(io::stderr()), Sink::File),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::File(file) => file.write(bytes),
            Sink::Stdout(out) => out.write(bytes),
            Sink::Stderr(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::File(file) => file.flush(),
            Sink::Stdout(out) => out.flush(),
            Sink::Stderr(out) => out.flush(),
        }
    }
}

// ---- what a line looks like

/// Formats an event.
#[derive(Debug, Clone, Copy)]
struct Line(LogFormat);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = rfc3339(clock::wall_us());
        let level = name_of(*event.metadata().level());
        out.write_str(&line(self.0, &time, level, &fields))
    }
}

fn line(format: LogFormat, time: &str, level: &str, fields: &Fields) -> String {
    let mut out = String::with_capacity(128);
    match format {
        LogFormat::Text => {
            let _ = write!(out, "{time} {level} {}", one_line(&fields.message));
            for (name, text, _) in &fields.others {
                let _ = write!(out, " {name}={}", logfmt(text));
            }
        }
        LogFormat::Logfmt => {
            let _ = write!(out, "time={time} level={level} msg={}", logfmt(&fields.message));
            for (name, text, _) in &fields.others {
                let _ = write!(out, " {name}={}", logfmt(text));
            }
        }
        LogFormat::Json => {
            let _ = write!(out, "{{\"time\":\"{time}\",\"level\":\"{level}\",\"msg\":");
            json_string(&mut out, &fields.message);
            for (name, text, bare) in &fields.others {
                let _ = write!(out, ",\"{name}\":");
                if *bare {
                    out.push_str(text);
                } else {
                    json_string(&mut out, text);
                }
            }
            out.push('}');
        }
    }
    out.push('\n');
    out
}

/// The fields of an event as texts; the flag says that JSON may take it unquoted.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String, bool)>,
}

impl Fields {
    fn put(&mut self, field: &Field, text: String, bare: bool) {
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.push((field.name(), text, bare));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"), false);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned(), false);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.to_string(), true);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.to_string(), true);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.to_string(), value.is_finite());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.to_string(), true);
    }
}

/// Control characters escaped: an event stays one line, and a terminal stays a terminal.
fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A value of a `name=value` pair, in quotes where it needs them.
fn logfmt(text: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `2026-11-22T22:50:01.234Z` from microseconds since 1970.
fn rfc3339(us: i64) -> String {
    let ms = us.div_euclid(1000);
    let (days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let (s, ms) = (ms / 1000, ms % 1000);
    let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of a number of days since 1970-01-01 (Gregorian, years counted from March
/// so that the leap day comes last).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

// ---- not too often

/// Lets a message through once per interval and counts those it held back. One static per message:
///
/// ```
/// # use dunlin::runtime::logging::Every;
/// static REFUSED: Every = Every::millis(1000);
/// # let now_ms = 5;
/// if let Some(folded) = REFUSED.admit(now_ms) {
///     tracing::warn!(folded, "connection refused: maxclients reached");
/// }
/// ```
#[derive(Debug)]
pub struct Every {
    interval: i64,
    next: AtomicI64,
    folded: AtomicU64,
}

impl Every {
    /// At most one message per this many milliseconds.
    #[must_use]
    pub const fn millis(interval: i64) -> Every {
        Every { interval, next: AtomicI64::new(i64::MIN), folded: AtomicU64::new(0) }
    }

    /// Whether to log now; the number is how many were held back since the last time.
    pub fn admit(&self, now_ms: i64) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let won = now_ms >= next
            && self
                .next
                .compare_exchange(
                    next,
                    now_ms.saturating_add(self.interval),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if won {
            return Some(self.folded.swap(0, Ordering::Relaxed));
        }
        self.folded.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    fn logged(format: LogFormat, level: LogLevel, events: impl FnOnce(&Log)) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let (subscriber, log) = build(level, format, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || events(&log));
        memory.take()
    }

    #[test]
    fn an_event_is_one_line_of_its_format() {
        let event = |_: &Log| tracing::info!(clients = 3, who = "a \"b\"\n", "hello\nworld");
        let text = logged(LogFormat::Text, LogLevel::Notice, event);
        assert!(
            text.ends_with("Z notice hello\\nworld clients=3 who=\"a \\\"b\\\"\\n\"\n"),
            "{text}"
        );
        let text = logged(LogFormat::Logfmt, LogLevel::Notice, event);
        let tail = "Z level=notice msg=\"hello\\nworld\" clients=3 who=\"a \\\"b\\\"\\n\"\n";
        assert!(text.starts_with("time=2") && text.ends_with(tail), "{text}");
        let text = logged(LogFormat::Json, LogLevel::Notice, event);
        let tail = "Z\",\"level\":\"notice\",\"msg\":\"hello\\nworld\",\"clients\":3,\
                    \"who\":\"a \\\"b\\\"\\n\"}\n";
        assert!(text.starts_with("{\"time\":\"2") && text.ends_with(tail), "{text}");
    }

    #[test]
    fn levels_carry_redis_names_and_change_while_running() {
        let text = logged(LogFormat::Text, LogLevel::Warning, |log| {
            tracing::info!("no");
            tracing::warn!("one");
            log.set_level(LogLevel::Debug);
            tracing::trace!("two");
            tracing::debug!("three");
            log.set_level(LogLevel::Nothing);
            tracing::error!("no");
            log.set_level(LogLevel::Notice);
            tracing::error!("four");
            tracing::debug!("no");
        });
        let got: Vec<_> = text.lines().map(|l| l.split_once(' ').unwrap().1).collect();
        assert_eq!(got, ["warning one", "debug two", "verbose three", "error four"]);
    }

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_251_199_999_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(rfc3339(1_709_251_200_000_000), "2024-03-01T00:00:00.000Z");
        assert_eq!(rfc3339(4_107_542_400_000_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn repeats_are_folded() {
        let every = Every::millis(1000);
        assert_eq!(every.admit(10), Some(0));
        assert_eq!(every.admit(11), None);
        assert_eq!(every.admit(1009), None);
        assert_eq!(every.admit(1010), Some(2));
        assert_eq!(every.admit(1011), None);
        assert_eq!(every.admit(9999), Some(1));
    }

    #[test]
    fn the_file_survives_rotation() {
        let dir = std::env::temp_dir().join(format!("dunlin-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("log");
        let output = Output::open(Some(&path)).unwrap();
        output.make_writer().write_all(b"a\n").unwrap();
        std::fs::rename(&path, dir.join("log.1")).unwrap();
        output.make_writer().write_all(b"b\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"b\n");
        assert_eq!(std::fs::read(dir.join("log.1")).unwrap(), b"a\n");
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(Output::open(Some(&path)).is_err());
    }
}
