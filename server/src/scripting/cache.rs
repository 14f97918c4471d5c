//! The scripts that EVALSHA finds: one cache for all workers.
//!
//! Engines keep what they have compiled and ask the cache only for a name they do not know, so the
//! lock is off the way of a script in use. A script that leaves the cache is marked, which engines
//! see when they meet it next.
//!
//! Scripts that came with EVAL are evicted, the least recently used first, when there are more than
//! [`MAX_EVALED`]; those of SCRIPT LOAD stay until SCRIPT FLUSH, as in Redis.

use super::script::{Script, Sha1};
use ahash::AHashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Scripts that EVAL leaves in the cache.
const MAX_EVALED: usize = 500;

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub struct ScriptCache {
    scripts: RwLock<AHashMap<Sha1, Arc<Script>>>,
    /// Counts uses: the clock of "least recently".
    ticks: AtomicU64,
    evicted: AtomicU64,
}

impl ScriptCache {
    /// The script of that name; digits in any case.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Arc<Script>> {
        let name: Sha1 = name.to_ascii_lowercase().try_into().ok()?;
        let scripts = self.scripts.read().unwrap_or_else(PoisonError::into_inner);
        let script = scripts.get(&name).cloned();
        drop(scripts);
        if let Some(script) = &script {
            self.touch(script);
        }
        script
    }

    /// Whether there is a script of that name.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        let name: Result<Sha1, _> = name.to_ascii_lowercase().try_into();
        let scripts = self.scripts.read().unwrap_or_else(PoisonError::into_inner);
        name.is_ok_and(|name| scripts.contains_key(&name))
    }

    /// Notes a use.
    pub fn touch(&self, script: &Script) {
        script.use_at(self.ticks.fetch_add(1, Ordering::Relaxed));
    }

    /// Puts a script in, or finds the one that is there; `keep`: SCRIPT LOAD.
    pub fn add(&self, script: Arc<Script>, keep: bool) -> Arc<Script> {
        let mut scripts = self.scripts.write().unwrap_or_else(PoisonError::into_inner);
        let script = scripts.entry(script.sha1).or_insert(script).clone();
        if keep {
            script.keep();
        }
        self.touch(&script);
        self.evict(&mut scripts);
        script
    }

    fn evict(&self, scripts: &mut AHashMap<Sha1, Arc<Script>>) {
        let evictable = |scripts: &AHashMap<Sha1, Arc<Script>>| {
            let evaled = scripts.values().filter(|script| !script.is_kept());
            let (mut count, mut oldest) = (0, None::<Arc<Script>>);
            for script in evaled {
                count += 1;
                if oldest.as_ref().is_none_or(|old| script.last_used() < old.last_used()) {
                    oldest = Some(Arc::clone(script));
                }
            }
            oldest.filter(|_| count > MAX_EVALED)
        };
        while let Some(oldest) = evictable(scripts) {
            scripts.remove(&oldest.sha1);
            oldest.forget();
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// SCRIPT FLUSH.
    pub fn flush(&self) {
        let mut scripts = self.scripts.write().unwrap_or_else(PoisonError::into_inner);
        for (_, script) in scripts.drain() {
            script.forget();
        }
    }

    /// Number of scripts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scripts.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all texts.
    #[must_use]
    pub fn memory(&self) -> usize {
        let scripts = self.scripts.read().unwrap_or_else(PoisonError::into_inner);
        scripts.values().map(|script| script.body.len() + size_of::<Script>()).sum()
    }

    /// Scripts evicted so far.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(n: usize) -> Arc<Script> {
        Arc::new(Script::parse(format!("return {n}").as_bytes()).expect("a script"))
    }

    #[test]
    fn names_are_found_in_any_case() {
        let cache = ScriptCache::default();
        let one = cache.add(script(1), false);
        assert!(cache.get(one.name().to_ascii_uppercase().as_bytes()).is_some());
        assert!(cache.get(&one.sha1[1..]).is_none());
        assert!(cache.get(b"").is_none());
        assert!(Arc::ptr_eq(&one, &cache.add(script(1), false)), "one text, one script");
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn what_was_used_longest_ago_goes_unless_it_was_loaded() {
        let cache = ScriptCache::default();
        let loaded = cache.add(script(0), true);
        let first = cache.add(script(1), false);
        let second = cache.add(script(2), false);
        for n in 3..=MAX_EVALED {
            cache.add(script(n), false);
        }
        assert_eq!((cache.len(), cache.evicted()), (MAX_EVALED + 1, 0));
        assert!(cache.get(&first.sha1).is_some());
        cache.add(script(MAX_EVALED + 1), false);
        assert_eq!((cache.len(), cache.evicted()), (MAX_EVALED + 1, 1));
        assert!(first.is_cached() && !second.is_cached() && loaded.is_cached());
        cache.add(script(3), true);
        for n in 0..2 * MAX_EVALED {
            cache.add(script(10_000 + n), false);
        }
        assert!(cache.get(&script(3).sha1).is_some(), "loaded later on");
        cache.flush();
        assert!(cache.is_empty() && !loaded.is_cached());
    }
}
