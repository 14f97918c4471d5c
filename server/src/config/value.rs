//! What a directive can hold, and how it is read and printed.
//!
//! A [`Kind`] is the type of a directive: it turns the words of a configuration line into a
//! [`Value`] and back. The error texts are the ones Redis 7.2 answers to `CONFIG SET`, because
//! scripts and client test suites compare them.

use super::quote;
use dunlin_storage::Policy;
use std::fmt::Write as _;

/// The type of a directive with its bounds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A switch that Dunlin only knows in the `no` position; the text says why.
    Never(&'static str),
    /// A decimal integer within bounds.
    Int {
        /// Smallest accepted value.
        min: i64,
        /// Largest accepted value.
        max: i64,
    },
    /// A non-negative integer silently forced into bounds (Redis does this for `hz`).
    Clamped {
        /// Values below become this.
        min: i64,
        /// Values above become this.
        max: i64,
    },
    /// An octal number: file permissions.
    Octal,
    /// A number of bytes with an optional unit; `auto` where the row allows it.
    Memory {
        /// Smallest accepted value.
        min: u64,
        /// Largest accepted value.
        max: u64,
        /// Share in percent of the machine's memory that the word `auto` stands for.
        auto: Option<u8>,
        /// `50%` is accepted too and stays a percentage.
        percent: bool,
    },
    /// One of the listed words, in any case.
    Enum(&'static [&'static str]),
    /// An eviction policy by its name, in any case.
    Policy,
    /// Any text, one word.
    Text,
    /// Addresses to listen on.
    Words,
    /// `class hard soft seconds`, any number of times; classes not named keep their limits.
    OutputLimits,
    /// `seconds changes`, any number of times.
    SavePoints,
    /// Numbers between 0 and 100.
    Percentiles,
    /// Keyspace event classes.
    Events,
}

/// Limits of a client class's pending output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimit {
    /// Pending bytes at which the connection is closed at once; 0 = none.
    pub hard: u64,
    /// Pending bytes that may not be exceeded for longer than `soft_seconds`; 0 = none.
    pub soft: u64,
    /// See `soft`.
    pub soft_seconds: u32,
}

/// The classes of `client-output-buffer-limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimits {
    /// Ordinary clients, and MONITOR.
    pub normal: OutputLimit,
    /// Replicas.
    pub replica: OutputLimit,
    /// Clients that subscribed to something.
    pub pubsub: OutputLimit,
}

/// The value of a directive.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of [`Kind::Bool`] and [`Kind::Never`].
    Bool(bool),
    /// Of [`Kind::Int`] and [`Kind::Clamped`].
    Int(i64),
    /// Of [`Kind::Octal`].
    Octal(u32),
    /// Of [`Kind::Memory`].
    Memory(u64),
    /// Of [`Kind::Memory`] given as a percentage.
    Percent(u8),
    /// Position in the list of [`Kind::Enum`], and the word.
    Enum(usize, &'static str),
    /// Of [`Kind::Policy`].
    Policy(Policy),
    /// Of [`Kind::Text`].
    Text(Vec<u8>),
    /// Of [`Kind::Words`].
    Words(Vec<String>),
    /// Of [`Kind::OutputLimits`].
    OutputLimits(OutputLimits),
    /// Of [`Kind::SavePoints`].
    SavePoints(Vec<(u32, u32)>),
    /// Of [`Kind::Percentiles`].
    Percentiles(Vec<f64>),
    /// Of [`Kind::Events`]: a bit per position in [`EVENT_CLASSES`], `A` expanded.
    Events(u16),
}

/// Why a value was refused; the text that follows `CONFIG SET failed (...) - `.
pub(super) type Refusal = String;

/// Letters of `notify-keyspace-events` in the order in which they are printed; `A` stands for all
/// but `n`, `K`, `E` and `m`.
pub(crate) const EVENT_CLASSES: &[u8; 14] = b"g$lshzxetdnKEm";
const ALL_EVENTS: u16 = 0b11_1111_1111;

const WRONG_COUNT: &str = "wrong number of arguments";

impl Kind {
    /// Kinds whose `CONFIG SET` value is itself a line of several words.
    #[must_use]
    pub fn takes_words(self) -> bool {
        matches!(self, Kind::Words | Kind::OutputLimits | Kind::SavePoints | Kind::Percentiles)
    }

    /// Reads the words of a line. `old` is the value so far: some kinds change only a part.
    /// `machine_memory` is what the word `auto` is a share of.
    ///
    /// # Errors
    /// The text for the user, without the name of the directive.
    pub fn parse<W: AsRef<[u8]>>(
        self,
        words: &[W],
        old: &Value,
        machine_memory: u64,
    ) -> Result<Value, Refusal> {
        match self {
            Kind::Words => return parse_words(words),
            Kind::OutputLimits => return parse_output_limits(words, old),
            Kind::SavePoints => return parse_save_points(words),
            Kind::Percentiles => return parse_percentiles(words),
            _ => {}
        }
        let [word] = words else {
            return Err(WRONG_COUNT.into());
        };
        let word = word.as_ref();
        match self {
            Kind::Bool => parse_bool(word).map(Value::Bool),
            Kind::Never(why) => match parse_bool(word)? {
                true => Err(why.into()),
                false => Ok(Value::Bool(false)),
            },
            Kind::Int { min, max } => parse_int(word, min, max).map(Value::Int),
            Kind::Clamped { min, max } => {
                parse_int(word, 0, i64::from(i32::MAX)).map(|n| Value::Int(n.clamp(min, max)))
            }
            Kind::Octal => parse_octal(word),
            Kind::Memory { min, max, auto, percent } => {
                if let Some(share) = auto
                    && word.eq_ignore_ascii_case(b"auto")
                {
                    return Ok(Value::Memory(share_of(machine_memory, share)));
                }
                if percent && word.last() == Some(&b'%') {
                    return parse_percent(word);
                }
                parse_memory_between(word, min, max, percent)
            }
            Kind::Enum(names) => parse_enum(word, names),
            Kind::Policy => parse_policy(word),
            Kind::Text => Ok(Value::Text(word.to_vec())),
            Kind::Events => parse_events(word),
            Kind::Words | Kind::OutputLimits | Kind::SavePoints | Kind::Percentiles => {
                unreachable!("read above")
            }
        }
    }
}

/// `percent` of `whole` without overflow.
#[must_use]
pub(super) fn share_of(whole: u64, percent: u8) -> u64 {
    let share = u128::from(whole) * u128::from(percent) / 100;
    u64::try_from(share).unwrap_or(u64::MAX)
}

fn parse_bool(word: &[u8]) -> Result<bool, Refusal> {
    if word.eq_ignore_ascii_case(b"yes") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"no") {
        Ok(false)
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

/// Strict decimal integer: no sign but `-`, no leading zero, no space.
fn strict_int(word: &[u8]) -> Option<i64> {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    let canonical = match digits {
        [b'0'] => word.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    canonical.then(|| std::str::from_utf8(word).ok()?.parse().ok())?
}

fn parse_int(word: &[u8], min: i64, max: i64) -> Result<i64, Refusal> {
    let n = strict_int(word).ok_or("argument couldn't be parsed into an integer")?;
    if n < min || n > max {
        return Err(format!("argument must be between {min} and {max} inclusive"));
    }
    Ok(n)
}

fn parse_octal(word: &[u8]) -> Result<Value, Refusal> {
    let text = std::str::from_utf8(word).unwrap_or("");
    let mode = u32::from_str_radix(text, 8)
        .map_err(|_| "argument couldn't be parsed as an octal number")?;
    if mode > 0o777 {
        return Err("argument must be between 0 and 777 inclusive".into());
    }
    Ok(Value::Octal(mode))
}

fn parse_percent(word: &[u8]) -> Result<Value, Refusal> {
    let digits = &word[..word.len() - 1];
    let n = strict_int(digits).ok_or("argument must be a memory or percent value")?;
    match u8::try_from(n) {
        Ok(n @ 0..=100) => Ok(Value::Percent(n)),
        _ => Err("percentage argument must be less or equal to 100".into()),
    }
}

/// Bytes of `10mb` and the like. Digits beyond 64 bits saturate, an empty word is 0, as in Redis.
#[must_use]
pub fn parse_memory(word: &[u8]) -> Option<u64> {
    let split = word.iter().position(|c| !c.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(split);
    if digits.is_empty() && !unit.is_empty() {
        return None;
    }
    let scale: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let n =
        digits.iter().fold(0u64, |n, c| n.saturating_mul(10).saturating_add(u64::from(c - b'0')));
    Some(n.saturating_mul(scale))
}

fn parse_memory_between(word: &[u8], min: u64, max: u64, percent: bool) -> Result<Value, Refusal> {
    let n = parse_memory(word).ok_or(if percent {
        "argument must be a memory or percent value"
    } else {
        "argument must be a memory value"
    })?;
    if n < min || n > max {
        return Err(format!("argument must be between {min} and {max} inclusive"));
    }
    Ok(Value::Memory(n))
}

fn not_one_of(names: &[&str]) -> Refusal {
    format!("argument(s) must be one of the following: {}", names.join(", "))
}

fn parse_enum(word: &[u8], names: &'static [&'static str]) -> Result<Value, Refusal> {
    names
        .iter()
        .position(|name| name.as_bytes().eq_ignore_ascii_case(word))
        .map(|i| Value::Enum(i, names[i]))
        .ok_or_else(|| not_one_of(names))
}

fn parse_policy(word: &[u8]) -> Result<Value, Refusal> {
    let policy = std::str::from_utf8(word).ok().and_then(Policy::parse);
    policy.map(Value::Policy).ok_or_else(|| {
        let names: Vec<_> = Policy::all().map(Policy::name).collect();
        not_one_of(&names)
    })
}

/// Most addresses a `bind` line may name.
const MAX_BIND: usize = 16;

fn parse_words<W: AsRef<[u8]>>(words: &[W]) -> Result<Value, Refusal> {
    let mut list = Vec::new();
    for word in words {
        let text = std::str::from_utf8(word.as_ref()).map_err(|_| "argument must be text")?;
        if text.is_empty() {
            continue;
        }
        // They are shown and written as one line, and no name of a host has to be quoted there.
        if quote(text.as_bytes()) != text.as_bytes() {
            return Err("an address has no blanks, quotes or control characters".into());
        }
        list.push(text.to_owned());
    }
    if list.len() > MAX_BIND {
        return Err("Too many bind addresses specified.".into());
    }
    Ok(Value::Words(list))
}

fn parse_output_limits<W: AsRef<[u8]>>(words: &[W], old: &Value) -> Result<Value, Refusal> {
    let mut limits = match old {
        Value::OutputLimits(limits) => *limits,
        _ => OutputLimits::default(),
    };
    if words.is_empty() || !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    const BAD_NUMBER: &str =
        "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
    for group in words.chunks_exact(4) {
        let class = group[0].as_ref().to_ascii_lowercase();
        let place = match class.as_slice() {
            b"normal" => &mut limits.normal,
            b"replica" | b"slave" => &mut limits.replica,
            b"pubsub" => &mut limits.pubsub,
            _ => {
                return Err("Invalid client class specified in buffer limit configuration.".into());
            }
        };
        let seconds = strict_int(group[3].as_ref()).and_then(|n| u32::try_from(n).ok());
        *place = OutputLimit {
            hard: parse_memory(group[1].as_ref()).ok_or(BAD_NUMBER)?,
            soft: parse_memory(group[2].as_ref()).ok_or(BAD_NUMBER)?,
            soft_seconds: seconds.ok_or(BAD_NUMBER)?,
        };
    }
    Ok(Value::OutputLimits(limits))
}

fn parse_save_points<W: AsRef<[u8]>>(words: &[W]) -> Result<Value, Refusal> {
    const BAD: &str = "Invalid save parameters";
    if let [word] = words
        && word.as_ref().is_empty()
    {
        return Ok(Value::SavePoints(Vec::new()));
    }
    if !words.len().is_multiple_of(2) {
        return Err(BAD.into());
    }
    let mut points = Vec::new();
    for pair in words.chunks_exact(2) {
        let number = |word: &W| strict_int(word.as_ref()).and_then(|n| u32::try_from(n).ok());
        match (number(&pair[0]), number(&pair[1])) {
            (Some(seconds @ 1..), Some(changes)) => points.push((seconds, changes)),
            _ => return Err(BAD.into()),
        }
    }
    Ok(Value::SavePoints(points))
}

fn parse_percentiles<W: AsRef<[u8]>>(words: &[W]) -> Result<Value, Refusal> {
    let mut list = Vec::new();
    for word in words {
        let text = std::str::from_utf8(word.as_ref()).unwrap_or("");
        if text.is_empty() && words.len() == 1 {
            break;
        }
        let n: f64 =
            text.parse().map_err(|_| "Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&n) {
            return Err("latency-tracking-info-percentiles parameters should sit between \
                        [0.0,100.0]"
                .into());
        }
        list.push(n);
    }
    Ok(Value::Percentiles(list))
}

fn parse_events(word: &[u8]) -> Result<Value, Refusal> {
    let mut bits = 0u16;
    for c in word {
        if *c == b'A' {
            bits |= ALL_EVENTS;
            continue;
        }
        let Some(bit) = EVENT_CLASSES.iter().position(|class| class == c) else {
            return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into());
        };
        bits |= 1 << bit;
    }
    Ok(Value::Events(bits))
}

fn print_events(bits: u16) -> String {
    let all = bits & ALL_EVENTS == ALL_EVENTS;
    let mut text = String::from(if all { "A" } else { "" });
    for (i, class) in EVENT_CLASSES.iter().enumerate() {
        let covered = all && ALL_EVENTS & (1 << i) != 0;
        if bits & (1 << i) != 0 && !covered {
            text.push(char::from(*class));
        }
    }
    text
}

fn print_limit(class: &str, limit: &OutputLimit) -> String {
    format!("{class} {} {} {}", limit.hard, limit.soft, limit.soft_seconds)
}

impl Value {
    /// The value as `CONFIG GET` shows it.
    #[must_use]
    pub fn print(&self) -> Vec<u8> {
        let text = match self {
            Value::Text(text) => return text.clone(),
            Value::Bool(on) => (if *on { "yes" } else { "no" }).to_owned(),
            Value::Int(n) => n.to_string(),
            Value::Octal(mode) => format!("{mode:o}"),
            Value::Memory(n) => n.to_string(),
            Value::Percent(n) => format!("{n}%"),
            Value::Enum(_, word) => (*word).to_owned(),
            Value::Policy(policy) => policy.name().to_owned(),
            Value::Words(words) => words.join(" "),
            Value::OutputLimits(_) => self.lines().join(" "),
            Value::SavePoints(points) => {
                let pairs: Vec<_> = points.iter().map(|(s, c)| format!("{s} {c}")).collect();
                pairs.join(" ")
            }
            Value::Percentiles(list) => {
                let mut text = String::new();
                for n in list {
                    let gap = if text.is_empty() { "" } else { " " };
                    let _ = write!(text, "{gap}{n}");
                }
                text
            }
            Value::Events(bits) => print_events(*bits),
        };
        text.into_bytes()
    }

    /// For kinds that fill several lines of a configuration file: what follows the name in each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Value::OutputLimits(limits) => vec![
                print_limit("normal", &limits.normal),
                // `slave` is what CONFIG GET of Redis 7.2 prints, and scripts look for it.
                print_limit("slave", &limits.replica),
                print_limit("pubsub", &limits.pubsub),
            ],
            Value::SavePoints(points) if !points.is_empty() => {
                points.iter().map(|(s, c)| format!("{s} {c}")).collect()
            }
            _ => Vec::new(),
        }
    }

    // The accessors below are used by the rows of the table only; a row that asks for the wrong
    // type is caught by the test that applies every default.

    pub(super) fn bool(&self) -> bool {
        match self {
            Value::Bool(on) => *on,
            other => unreachable!("not a switch: {other:?}"),
        }
    }

    pub(super) fn int(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            other => unreachable!("not an integer: {other:?}"),
        }
    }

    /// Integers whose bounds lie within 32 bits.
    pub(super) fn u32(&self) -> u32 {
        u32::try_from(self.int()).unwrap_or(u32::MAX)
    }

    /// Integers whose lower bound is 0.
    pub(super) fn u64(&self) -> u64 {
        u64::try_from(self.int()).unwrap_or(0)
    }

    /// Bytes; a percentage is taken of `whole` (0 of 0: no limit).
    pub(super) fn memory(&self, whole: u64) -> u64 {
        match self {
            Value::Memory(n) => *n,
            Value::Percent(n) => share_of(whole, *n),
            other => unreachable!("not bytes: {other:?}"),
        }
    }

    /// Memory in the machine's word size.
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.memory(0)).unwrap_or(usize::MAX)
    }

    pub(super) fn index(&self) -> usize {
        match self {
            Value::Enum(i, _) => *i,
            other => unreachable!("not an enumeration: {other:?}"),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Value::Text(text) => text.clone(),
            other => unreachable!("not a text: {other:?}"),
        }
    }

    /// Text that is compared with words; other bytes than UTF-8 match none of them.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    pub(super) fn path(&self) -> Option<std::path::PathBuf> {
        use std::os::unix::ffi::OsStringExt as _;
        let text = self.bytes();
        (!text.is_empty()).then(|| std::ffi::OsString::from_vec(text).into())
    }
}
