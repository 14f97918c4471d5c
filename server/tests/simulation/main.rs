//! Agreement under faults, in simulated time: several nodes with their links, logs and leases run in one
//! thread on a network that loses, delays and splits ([turmoil]); every few milliseconds it is checked
//! that nothing has happened that must not.
//!
//! A run follows from its seed: the network, the faults, the nodes' election timeouts and their ids. A
//! failure names the seed; `DUNLIN_SEED=n cargo test --test simulation` repeats it, and `DUNLIN_SEEDS=n`
//! runs so many. (tokio's `select!` draws numbers of its own where it is not told an order.)

mod broken;
mod check;
mod faults;
mod network;
mod node;
mod process;
mod run;

#[path = "../support/rng.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
mod rng;

use broken::Broken;
use run::Failure;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Seeds that every run of the tests tries.
const SEEDS: u64 = 6;
/// Seeds among which at least one has to show that something is broken.
const BROKEN_SEEDS: u64 = 20;
/// How long faults happen.
const FAULTS: Duration = Duration::from_secs(60);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// With `DUNLIN_LOG` set: what the nodes log, with the simulated time.
fn log() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt as _;
    if std::env::var_os("DUNLIN_LOG").is_some() {
        let targets = Targets::new()
            .with_target("dunlin", LevelFilter::TRACE)
            .with_target("simulation", LevelFilter::DEBUG)
            .with_target("turmoil", LevelFilter::INFO)
            .with_target("openraft", LevelFilter::INFO);
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_timer(run::Elapsed);
        let subscriber = tracing_subscriber::registry().with(targets).with(lines);
        let _ = tracing::subscriber::set_global_default(subscriber);
    }
}

#[test]
fn nothing_happens_that_must_not() {
    let seeds = match number("DUNLIN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..number("DUNLIN_SEEDS").unwrap_or(SEEDS) + 1,
    };
    log();
    let (sum, next) = (Mutex::new(check::Report::default()), AtomicU64::new(seeds.start));
    // A run is one thread, and has all that it follows from for itself: as many as there are processors.
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            match run::run(seed, FAULTS, None) {
                Ok(report) => sum.lock().unwrap().add(&report),
                Err(Failure::Wrong(why) | Failure::Stuck(why)) => panic!("seed {seed}: {why}"),
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let sum = sum.into_inner().unwrap();
    println!("{} seeds: {sum:?}", seeds.end - seeds.start);
    // A run in which nothing happens shows nothing.
    assert!(sum.faults > 0 && sum.epochs > 0 && sum.removals > 0 && sum.moves > 0, "{sum:?}");
    assert!(sum.stops > 0, "{sum:?}");
}

#[test]
fn what_is_broken_is_found() {
    log();
    for broken in Broken::ALL {
        let found =
            (1..=BROKEN_SEEDS).find_map(|seed| match run::run(seed, FAULTS, Some(broken)) {
                Err(Failure::Wrong(why)) => Some((seed, why)),
                _ => None,
            });
        println!("{broken:?}: {found:?}");
        assert!(found.is_some(), "{broken:?} goes unnoticed");
    }
}

#[test]
fn a_seed_repeats_itself() {
    let short = Duration::from_secs(10);
    let whole = |seed| run::run(seed, short, None).expect("a run");
    let once = whole(77);
    let twice = whole(77);
    assert_eq!(once, twice);
    assert_ne!(once.digest, whole(78).digest);
}
