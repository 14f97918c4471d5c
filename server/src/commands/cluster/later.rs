//! Commands that are answered later, because others have to agree or to do something first. The client
//! waits, and nobody else.

use super::node;
use crate::blocking::{Answer, Meanwhile, Wait, Word};
use crate::cluster::Cluster;
use crate::cluster::change::{Change, Verdict};
use crate::cluster::meta::Unsettled;
use crate::cluster::operations::Operations;
use crate::commands::call::Call;
use crate::commands::error::ReplyError;
use crate::commands::spec::Outcome;
use dunlin_protocol::Reply;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The node has not begun to speak with others.
const NOT_UP: ReplyError = ReplyError::new("CLUSTERDOWN The node is not up yet");
const MAY_NOT_WAIT: ReplyError = ReplyError::new(
    "ERR This is not allowed in a transaction or a script: it waits for other nodes",
);
/// It has run again, and nothing has come.
const NO_ANSWER: ReplyError = ReplyError::new("ERR No answer has come");

/// How long it may take until a map that is known here is shown to clients.
const SHOWN: Duration = Duration::from_secs(2);

/// What work comes to.
pub(super) type Said = Result<Word, ReplyError>;

/// An answer.
pub(super) enum Begun {
    /// It is here.
    Now(Word),
    /// It comes.
    Later(Pin<Box<dyn Future<Output = Said> + Send>>),
}

impl Begun {
    pub(super) fn later(work: impl Future<Output = Said> + Send + 'static) -> Begun {
        Begun::Later(Box::pin(work))
    }
}

/// Runs a command that may be answered later. `begin` looks at the arguments and says how the answer
/// comes; it is called once, while the command itself runs again when the answer is there.
pub(super) fn answer<'a, 'g>(
    call: &mut Call<'a, 'g>,
    begin: impl FnOnce(&Call<'a, 'g>, &'g Cluster, &Operations) -> Result<Begun, ReplyError>,
) -> Result<Outcome, ReplyError> {
    let cluster = node(call)?;
    let meanwhile = call.client.wait.as_ref().and_then(|wait| wait.meanwhile.clone());
    if let Some(Meanwhile::Answer(answer)) = meanwhile {
        let word = answer.take().unwrap_or(Err(NO_ANSWER))?;
        word.write(call.reply);
        return Ok(Outcome::Done);
    }
    let operations = cluster.operations().ok_or(NOT_UP)?;
    let work = match begin(call, cluster, operations)? {
        Begun::Now(word) => {
            word.write(call.reply);
            return Ok(Outcome::Done);
        }
        Begun::Later(_) if !call.may_block() => return Err(MAY_NOT_WAIT),
        Begun::Later(work) => work,
    };
    Ok(wait(operations, work))
}

fn wait(operations: &Operations, work: impl Future<Output = Said> + Send + 'static) -> Outcome {
    let answer = Arc::new(Answer::of(&operations.thread, work));
    let meanwhile = Some(Meanwhile::Answer(answer));
    Outcome::Block(Wait { deadline: None, on_timeout: left_alone, on: None, meanwhile })
}

/// A node that has just been started reads first what it knows of its cluster; so that clients need not
/// ask again, they wait for that. `None`: there is nothing to wait for, or no longer.
pub(super) fn until_known(call: &Call<'_, '_>) -> Result<Option<Outcome>, ReplyError> {
    let cluster = node(call)?;
    let is_again = call.client.wait.as_ref().is_some_and(|wait| wait.meanwhile.is_some());
    if is_again || !cluster.is_young(call.began) || !call.may_block() {
        return Ok(None);
    }
    let mut shown = cluster.view().shown();
    let view = cluster.view().get();
    let (false, Some(operations)) = (view.is_member(), cluster.operations()) else {
        return Ok(None);
    };
    let known = view.map().epoch;
    Ok(Some(wait(operations, async move {
        let is_shown = shown.wait_for(|shown| *shown > known);
        let _ = tokio::time::timeout(SHOWN, is_shown).await;
        Ok(Word::Ok)
    })))
}

/// CLIENT UNBLOCK has ended the wait.
fn left_alone(reply: &mut Reply) {
    reply.error("ERR What was begun goes on without its client");
}

/// Proposes a change of the map. It is answered when clients see the map with it here.
pub(super) fn propose(cluster: &Cluster, operations: &Operations, change: Change) -> Begun {
    let (meta, mut shown) = (Arc::clone(&operations.meta), cluster.view().shown());
    Begun::later(async move {
        match meta.propose(change).await {
            Ok(Verdict::Done) => {
                let epoch = meta.map().borrow().epoch;
                let is_shown = shown.wait_for(|shown| *shown >= epoch);
                // It is done in any case.
                let _ = tokio::time::timeout(SHOWN, is_shown).await;
                Ok(Word::Ok)
            }
            Ok(Verdict::Void(why)) => Err(failed(&why)),
            Err(Unsettled::NotProposed(why)) => Err(format!("CLUSTERDOWN {why}").into()),
            Err(Unsettled::Unknown(why)) => {
                Err(format!("ERR It is not known whether that was done: {why}").into())
            }
        }
    })
}

/// The error for an operator whose wish was not fulfilled.
pub(super) fn failed(why: &str) -> ReplyError {
    format!("ERR {why}").into()
}
