//! Runs a sequence on both servers and compares.

use crate::accepted::{ACCEPTED, accepted};
use crate::compare::agree;
use crate::sequence::{Batch, Sequence, Step, encode};
use crate::state::{compare_states, different_keys};
use crate::support::client::Broken;
use crate::support::{Client, Value};
use std::collections::BTreeMap;
use std::iter;
use std::net::SocketAddr;
use std::time::Duration;

/// The two servers. `tamper` changes replies of the subject: with it the test tests itself.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) reference: SocketAddr,
    pub(crate) subject: SocketAddr,
    pub(crate) tamper: Option<fn(&Step, &mut Value)>,
}

/// A difference that nothing explains.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) step: String,
    pub(crate) reference: String,
    pub(crate) subject: String,
    /// the keys that only one of them had then
    pub(crate) keys: String,
    /// what kind of difference, to tell repeated ones from new ones
    pub(crate) class: String,
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) commands: u64,
    pub(crate) by_name: BTreeMap<String, u64>,
    pub(crate) accepted: Vec<u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.commands += other.commands;
        for (name, count) in &other.by_name {
            *self.by_name.entry(name.clone()).or_default() += count;
        }
        self.accepted.resize(ACCEPTED.len(), 0);
        iter::zip(&mut self.accepted, &other.accepted).for_each(|(all, count)| *all += count);
    }
}

/// A connection to each of them, on which the same happens.
pub(crate) struct Connection {
    reference: Client,
    subject: Client,
    /// The commands since MULTI that wait for EXEC.
    queue: Vec<Step>,
}

impl Connection {
    /// What both reply to these commands, which are sent together.
    pub(crate) fn ask(&mut self, steps: &[Step]) -> Result<[Vec<Value>; 2], Box<Mismatch>> {
        let bytes = encode(steps);
        self.send(&bytes, steps)?;
        let theirs = steps.iter().map(|step| receive(&mut self.reference, step, "the reference"));
        let theirs = theirs.collect::<Result<_, _>>()?;
        let ours = steps.iter().map(|step| receive(&mut self.subject, step, "the subject"));
        Ok([theirs, ours.collect::<Result<_, _>>()?])
    }

    /// Sends bytes of these commands to both.
    fn send(&mut self, bytes: &[u8], steps: &[Step]) -> Result<(), Box<Mismatch>> {
        for client in [&mut self.reference, &mut self.subject] {
            client.try_send(bytes).map_err(|_| broken(&steps[0], "could not be sent"))?;
        }
        Ok(())
    }

    /// Follows what becomes of a command; what EXEC has run.
    fn follow(&mut self, step: &Step, reply: &Value) -> Vec<Step> {
        match step.name().as_str() {
            _ if *reply == Value::Simple(b"QUEUED".to_vec()) => self.queue.push(step.clone()),
            "exec" => return std::mem::take(&mut self.queue),
            "discard" | "reset" | "multi" if !reply.is_error() => self.queue.clear(),
            _ => {}
        }
        Vec::new()
    }
}

impl Pair {
    pub(crate) fn connect(&self) -> Connection {
        let open = |address| Client::tcp(address).expect("both servers accept connections");
        let (reference, subject) = (open(self.reference), open(self.subject));
        Connection { reference, subject, queue: Vec::new() }
    }

    /// Runs the sequence from an empty state; `Err` at the first unexplained difference.
    pub(crate) fn run(&self, sequence: &Sequence, tally: &mut Tally) -> Result<(), Box<Mismatch>> {
        let mut admin = self.connect();
        self.play(&mut admin, sequence, tally).map_err(|mut found| {
            found.keys = different_keys(&mut admin);
            found
        })
    }

    fn play(
        &self,
        admin: &mut Connection,
        sequence: &Sequence,
        tally: &mut Tally,
    ) -> Result<(), Box<Mismatch>> {
        let emptied =
            admin.ask(&["FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH"].map(Step::words))?;
        assert!(emptied.iter().flatten().all(|reply| *reply == Value::ok()), "{emptied:?}");
        let mut connections: Vec<Connection> = Vec::new();
        for protocol in &sequence.protocols {
            let mut connection = self.connect();
            if *protocol == 3 {
                let hello = connection.ask(&[Step::words("HELLO 3")])?;
                assert!(!hello.iter().flatten().any(Value::is_error), "{hello:?}");
            }
            connections.push(connection);
        }
        let mut pending = 0;
        for batch in &sequence.batches {
            let connection = &mut connections[batch.connection];
            if !self.batch(connection, batch, &mut pending, tally)? {
                return Ok(());
            }
        }
        drop(connections);
        compare_states(admin)
    }

    /// False when an accepted difference ends the sequence.
    fn batch(
        &self,
        connection: &mut Connection,
        batch: &Batch,
        pending: &mut i64,
        tally: &mut Tally,
    ) -> Result<bool, Box<Mismatch>> {
        let bytes = encode(&batch.steps);
        let mut cuts: Vec<usize> =
            batch.cuts.iter().map(|c| (c % (bytes.len() as u64 + 1)) as usize).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut from = 0;
        for cut in cuts {
            connection.send(&bytes[from..cut], &batch.steps)?;
            from = cut;
        }
        // All replies first: what is still running when a sequence ends early would write into the next.
        let mut replies = Vec::with_capacity(batch.steps.len());
        for step in &batch.steps {
            let reference = receive(&mut connection.reference, step, "the reference")?;
            replies.push((reference, receive(&mut connection.subject, step, "the subject")?));
        }
        let mut pause = batch.steps.iter().any(|step| step.pause);
        for (step, (reference, mut subject)) in batch.steps.iter().zip(replies) {
            *pending += i64::from(step.past);
            if let Some(tamper) = self.tamper {
                tamper(step, &mut subject);
            }
            tally.commands += 1;
            *tally.by_name.entry(step.name()).or_default() += 1;
            let ran = connection.follow(step, &reference);
            pause |= ran.iter().any(|step| step.pause);
            // The replies of a transaction are compared one by one, each by the rule of its command.
            let (steps, theirs, ours) = match (&reference, &subject) {
                (Value::Array(theirs), Value::Array(ours))
                    if step.name() == "exec" && [theirs.len(), ours.len()] == [ran.len(); 2] =>
                {
                    (ran.as_slice(), theirs.as_slice(), ours.as_slice())
                }
                _ => (
                    std::slice::from_ref(step),
                    std::slice::from_ref(&reference),
                    std::slice::from_ref(&subject),
                ),
            };
            for ((step, theirs), ours) in steps.iter().zip(theirs).zip(ours) {
                if !judge(step, theirs, ours, *pending, tally)? {
                    return Ok(false);
                }
                if step.name().starts_with("flush") {
                    *pending = 0;
                }
            }
        }
        if pause {
            std::thread::sleep(Duration::from_millis(12));
        }
        if batch.steps.last().is_some_and(Step::is_last) {
            for client in [&mut connection.reference, &mut connection.subject] {
                if !client.is_closed() {
                    return Err(broken(&batch.steps[0], "the connection stays open"));
                }
            }
            *connection = self.connect();
        }
        Ok(true)
    }
}

/// Compares two replies. False when an accepted difference ends the sequence.
fn judge(
    step: &Step,
    reference: &Value,
    subject: &Value,
    pending: i64,
    tally: &mut Tally,
) -> Result<bool, Box<Mismatch>> {
    if agree(step, reference, subject, pending) {
        return Ok(true);
    }
    let Some(row) = accepted(step, reference, subject) else {
        return Err(mismatch(format!("{step:?}"), &step.name(), reference, subject));
    };
    tally.accepted.resize(ACCEPTED.len(), 0);
    tally.accepted[row] += 1;
    Ok(!ACCEPTED[row].ends)
}

/// The reply to a command. Invalidations come when they come, and are left out: when keys expire is
/// no matter of the commands.
fn receive(client: &mut Client, step: &Step, who: &str) -> Result<Value, Box<Mismatch>> {
    let reply = loop {
        match client.try_recv() {
            Ok(Value::Push(items)) if items.first() == Some(&Value::bulk("invalidate")) => {}
            reply => break reply,
        }
    };
    reply.map_err(|e| match e {
        Broken::Closed => broken(step, &format!("{who} closed the connection")),
        Broken::Timeout => broken(step, &format!("{who} does not answer")),
        Broken::Garbage(text) => broken(step, &format!("{who} sends {text}")),
    })
}

fn broken(step: &Step, what: &str) -> Box<Mismatch> {
    Box::new(Mismatch {
        step: format!("{step:?}"),
        reference: String::new(),
        subject: what.to_string(),
        keys: String::new(),
        class: format!("{} {what}", step.name()),
    })
}

pub(crate) fn mismatch(
    step: String,
    name: &str,
    reference: &Value,
    subject: &Value,
) -> Box<Mismatch> {
    let kind = |v: &Value| match v {
        Value::Error(text) => {
            // Without what was quoted from the command.
            let text = String::from_utf8_lossy(text);
            text.split('\'').step_by(2).collect::<String>()
        }
        other => format!("{other:?}").chars().take(1).collect(),
    };
    Box::new(Mismatch {
        class: format!("{name}: {} / {}", kind(reference), kind(subject)),
        step,
        reference: format!("{reference:?}"),
        subject: format!("{subject:?}"),
        keys: String::new(),
    })
}
