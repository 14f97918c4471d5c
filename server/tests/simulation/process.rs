//! The process of a node: a runtime of its own, and time that goes on only when it is told to. So it can
//! be stopped, as SIGSTOP does or a machine that is suspended, and go on as it was, while for everybody
//! else time has passed.

use super::network::Simulated;
use super::node::{self, Clock, Plan};
use std::io;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What time it is for a process.
#[derive(Clone, Debug)]
pub(crate) struct Time {
    clock: Clock,
    /// The moment at which it was started: by its runtime, and in the simulation.
    began: Instant,
    elapsed: Duration,
}

impl Time {
    /// What the node's clock shows.
    pub(crate) fn now(&self) -> u64 {
        self.clock.at(self.elapsed + self.began.elapsed())
    }
}

/// See the [module documentation](self).
pub(crate) struct Process {
    runtime: Runtime,
    main: JoinHandle<io::Result<()>>,
    name: String,
    clock: Clock,
    /// It stands still since then.
    stopped: Option<Duration>,
}

impl Process {
    /// Starts a node at a moment of the simulation.
    pub(crate) fn start(plan: &Plan, network: Simulated, elapsed: Duration) -> Process {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        // Timers go by milliseconds of the runtime's own: else each would be late.
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
        let began = runtime.block_on(async { Instant::now() });
        let time = Time { clock: plan.clock.clone(), began, elapsed };
        let main = runtime.spawn(node::run(plan.clone(), network, time));
        let (name, clock) = (plan.name.clone(), plan.clock.clone());
        Process { runtime, main, name, clock, stopped: None }
    }

    /// Whether it stands still.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// It does nothing from now on.
    pub(crate) fn stop(&mut self, now: Duration) {
        self.stopped = Some(now);
        self.clock.stop(now);
    }

    /// It goes on: for itself, no time has passed until this moment.
    pub(crate) fn go_on(&mut self, now: Duration) {
        let Some(since) = self.stopped.take() else { return };
        self.clock.go_on(now);
        let _span = tracing::info_span!("node", name = self.name).entered();
        self.runtime.block_on(async { tokio::time::advance(now - since).await });
    }

    /// Lets it run for so long, unless it stands still.
    pub(crate) fn tick(&mut self, tick: Duration) -> Result<(), String> {
        if self.is_stopped() {
            return Ok(());
        }
        let _span = tracing::info_span!("node", name = self.name).entered();
        self.runtime.block_on(async { tokio::time::sleep(tick).await });
        match self.main.is_finished() {
            true => Err(format!("{}: {:?}", self.name, self.runtime.block_on(&mut self.main))),
            false => Ok(()),
        }
    }
}
