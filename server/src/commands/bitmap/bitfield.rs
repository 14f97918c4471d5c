//! BITFIELD and BITFIELD_RO: integers of 1 to 64 bits at any bit of a string.

use super::{BAD_OFFSET, bit_offset, byte_of};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::commands::string::{ONE_CHUNK, for_update, rope_of};
use crate::notify::Class;
use dunlin_protocol::number;
use dunlin_storage::{NewValue, Rope, Str};

const KEY: Arg = Arg::key("key", 0);
const ENCODING: Arg = Arg::string("encoding");
const OFFSET: Arg = Arg::integer("offset");
const GET: Arg = Arg::block("get-block", &[ENCODING, OFFSET]).token("GET");

const BAD_TYPE: ReplyError = ReplyError::new(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 \
     is.",
);

pub(super) const BITFIELD: Command = Command::new("bitfield", Arity::at_least(2), bitfield)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[KeySpec::one(1)
        .update()
        .with(KeyFlags::ACCESS)
        .with(KeyFlags::VARIABLE)
        .notes("This command allows both access and modification of the key")])
    .docs(
        Docs::new(
            Group::Bitmap,
            "3.2.0",
            "O(1) for each subcommand specified",
            "Reads, sets and increments integers of any width at any bit of a string.",
        )
        .args(&[
            KEY,
            Arg::one_of(
                "operation",
                &[
                    GET,
                    Arg::block(
                        "write",
                        &[
                            Arg::one_of(
                                "overflow-block",
                                &[
                                    Arg::flag("wrap", "WRAP"),
                                    Arg::flag("sat", "SAT"),
                                    Arg::flag("fail", "FAIL"),
                                ],
                            )
                            .token("OVERFLOW")
                            .optional(),
                            Arg::one_of(
                                "write-operation",
                                &[
                                    Arg::block(
                                        "set-block",
                                        &[ENCODING, OFFSET, Arg::integer("value")],
                                    )
                                    .token("SET"),
                                    Arg::block(
                                        "incrby-block",
                                        &[ENCODING, OFFSET, Arg::integer("increment")],
                                    )
                                    .token("INCRBY"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
            .optional()
            .multiple(),
        ]),
    );

pub(super) const BITFIELD_RO: Command =
    Command::new("bitfield_ro", Arity::at_least(2), bitfield_ro)
        .flags(flag_set!(READONLY | FAST))
        .keys(&[KeySpec::one(1).read()])
        .docs(
            Docs::new(
                Group::Bitmap,
                "6.0.0",
                "O(1) for each subcommand specified",
                "Reads integers of any width at any bit of a string.",
            )
            .args(&[KEY, GET.optional().multiple_token()]),
        );

/// Width and sign of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Type {
    signed: bool,
    bits: u32,
}

impl Type {
    /// `i1` to `i64`, `u1` to `u63`.
    fn parse(text: &[u8]) -> Option<Type> {
        let (signed, most) = match text.first()? {
            b'i' => (true, 64),
            b'u' => (false, 63),
            _ => return None,
        };
        let bits = number::parse_u64(&text[1..]).and_then(|bits| u32::try_from(bits).ok())?;
        (1..=most).contains(&bits).then_some(Type { signed, bits })
    }

    fn min(self) -> i128 {
        if self.signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    fn max(self) -> i128 {
        if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    /// The integer that the lowest bits of `raw` are.
    fn read(self, raw: u64) -> i64 {
        let shift = 64 - self.bits;
        if self.signed { (raw << shift).cast_signed() >> shift } else { raw.cast_signed() }
    }

    /// `value` as this type allows, `None` if it must fail.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        if (self.min()..=self.max()).contains(&value) {
            return i64::try_from(value).ok();
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => i64::try_from(value.clamp(self.min(), self.max())).ok(),
            Overflow::Wrap => {
                let mask = (1_i128 << self.bits) - 1;
                let raw = u64::try_from(value & mask).ok()?;
                Some(self.read(raw))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Overflow {
    #[default]
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    kind: Type,
    offset: u64,
    action: Action,
    overflow: Overflow,
}

impl Field {
    /// What follows on the value `old`, and the reply; `None` if it fails for overflow.
    fn next(&self, old: i64) -> Option<(i64, i64)> {
        match self.action {
            Action::Get => Some((old, old)),
            Action::Set(value) => {
                // An unsigned field takes the bits of the argument.
                let wanted = if self.kind.signed {
                    i128::from(value)
                } else {
                    i128::from(value.cast_unsigned())
                };
                Some((self.kind.fit(wanted, self.overflow)?, old))
            }
            Action::Add(delta) => {
                let new = self.kind.fit(i128::from(old) + i128::from(delta), self.overflow)?;
                Some((new, new))
            }
        }
    }

    fn last_byte(&self) -> usize {
        byte_of(self.offset + u64::from(self.kind.bits) - 1)
    }
}

fn parse(call: &Call<'_, '_>) -> Result<Vec<Field>, ReplyError> {
    let argc = call.argc();
    let mut fields = Vec::new();
    let mut overflow = Overflow::default();
    let mut i = 2;
    while i < argc {
        let left = argc - i - 1;
        if call.is(i, "OVERFLOW") && left >= 1 {
            overflow = match () {
                () if call.is(i + 1, "WRAP") => Overflow::Wrap,
                () if call.is(i + 1, "SAT") => Overflow::Saturate,
                () if call.is(i + 1, "FAIL") => Overflow::Fail,
                () => return Err("ERR Invalid OVERFLOW type specified".into()),
            };
            i += 2;
            continue;
        }
        let set = call.is(i, "SET");
        let needed = match () {
            () if call.is(i, "GET") => 2,
            () if set || call.is(i, "INCRBY") => 3,
            () => return Err(SYNTAX),
        };
        if left < needed {
            return Err(SYNTAX);
        }
        let kind = Type::parse(call.arg(i + 1)).ok_or(BAD_TYPE)?;
        let offset = bit_offset(call, call.arg(i + 2), Some(kind.bits))?;
        let action = match needed {
            2 => Action::Get,
            _ if set => Action::Set(call.int(i + 3)?),
            _ => Action::Add(call.int(i + 3)?),
        };
        fields.push(Field { kind, offset, action, overflow });
        i += needed + 1;
    }
    Ok(fields)
}

fn bitfield_ro(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let fields = parse(call)?;
    if fields.iter().any(|field| field.action != Action::Get) {
        return Err("ERR BITFIELD_RO only supports the GET subcommand".into());
    }
    read_fields(call, &fields)
}

fn read_fields(call: &mut Call<'_, '_>, fields: &[Field]) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let value = call.lookup_str(&key)?.unwrap_or(Str::Inline { bytes: b"", raw: false });
    call.reply.array(fields.len());
    for field in fields {
        let mut window = Window::of(field);
        let mut at = 0;
        for part in value.range(window.start, window.end) {
            window.bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        call.reply.int(field.kind.read(window.get(field)));
    }
    Ok(Outcome::Done)
}

fn bitfield(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let fields = parse(call)?;
    let writes = fields.iter().filter(|field| field.action != Action::Get);
    let Some(last) = writes.map(Field::last_byte).max() else {
        return read_fields(call, &fields);
    };
    let key = call.key(1);
    let (old, expire_at) = match for_update(call, &key)? {
        Some((old, expire_at)) => (old, expire_at),
        None => (Str::Inline { bytes: b"", raw: false }, None),
    };
    // A field that begins at the last allowed byte may end behind it.
    if last >= super::LEAST_MAX_BYTES && last >= super::max_len(call).saturating_add(8) {
        return Err(BAD_OFFSET);
    }
    let mut target = Target::new(old, last + 1);
    let mut changed = last >= old.len();
    call.reply.array(fields.len());
    for field in &fields {
        let (reply, changes) = target.run(field);
        changed |= changes;
        match reply {
            Some(value) => call.reply.int(value),
            None => call.reply.null(),
        }
    }
    let updated = matches!(old, Str::Rope(_) | Str::Inline { raw: true, .. });
    // Nothing to store if neither the bits nor the length nor the encoding changes.
    if changed || !updated {
        match target {
            Target::Flat(bytes) => call.put(&key, NewValue::Raw(&bytes), expire_at),
            Target::Rope(rope) => call.put(&key, NewValue::Rope(rope), expire_at),
        };
    }
    if changed {
        call.notify(Class::STRING, "setbit", &key);
    }
    Ok(Outcome::Done)
}

/// The bytes that a field touches: at most nine.
struct Window {
    start: usize,
    end: usize,
    bytes: [u8; 16],
}

impl Window {
    fn of(field: &Field) -> Window {
        let start = byte_of(field.offset);
        Window { start, end: field.last_byte() + 1, bytes: [0; 16] }
    }

    /// Places between the field and the lowest bit of the window.
    fn shift(field: &Field) -> u32 {
        let lead = u32::try_from(field.offset % 8).unwrap_or(0);
        u128::BITS - lead - field.kind.bits
    }

    fn mask(field: &Field) -> u128 {
        ((1 << field.kind.bits) - 1) << Window::shift(field)
    }

    fn get(&self, field: &Field) -> u64 {
        let all = u128::from_be_bytes(self.bytes);
        let raw = (all & Window::mask(field)) >> Window::shift(field);
        u64::try_from(raw).unwrap_or(0)
    }

    fn set(&mut self, field: &Field, value: i64) {
        let mask = Window::mask(field);
        let raw = (u128::from(value.cast_unsigned()) << Window::shift(field)) & mask;
        let all = u128::from_be_bytes(self.bytes) & !mask;
        self.bytes = (all | raw).to_be_bytes();
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.end - self.start]
    }
}

/// The string being updated.
enum Target {
    Flat(Vec<u8>),
    Rope(Rope),
}

impl Target {
    /// `old`, with zeros up to `len` if it is shorter.
    fn new(old: Str<'_>, len: usize) -> Target {
        let len = len.max(old.len());
        if let Some(bytes) = old.as_slice().filter(|_| len <= ONE_CHUNK) {
            let mut new = Vec::with_capacity(len);
            new.extend_from_slice(bytes);
            new.resize(len, 0);
            return Target::Flat(new);
        }
        let rope = rope_of(old);
        if rope.len() < len {
            return Target::Rope(rope.write_at(len - 1, &[0]));
        }
        Target::Rope(rope)
    }

    fn load(&self, window: &mut Window) {
        let mut at = 0;
        let mut copy = |part: &[u8]| {
            window.bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        match self {
            Target::Flat(bytes) => {
                let end = window.end.min(bytes.len());
                copy(&bytes[window.start.min(end)..end]);
            }
            Target::Rope(rope) => rope.slices(window.start, window.end).for_each(copy),
        }
    }

    fn store(&mut self, window: &Window) {
        match self {
            Target::Flat(bytes) => {
                bytes[window.start..window.end].copy_from_slice(window.bytes());
            }
            Target::Rope(rope) => *rope = rope.write_at(window.start, window.bytes()),
        }
    }

    /// Runs one operation. Returns its reply, `None` if it fails for overflow, and whether it has
    /// changed the string.
    fn run(&mut self, field: &Field) -> (Option<i64>, bool) {
        let mut window = Window::of(field);
        self.load(&mut window);
        let old = field.kind.read(window.get(field));
        let Some((new, reply)) = field.next(old) else {
            return (None, false);
        };
        if new != old {
            window.set(field, new);
            self.store(&window);
        }
        (Some(reply), new != old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(kind: &str, offset: u64, action: Action, overflow: Overflow) -> Field {
        let kind = Type::parse(kind.as_bytes()).expect("a type");
        Field { kind, offset, action, overflow }
    }

    #[test]
    fn types() {
        for good in ["i1", "i64", "u1", "u63", "u8"] {
            assert!(Type::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in ["", "i", "i0", "i65", "u64", "u0", "x8", "u8a", "I8", "u-1", "u+1", "u08"] {
            assert!(Type::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn overflow_as_redis_does_it() {
        use Overflow::{Fail, Saturate, Wrap};
        let mut target = Target::new(Str::Inline { bytes: b"", raw: false }, 8);
        let mut run =
            |kind: &str, action, overflow| target.run(&field(kind, 0, action, overflow)).0;
        assert_eq!(run("u8", Action::Add(200), Wrap), Some(200));
        assert_eq!(run("u8", Action::Add(100), Wrap), Some(44));
        assert_eq!(run("u8", Action::Add(300), Saturate), Some(255));
        assert_eq!(run("u8", Action::Add(1), Fail), None);
        assert_eq!(run("u8", Action::Set(-1), Fail), None);
        assert_eq!(run("u8", Action::Set(-1), Saturate), Some(255));
        assert_eq!(run("u8", Action::Add(-256), Saturate), Some(0));
        assert_eq!(run("i8", Action::Set(200), Saturate), Some(0));
        assert_eq!(run("i8", Action::Set(200), Wrap), Some(127));
        assert_eq!(run("i8", Action::Get, Wrap), Some(-56));
        assert_eq!(run("i64", Action::Set(i64::MAX), Wrap), Some(-4_035_225_266_123_964_416));
        assert_eq!(run("i64", Action::Add(i64::MAX), Wrap), Some(-2));
        assert_eq!(run("i64", Action::Add(i64::MIN), Saturate), Some(i64::MIN));
        assert_eq!(run("u63", Action::Add(i64::MAX), Saturate), Some(i64::MAX));
        assert_eq!(run("u63", Action::Add(i64::MIN), Saturate), Some(0));
        assert_eq!(run("u63", Action::Set(i64::MIN), Saturate), Some(0));
        assert_eq!(run("u63", Action::Get, Wrap), Some(i64::MAX));
    }

    /// The field as single bits.
    fn bits_of(bytes: &[u8], field: &Field) -> u64 {
        (0..u64::from(field.kind.bits)).fold(0, |raw, i| {
            let at = field.offset + i;
            let byte = bytes[byte_of(at)];
            raw << 1 | u64::from(byte & (0x80 >> (at % 8)) != 0)
        })
    }

    proptest! {
        #[test]
        fn fields_touch_their_bits_only(
            bytes in proptest::collection::vec(any::<u8>(), 20..40),
            signed: bool,
            bits in 1..=63_u32,
            offset in 0..90_u64,
            value: i64,
            rope: bool,
        ) {
            let kind = Type { signed, bits };
            let mut target = if rope {
                Target::Rope(Rope::from_bytes(&bytes))
            } else {
                Target::Flat(bytes.clone())
            };
            let set = Field { kind, offset, action: Action::Set(value), overflow: Overflow::Wrap };
            let (reply, changed) = target.run(&set);
            prop_assert_eq!(reply, Some(kind.read(bits_of(&bytes, &set))));
            let after = match target {
                Target::Flat(bytes) => bytes,
                Target::Rope(rope) => rope.to_vec(),
            };
            prop_assert_eq!(changed, after != bytes);
            let raw = value.cast_unsigned() & ((1 << bits) - 1);
            prop_assert_eq!(bits_of(&after, &set), raw);
            for at in (0..bytes.len() as u64 * 8)
                .filter(|at| !(offset..offset + u64::from(bits)).contains(at))
            {
                let one = Field { kind: Type { signed: false, bits: 1 }, offset: at, ..set };
                prop_assert_eq!(bits_of(&after, &one), bits_of(&bytes, &one));
            }
        }
    }
}
