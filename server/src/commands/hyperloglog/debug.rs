//! PFDEBUG and PFSELFTEST: for tests of the server.

use super::{KEY, NOT_HLL, docs, make_raw};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, quoting};
use crate::commands::spec::{Arity, Command, Flags, KeyFlags, KeySpec, Outcome};
use crate::commands::string::for_update;
use dunlin_storage::value::hyperloglog::{Encoding, HllBuf, self_test};
use dunlin_storage::{Key, Millis, NewValue};

const MISSING: ReplyError = ReplyError::new("ERR The specified key does not exist");
const NOT_SPARSE: ReplyError = ReplyError::new("ERR HLL encoding is not sparse");

pub(super) const PFDEBUG: Command = Command::new("pfdebug", Arity::exactly(3), pfdebug)
    .flags(flag_set!(WRITE | DENYOOM | ADMIN))
    .keys(&[KeySpec::one(2).with(KeyFlags::RW).with(KeyFlags::ACCESS)])
    .docs(
        docs("N/A", "Shows how a HyperLogLog is kept, and makes it dense.")
            .args(&[Arg::string("subcommand"), KEY])
            .system(),
    );

fn pfdebug(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(2);
    let (string, expire_at) = for_update(call, &key)?.ok_or(MISSING)?;
    let mut hll = HllBuf::from_bytes(string.to_cow().into_owned()).ok_or(NOT_HLL)?;
    make_raw(call, &key, string, expire_at);
    let dense = hll.view().encoding() == Encoding::Dense;
    match call.arg(1).to_ascii_lowercase().as_slice() {
        b"getreg" => {
            hll.make_dense()?;
            let registers = hll.view().registers()?;
            store(call, &key, hll, expire_at);
            call.reply.array(registers.values().len());
            registers.values().iter().for_each(|value| call.reply.int(i64::from(*value)));
        }
        b"decode" => call.reply.bulk(hll.view().decode().ok_or(NOT_SPARSE)?.as_bytes()),
        b"encoding" => call.reply.simple(if dense { "dense" } else { "sparse" }),
        b"todense" => {
            let converted = hll.make_dense()?;
            store(call, &key, hll, expire_at);
            call.reply.int(i64::from(converted));
        }
        _ => return Err(quoting("ERR Unknown PFDEBUG subcommand '", call.arg(1), "'")),
    }
    Ok(Outcome::Done)
}

/// Stores what was only given another form: nobody is told.
fn store(call: &mut Call<'_, '_>, key: &Key<'_>, hll: HllBuf, expire_at: Option<Millis>) {
    call.put(key, NewValue::Raw(&hll.into_bytes()), expire_at);
}

pub(super) const PFSELFTEST: Command = Command::new("pfselftest", Arity::exactly(1), pfselftest)
    .flags(Flags::ADMIN)
    .docs(docs("N/A", "Tests whether HyperLogLogs keep and estimate as they should.").system());

fn pfselftest(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    match self_test(call.server.random(), call.server.hll_sparse_max()) {
        Ok(()) => call.reply.ok(),
        Err(what) => return Err(format!("ERR TESTFAILED {what}").into()),
    }
    Ok(Outcome::Done)
}
