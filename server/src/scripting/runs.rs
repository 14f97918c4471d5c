//! Scripts that run, for whoever wants to see or end them.
//!
//! A run on the pool is visible from its beginning. One in front of others becomes so when it is
//! first asked whether to go on, a tenth of a millisecond later: short scripts never take the lock.

use super::host::{Interrupt, Watch};
use crate::client::ClientShared;
use crate::runtime::clock::Clock;
use crate::runtime::pool::Courtesy;
use dunlin_storage::ShardSet;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// EVAL and EVALSHA.
    Script,
    /// FCALL.
    Function,
    /// FUNCTION LOAD.
    Loading,
}

/// Arguments of a command, in one piece of memory, to be shown.
#[derive(Debug, Default)]
pub struct CommandLine {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Bytes of a command line that are kept.
const SHOWN: usize = 64 * 1024;

impl CommandLine {
    /// Copies arguments, as far as there is room.
    pub fn new<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> CommandLine {
        let mut line = CommandLine { bytes: Vec::new(), ends: Vec::with_capacity(args.len()) };
        for arg in args {
            let room = SHOWN - line.bytes.len();
            line.bytes.extend_from_slice(&arg[..arg.len().min(room)]);
            line.ends.push(line.bytes.len());
        }
        line
    }

    /// The arguments.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let arg = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            arg
        })
    }
}

/// One run.
#[derive(Debug)]
pub struct Run {
    /// What it is.
    pub kind: RunKind,
    /// SHA-1 of the script or name of the function.
    pub name: String,
    /// The command that began it.
    pub command: CommandLine,
    /// When, in nanoseconds of the clock that never goes back.
    began: u64,
    /// The shards whose roles it holds.
    shards: ShardSet,
    /// One of those below; it changes once.
    fate: AtomicU8,
    /// It takes longer than [`Runs::set_patience`] says.
    busy: AtomicBool,
}

/// It may write yet, or be ended.
const OPEN: u8 = 0;
/// It has written.
const WROTE: u8 = 1;
/// Somebody has killed it.
const KILLED: u8 = 2;
/// What others free waits for it, and is too much.
const HOARDS: u8 = 3;

/// A run that is younger is not what keeps memory from being freed.
const HOARDING_MILLIS: u64 = 1_000;

impl Run {
    fn decide(&self, fate: u8) -> Result<u8, u8> {
        self.fate.compare_exchange(OPEN, fate, Ordering::Relaxed, Ordering::Relaxed)
    }

    /// It is about to change the keyspace: it cannot be ended half way any more. False: it may not,
    /// because it is to end, even if it has not been asked whether to go on since.
    #[must_use]
    pub fn begins_to_write(&self) -> bool {
        matches!(self.decide(WROTE), Ok(_) | Err(WROTE))
    }

    fn wrote(&self) -> bool {
        self.fate.load(Ordering::Relaxed) == WROTE
    }
}

/// What came of a wish to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// At least one run will end.
    Some,
    /// Nothing runs.
    None,
    /// What runs has written.
    Unkillable,
    /// What runs is of the other kind.
    Other,
}

/// All runs of the process that are visible.
#[derive(Debug)]
pub struct Runs {
    clock: Clock,
    list: Mutex<Vec<Arc<Run>>>,
    /// Milliseconds from which a run is busy.
    patience: AtomicU64,
    /// How many are.
    busy: AtomicUsize,
    /// All are to end, whatever they have done.
    closing: AtomicBool,
}

impl Default for Runs {
    fn default() -> Self {
        Runs {
            clock: Clock::new(),
            list: Mutex::default(),
            patience: AtomicU64::new(u64::MAX),
            busy: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
        }
    }
}

impl Runs {
    /// A run that has begun then, in nanoseconds of the monotonic clock.
    #[must_use]
    pub fn begin(
        self: &Arc<Self>,
        began: u64,
        kind: RunKind,
        name: String,
        command: CommandLine,
        shards: ShardSet,
    ) -> Running {
        let run = Arc::new(Run {
            kind,
            name,
            command,
            began,
            shards,
            fate: AtomicU8::new(OPEN),
            busy: AtomicBool::new(false),
        });
        Running {
            runs: Arc::clone(self),
            run,
            client: None,
            visible: Cell::new(false),
            abandoned: Cell::new(false),
            acted: Cell::new(false),
            courtesy: None,
            patience_ms: None,
            overtime: Cell::new(false),
            limit_ms: None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Run>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn age_ms(&self, run: &Run) -> u64 {
        self.clock.monotonic_ns().saturating_sub(run.began) / 1_000_000
    }

    /// The function that has run for longest, and for how many milliseconds.
    #[must_use]
    pub fn longest_function(&self) -> Option<(Arc<Run>, u64)> {
        let list = self.lock();
        let functions = list.iter().filter(|run| run.kind == RunKind::Function);
        let oldest = functions.min_by_key(|run| run.began)?;
        Some((Arc::clone(oldest), self.age_ms(oldest)))
    }

    /// After how many milliseconds others are told that a run is busy.
    pub fn set_patience(&self, milliseconds: u64) {
        self.patience.store(milliseconds, Ordering::Relaxed);
    }

    /// What the busy run is that holds one of these shards, if there is one.
    #[must_use]
    pub fn busy_with(&self, shards: &ShardSet) -> Option<RunKind> {
        if self.busy.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let list = self.lock();
        let mut busy = list.iter().filter(|run| run.busy.load(Ordering::Relaxed));
        let run = busy.find(|run| shards.iter().any(|shard| run.shards.contains(shard)))?;
        Some(run.kind)
    }

    /// The shards that busy runs hold. Called by and by: it also notes what has become busy, as a run
    /// may seldom be asked whether to go on.
    #[must_use]
    pub fn busy_shards(&self) -> Option<ShardSet> {
        let list = self.lock();
        list.iter().for_each(|run| self.note_if_busy(run));
        let busy = list.iter().filter(|run| run.busy.load(Ordering::Relaxed));
        let shards: Vec<&ShardSet> = busy.map(|run| &run.shards).collect();
        (!shards.is_empty()).then(|| shards.into_iter().flat_map(|set| set.iter()).collect())
    }

    /// Ends all runs, and those that begin from now on as soon as they take time. The process ends:
    /// nobody will see what they have left half done.
    pub fn end_all(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn note_if_busy(&self, run: &Run) {
        let is_busy = self.age_ms(run) >= self.patience.load(Ordering::Relaxed);
        if !is_busy || run.busy.swap(true, Ordering::Relaxed) {
            return;
        }
        self.busy.fetch_add(1, Ordering::Relaxed);
        let name = &run.name;
        tracing::warn!(%name, "a script takes its time: SCRIPT KILL or FUNCTION KILL ends it");
    }

    /// Ends all runs of a kind that have not written.
    pub fn kill(&self, kind: RunKind) -> Killed {
        let list = self.lock();
        let mut result = if list.is_empty() { Killed::None } else { Killed::Other };
        for run in list.iter().filter(|run| run.kind == kind) {
            if run.decide(KILLED) != Err(WROTE) {
                result = Killed::Some;
            } else if result != Killed::Some {
                result = Killed::Unkillable;
            }
        }
        result
    }

    /// Ends all runs that are older than [`HOARDING_MILLIS`] and have not written.
    pub fn end_hoarders(&self) {
        for run in self.lock().iter() {
            if self.age_ms(run) > HOARDING_MILLIS && run.decide(HOARDS).is_ok() {
                let name = &run.name;
                tracing::warn!(%name, "ending a script: too much of what others free waits for it");
            }
        }
    }
}

/// A run from within.
#[derive(Debug)]
pub struct Running {
    runs: Arc<Runs>,
    run: Arc<Run>,
    /// Whose run it is.
    client: Option<Arc<ClientShared>>,
    visible: Cell<bool>,
    abandoned: Cell<bool>,
    /// Something was done that others may have seen: it cannot be done again.
    acted: Cell<bool>,
    /// It runs where others are more urgent.
    courtesy: Option<Courtesy>,
    /// Milliseconds after which it is in the way of others, and is to begin anew elsewhere.
    patience_ms: Option<u64>,
    overtime: Cell<bool>,
    limit_ms: Option<(u64, &'static str)>,
}

impl Running {
    /// Ends it by itself after so many milliseconds, with this error.
    #[must_use]
    pub fn limited(mut self, milliseconds: u64, why: &'static str) -> Running {
        self.limit_ms = Some((milliseconds, why));
        self
    }

    /// A client whose end is that of the run, too.
    #[must_use]
    pub fn of(mut self, client: Arc<ClientShared>) -> Running {
        self.client = Some(client);
        self
    }

    /// It runs where others wait for it: after so many milliseconds it is abandoned, if it has done
    /// nothing yet that cannot be done again.
    #[must_use]
    pub fn in_front_of_others(mut self, milliseconds: u64) -> Running {
        self.patience_ms = Some(milliseconds);
        self
    }

    /// It runs on the pool: others that want the processor go first, and see it at once.
    #[must_use]
    pub fn on_pool(mut self) -> Running {
        self.courtesy = Some(Courtesy::default());
        self.show();
        self
    }

    fn show(&self) {
        if !self.visible.replace(true) {
            self.runs.lock().push(Arc::clone(&self.run));
        }
    }

    /// Lets others run, if they are more urgent. Called by and by.
    pub fn let_others_run(&self) {
        if let Some(courtesy) = &self.courtesy {
            courtesy.let_others_run(|| self.runs.clock.monotonic_ns());
        }
    }

    /// Whether it was abandoned because it took too long for the place.
    pub fn is_overtime(&self) -> bool {
        self.overtime.get()
    }

    /// It does something that others may see.
    pub fn acts(&self) {
        self.acted.set(true);
    }

    /// Whether it has done something that others may have seen.
    pub fn has_acted(&self) -> bool {
        self.acted.get()
    }

    /// Nanoseconds since it began.
    #[must_use]
    pub fn age_ns(&self) -> u64 {
        self.runs.clock.monotonic_ns().saturating_sub(self.run.began)
    }

    /// Nothing it does counts any more: it is to end.
    pub fn abandon(&self) {
        self.abandoned.set(true);
    }

    /// The run as others see it.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }
}

impl Running {
    /// Why somebody wants it to end.
    #[must_use]
    pub fn why_to_end(&self) -> Option<&'static str> {
        match (self.run.fate.load(Ordering::Relaxed), self.run.kind) {
            (KILLED, RunKind::Script) => return Some("Script killed by user with SCRIPT KILL."),
            (KILLED, _) => return Some("Script killed by user with FUNCTION KILL."),
            (HOARDS, _) => {
                let why = "Script ended because too much memory could not be freed while it ran.";
                return Some(why);
            }
            _ => {}
        }
        if self.runs.closing.load(Ordering::Relaxed) {
            return Some("Script killed by shutdown.");
        }
        let client = self.client.as_ref()?;
        let alone = client.kill.load(Ordering::Relaxed) && !self.run.wrote();
        alone.then_some("Script killed with its client.")
    }
}

impl Watch for Running {
    fn check(&self) -> Interrupt {
        self.show();
        self.let_others_run();
        if self.abandoned.get() {
            return Interrupt::Stop("the script begins anew");
        }
        if let Some(why) = self.why_to_end() {
            return Interrupt::Stop(why);
        }
        let age = self.runs.age_ms(&self.run);
        if self.patience_ms.is_some_and(|patience| age >= patience) && !self.acted.get() {
            self.overtime.set(true);
            self.abandon();
            return self.check();
        }
        self.runs.note_if_busy(&self.run);
        match self.limit_ms {
            Some((limit, why)) if age > limit => Interrupt::Stop(why),
            _ => Interrupt::GoOn,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.visible.get() {
            self.runs.lock().retain(|run| !Arc::ptr_eq(run, &self.run));
        }
        if self.run.busy.load(Ordering::Relaxed) {
            self.runs.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_storage::ShardId;

    fn begin(runs: &Arc<Runs>, kind: RunKind, shard: u16) -> Running {
        let shards = ShardSet::one(ShardId(shard));
        runs.begin(runs.clock.monotonic_ns(), kind, "a".into(), CommandLine::default(), shards)
    }

    #[test]
    fn a_busy_run_keeps_its_shards_from_others() {
        let runs = Arc::<Runs>::default();
        let (one, two) = (begin(&runs, RunKind::Script, 1), begin(&runs, RunKind::Function, 2));
        let with =
            |shards: &[u16]| runs.busy_with(&shards.iter().map(|shard| ShardId(*shard)).collect());
        assert_eq!(one.check(), Interrupt::GoOn);
        assert_eq!(with(&[1, 2]), None);
        runs.set_patience(0);
        assert_eq!(one.check(), Interrupt::GoOn);
        assert_eq!((with(&[1, 2]), with(&[2, 3])), (Some(RunKind::Script), None));
        assert_eq!(runs.busy_shards(), Some(ShardSet::one(ShardId(1))));
        assert_eq!(two.check(), Interrupt::GoOn);
        drop(one);
        assert_eq!((with(&[1]), with(&[1, 2])), (None, Some(RunKind::Function)));
        drop(two);
        assert_eq!(with(&[1, 2]), None);
    }

    #[test]
    fn a_run_is_seen_once_it_takes_time() {
        let runs = Arc::<Runs>::default();
        let one = runs.begin(
            runs.clock.monotonic_ns(),
            RunKind::Function,
            "f".into(),
            CommandLine::new([b"FCALL".as_slice(), b"f"].into_iter()),
            ShardSet::one(ShardId(0)),
        );
        assert_eq!(runs.kill(RunKind::Function), Killed::None);
        assert_eq!(one.check(), Interrupt::GoOn);
        let (seen, _) = runs.longest_function().expect("it runs");
        assert_eq!((seen.name.as_str(), seen.command.iter().last()), ("f", Some(b"f".as_slice())));
        assert_eq!(runs.kill(RunKind::Script), Killed::Other);
        assert_eq!(runs.kill(RunKind::Function), Killed::Some);
        assert!(matches!(one.check(), Interrupt::Stop(why) if why.contains("FUNCTION KILL")));
        drop(one);
        assert!(runs.longest_function().is_none());
    }

    #[test]
    fn a_run_on_the_pool_is_seen_and_busy_before_it_is_asked_anything() {
        let runs = Arc::<Runs>::default();
        let one = begin(&runs, RunKind::Script, 1).on_pool();
        assert_eq!(runs.busy_shards(), None);
        runs.set_patience(0);
        assert_eq!(runs.busy_shards(), Some(ShardSet::one(ShardId(1))));
        assert_eq!(runs.busy_with(&ShardSet::one(ShardId(1))), Some(RunKind::Script));
        assert_eq!(runs.kill(RunKind::Script), Killed::Some);
        drop(one);
        assert_eq!((runs.busy_shards(), runs.kill(RunKind::Script)), (None, Killed::None));
        assert_eq!(runs.busy_with(&ShardSet::one(ShardId(1))), None);
    }

    #[test]
    fn what_has_been_killed_writes_nothing_more() {
        let runs = Arc::<Runs>::default();
        let one = begin(&runs, RunKind::Script, 0).on_pool();
        assert_eq!(runs.kill(RunKind::Script), Killed::Some);
        assert!(!one.run().begins_to_write());
        assert_eq!(runs.kill(RunKind::Script), Killed::Some, "it has not written");
        assert!(one.why_to_end().is_some_and(|why| why.contains("SCRIPT KILL")));
    }

    #[test]
    fn what_has_written_is_not_killed() {
        let runs = Arc::<Runs>::default();
        let (one, two) = (begin(&runs, RunKind::Script, 0), begin(&runs, RunKind::Script, 1));
        assert!(one.run().begins_to_write());
        assert_eq!(one.check(), Interrupt::GoOn);
        assert_eq!(runs.kill(RunKind::Script), Killed::Unkillable);
        assert_eq!(two.check(), Interrupt::GoOn);
        assert_eq!(runs.kill(RunKind::Script), Killed::Some);
        assert_eq!(one.check(), Interrupt::GoOn);
        assert!(matches!(two.check(), Interrupt::Stop(_)));
    }

    #[test]
    fn what_is_in_front_of_others_is_abandoned_unless_it_has_acted() {
        let runs = Arc::<Runs>::default();
        let one = begin(&runs, RunKind::Script, 0).in_front_of_others(0);
        assert!(matches!(one.check(), Interrupt::Stop(_)));
        assert!(one.is_overtime());
        let two = begin(&runs, RunKind::Script, 0).in_front_of_others(0);
        two.acts();
        assert_eq!(two.check(), Interrupt::GoOn);
        assert!(!two.is_overtime() && two.has_acted());
    }

    #[test]
    fn a_run_ends_with_its_client_and_with_the_process() {
        let runs = Arc::<Runs>::default();
        let client = ClientShared::new(1, "a:1".into(), String::new(), 0, 0, 0);
        let client = Arc::new(client);
        let [one, two] = [1, 2].map(|n| begin(&runs, RunKind::Script, n).of(client.clone()));
        assert!(two.run().begins_to_write());
        assert_eq!((one.check(), two.check()), (Interrupt::GoOn, Interrupt::GoOn));
        client.kill();
        assert!(matches!(one.check(), Interrupt::Stop(why) if why.contains("client")));
        assert_eq!(two.check(), Interrupt::GoOn, "it has written");
        runs.end_all();
        assert!(matches!(two.check(), Interrupt::Stop(why) if why.contains("shutdown")));
    }

    #[test]
    fn a_limit_ends_it() {
        let runs = Arc::<Runs>::default();
        let run = begin(&runs, RunKind::Loading, 0).limited(0, "too long");
        while run.check() == Interrupt::GoOn {}
        assert_eq!(run.check(), Interrupt::Stop("too long"));
    }
}
