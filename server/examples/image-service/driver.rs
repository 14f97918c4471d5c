//! Requests: at a fixed rate, for images of which few are wanted often and many seldom (Zipf's law).

use crate::service::{ImageService, Served, Unserved};
use crate::stages::Times;
use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// Between two batches of requests.
const TICK: Duration = Duration::from_millis(1);
/// The cache counts as warm when so much of the last requests was in it.
const WARM: f64 = 0.9;
/// Requests at once while it is warmed, and how many until it is looked again.
const WARMERS: u64 = 64;
const WARMING: u64 = 4096;
/// How often it is looked.
const LOOKS: usize = 100;
/// How long the last requests may take.
const REST: Duration = Duration::from_secs(5);

/// What is asked for.
pub(crate) struct Load {
    /// Requests per second.
    pub(crate) rate: u64,
    /// For how long.
    pub(crate) time: Duration,
    /// Different images.
    pub(crate) images: u64,
}

impl Default for Load {
    fn default() -> Self {
        Load { rate: 10_000, time: Duration::from_secs(10), images: 5_000 }
    }
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Tally {
    all: Times,
    hits: Times,
    misses: Times,
    joined: Cell<u64>,
    unserved: Cell<u64>,
    took: Cell<Duration>,
}

impl Tally {
    fn note(&self, outcome: Result<Served, Unserved>, took: Duration) {
        let Ok(served) = outcome else {
            self.unserved.set(self.unserved.get() + 1);
            return;
        };
        self.all.record(took);
        match served {
            Served::Hit => self.hits.record(took),
            Served::Made => self.misses.record(took),
            Served::Joined => {
                self.joined.set(self.joined.get() + 1);
                self.misses.record(took);
            }
        }
    }

    fn hit_ratio(&self) -> f64 {
        self.hits.count() as f64 / (self.all.count().max(1)) as f64
    }

    /// The report.
    pub(crate) fn report(&self, load: &Load, service: &ImageService) -> String {
        let seconds = self.took.get().as_secs_f64();
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} requests per second wanted, {:.0} served, {} not served, {:.0} MB per second\n\
             hit ratio {:.2} %, {} made, {} joined somebody else's flight\n\n\
             {:<12}{:>9}{:>13}{:>13}{:>13}",
            load.rate,
            self.all.count() as f64 / seconds,
            self.unserved.get(),
            service.bytes.get() as f64 / 1e6 / seconds,
            self.hit_ratio() * 100.0,
            self.misses.count() - self.joined.get(),
            self.joined.get(),
            "",
            "count",
            "p50",
            "p99",
            "max"
        );
        text += &self.all.line("request", "from when it was due");
        text += &self.hits.line("- hit", "");
        text += &self.misses.line("- miss", "");
        text += &service.lookups.line("cache GET", "");
        service.stages.iter().for_each(|stage| text += &stage.line());
        text
    }
}

/// Warms the cache, then asks at the rate of `load`.
pub(crate) async fn drive(service: &Rc<ImageService>, load: &Load) -> Rc<Tally> {
    let mut popular = Popularity::new(load.images);
    let local = LocalSet::new();
    local
        .run_until(async {
            warm(service, &mut popular).await;
            service.reset();
            ask(service, load, &mut popular).await
        })
        .await
}

/// A cold cache would be measured for what is behind it.
async fn warm(service: &Rc<ImageService>, popular: &mut Popularity) {
    for _ in 0..LOOKS {
        let tally = Rc::<Tally>::default();
        let warmers: Vec<_> = (0..WARMERS)
            .map(|_| {
                let images: Vec<u64> = (0..WARMING / WARMERS).map(|_| popular.next()).collect();
                let (service, tally) = (Rc::clone(service), Rc::clone(&tally));
                tokio::task::spawn_local(async move {
                    for image in images {
                        tally.note(service.thumbnail(image).await, Duration::ZERO);
                    }
                })
            })
            .collect();
        for warmer in warmers {
            let _ = warmer.await;
        }
        if tally.hit_ratio() > WARM {
            return;
        }
    }
}

async fn ask(service: &Rc<ImageService>, load: &Load, popular: &mut Popularity) -> Rc<Tally> {
    let tally = Rc::<Tally>::default();
    let begun = Instant::now();
    let mut asked = 0u64;
    let mut ticks = tokio::time::interval(TICK);
    while begun.elapsed() < load.time {
        ticks.tick().await;
        // As many as are due by now, however late this tick is.
        let due = (begun.elapsed().as_secs_f64() * load.rate as f64) as u64;
        for number in asked..due {
            let when = begun + Duration::from_secs_f64(number as f64 / load.rate as f64);
            let (service, tally, image) = (Rc::clone(service), Rc::clone(&tally), popular.next());
            tokio::task::spawn_local(async move {
                let outcome = service.thumbnail(image).await;
                tally.note(outcome, when.elapsed());
            });
        }
        asked = asked.max(due);
    }
    tally.took.set(begun.elapsed());
    let end = Instant::now() + REST;
    while tally.all.count() + tally.unserved.get() < asked && Instant::now() < end {
        tokio::time::sleep(TICK).await;
    }
    // What is still under way has not been served in any reasonable time.
    tally.unserved.set(asked - tally.all.count());
    tally
}

/// Draws images: the n-th most popular one is wanted 1/n as often as the first.
struct Popularity {
    /// Sums of the shares up to each image.
    sums: Vec<f64>,
    state: u64,
}

impl Popularity {
    fn new(images: u64) -> Popularity {
        let shares = (1..=images).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        Popularity { sums: shares.collect(), state: 1 }
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let random = ((word ^ (word >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        let total = self.sums.last().copied().unwrap_or(0.0);
        self.sums.partition_point(|sum| *sum < random * total) as u64
    }
}
