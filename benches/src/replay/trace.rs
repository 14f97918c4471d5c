//! Traces: which keys were asked for in which order, and how large they are.
//!
//! | format | one request |
//! |---|---|
//! | `keys` | a line: the key |
//! | `arc` | a line `start count ...`: `count` requests from `start` on |
//! | `csv` | a line `time,key,size,...`, separated by commas or blanks; with a header line the columns are found by name (`key`, `obj_id`, `lbn`, ...; `size`) |
//! | `address` | a line `op 0xADDRESS ...` |
//! | `u32`, `u64` | a big-endian number |
//! | `oracle` | libCacheSim's 24 bytes: time 4, key 8, size 4, next 8, little-endian |
//!
//! Compressed files are to be piped in (`xz -dc FILE | dunlin-bench replay --trace NAME=-`). A key
//! that comes with several sizes keeps the first one.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read, stdin};

use crate::{Failure, Outcome};

/// A request: the key's number in the order of appearance.
pub type KeyId = u32;

/// A trace in memory.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Name in the tables.
    pub name: String,
    /// Keys asked for.
    pub requests: Vec<KeyId>,
    /// Length of each key's value, by its number; 0 if the trace does not say.
    pub sizes: Vec<u32>,
}

/// How a file is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A key per line.
    Keys,
    /// Runs of keys.
    Arc,
    /// Time, key, size.
    Csv,
    /// Addresses of a processor.
    Address,
    /// Four bytes.
    U32,
    /// Eight bytes.
    U64,
    /// libCacheSim's binary form.
    Oracle,
}

const FORMATS: [(&str, Format); 7] = [
    ("keys", Format::Keys),
    ("arc", Format::Arc),
    ("csv", Format::Csv),
    ("address", Format::Address),
    ("u32", Format::U32),
    ("u64", Format::U64),
    ("oracle", Format::Oracle),
];

/// Names of the columns of a csv file that hold the key.
const KEY_COLUMNS: [&str; 7] = ["key", "obj_id", "object", "id", "lbn", "lba", "block"];
/// Names of the columns that hold the size.
const SIZE_COLUMNS: [&str; 4] = ["size", "obj_size", "value_size", "bytes"];
/// Longest run of an ARC trace: a damaged line must not fill the memory.
const RUN_MAX: u64 = 1 << 20;

impl Format {
    /// The format of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// What a file's ending says.
    fn of(path: &str) -> Self {
        match path.rsplit('.').next() {
            Some("lis" | "arc") => Self::Arc,
            Some("csv") => Self::Csv,
            Some("u32") => Self::U32,
            Some("u64") => Self::U64,
            Some("bin") => Self::Oracle,
            Some("address") => Self::Address,
            _ => Self::Keys,
        }
    }
}

/// Numbers keys as they come.
#[derive(Default)]
struct Builder {
    trace: Trace,
    known: HashMap<u64, KeyId>,
    hasher: RandomState,
}

impl Builder {
    fn number(&mut self, key: u64, size: u32) {
        let next = self.trace.sizes.len() as KeyId;
        let id = *self.known.entry(key).or_insert(next);
        if id == next {
            self.trace.sizes.push(size);
        }
        self.trace.requests.push(id);
    }

    fn text(&mut self, key: &str, size: u32) {
        // Names that are no numbers stand for their hash.
        let key = key.parse().unwrap_or_else(|_| self.hasher.hash_one(key));
        self.number(key, size);
    }
}

/// Reads `[NAME=]PATH[:FORMAT]`; the path `-` is the standard input. At most `most` requests.
///
/// # Errors
///
/// When the file cannot be read or holds no request.
pub fn read(spec: &str, most: usize) -> Outcome<Trace> {
    let (spec, format) = match spec.rsplit_once(':') {
        Some((path, name)) => {
            let unknown = || Failure::from(format!("no format named {name}"));
            (path, Some(Format::parse(name).ok_or_else(unknown)?))
        }
        None => (spec, None),
    };
    let (name, path) = match spec.split_once('=') {
        Some((name, path)) => (name, path),
        None => (file_stem(spec), spec),
    };
    let mut bytes = Vec::new();
    match path {
        "-" => stdin().read_to_end(&mut bytes)?,
        _ => {
            let open = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
            open.map_err(|e| format!("{path}: {e}"))?
        }
    };
    let mut trace = parse(&bytes, format.unwrap_or_else(|| Format::of(path)), most);
    if trace.requests.is_empty() {
        return Err(format!("{path}: no requests").into());
    }
    name.clone_into(&mut trace.name);
    Ok(trace)
}

fn file_stem(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file)
}

/// The requests in `bytes`; what is not a request is left out.
#[must_use]
pub fn parse(bytes: &[u8], format: Format, most: usize) -> Trace {
    let mut builder = Builder::default();
    match format {
        Format::U32 => {
            for number in bytes.as_chunks::<4>().0.iter().take(most) {
                builder.number(u64::from(u32::from_be_bytes(*number)), 0);
            }
        }
        Format::U64 => {
            for number in bytes.as_chunks::<8>().0.iter().take(most) {
                builder.number(u64::from_be_bytes(*number), 0);
            }
        }
        Format::Oracle => {
            for record in bytes.as_chunks::<24>().0.iter().take(most) {
                let key = record[4..12].try_into().map_or(0, u64::from_le_bytes);
                let size = record[12..16].try_into().map_or(0, u32::from_le_bytes);
                builder.number(key, size);
            }
        }
        _ => lines(&mut builder, &String::from_utf8_lossy(bytes), format, most),
    }
    builder.trace
}

fn lines(builder: &mut Builder, text: &str, format: Format, most: usize) {
    let mut columns = (1, 2);
    for (i, line) in text.lines().enumerate() {
        if builder.trace.requests.len() >= most {
            break;
        }
        let fields: Vec<&str> =
            line.split([',', ' ', '\t']).filter(|field| !field.is_empty()).collect();
        match (format, fields.as_slice()) {
            (Format::Keys, [key, ..]) if *key != "*" => builder.text(key, 0),
            (Format::Arc, [start, count, ..]) => {
                let (Ok(start), Ok(count)) = (start.parse::<u64>(), count.parse::<u64>()) else {
                    continue;
                };
                let run = start..start.saturating_add(count.min(RUN_MAX));
                run.for_each(|key| builder.number(key, 0));
            }
            (Format::Address, [_, address, ..]) => {
                let hex = address.trim_start_matches("0x");
                u64::from_str_radix(hex, 16).into_iter().for_each(|key| builder.number(key, 0));
            }
            (Format::Csv, fields) if i == 0 && fields.iter().any(|f| KEY_COLUMNS.contains(f)) => {
                let column = |names: &[&str]| fields.iter().position(|f| names.contains(f));
                let none = usize::MAX;
                columns =
                    (column(&KEY_COLUMNS).unwrap_or(none), column(&SIZE_COLUMNS).unwrap_or(none));
            }
            (Format::Csv, fields) => {
                let size = fields.get(columns.1).and_then(|size| size.parse().ok()).unwrap_or(0);
                if let Some(key) = fields.get(columns.0) {
                    builder.text(key, size);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, format: Format) -> Trace {
        parse(text.as_bytes(), format, usize::MAX)
    }

    #[test]
    fn every_format_is_understood() {
        assert_eq!(of("a\nb\n*\n\na\n", Format::Keys).requests, [0, 1, 0]);
        assert_eq!(of("5 3 0 1\n4 2 0 2\nx\n", Format::Arc).requests, [0, 1, 2, 3, 0]);
        let csv = of("1 7 100\n2,8,200\n3,7,300\n", Format::Csv);
        assert_eq!((csv.requests, csv.sizes), (vec![0, 1, 0], vec![100, 200]));
        let named = of("version,time,op,size,lbn\n1,9,2a,512,77\n1,9,2a,256,78\n", Format::Csv);
        assert_eq!((named.requests, named.sizes), (vec![0, 1], vec![512, 256]));
        assert_eq!(of("l 0x1f 1\ns 0x20 2\nl 0x1f 0\n", Format::Address).requests, [0, 1, 0]);
        assert_eq!(of("\0\0\0\x01\0\0\0\x02\0\0\0\x01", Format::U32).requests, [0, 1, 0]);
        assert_eq!(of("\0\0\0\0\0\0\0\x01\0", Format::U64).requests, [0]);
        let mut record = [0; 24];
        (record[4], record[12]) = (9, 5);
        assert_eq!(parse(&record, Format::Oracle, 9).sizes, [5]);
    }

    #[test]
    fn a_trace_can_be_cut() {
        assert_eq!(parse(b"a\nb\nc\n", Format::Keys, 2).requests.len(), 2);
        assert!(read("/no/such/file", 1).is_err());
        assert!(read("x:nonsense", 1).is_err());
    }
}
