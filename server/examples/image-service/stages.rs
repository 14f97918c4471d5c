//! Stages: each lets so many in at once and so many wait, and knows how long it takes.

use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// No place to wait: the stage has as much before it as it can do in reasonable time.
#[derive(Debug)]
pub(crate) struct Full;

/// A stage of the service.
pub(crate) struct Stage {
    name: &'static str,
    at_once: usize,
    places: Semaphore,
    waiting: Cell<usize>,
    most_waiting: usize,
    times: Times,
}

impl Stage {
    /// A stage in which `at_once` are served and `most_waiting` more may wait.
    pub(crate) fn new(name: &'static str, at_once: usize, most_waiting: usize) -> Stage {
        Stage {
            name,
            at_once,
            places: Semaphore::new(at_once),
            waiting: Cell::new(0),
            most_waiting,
            times: Times::default(),
        }
    }

    /// Runs `work` when it is its turn. The time counts from here, the wait included.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Full> {
        let begun = Instant::now();
        let place = match self.places.try_acquire() {
            Ok(place) => place,
            Err(_) if self.waiting.get() >= self.most_waiting => return Err(Full),
            Err(_) => {
                self.waiting.set(self.waiting.get() + 1);
                let place = self.places.acquire().await;
                self.waiting.set(self.waiting.get() - 1);
                place.map_err(|_| Full)?
            }
        };
        let result = work.await;
        drop(place);
        self.times.record(begun.elapsed());
        Ok(result)
    }

    /// Forgets what it knows of the past.
    pub(crate) fn reset(&self) {
        self.times.reset();
    }

    /// A line of the report.
    pub(crate) fn line(&self) -> String {
        self.times.line(self.name, &format!("{} at once", self.at_once))
    }
}

/// How long something takes, in microseconds.
pub(crate) struct Times(RefCell<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        // Three digits of everything up to a minute; these bounds are valid.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3);
        Times(RefCell::new(histogram.expect("valid bounds")))
    }
}

impl Times {
    /// Enters one.
    pub(crate) fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.borrow_mut().saturating_record(micros);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.borrow().len()
    }

    /// Forgets all.
    pub(crate) fn reset(&self) {
        self.0.borrow_mut().reset();
    }

    /// A line of the report.
    pub(crate) fn line(&self, name: &str, remark: &str) -> String {
        let times = self.0.borrow();
        let millis = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
        format!(
            "{name:<12}{:>9}{:>10.2} ms{:>10.2} ms{:>10.2} ms   {remark}\n",
            times.len(),
            millis(0.5),
            millis(0.99),
            millis(1.0)
        )
    }
}
