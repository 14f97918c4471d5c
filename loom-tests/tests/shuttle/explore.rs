//! Running a model under the schedulers.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dunlin_storage::steps;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

/// Schedules of each model, if nobody says how many.
const SCHEDULES: usize = 2000;
/// Places where priorities change, plus one.
const DEPTH: usize = 3;
/// A task's stack: the engine is deeper than Shuttle expects.
const STACK: usize = 256 * 1024;

/// Explores `DUNLIN_SHUTTLE_SCHEDULES` schedules of `model`, from `DUNLIN_SHUTTLE_SEED` on.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_one_in(1, model);
}

/// One in so many of those: of a model that takes as much longer.
pub(crate) fn explore_one_in(share: usize, model: impl Fn() + Send + Sync + 'static) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let schedules =
        number("DUNLIN_SHUTTLE_SCHEDULES").map_or(SCHEDULES, |count| count as usize) / share;
    let seed = number("DUNLIN_SHUTTLE_SEED").unwrap_or(1);
    let (half, model) = (schedules / 2, Arc::new(model));
    run("at random", seed, RandomScheduler::new_from_seed(seed, half), &model);
    let by_priority = PctScheduler::new_from_seed(seed, DEPTH, schedules - half);
    run("by priority", seed, by_priority, &model);
}

fn run<M: Fn() + Send + Sync + 'static>(
    kind: &str,
    seed: u64,
    scheduler: impl Scheduler + 'static,
    model: &Arc<M>,
) {
    let mut config = Config::new();
    config.stack_size = STACK;
    let begun = Arc::new(AtomicUsize::new(0));
    let body = {
        let (begun, model) = (Arc::clone(&begun), Arc::clone(model));
        move || {
            begun.fetch_add(1, Ordering::Relaxed);
            steps::begin();
            model();
            assert_eq!(steps::blocks_in_use(), 0, "blocks were left over");
        }
    };
    let (start, before) = (std::time::Instant::now(), steps::taken());
    let runner = Runner::new(scheduler, config);
    let outcome = catch_unwind(AssertUnwindSafe(|| runner.run(body)));
    let (name, begun) = (std::thread::current(), begun.load(Ordering::Relaxed));
    let name = name.name().unwrap_or("model");
    match outcome {
        Ok(_) => {
            let mean = (steps::taken() - before) / begun.max(1) as u64;
            println!("{name}: {begun} schedules {kind}, {mean} steps each: {:?}", start.elapsed());
        }
        Err(panic) => {
            eprintln!("{name}: schedule {begun} {kind} with DUNLIN_SHUTTLE_SEED={seed}");
            resume_unwind(panic);
        }
    }
}
