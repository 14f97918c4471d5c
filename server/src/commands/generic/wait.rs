//! WAIT and WAITAOF: wait until writes have reached replicas or files.
//!
//! There are no append-only files, and outside a cluster there are no replicas, so what is asked for is
//! there at once if it is nothing, and else never: the client waits for its timeout and is told 0. In a
//! cluster the replicas are the backups in sync of this node's slots.

use crate::blocking::{Meanwhile, Wait};
use crate::commands::blocking::milliseconds;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{self, ReplyError};
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::Reply;
use dunlin_storage::Millis;
use std::sync::Arc;

const TIPS: &[&str] = &["request_policy:all_shards", "response_policy:agg_min"];

pub(super) const WAIT: Command = Command::new("wait", Arity::exactly(3), wait)
    .flags(flag_set!(CHEAP))
    .categories(&["connection"])
    .tips(TIPS)
    .docs(
        Docs::new(
            Group::Generic,
            "3.0.0",
            "O(1)",
            "Waits until the connection's writes have reached some replicas.",
        )
        .args(&[Arg::integer("numreplicas"), Arg::integer("timeout")]),
    );

pub(super) const WAITAOF: Command = Command::new("waitaof", Arity::exactly(4), waitaof)
    .flags(flag_set!(CHEAP))
    .categories(&["connection"])
    .tips(TIPS)
    .docs(
        Docs::new(
            Group::Generic,
            "7.2.0",
            "O(1)",
            "Waits until the connection's writes have reached append-only files, here or on \
             replicas.",
        )
        .args(&[
            Arg::integer("numlocal"),
            Arg::integer("numreplicas"),
            Arg::integer("timeout"),
        ]),
    );

fn no_replicas(reply: &mut Reply) {
    reply.int(0);
}

fn no_files(reply: &mut Reply) {
    reply.array(2);
    reply.int(0);
    reply.int(0);
}

/// Answers at once if there is `enough` or a command may not wait, else at the deadline.
fn answer(
    call: &mut Call<'_, '_>,
    enough: bool,
    deadline: Option<Millis>,
    reply: fn(&mut Reply),
) -> Outcome {
    if enough || !call.may_block() {
        reply(call.reply);
        return Outcome::Done;
    }
    Outcome::Block(Wait { deadline, on_timeout: reply, on: None, meanwhile: None })
}

fn wait(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let replicas = call.int(1)?;
    let deadline = milliseconds(call, 2)?;
    let streams = call.server.cluster.as_ref().and_then(|cluster| cluster.streams());
    if let Some(streams) = streams {
        let meanwhile = call.client.wait.as_ref().and_then(|wait| wait.meanwhile.clone());
        let awaited = match meanwhile {
            Some(Meanwhile::Copies(awaited)) => awaited,
            _ => Arc::new(streams.awaited(replicas, deadline)),
        };
        let count = awaited.acknowledged();
        if count >= replicas || awaited.is_over(call.now) || !call.may_block() {
            call.reply.int(count);
            return Ok(Outcome::Done);
        }
        let meanwhile = Some(Meanwhile::Copies(awaited));
        let wait = Wait { deadline: None, on_timeout: no_replicas, on: None, meanwhile };
        return Ok(Outcome::Block(wait));
    }
    Ok(answer(call, replicas <= 0, deadline, no_replicas))
}

fn waitaof(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let local = call.int(1)?;
    if !(0..=1).contains(&local) {
        return Err("ERR value is out of range, value must between 0 and 1".into());
    }
    let replicas = call.int(2).ok().filter(|count| *count >= 0).ok_or(error::NOT_POSITIVE)?;
    let deadline = milliseconds(call, 3)?;
    if local > 0 {
        let text = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
        return Err(text.into());
    }
    Ok(answer(call, replicas == 0, deadline, no_files))
}
