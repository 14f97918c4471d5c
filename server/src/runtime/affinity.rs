//! Pinning workers to CPUs.
//!
//! A pinned worker keeps its caches warm and the kernel's scheduler out of the way, but pinning
//! fewer workers than CPUs would bind them to the first ones while others idle, and more workers
//! than CPUs would make two share one for ever. So it happens only when the numbers agree.

use core_affinity::CoreId;

/// The CPU of each worker.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    cpus: Vec<CoreId>,
}

impl Plan {
    /// Decides for `workers` workers; `wanted` is the setting `worker-affinity`. Call it before any
    /// thread is pinned: a pinned thread sees only its own CPU.
    #[must_use]
    pub fn new(workers: usize, wanted: bool) -> Plan {
        let allowed =
            if wanted { core_affinity::get_core_ids().unwrap_or_default() } else { Vec::new() };
        Plan::choose(workers, allowed)
    }

    fn choose(workers: usize, allowed: Vec<CoreId>) -> Plan {
        let fits = allowed.len() == workers;
        Plan { cpus: if fits { allowed } else { Vec::new() } }
    }

    /// Whether workers are pinned.
    #[must_use]
    pub fn pins(&self) -> bool {
        !self.cpus.is_empty()
    }

    /// Pins the calling thread as this worker; the CPU's number if it was pinned.
    pub fn pin(&self, worker: usize) -> Option<usize> {
        let cpu = *self.cpus.get(worker)?;
        core_affinity::set_for_current(cpu).then_some(cpu.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(ids: &[usize]) -> Vec<CoreId> {
        ids.iter().map(|id| CoreId { id: *id }).collect()
    }

    #[test]
    fn pins_only_when_numbers_agree() {
        assert!(Plan::choose(2, cpus(&[1, 3])).pins());
        assert!(!Plan::choose(1, cpus(&[1, 3])).pins());
        assert!(!Plan::choose(3, cpus(&[1, 3])).pins());
        assert!(!Plan::choose(0, Vec::new()).pins());
        assert!(!Plan::new(1, false).pins());
        assert_eq!(Plan::choose(2, cpus(&[1, 3])).cpus[1].id, 3);
    }

    #[test]
    fn a_pinned_thread_sees_one_cpu() {
        let allowed = core_affinity::get_core_ids().unwrap_or_default();
        let plan = Plan::new(allowed.len(), true);
        let last = allowed.len() - 1;
        let seen = std::thread::spawn(move || {
            let pinned = plan.pin(last);
            (pinned, core_affinity::get_core_ids().unwrap_or_default())
        });
        let (pinned, seen) = seen.join().unwrap();
        assert_eq!(pinned, Some(allowed[last].id));
        assert_eq!(seen, vec![allowed[last]]);
    }
}
