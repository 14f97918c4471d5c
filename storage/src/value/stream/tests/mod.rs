//! Random histories against a naive model, and what the model does not say.

mod model;
mod rules;

use super::*;
use crate::value::listpack::Element;
use model::{Fields, Model};

/// A reproducible source of choices.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    /// One of a few names.
    fn name(&mut self, prefix: char) -> Vec<u8> {
        format!("{prefix}{}", self.below(3)).into_bytes()
    }

    fn fields(&mut self) -> Fields {
        let names: &[&str] = match self.below(6) {
            0 => &["a"],
            1 => &["b", "a", "b"],
            2 => &["17"],
            _ => &["a", "b"],
        };
        let mut value = || match self.below(5) {
            0 => b"".to_vec(),
            1 => b"-1234567".to_vec(),
            2 => vec![b'x'; 70],
            _ => self.below(300).to_string().into_bytes(),
        };
        names.iter().map(|name| (name.as_bytes().to_vec(), value())).collect()
    }
}

/// A stream, its model, and the clock.
struct History {
    stream: Stream,
    model: Model,
    limits: Limits,
    random: Random,
    now: i64,
}

fn pairs(fields: &Fields) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
    fields.iter().map(|(name, value)| (&**name, &**value))
}

fn read(entry: Entry<'_>) -> (StreamId, Fields) {
    let text = |(name, value): (Element<'_>, Element<'_>)| (name.to_vec(), value.to_vec());
    let (id, width) = (entry.id(), entry.width());
    let fields: Fields = entry.fields().map(text).collect();
    assert_eq!(fields.len(), width);
    (id, fields)
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let limits = Limits {
            node_max_bytes: [0, 200, 4096][random.below(3) as usize],
            node_max_entries: [0, 1, 3, 10][random.below(4) as usize],
        };
        History { stream: Stream::new(), model: Model::default(), limits, random, now: 1 }
    }

    fn bases(&self) -> Vec<StreamId> {
        self.stream.log.blocks().map(|(base, _)| base).collect()
    }

    /// An identifier that may well be there.
    fn id(&mut self) -> StreamId {
        let len = self.model.len();
        if len > 0 && !self.random.one_in(3) {
            let at = self.random.below(len) as usize;
            return self.model.live().nth(at).expect("fewer than there are").id;
        }
        StreamId::new(self.random.below(self.now as u64 + 2), self.random.below(4))
    }

    fn step(&mut self) {
        self.now += self.random.below(3) as i64;
        match self.random.below(20) {
            0..6 => self.append(),
            6 => self.trim(),
            7 | 8 => self.delete(),
            9 => self.change_groups(),
            10 | 11 => self.change_consumers(),
            12..15 => self.deliver(),
            15 => self.deliver_again(),
            16 => self.claim(),
            17 => self.sweep(),
            18 => self.acknowledge(),
            _ => self.set_id(),
        }
    }

    fn append(&mut self) {
        for _ in 0..=self.random.below(4) {
            let id = match self.random.below(4) {
                0 => NewId::Exactly(self.id()),
                1 => NewId::Time(self.now as u64 - self.random.below(2)),
                _ => NewId::Auto,
            };
            let fields = self.random.fields();
            let added = self.stream.log.append(id, pairs(&fields), &self.limits, self.now);
            assert_eq!(added.ok(), self.model.append(id, fields, self.now as u64));
        }
    }

    fn trim(&mut self) {
        let keep = if self.random.one_in(2) {
            Keep::Last(self.random.below(self.model.len() + 3))
        } else {
            Keep::From(self.id())
        };
        let how = Trim {
            keep,
            approximate: self.random.one_in(2),
            limit: if self.random.one_in(3) { self.random.below(10) } else { 0 },
        };
        let bases = self.bases();
        assert_eq!(self.stream.log.trim(how), self.model.trim(how, &bases), "{how:?}");
    }

    fn delete(&mut self) {
        let (id, bases) = (self.id(), self.bases());
        assert_eq!(self.stream.log.delete(id), self.model.delete(id, &bases));
    }

    fn change_groups(&mut self) {
        let (name, id) = (self.random.name('g'), self.id());
        let read = (!self.random.one_in(2)).then(|| self.random.below(30) as i64);
        let there = self.model.groups.contains_key(&name);
        match self.random.below(6) {
            0 => {
                let removed = self.stream.groups.remove(&name);
                assert_eq!(removed.is_some(), self.model.groups.remove(&name).is_some());
            }
            1 => {
                let moved = self.stream.groups.edit(&name, |group| group.set_id(id, read));
                assert_eq!(moved.is_some(), there);
                if let Some(group) = self.model.groups.get_mut(&name) {
                    (group.last_id, group.read) = (id, read);
                }
            }
            _ => {
                assert_eq!(self.stream.groups.insert(&name, Group::new(id, read)), !there);
                let new = model::Group { last_id: id, read, ..Default::default() };
                self.model.groups.entry(name).or_insert(new);
            }
        }
    }

    /// Changes the same group of stream and model in the same way; nothing if there is none.
    fn group<R: PartialEq + std::fmt::Debug>(
        &mut self,
        name: &[u8],
        stream: impl FnOnce(&mut Group, &Log) -> R,
        model: impl FnOnce(&mut Model) -> R,
    ) {
        if !self.model.groups.contains_key(name) {
            assert!(self.stream.groups.get(name).is_none());
            return;
        }
        let Stream { log, groups } = &mut self.stream;
        let result = groups.edit(name, |group| stream(group, log));
        assert_eq!(result, Some(model(&mut self.model)));
    }

    fn change_consumers(&mut self) {
        let (name, consumer, now) = (self.random.name('g'), self.random.name('c'), self.now);
        if self.random.one_in(4) {
            self.group(
                &name,
                |group, _| group.remove_consumer(&consumer),
                |model| model.groups.get_mut(&name).expect("there").remove_consumer(&consumer),
            );
        } else {
            self.see(&name, &consumer, now);
        }
    }

    fn see(&mut self, name: &[u8], consumer: &[u8], now: i64) {
        self.group(
            name,
            |group, _| group.see_consumer(consumer, now),
            |model| model.groups.get_mut(name).expect("there").see(consumer, now),
        );
    }

    fn deliver(&mut self) {
        let (name, consumer, now) = (self.random.name('g'), self.random.name('c'), self.now);
        let (count, acknowledged) = (self.random.below(5), self.random.one_in(4));
        self.see(&name, &consumer, now);
        self.group(
            &name,
            |group, log| {
                let ends = group.deliver(log, &consumer, count, acknowledged, now);
                let (first, last) = ends.unwrap_or((StreamId::MAX, StreamId::MIN));
                log.range(first, last).map(|entry| entry.id()).collect::<Vec<_>>()
            },
            |model| model.deliver(&name, &consumer, count, acknowledged, now),
        );
    }

    fn deliver_again(&mut self) {
        let (name, consumer, now) = (self.random.name('g'), self.random.name('c'), self.now);
        let (after, count) = (self.id(), self.random.below(5));
        self.see(&name, &consumer, now);
        self.group(
            &name,
            |group, log| group.deliver_again(log, &consumer, after, count, now),
            |model| model.deliver_again(&name, &consumer, after, count, now),
        );
    }

    /// Conditions of a claim by `consumer`.
    fn conditions<'a>(&mut self, consumer: &'a [u8]) -> Claim<'a> {
        Claim {
            consumer,
            min_idle: self.random.below(20) as i64,
            delivered_at: self.now - self.random.below(5) as i64,
            deliveries: self.random.one_in(3).then(|| self.random.below(9)),
            just_id: self.random.one_in(2),
            force: self.random.one_in(2),
        }
    }

    fn claim(&mut self) {
        let (name, consumer, now) = (self.random.name('g'), self.random.name('c'), self.now);
        let (id, how) = (self.id(), self.conditions(&consumer));
        self.see(&name, &consumer, now);
        self.group(
            &name,
            |group, log| group.claim(log, id, &how, now),
            |model| model.claim(&name, id, &how, now),
        );
    }

    fn sweep(&mut self) {
        let (name, consumer, now) = (self.random.name('g'), self.random.name('c'), self.now);
        let how = Claim { force: false, ..self.conditions(&consumer) };
        let (start, count) = (self.id(), 1 + self.random.below(5));
        self.see(&name, &consumer, now);
        self.group(
            &name,
            |group, log| group.sweep(log, start, count, &how, now),
            |model| model.sweep(&name, start, count, &how, now),
        );
    }

    fn acknowledge(&mut self) {
        let (name, id) = (self.random.name('g'), self.id());
        self.group(
            &name,
            |group, _| group.acknowledge(id),
            |model| model.groups.get_mut(&name).expect("there").pending.remove(&id).is_some(),
        );
    }

    fn set_id(&mut self) {
        let id = self.id();
        let added = self.random.one_in(3).then(|| self.random.below(40));
        let deleted = self.random.one_in(3).then(|| self.id()).filter(|deleted| *deleted <= id);
        let set = self.stream.log.set_id(id, added, deleted);
        let model = &mut self.model;
        let top = model.live().next_back().map(|entry| entry.id);
        let wanted = if id < model.max_deleted_id {
            Err(SetIdError::BelowDeleted)
        } else if top.is_some_and(|top| id < top) {
            Err(SetIdError::BelowTop)
        } else if top.is_some() && added.is_some_and(|added| added < model.len()) {
            Err(SetIdError::TooFewAdded)
        } else {
            model.last_id = id;
            model.added = added.unwrap_or(model.added);
            model.max_deleted_id =
                deleted.filter(|id| *id != StreamId::MIN).unwrap_or(model.max_deleted_id);
            Ok(())
        };
        assert_eq!(set, wanted);
    }

    fn check(&mut self) {
        self.check_log();
        self.check_ranges();
        self.check_groups();
    }

    fn check_log(&self) {
        let (log, model) = (&self.stream.log, &self.model);
        assert_eq!(log.len(), model.len());
        assert_eq!(log.is_empty(), model.len() == 0);
        assert_eq!(log.first_id(), model.first_id());
        assert_eq!(log.top_id(), model.live().next_back().map(|entry| entry.id));
        assert_eq!(log.last_id(), model.last_id);
        assert_eq!(log.max_deleted_id(), model.max_deleted_id);
        assert_eq!(log.entries_added(), model.added);
        let bytes: usize = log.blocks().map(|(_, bytes)| bytes.len()).sum();
        // Only the last block has room for more.
        let most = bytes * 2 + log.blocks().len() * 200 + 4096;
        assert!((bytes..=most).contains(&log.memory_usage()));
    }

    fn check_ranges(&mut self) {
        let (a, b) = (self.id(), self.id());
        for (start, end) in [(StreamId::MIN, StreamId::MAX), (a, b), (b, a), (a, a)] {
            let wanted = self.model.live().filter(|entry| (start..=end).contains(&entry.id));
            let wanted = wanted.map(|entry| (entry.id, entry.fields.clone()));
            let mut wanted: Vec<_> = wanted.collect();
            let found: Vec<_> = self.stream.log.range(start, end).map(read).collect();
            assert_eq!(found, wanted, "{start} to {end}");
            wanted.reverse();
            let found: Vec<_> = self.stream.log.range_back(start, end).map(read).collect();
            assert_eq!(found, wanted, "back from {end} to {start}");
        }
        assert_eq!(self.stream.log.get(a).is_some(), self.model.has(a));
    }

    fn check_groups(&mut self) {
        let range = self.id()..=self.id();
        let (groups, model) = (&self.stream.groups, &self.model);
        assert_eq!(groups.len(), model.groups.len());
        for ((name, group), (wanted_name, wanted)) in groups.iter().zip(&model.groups) {
            assert_eq!(name, wanted_name);
            assert_eq!((group.last_id(), group.entries_read()), (wanted.last_id, wanted.read));
            let lag = self.stream.log.lag(group.last_id(), group.entries_read());
            assert_eq!(lag, model.lag(wanted));
            let plain = |(id, pending): (StreamId, &Pending)| {
                let consumer = pending.consumer().to_vec();
                let (delivered_at, deliveries) = (pending.delivered_at(), pending.deliveries());
                (id, model::Pending { consumer, delivered_at, deliveries })
            };
            let pending: Vec<_> = group.pending().iter().map(|(id, p)| plain((*id, p))).collect();
            let all: Vec<_> = wanted.pending.iter().map(|(id, p)| (*id, p.clone())).collect();
            assert_eq!(pending, all);
            let consumers =
                group.consumers().map(|(name, c)| (name.to_vec(), (c.seen_at(), c.active_at())));
            assert_eq!(
                consumers.collect::<Vec<_>>(),
                wanted.consumers.clone().into_iter().collect::<Vec<_>>()
            );
            for (name, consumer) in group.consumers() {
                let own = all.iter().filter(|(_, pending)| pending.consumer == name);
                let ids: Vec<_> = own.clone().map(|(id, _)| *id).collect();
                assert_eq!(consumer.pending().iter().copied().collect::<Vec<_>>(), ids);
                let own: Vec<_> = own.filter(|(id, _)| range.contains(id)).cloned().collect();
                let found = group.pending_in(range.clone(), Some(name)).expect("it is there");
                assert_eq!(found.map(plain).collect::<Vec<_>>(), own);
            }
            let found = group.pending_in(range.clone(), None).expect("of all consumers");
            let in_range: Vec<_> =
                all.iter().filter(|(id, _)| range.contains(id)).cloned().collect();
            assert_eq!(found.map(plain).collect::<Vec<_>>(), in_range);
            assert!(group.pending_in(range.clone(), Some(b"nobody")).is_none());
        }
    }

    /// What the blocks say is valid and makes the same log.
    fn check_restored(&self) {
        let log = &self.stream.log;
        let mut copy = Log::default();
        for (base, bytes) in log.blocks() {
            assert!(copy.restore_block(base, bytes.to_vec()), "{base} {bytes:?}");
        }
        assert_eq!(copy.len(), log.len());
        assert_eq!(copy.first_id(), log.first_id());
        assert_eq!(copy.tree_nodes(), log.tree_nodes());
        assert!(copy.blocks().eq(log.blocks()));
    }

    /// Freeing takes as many steps as there are things, and leaves nothing.
    fn check_shedding(mut self) {
        let groups = self.stream.groups.iter();
        let in_groups: usize =
            groups.map(|(_, group)| 1 + 2 * group.pending().len() + group.consumers().len()).sum();
        let things = self.stream.log.blocks().len() + in_groups;
        let mut steps = 1;
        while self.stream.shed(3) {
            steps += 1;
        }
        assert!((things / 3..=things / 3 + 2).contains(&steps), "{steps} steps for {things}");
        assert_eq!(self.stream.memory_usage(), 0);
    }
}

#[test]
fn histories_agree_with_the_model() {
    for seed in 0..60 {
        let mut history = History::new(seed);
        for step in 0..400 {
            history.step();
            if step % 8 == 0 {
                history.check();
            }
        }
        history.check();
        history.check_restored();
        history.check_shedding();
    }
}
