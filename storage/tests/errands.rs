//! Errands: roles that go to another thread and come back, and jobs that are called back.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use dunlin_storage::{
    Baton, DbId, Errand, Guard, Job, Keyspace, NewValue, Options, ShardId, ShardSet, Writer,
};

const DB: DbId = DbId(0);

/// What has happened, in its order.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    fn note(&self, event: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.to_owned());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Note {
    name: &'static str,
    events: Events,
    recallable: bool,
}

impl Job for Note {
    fn run<'g>(self: Box<Self>, _: &mut Writer<'g, 'g>, _: &'g Guard) {
        assert!(!self.name.starts_with("panic"), "as it was told to");
        self.events.note(self.name);
    }

    fn is_recallable(&self) -> bool {
        self.recallable
    }

    fn recall(self: Box<Self>) {
        self.events.note(&format!("{} came back", self.name));
    }
}

struct Trip {
    name: &'static str,
    events: Events,
    roles: Sender<Baton>,
}

impl Errand for Trip {
    fn set_out(self: Box<Self>, roles: Baton) {
        self.events.note(self.name);
        self.roles.send(roles).expect("the test waits for it");
    }

    fn is_recallable(&self) -> bool {
        true
    }

    fn recall(self: Box<Self>) {
        self.events.note(&format!("{} came back", self.name));
    }
}

struct Fixture {
    ks: Keyspace,
    events: Events,
    sender: Sender<Baton>,
    roles: Receiver<Baton>,
}

impl Fixture {
    fn new() -> Self {
        let ks = Keyspace::new(Options { shards: 4, ..Options::default() });
        let (sender, roles) = channel();
        Fixture { ks, events: Events::default(), sender, roles }
    }

    fn note(&self, name: &'static str, recallable: bool) -> Box<dyn Job> {
        Box::new(Note { name, events: self.events.clone(), recallable })
    }

    fn trip(&self, name: &'static str) -> Box<dyn Errand> {
        Box::new(Trip { name, events: self.events.clone(), roles: self.sender.clone() })
    }

    fn is_free(&self, shard: u16, guard: &Guard) -> bool {
        self.ks.try_enter(&one(shard), guard).is_some()
    }
}

fn one(shard: u16) -> ShardSet {
    ShardSet::one(ShardId(shard))
}

fn of(shards: &[u16]) -> ShardSet {
    shards.iter().map(|shard| ShardId(*shard)).collect()
}

#[test]
fn roles_that_are_on_an_errand_stay_taken_until_they_are_used() {
    let fixture = Fixture::new();
    let ks = &fixture.ks;
    let handle = ks.handle();
    let guard = handle.pin();
    ks.send(of(&[1, 3]), fixture.trip("trip"), &guard);
    let roles = fixture.roles.recv().expect("the roles were free");
    assert_eq!(*roles.shards(), of(&[1, 3]));
    assert!(!fixture.is_free(1, &guard) && !fixture.is_free(3, &guard));
    assert!(fixture.is_free(0, &guard) && fixture.is_free(2, &guard));
    for (shard, name) in [(1, "a"), (3, "b"), (1, "c")] {
        ks.submit(one(shard), fixture.note(name, false), &guard);
    }
    assert_eq!(fixture.events.take(), ["trip"]);
    let job = fixture.note("job", false);
    thread::scope(|scope| scope.spawn(|| ks.run_with(roles, job, &ks.handle().pin())).join())
        .expect("it runs");
    let mut events = fixture.events.take();
    assert_eq!(events.remove(0), "job", "before what waited for its roles");
    events.sort();
    assert_eq!(events, ["a", "b", "c"]);
    assert!((0..4).all(|shard| fixture.is_free(shard, &guard)));
}

#[test]
fn an_errand_waits_like_a_job_and_what_waits_behind_it_goes_on_waiting() {
    let fixture = Fixture::new();
    let ks = &fixture.ks;
    let handle = ks.handle();
    let guard = handle.pin();
    let writer = ks.try_enter(&one(2), &guard).expect("one thread");
    ks.submit(one(2), fixture.note("before", false), &guard);
    ks.send(of(&[0, 2]), fixture.trip("trip"), &guard);
    ks.submit(one(2), fixture.note("after", false), &guard);
    assert!(fixture.roles.try_recv().is_err() && !fixture.is_free(0, &guard));
    drop(writer);
    assert_eq!(fixture.events.take(), ["before", "trip"]);
    let roles = fixture.roles.recv().expect("it has set out");
    assert!(!fixture.is_free(2, &guard));
    ks.run_with(roles, fixture.note("job", false), &guard);
    assert_eq!(fixture.events.take(), ["job", "after"]);
    assert!((0..4).all(|shard| fixture.is_free(shard, &guard)));
}

#[test]
fn who_wants_to_is_called_back_and_gives_its_roles_back() {
    let fixture = Fixture::new();
    let ks = &fixture.ks;
    let handle = ks.handle();
    let guard = handle.pin();
    let writer = ks.try_enter(&one(2), &guard).expect("one thread");
    // Found in the backlog when the first one sets out, or published afterwards.
    ks.send(one(2), fixture.trip("first"), &guard);
    ks.submit(one(2), fixture.note("patient", false), &guard);
    ks.submit(of(&[0, 2]), fixture.note("a", true), &guard);
    drop(writer);
    ks.send(of(&[1, 2]), fixture.trip("second"), &guard);
    ks.submit(one(2), fixture.note("b", true), &guard);
    assert!(!fixture.is_free(0, &guard) && !fixture.is_free(1, &guard));
    assert_eq!(fixture.events.take(), ["first"]);
    ks.recall(ShardId(3), &guard);
    ks.recall(ShardId(2), &guard);
    assert_eq!(fixture.events.take(), ["a came back", "second came back", "b came back"]);
    assert!(fixture.is_free(0, &guard) && fixture.is_free(1, &guard));
    let roles = fixture.roles.recv().expect("the first one has them");
    ks.run_with(roles, fixture.note("job", false), &guard);
    assert_eq!(fixture.events.take(), ["job", "patient"]);
    assert!((0..4).all(|shard| fixture.is_free(shard, &guard)));
}

#[test]
fn a_job_that_panics_gives_the_roles_back() {
    let fixture = Fixture::new();
    let ks = &fixture.ks;
    let handle = ks.handle();
    let guard = handle.pin();
    ks.send(of(&[0, 1]), fixture.trip("trip"), &guard);
    let roles = fixture.roles.recv().expect("the roles were free");
    let run = || ks.run_with(roles, fixture.note("panic", false), &guard);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    assert!((0..4).all(|shard| fixture.is_free(shard, &guard)));
}

#[test]
#[should_panic(expected = "roles of another keyspace")]
fn roles_are_those_of_their_keyspace() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let handle = fixture.ks.handle();
    fixture.ks.send(one(0), fixture.trip("trip"), &handle.pin());
    let roles = fixture.roles.recv().expect("the roles were free");
    let handle = other.ks.handle();
    other.ks.run_with(roles, other.note("job", false), &handle.pin());
}

/// Adds to a counter that is no atomic operation: without the role some would be lost.
struct Add(&'static Keyspace, usize);

impl Job for Add {
    fn run<'g>(self: Box<Self>, writer: &mut Writer<'g, 'g>, _: &'g Guard) {
        let names = [b"a".as_slice(), b"b", b"c", b"d"];
        let key = self.0.key(names[self.1]);
        let old = writer.get(DB, &key, 0).map_or(0, |entry| match entry.value() {
            dunlin_storage::Value::Str(text) => {
                String::from_utf8_lossy(&text.to_cow()).parse().unwrap_or(0)
            }
            _ => unreachable!("strings only"),
        });
        let new = (old + 1_u64).to_string();
        writer.put(DB, &key, NewValue::Raw(new.as_bytes()), None, 0);
    }

    fn is_recallable(&self) -> bool {
        true
    }

    /// Tries again, as a session does.
    fn recall(self: Box<Self>) {
        AGAIN.lock().unwrap_or_else(PoisonError::into_inner).push(*self);
    }
}

static AGAIN: Mutex<Vec<Add>> = Mutex::new(Vec::new());

struct AddElsewhere(Add, Sender<(Baton, Add)>);

impl Errand for AddElsewhere {
    fn set_out(self: Box<Self>, roles: Baton) {
        self.1.send((roles, self.0)).expect("somebody takes it");
    }
}

/// Four threads add, a part of it on errands that two others run, one calls back what waits.
#[test]
fn nothing_is_lost_between_errands_recalls_and_releases() {
    const EACH: usize = 5_000;
    let ks: &'static Keyspace =
        Box::leak(Box::new(Keyspace::new(Options { shards: 4, ..Options::default() })));
    let (sender, receiver) = channel::<(Baton, Add)>();
    let receiver = Arc::new(Mutex::new(receiver));
    let shard = |n: usize| {
        let names = [b"a".as_slice(), b"b", b"c", b"d"];
        ShardSet::one(ks.shard_of(ks.key(names[n]).hash))
    };
    let help = move || {
        for id in ks.take_leftovers().collect::<Vec<_>>() {
            while ks.drain(id, &ks.handle().pin()) {}
        }
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            let receiver = Arc::clone(&receiver);
            scope.spawn(move || {
                let handle = ks.handle();
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((roles, add)) = next else { return };
                    ks.run_with(roles, Box::new(add), &handle.pin());
                    help();
                }
            });
        }
        let adders: Vec<_> = (0..4)
            .map(|n: usize| {
                let sender = sender.clone();
                scope.spawn(move || {
                    let handle = ks.handle();
                    for i in 0..EACH {
                        let n = (n + i) % 4;
                        let guard = handle.pin();
                        match i % 3 {
                            0 => {
                                let errand = AddElsewhere(Add(ks, n), sender.clone());
                                ks.send(shard(n), Box::new(errand), &guard);
                            }
                            1 => ks.submit(ShardSet::all(ks), Box::new(Add(ks, n)), &guard),
                            _ => ks.submit(shard(n), Box::new(Add(ks, n)), &guard),
                        }
                        if i % 7 == 0 {
                            (0..4).for_each(|id| ks.recall(ShardId(id), &guard));
                            let back = std::mem::take(&mut *AGAIN.lock().expect("no panic"));
                            for add in back {
                                ks.submit(shard(add.1), Box::new(add), &guard);
                            }
                        }
                        help();
                    }
                })
            })
            .collect();
        adders.into_iter().for_each(|adder| adder.join().expect("it ends"));
        drop(sender);
    });
    let handle = ks.handle();
    let guard = handle.pin();
    for add in AGAIN.lock().expect("no panic").drain(..) {
        ks.submit(shard(add.1), Box::new(add), &guard);
    }
    help();
    let sum: u64 = [b"a".as_slice(), b"b", b"c", b"d"]
        .into_iter()
        .filter_map(|name| ks.get(DB, &ks.key(name), 0, dunlin_storage::Touch::No, &guard))
        .map(|entry| match entry.value() {
            dunlin_storage::Value::Str(text) => {
                String::from_utf8_lossy(&text.to_cow()).parse::<u64>().expect("a number")
            }
            _ => unreachable!("strings only"),
        })
        .sum();
    assert_eq!(sum, 4 * EACH as u64);
    assert!(ks.try_enter(&ShardSet::all(ks), &guard).is_some());
}
