//! `/livez` and `/readyz`.
//!
//! *Alive* is not *well*: liveness fails only if a restart would help. An overloaded server, a full
//! disk or a draining one are alive; who should get no new clients says so by readiness.

use crate::runtime::heartbeat::Heartbeats;
use crate::runtime::phase::Phases;
use dunlin_storage::Millis;

/// What a probe says: `Err` is the reason why not.
pub(super) type Verdict = Result<&'static str, String>;

/// Whether every worker comes round.
pub(super) fn live(hearts: &Heartbeats, now: Millis) -> Verdict {
    match hearts.hanging(now) {
        Some(silence) => {
            let (worker, seconds) = (silence.worker, silence.millis / 1000);
            Err(format!("worker {worker} has been silent for {seconds} seconds"))
        }
        None => Ok("alive"),
    }
}

/// Whether new clients are welcome.
pub(super) fn ready(phases: &Phases) -> Verdict {
    match phases.is_ready() {
        true => Ok("ready"),
        false => Err(phases.now().name().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::phase::Phase;

    #[test]
    fn a_silent_worker_is_the_end_of_liveness() {
        let hearts = Heartbeats::new(2);
        assert!(live(&hearts, 0).is_ok(), "still starting");
        hearts.beat(0, 10_000);
        hearts.beat(1, 6_000);
        assert!(live(&hearts, 10_999).is_ok());
        let why = live(&hearts, 12_345).unwrap_err();
        assert_eq!(why, "worker 1 has been silent for 6 seconds");
        hearts.rest(1);
        assert!(live(&hearts, 12_345).is_ok());
    }

    #[test]
    fn readiness_names_the_phase() {
        let phases = Phases::loading();
        assert_eq!(ready(&phases), Err("loading".to_owned()));
        phases.enter(Phase::Serving);
        assert!(ready(&phases).is_ok());
        phases.enter(Phase::Draining);
        assert_eq!(ready(&phases), Err("draining".to_owned()));
        phases.enter(Phase::Ending);
        assert_eq!(ready(&phases), Err("ending".to_owned()));
    }
}
