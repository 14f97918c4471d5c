//! DEBUG PROTOCOL: a reply of every type, for tests of clients.

use crate::commands::call::Call;
use crate::commands::error::ReplyError;
use crate::commands::spec::Outcome;
use dunlin_protocol::Proto;

const UNKNOWN: ReplyError = ReplyError::new(
    "ERR Wrong protocol type name. Please use one of the following: \
     string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
);

#[expect(clippy::approx_constant, reason = "the number that Redis answers, not a constant")]
const EXAMPLE: f64 = 3.141;

pub(super) fn run(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let reply = &mut *call.reply;
    let resp3 = reply.proto() == Proto::Resp3;
    match call.request.arg(2).to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(EXAMPLE),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|i| reply.int(i));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|i| reply.int(i));
        }
        b"map" => {
            reply.map(3);
            for i in 0..3 {
                reply.int(i);
                reply.bool(i == 1);
            }
        }
        b"attrib" => {
            if resp3 {
                reply.raw(b"|1\r\n");
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if !resp3 => return Err("ERR RESP2 is not supported by this command".into()),
        b"push" => {
            reply.bulk(b"Some real reply following the push reply");
            // Whatever it says: since 7.2 what a command sends to its own client follows its reply.
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
        }
        b"true" => reply.bool(true),
        b"false" => reply.bool(false),
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        _ => return Err(UNKNOWN),
    }
    Ok(Outcome::Done)
}
