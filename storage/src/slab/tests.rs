use std::collections::HashMap;

use super::*;
use crate::slab::usable;

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }
}

/// Blocks as a naive allocator would know them: each has its bytes and a mark that must stay.
struct Model<'s> {
    slab: &'s Slab,
    thread: usize,
    blocks: Vec<(Block, usize, u8)>,
    marks: u8,
}

impl Model<'_> {
    fn take(&mut self, class: usize, want: usize) {
        let mut fresh = Vec::new();
        assert!(self.slab.take(self.thread, class, want, &mut fresh));
        assert!((1..=want).contains(&fresh.len()));
        for block in fresh {
            self.marks = self.marks.wrapping_add(1);
            // SAFETY: the block is ours and has so many bytes.
            unsafe { block.0.write_bytes(self.marks, class) };
            self.blocks.push((block, class, self.marks));
        }
    }

    fn give(&mut self, dice: &mut Dice, count: usize) {
        let mut gone = Vec::new();
        for _ in 0..count.min(self.blocks.len()) {
            let (block, class, mark) = self.blocks.swap_remove(dice.below(self.blocks.len()));
            // SAFETY: the block is ours and has so many bytes.
            let bytes = unsafe { std::slice::from_raw_parts(block.0.as_ptr(), class) };
            assert!(bytes.iter().all(|byte| *byte == mark), "somebody else has written here");
            gone.push(block);
        }
        // SAFETY: they are ours, and are not used any more.
        unsafe { self.slab.give(&mut gone) };
    }

    fn bytes(&self) -> u64 {
        self.blocks.iter().map(|(_, class, _)| *class as u64).sum()
    }
}

fn model(slab: &Slab) -> Model<'_> {
    Model { slab, thread: 0, blocks: Vec::new(), marks: 0 }
}

#[test]
fn blocks_never_overlap_and_all_come_back() {
    for seed in 0..8 {
        let slab = Slab::reserve(4096).expect("reserved");
        let (mut model, mut dice) = (model(&slab), Dice(seed));
        let mut compaction = Compaction::default();
        for round in 0..4_000 {
            let class = usable(match dice.below(3) {
                0 => 1 + dice.below(BLOCK_MAX),
                1 => 1 + dice.below(256),
                _ => 83,
            });
            model.thread = dice.below(3);
            // Grows and shrinks in turn.
            let grows = round / 500 % 2 == 0;
            if dice.below(100) < if grows { 70 } else { 35 } {
                model.take(class, 1 + dice.below(40));
            } else {
                let count = 1 + dice.below(60);
                model.give(&mut dice, count);
            }
            if dice.below(4) == 0 && compaction.step_in(&slab) {
                compaction = Compaction::default();
            }
            if dice.below(50) == 0 {
                slab.pool.purge(2);
            }
            let stats = slab.stats();
            assert_eq!(stats.used, model.bytes());
            assert!(stats.pages >= stats.used);
        }
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut spans: Vec<(usize, usize)> =
            model.blocks.iter().map(|(b, class, _)| (b.0.addr().get(), *class)).collect();
        spans.sort_unstable();
        for pair in spans.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "blocks overlap");
        }
        spans.iter().for_each(|(at, _)| *places.entry(at / PAGE).or_default() += 1);
        assert_eq!(slab.stats().pages, (places.len() * PAGE) as u64, "no page is kept for nothing");
        model.give(&mut dice, usize::MAX);
        assert_eq!((slab.stats().used, slab.stats().pages), (0, 0));
    }
}

#[test]
fn memory_that_is_needed_no_more_goes_to_the_system() {
    let slab = Slab::reserve(1024).expect("reserved");
    let (mut model, mut dice) = (model(&slab), Dice(1));
    for _ in 0..2_000 {
        model.take(84, 32);
    }
    let full = slab.stats();
    assert!(full.pages > 60 * PAGE as u64 && full.slack() * 50 < full.pages, "{full:?}");
    model.give(&mut dice, usize::MAX);
    assert_eq!(slab.stats().empty, full.pages);
    while slab.pool.purge(4) {}
    assert!(slab.stats().empty <= 2 * PAGE as u64);
    // And what is taken then is what was there before.
    for _ in 0..2_000 {
        model.take(544, 4);
    }
    model.give(&mut dice, usize::MAX);
}

/// What moving the blocks of leaving pages elsewhere does to a class of which most was given back.
#[test]
fn sparse_pages_can_be_emptied() {
    let slab = Slab::reserve(1024).expect("reserved");
    let (mut model, mut dice) = (model(&slab), Dice(2));
    for _ in 0..2_000 {
        model.take(84, 32);
    }
    let full = slab.stats().pages;
    let count = model.blocks.len() * 6 / 10;
    model.give(&mut dice, count);
    assert!(slab.stats().pages > full * 9 / 10, "nearly every page has a block in use");
    for _ in 0..3 {
        let mut compaction = Compaction::default();
        while !compaction.step_in(&slab) {}
        let leaving = |block: &Block| {
            // SAFETY: the block is in use.
            unsafe { Page::of(block.0).fixed() }.leaving.load(Ordering::Relaxed) != 0
        };
        let (go, stay) = model.blocks.drain(..).partition::<Vec<_>, _>(|(b, ..)| leaving(b));
        model.blocks = stay;
        for (block, class, _) in go {
            model.take(class, 1);
            let (fresh, ..) = model.blocks.last().expect("just taken");
            assert!(!leaving(fresh), "nothing new comes to a page that leaves");
            // SAFETY: ours, and not used any more.
            unsafe { slab.give(&mut [block]) };
        }
    }
    let stats = slab.stats();
    assert!(stats.slack() * 7 <= stats.pages, "{stats:?}");
    model.give(&mut dice, usize::MAX);
    assert_eq!(slab.stats().pages, 0);
}

/// Blocks go from thread to thread, and nobody ever waits.
#[test]
fn threads_give_back_what_others_have_taken() {
    let slab = &Slab::reserve(4096).expect("reserved");
    let (send, receive) = std::sync::mpsc::channel::<Vec<(usize, usize, u8)>>();
    let receive = &std::sync::Mutex::new(receive);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let send = send.clone();
            scope.spawn(move || {
                let (mut model, mut dice) = (model(slab), Dice(thread as u64));
                // Two of them meet in every arena that they come to.
                model.thread = thread % 2;
                for _ in 0..3_000 {
                    model.take(usable(1 + dice.below(600)), 1 + dice.below(20));
                    if model.blocks.len() > 200 {
                        let sent = model.blocks.drain(..100);
                        let sent = sent.map(|(b, class, mark)| {
                            (b.0.as_ptr().expose_provenance(), class, mark)
                        });
                        send.send(sent.collect()).expect("somebody listens");
                    }
                }
                model.give(&mut dice, usize::MAX);
            });
        }
        drop(send);
        for _ in 0..2 {
            scope.spawn(move || {
                let (mut model, mut dice) = (model(slab), Dice(7));
                loop {
                    let Ok(blocks) = receive.lock().expect("no panic").recv() else { break };
                    model.blocks.extend(blocks.into_iter().map(|(at, class, mark)| {
                        let at = NonNull::new(std::ptr::with_exposed_provenance_mut(at));
                        (Block(at.expect("no block is at zero")), class, mark)
                    }));
                    model.give(&mut dice, 90);
                }
                model.give(&mut dice, usize::MAX);
            });
        }
    });
    let stats = slab.stats();
    assert_eq!((stats.used, stats.pages), (0, 0), "everything came back");
}

/// Blocks and pages are left with an arena that is in use, and found there.
#[test]
fn what_is_left_with_a_busy_arena_is_not_lost() {
    let slab = Slab::reserve(64).expect("reserved");
    let mut blocks = Vec::new();
    assert!(slab.take_aside(0, 84, 10, &mut blocks));
    assert_eq!(slab.stats().used, 840);
    let mut more = Vec::new();
    assert!(slab.take(0, 84, 10, &mut more));
    assert_eq!(slab.stats().pages, PAGE as u64, "the page that was left is used");
    blocks.append(&mut more);
    // SAFETY: ours, and not used any more.
    unsafe { slab.give(&mut blocks) };
    assert_eq!((slab.stats().used, slab.stats().pages), (0, 0));
}
