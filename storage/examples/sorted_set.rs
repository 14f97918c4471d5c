//! What a large sorted set costs: bytes per member, and nanoseconds per operation.
//!
//! ```sh
//! cargo run --release -p dunlin-storage --example sorted_set [members]
//! ```

use std::hint::black_box;
use std::time::Instant;

use dunlin_storage::value::sorted_set::{AddOptions, Limits, Part, ScoreRange, SortedSet};
use std::ops::Bound;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let members: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    println!("{members} members of 10 bytes");
    for (name, in_order) in [("scores at random", false), ("scores in order", true)] {
        println!("{name}:");
        measure(members, in_order);
    }
}

fn measure(members: usize, in_order: bool) {
    let limits = Limits::new(1);
    let names: Vec<String> = (0..members).map(|n| format!("m:{n:08}")).collect();
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 11
    };
    let scores: Vec<f64> =
        (0..members).map(|n| if in_order { n as f64 } else { random() as f64 / 1e6 }).collect();
    let picks: Vec<usize> = (0..members).map(|_| random() as usize % members).collect();
    let mut set = SortedSet::new();
    let before = resident();
    time("add", members, || {
        for (name, score) in names.iter().zip(&scores) {
            set.add(name.as_bytes(), *score, AddOptions::default(), &limits);
        }
    });
    let per_member = |bytes: usize| bytes as f64 / members as f64;
    println!("  {:6.1} bytes per member counted", per_member(set.memory_usage()));
    println!("  {:6.1} bytes per member resident", per_member(resident() - before));
    time("score", members, || {
        for &pick in &picks {
            black_box(set.view().score(names[pick].as_bytes()));
        }
    });
    time("rank", members, || {
        for &pick in &picks {
            black_box(set.view().rank(names[pick].as_bytes()));
        }
    });
    time("count by score", members, || {
        for &pick in &picks {
            let min = Bound::Included(scores[pick]);
            let range = ScoreRange { min, max: Bound::Excluded(scores[pick] + 100.0) };
            black_box(set.view().window(&Part::Score(range), false));
        }
    });
    time("range of 10", members, || {
        for &pick in &picks {
            black_box(set.view().range(pick..pick + 10).count());
        }
    });
    time("increment", members, || {
        let options = AddOptions { incr: true, ..AddOptions::default() };
        for &pick in &picks {
            set.add(names[pick].as_bytes(), 1000.0, options, &limits);
        }
    });
    time("pop the first", members / 2, || {
        for _ in 0..members / 2 {
            set.remove_ranks(0..1);
        }
    });
    time("remove", members, || {
        for name in &names {
            set.remove(name.as_bytes());
        }
    });
}

fn time(what: &str, count: usize, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    println!("  {:6.0} ns to {what}", start.elapsed().as_nanos() as f64 / count as f64);
}

/// Bytes of memory that the process has, if the system tells.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0_usize);
    pages * 4096
}
