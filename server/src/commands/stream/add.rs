//! XADD.

use super::docs::{KEY, TRIM, docs};
use super::id::new_id_arg;
use super::trim::TrimOptions;
use super::{edit, edit_or_new, reply_id};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, wrong_arity};
use crate::commands::spec::{Arity, Command, KeySpec, MANY, Outcome};
use crate::notify::Class;
use dunlin_protocol::Request;
use dunlin_storage::value::stream::{AppendError, Limits, NewId, Stream, StreamId};

pub(super) const XADD: Command = Command::new("xadd", Arity::at_least(5), xadd)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(&[KeySpec::one(1)
        .update()
        .notes("UPDATE instead of INSERT because of the optional trimming feature")])
    .tips(&["nondeterministic_output"])
    .grows_from(6)
    .grows_if(may_trim)
    .docs(
        docs(
            "5.0.0",
            "O(1) when adding an entry, O(N) when trimming where N is the number of entries \
             removed.",
            "Adds an entry to a stream, which is made if there is none at the key.",
        )
        .history(&[
            (
                "6.2.0",
                "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option.",
            ),
            ("7.0.0", "Added support for the `<ms>-*` explicit ID form."),
        ])
        .args(&[
            KEY,
            Arg::flag("nomkstream", "NOMKSTREAM").since("6.2.0").optional(),
            TRIM.optional(),
            Arg::one_of("id-selector", &[Arg::flag("auto-id", "*"), Arg::string("id")]),
            Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
        ]),
    );

/// Whether there are options in front of the identifier, which begins with no letter: then it may remove
/// entries.
fn may_trim(request: &Request<'_>) -> bool {
    let option = request.get(2).and_then(|word| word.first());
    request.len() >= MANY || option.is_some_and(u8::is_ascii_alphabetic)
}

const EXHAUSTED: ReplyError =
    ReplyError::new("ERR The stream has exhausted the last possible ID, unable to add more items");
const NOT_GREATER: ReplyError = ReplyError::new(
    "ERR The ID specified in XADD is equal or smaller than the target stream top item",
);
const TOO_LARGE: ReplyError = ReplyError::new("ERR Elements are too large to be stored");
const ZERO_ID: ReplyError =
    ReplyError::new("ERR The ID specified in XADD must be greater than 0-0");

/// What is before the fields.
struct Options {
    create: bool,
    trim: TrimOptions,
    id: NewId,
    /// The argument with the first field.
    fields: usize,
}

impl Options {
    fn parse(call: &Call<'_, '_>) -> Result<Self, ReplyError> {
        let mut create = true;
        let mut trim = TrimOptions::default();
        let mut id = NewId::Auto;
        let mut i = 2;
        while i < call.argc() && call.arg(i) != b"*" {
            let used = trim.take(call, i)?;
            if used > 0 {
                i += used;
            } else if call.is(i, "NOMKSTREAM") {
                create = false;
                i += 1;
            } else {
                id = new_id_arg(call, i)?;
                break;
            }
        }
        trim.check(false)?;
        let fields = i + 1;
        let arguments = call.argc().saturating_sub(fields);
        if arguments < 2 || arguments % 2 == 1 {
            return Err(wrong_arity("xadd"));
        }
        if id == NewId::Exactly(StreamId::MIN) {
            return Err(ZERO_ID);
        }
        Ok(Options { create, trim, id, fields })
    }
}

fn xadd(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let options = Options::parse(call)?;
    let (request, now) = (call.request, call.now);
    let first = options.fields;
    let fields = (0..(request.len() - first) / 2)
        .map(move |i| (request.arg(first + 2 * i), request.arg(first + 2 * i + 1)));
    let add = |stream: &mut Stream, limits: &Limits| {
        let id = stream.log.append(options.id, fields, limits, now)?;
        let trimmed = options.trim.trim(limits).map_or(0, |how| stream.log.trim(how));
        Ok((id, trimmed))
    };
    let key = call.key(1);
    let added =
        if options.create { Some(edit_or_new(call, &key, add)?) } else { edit(call, &key, add)? };
    match added {
        Some(Ok((id, trimmed))) => {
            call.notify(Class::STREAM, "xadd", &key);
            if trimmed > 0 {
                call.notify(Class::STREAM, "xtrim", &key);
            }
            reply_id(call.reply, id);
        }
        Some(Err(error)) => return Err(text_of(error)),
        None => call.reply.null(),
    }
    Ok(Outcome::Done)
}

fn text_of(error: AppendError) -> ReplyError {
    match error {
        AppendError::Exhausted => EXHAUSTED,
        AppendError::NotGreater => NOT_GREATER,
        AppendError::TooLarge => TOO_LARGE,
    }
}
