//! `mixes`: the keyspace with small collections, in this process, from one thread and from more.
//!
//! Each thread does what a worker does: pins the epoch once per batch of commands, hashes their keys
//! and fetches their buckets, then runs them in order. Reads of small collections take no role.
//! Consecutive writes to one shard share a turn of its role; a write whose role is taken is left with
//! its holder.
//!
//! | mix | half of it | the other half |
//! |---|---|---|
//! | `hash` | HSET of one field | HGET |
//! | `zset` | ZADD of a new score | ZRANGE of the first ten |
//! | `list` | LPUSH | LPOP |

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use dunlin_storage::value::list::{self, End, List};
use dunlin_storage::value::sorted_set::{self, AddOptions, SortedSet};
use dunlin_storage::value::{hash, hash::Hash, hash::Ttl};
use dunlin_storage::{
    DbId, Guard, Job, Key, KeyHash, Keyspace, NewValue, Object, Options, ShardSet, Touch, Value,
    Writer,
};

use crate::process::{pin, thread_cpu_ns};
use crate::report::{Report, Table, median, number};
use crate::rng::Rng;
use crate::{Failure, Outcome};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Mixes by name.
    pub mixes: Vec<String>,
    /// Thread counts; the first is what the others are compared with.
    pub threads: Vec<u32>,
    /// Shards.
    pub shards: usize,
    /// Keys of each kind.
    pub keys: u64,
    /// Elements of each collection.
    pub elements: u64,
    /// Commands per batch.
    pub batch: usize,
    /// Commands of one run, all threads together.
    pub ops: u64,
    /// Rounds.
    pub rounds: usize,
    /// Seed of the streams.
    pub seed: u64,
}

/// The mixes there are.
pub const MIXES: &str = "hash,zset,list";

const DB: DbId = DbId(0);
const NOW: i64 = 1_700_000_000_000;
/// What two threads have to do, as a multiple of what one does.
const GOAL: f64 = 1.7;
/// Members that ZRANGE reads.
const WINDOW: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mix {
    Hash,
    SortedSet,
    List,
}

#[derive(Clone, Copy, Debug)]
struct Op {
    mix: Mix,
    key: u32,
    element: u32,
    first_half: bool,
}

impl Op {
    fn takes_role(self) -> bool {
        self.first_half || self.mix == Mix::List
    }

    fn name(self) -> [u8; 8] {
        (u64::from(self.key) | (self.mix as u64) << 32).to_le_bytes()
    }
}

/// A write that is left with the holder of a role.
struct Left {
    op: Op,
    elements: usize,
    hash: KeyHash,
}

impl Job for Left {
    fn run<'g>(self: Box<Self>, writer: &mut Writer<'g, 'g>, _: &'g Guard) {
        let name = self.op.name();
        write(writer, &Key { bytes: &name, hash: self.hash }, self.op, self.elements);
    }
}

/// Runs the measurement.
///
/// # Errors
///
/// When a collection is lost, or there is no such mix.
pub fn run(plan: &Plan, report: &mut Report) -> Outcome<()> {
    let title = format!(
        "mixes: {} keys of {} elements, {} shards, batches of {}; medians of {} rounds",
        plan.keys, plan.elements, plan.shards, plan.batch, plan.rounds
    );
    let columns =
        ["mix", "threads", "cpu ns/op", "Mops/s", "scaling", "scaling by cpu", "role busy %"];
    let mut table = Table::new(&title, &columns);
    for name in &plan.mixes {
        let mix = match name.as_str() {
            "hash" => Mix::Hash,
            "zset" => Mix::SortedSet,
            "list" => Mix::List,
            other => return Err(format!("no mix named {other}").into()),
        };
        let keyspace = fill(plan, mix);
        let mut series = vec![(Vec::new(), Vec::new(), 0.0); plan.threads.len()];
        for _ in 0..plan.rounds {
            for (&threads, (cpu, wall, busy)) in plan.threads.iter().zip(&mut series) {
                keyspace.reset_stats();
                let run = run_once(plan, &keyspace, mix, threads)?;
                cpu.push(run.0);
                wall.push(run.1);
                let stats = keyspace.stats();
                *busy = 100.0 * stats.role_busy as f64
                    / (stats.role_taken + stats.role_busy).max(1) as f64;
            }
        }
        if keyspace.len(DB) != plan.keys {
            return Err(format!("{name}: {} keys are left", keyspace.len(DB)).into());
        }
        let (cpu_of_one, wall_of_one) = (median(&series[0].0), median(&series[0].1));
        for (&threads, (cpu, wall, busy)) in plan.threads.iter().zip(&series) {
            let scaling = median(wall) / wall_of_one;
            let ratio = f64::from(threads) / f64::from(plan.threads[0]);
            table.row(vec![
                name.as_str().into(),
                u64::from(threads).into(),
                number(median(cpu), 1),
                number(median(wall), 2),
                number(scaling, 2),
                number(cpu_of_one / median(cpu) * ratio, 2),
                number(*busy, 3),
            ]);
            if (plan.threads[0], threads) == (1, 2) {
                let text = format!("{name}: 2 threads do {scaling:.2}x of one >= {GOAL}");
                report.goal(scaling >= GOAL, &text);
            }
        }
    }
    report.table(table);
    Ok(())
}

fn fill(plan: &Plan, mix: Mix) -> Keyspace {
    let keyspace =
        Keyspace::new(Options { shards: plan.shards, databases: 1, ..Options::default() });
    let handle = keyspace.handle();
    for key in 0..plan.keys as u32 {
        let guard = handle.pin();
        let op = |element| Op { mix, key, element, first_half: true };
        let name = op(0).name();
        let key = keyspace.key(&name);
        let roles = ShardSet::one(keyspace.shard_of(key.hash));
        let Some(mut writer) = keyspace.try_enter(&roles, &guard) else { continue };
        let mut object = match mix {
            Mix::Hash => Object::Hash(Hash::new()),
            Mix::SortedSet => Object::SortedSet(SortedSet::new()),
            Mix::List => Object::List(List::new()),
        };
        for element in 0..plan.elements as u32 {
            change(&mut object, op(element), usize::MAX);
        }
        writer.put(DB, &key, NewValue::Object(Box::new(object)), None, NOW);
    }
    drop(handle);
    keyspace
}

/// CPU time per command (ns) and throughput (million per second) of one run.
fn run_once(plan: &Plan, keyspace: &Keyspace, mix: Mix, threads: u32) -> Outcome<(f64, f64)> {
    let barrier = Barrier::new(threads as usize);
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let per_thread = plan.ops / u64::from(threads);
    let one = |thread: u32| {
        if let Some(core) = cores.get(thread as usize) {
            pin(Some(core.id));
        }
        let ops = stream(plan, mix, thread, per_thread);
        barrier.wait();
        let (begin, cpu) = (Instant::now(), thread_cpu_ns());
        let handle = keyspace.handle();
        for batch in ops.chunks(plan.batch) {
            run_batch(keyspace, &handle.pin(), batch, plan.elements as usize);
        }
        (begin, Instant::now(), thread_cpu_ns() - cpu)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let one = &one;
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        handles.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut parts = Vec::new();
    for result in results {
        parts.push(result.map_err(|_| Failure::from("a thread panicked"))?);
    }
    let cpu: u64 = parts.iter().map(|part| part.2).sum();
    let (Some(begin), Some(end)) =
        (parts.iter().map(|part| part.0).min(), parts.iter().map(|part| part.1).max())
    else {
        return Err("no threads".into());
    };
    let total = (per_thread * u64::from(threads)) as f64;
    Ok((cpu as f64 / total, total / (end - begin).as_secs_f64() / 1e6))
}

fn stream(plan: &Plan, mix: Mix, thread: u32, count: u64) -> Vec<Op> {
    let mut rng = Rng::new(plan.seed + u64::from(thread));
    let mut draw = |_| Op {
        mix,
        key: rng.below(plan.keys) as u32,
        element: rng.below(plan.elements) as u32,
        first_half: rng.below(2) == 0,
    };
    (0..count).map(&mut draw).collect()
}

fn run_batch(keyspace: &Keyspace, guard: &Guard, ops: &[Op], elements: usize) {
    let names: Vec<[u8; 8]> = ops.iter().map(|op| op.name()).collect();
    let keys: Vec<Key<'_>> = names.iter().map(|name| keyspace.key(name)).collect();
    keyspace.prefetch(DB, keys.iter().map(|key| key.hash), guard);
    let mut held: Option<Writer<'_, '_>> = None;
    for (op, key) in ops.iter().zip(&keys) {
        if !op.takes_role() {
            held = None;
            if read(keyspace, key, *op, guard) {
                continue;
            }
        }
        let shard = keyspace.shard_of(key.hash);
        if held.as_ref().is_none_or(|writer| !writer.holds(shard)) {
            // The old role goes back before the new one is asked for.
            drop(held.take());
            held = keyspace.try_enter(&ShardSet::one(shard), guard);
        }
        match &mut held {
            Some(writer) => write(writer, key, *op, elements),
            None => {
                let left = Left { op: *op, elements, hash: key.hash };
                keyspace.submit(ShardSet::one(shard), Box::new(left), guard);
            }
        }
    }
    drop(held);
    for shard in keyspace.take_leftovers() {
        while keyspace.drain(shard, guard) {}
    }
}

/// A read without a role; false if the collection is large.
fn read(keyspace: &Keyspace, key: &Key<'_>, op: Op, guard: &Guard) -> bool {
    let Some(entry) = keyspace.get(DB, key, NOW, Touch::Yes, guard) else { return true };
    let Value::Packed(packed) = entry.value() else { return false };
    match op.mix {
        Mix::Hash => {
            let field = op.element.to_le_bytes();
            black_box(packed.hash().and_then(|hash| hash.get(&field, NOW)));
        }
        Mix::SortedSet => {
            if let Some(set) = packed.sorted_set() {
                set.range(0..WINDOW.min(set.len())).for_each(|member| {
                    black_box(member);
                });
            }
        }
        Mix::List => {}
    }
    true
}

/// A command under the role.
fn write(writer: &mut Writer<'_, '_>, key: &Key<'_>, op: Op, elements: usize) {
    if op.takes_role() {
        writer.update(DB, key, NOW, |object| change(object, op, elements));
        return;
    }
    let Some(entry) = writer.get(DB, key, NOW) else { return };
    match (op.mix, writer.object(&entry)) {
        (Mix::Hash, Some(object)) => {
            let field = op.element.to_le_bytes();
            black_box(object.as_hash().and_then(|hash| hash.view().get(&field, NOW)));
        }
        (Mix::SortedSet, Some(object)) => {
            if let Some(set) = object.as_sorted_set() {
                set.view().range(0..WINDOW.min(set.len())).for_each(|member| {
                    black_box(member);
                });
            }
        }
        _ => {}
    }
}

/// What a write does. A list keeps its length, more or less.
fn change(object: &mut Object, op: Op, elements: usize) {
    let element = op.element.to_le_bytes();
    match object {
        Object::Hash(hash) => {
            let limits = hash::Limits::new(1);
            hash.set(&element, b"a value of 20 bytes.", Ttl::Clear, NOW, &limits);
        }
        Object::SortedSet(set) => {
            let score = f64::from(op.element.wrapping_mul(2_654_435_761) >> 8);
            set.add(&element, score, AddOptions::default(), &sorted_set::Limits::new(1));
        }
        Object::List(list) => {
            let limits = list::Limits::default();
            let push = match list.len() {
                len if len <= elements / 2 => true,
                len if len >= elements.saturating_mul(2) => false,
                _ => op.first_half,
            };
            if push {
                list.prepare(1, element.len(), &limits);
                list.push(End::Head, &element, &limits);
            } else {
                list.remove(0..1);
                list.settle(&limits);
            }
        }
        Object::Set(_) | Object::Stream(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mix_keeps_its_collections() {
        for elements in [20, 2_000] {
            let plan = Plan {
                mixes: MIXES.split(',').map(str::to_owned).collect(),
                threads: vec![1, 3],
                shards: 4,
                keys: 50,
                elements,
                batch: 16,
                ops: 30_000,
                rounds: 1,
                seed: 1,
            };
            let mut report = Report::default();
            run(&plan, &mut report).expect("nothing is lost");
        }
    }
}
