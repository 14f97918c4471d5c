//! Bodies of fuzz targets: plain functions, so that the same checks can run under libFuzzer
//! (`server/fuzz`) and as seeded random tests (`main.rs`).

#![allow(dead_code, unreachable_pub, reason = "shared by several crates")]

pub mod acl;
pub mod config;
pub mod files;
pub mod frames;
pub mod glob;
pub mod hyperloglog;
pub mod inside;
pub mod lua;
pub mod program;
#[allow(clippy::duplicate_mod, reason = "a fuzzer has no other tests beside it")]
#[path = "../../support/resp.rs"]
pub mod resp;
pub mod restore;

use dunlin_protocol::Reply;
use std::io::IoSlice;

/// What of a reply was not sent.
pub fn unsent(reply: &Reply) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    reply.slices(&mut slices, usize::MAX);
    slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
    assert_eq!(bytes.len(), reply.pending(), "all of it is in the slices");
    bytes
}

/// Decisions, taken from the input one byte each; zeros when it is used up.
pub struct Source<'a>(pub &'a [u8]);

impl<'a> Source<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    /// A number below `bound`, which is at most 65,536.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = match bound {
            0..=256 => usize::from(self.byte()),
            _ => usize::from(self.byte()) << 8 | usize::from(self.byte()),
        };
        number % bound.max(1)
    }

    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == one_in - 1
    }

    pub fn pick<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.below(from.len())]
    }

    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn word(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.take(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }
}
