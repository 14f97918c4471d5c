//! What two nodes say to each other about data.
//!
//! ```text
//! frame:   | length 4 | kind 1 | body |                  length: of kind and body; numbers little-endian
//!
//! owner -> keeper of copies
//!   Hello     version 2, owner (node 20, incarnation 8), to (node 20, incarnation 8), epoch 8
//!   Begin     group 4, slots         drop what you have of them; their base follows
//!   Resume    group 4, slots         you have everything that you have acknowledged: keep it. The slots
//!                                    are not handed over, also if you have confirmed that you have them
//!   Entries   entries                states of keys, as in snapshots
//!   Piece, LastPiece                 of an entry that is too long for a frame
//!   Based     group 4                the base of the group is complete
//!   Flush     slots                  all keys of these slots were removed
//!   Upto      lane 2, number 8       all marks of the lane up to the number were sent
//!   Fin       group 4, slots, keys 4 each    nothing follows: the owner has fenced them
//!   Forget    slots                  they are not kept up any more
//!
//! keeper of copies -> owner
//!   Welcome
//!   Credit    bytes 4                so many more may be sent
//!   Applied   lane 2, number 8       Upto: all of it is in the keyspace
//!   Taken     group 4                Based: all of it is in the keyspace; or Resume: it is
//!   Confirm   group 4                Fin: all of it is in the keyspace, and the counts fit
//!   Refuse    why 1, group 4         the connection ends
//!
//! slots:   | count 2 | (first 2, last 2) ... |           in their order, apart from each other
//! ```
//!
//! Nothing is believed: a length is checked before it is used, what is left over in a body is an error,
//! and nothing is allocated from a number.

use super::ranges::Ranges;
use crate::cluster::change::Life;
use crate::cluster::node::NodeId;
use crate::cluster::slot::SLOTS;

/// The version that is spoken.
pub const VERSION: u16 = 2;
/// Most bytes of a frame behind its length.
pub const FRAME_MAX: usize = 128 * 1024;
/// Bytes of frames that may be under way to a keeper of copies.
pub const CREDIT: usize = 4 << 20;

/// Why a keeper of copies does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has seen a later map, or a later life of the owner, or is not who is meant.
    Old,
    /// It has not what it would need to resume.
    Lost,
    /// Its memory is used up, and nothing may be evicted.
    Full,
    /// It has keys in a slot that the owner has not: something is wrong, and a new base is needed.
    Differs,
    /// It does not understand.
    Malformed,
}

impl Why {
    const ALL: [Why; 5] = [Why::Old, Why::Lost, Why::Full, Why::Differs, Why::Malformed];
}

/// See the [module documentation](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The first frame of an owner.
    Hello {
        /// Who sends.
        owner: Life,
        /// Who is meant.
        to: Life,
        /// Of the owner's map.
        epoch: u64,
    },
    /// A base begins.
    Begin {
        /// Its number.
        group: u32,
        /// Of which slots.
        slots: Ranges,
    },
    /// What the peer has is continued, and not handed over.
    Resume {
        /// Its number.
        group: u32,
        /// Of which slots.
        slots: Ranges,
    },
    /// States of keys.
    Entries(&'a [u8]),
    /// More of the same entry follows.
    Piece(&'a [u8]),
    /// The end of a long entry.
    LastPiece(&'a [u8]),
    /// A base is complete.
    Based {
        /// Which.
        group: u32,
    },
    /// All keys of these slots were removed.
    Flush(Ranges),
    /// Everything up to a number was sent.
    Upto {
        /// The shard of the owner.
        lane: u16,
        /// The number of a mark.
        number: u64,
    },
    /// Everything was sent.
    Fin {
        /// Of which group.
        group: u32,
        /// Keys in each of its slots.
        counts: Vec<(u16, u32)>,
    },
    /// The owner does not send of these slots any more.
    Forget(Ranges),
    /// The answer to a hello.
    Welcome,
    /// So many bytes more may be sent.
    Credit(u32),
    /// The answer to [`Frame::Upto`].
    Applied {
        /// The shard of the owner.
        lane: u16,
        /// The number of a mark.
        number: u64,
    },
    /// The answer to [`Frame::Based`] and [`Frame::Resume`].
    Taken {
        /// Which.
        group: u32,
    },
    /// The answer to [`Frame::Fin`].
    Confirm {
        /// Which.
        group: u32,
    },
    /// The end.
    Refuse {
        /// Why.
        why: Why,
        /// About which group; 0: about all.
        group: u32,
    },
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Frame<'_> {
    fn kind(&self) -> u8 {
        match self {
            Frame::Hello { .. } => 1,
            Frame::Begin { .. } => 2,
            Frame::Resume { .. } => 3,
            Frame::Entries(_) => 4,
            Frame::Piece(_) => 5,
            Frame::LastPiece(_) => 6,
            Frame::Based { .. } => 7,
            Frame::Flush(_) => 8,
            Frame::Upto { .. } => 9,
            Frame::Fin { .. } => 10,
            Frame::Forget(_) => 11,
            Frame::Welcome => 32,
            Frame::Credit(_) => 33,
            Frame::Applied { .. } => 34,
            Frame::Taken { .. } => 35,
            Frame::Confirm { .. } => 36,
            Frame::Refuse { .. } => 37,
        }
    }

    /// Appends the frame, with its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend([0; 4]);
        out.push(self.kind());
        self.put_body(out);
        let length = u32::try_from(out.len() - begin - 4).unwrap_or(u32::MAX);
        out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        match self {
            Frame::Hello { owner, to, epoch } => {
                out.extend(VERSION.to_le_bytes());
                put_life(owner, out);
                put_life(to, out);
                out.extend(epoch.to_le_bytes());
            }
            Frame::Begin { group, slots } | Frame::Resume { group, slots } => {
                out.extend(group.to_le_bytes());
                put_slots(slots, out);
            }
            Frame::Entries(bytes) | Frame::Piece(bytes) | Frame::LastPiece(bytes) => {
                out.extend_from_slice(bytes);
            }
            Frame::Based { group } | Frame::Taken { group } | Frame::Confirm { group } => {
                out.extend(group.to_le_bytes());
            }
            Frame::Flush(slots) | Frame::Forget(slots) => put_slots(slots, out),
            Frame::Upto { lane, number } | Frame::Applied { lane, number } => {
                out.extend(lane.to_le_bytes());
                out.extend(number.to_le_bytes());
            }
            Frame::Fin { group, counts } => {
                out.extend(group.to_le_bytes());
                for (slot, keys) in counts {
                    out.extend(slot.to_le_bytes());
                    out.extend(keys.to_le_bytes());
                }
            }
            Frame::Welcome => {}
            Frame::Credit(bytes) => out.extend(bytes.to_le_bytes()),
            Frame::Refuse { why, group } => {
                let code = Why::ALL.iter().position(|other| other == why);
                out.push(code.map_or(0, |code| code as u8 + 1));
                out.extend(group.to_le_bytes());
            }
        }
    }
}

impl<'a> Frame<'a> {
    /// Reads a frame, without its length.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (&kind, body) = bytes.split_first().ok_or(Malformed)?;
        let mut body = Body(body);
        let frame = body.frame(kind).ok_or(Malformed)?;
        if body.0.is_empty() { Ok(frame) } else { Err(Malformed) }
    }
}

fn put_life(life: &Life, out: &mut Vec<u8>) {
    out.extend(life.node.0);
    out.extend(life.incarnation.to_le_bytes());
}

fn put_slots(slots: &Ranges, out: &mut Vec<u8>) {
    let ranges = slots.as_slice();
    // There are fewer ranges than slots.
    out.extend((ranges.len() as u16).to_le_bytes());
    for (first, last) in ranges {
        out.extend(first.to_le_bytes());
        out.extend(last.to_le_bytes());
    }
}

/// What is left of a body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn frame(&mut self, kind: u8) -> Option<Frame<'a>> {
        Some(match kind {
            1 => {
                if u16::from_le_bytes(self.array()?) != VERSION {
                    return None;
                }
                let (owner, to) = (self.life()?, self.life()?);
                Frame::Hello { owner, to, epoch: u64::from_le_bytes(self.array()?) }
            }
            2 => Frame::Begin { group: self.group()?, slots: self.slots()? },
            3 => Frame::Resume { group: self.group()?, slots: self.slots()? },
            4 => Frame::Entries(self.rest()),
            5 => Frame::Piece(self.rest()),
            6 => Frame::LastPiece(self.rest()),
            7 => Frame::Based { group: self.group()? },
            8 => Frame::Flush(self.slots()?),
            9 => Frame::Upto { lane: self.slot_or_lane()?, number: self.number()? },
            10 => Frame::Fin { group: self.group()?, counts: self.counts()? },
            11 => Frame::Forget(self.slots()?),
            32 => Frame::Welcome,
            33 => Frame::Credit(u32::from_le_bytes(self.array()?)),
            34 => Frame::Applied { lane: self.slot_or_lane()?, number: self.number()? },
            35 => Frame::Taken { group: self.group()? },
            36 => Frame::Confirm { group: self.group()? },
            37 => {
                let [code] = self.array()?;
                let why = *Why::ALL.get(usize::from(code).checked_sub(1)?)?;
                Frame::Refuse { why, group: self.group()? }
            }
            _ => return None,
        })
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn group(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.array()?))
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.array()?))
    }

    fn slot_or_lane(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.array()?))
    }

    fn life(&mut self) -> Option<Life> {
        let node = NodeId(self.array()?);
        Some(Life { node, incarnation: self.number()? })
    }

    fn slots(&mut self) -> Option<Ranges> {
        let count = self.slot_or_lane()?;
        let (mut slots, mut next) = (Ranges::default(), 0);
        for _ in 0..count {
            let (first, last) = (self.slot_or_lane()?, self.slot_or_lane()?);
            if first < next || last < first || last >= SLOTS {
                return None;
            }
            slots.insert((first, last));
            next = last + 2;
        }
        Some(slots)
    }

    fn counts(&mut self) -> Option<Vec<(u16, u32)>> {
        let mut counts = Vec::new();
        while !self.0.is_empty() {
            let slot = self.slot_or_lane().filter(|slot| *slot < SLOTS)?;
            counts.push((slot, u32::from_le_bytes(self.array()?)));
        }
        Some(counts)
    }
}

/// Frames in bytes that arrive in pieces.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    /// Read already.
    at: usize,
}

impl Incoming {
    /// What has arrived and was not read.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Where to put what arrives.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.at);
        self.at = 0;
        &mut self.bytes
    }

    /// The next frame that is there as a whole, and how many bytes it took.
    ///
    /// # Errors
    /// There is something that is no frame.
    pub fn frame(&mut self) -> Result<Option<(Frame<'_>, usize)>, Malformed> {
        let Some(rest) = self.bytes.get(self.at..) else { return Ok(None) };
        let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > FRAME_MAX {
            return Err(Malformed);
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        self.at += 4 + length;
        Ok(Some((Frame::decode(body)?, 4 + length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames() -> Vec<Frame<'static>> {
        let life = |number: u32| Life { node: NodeId::from(number), incarnation: 1 << 40 };
        let slots: Ranges = [(0, 5), (7, 7), (100, SLOTS - 1)].into_iter().collect();
        vec![
            Frame::Hello { owner: life(1), to: life(2), epoch: 77 },
            Frame::Begin { group: 3, slots: slots.clone() },
            Frame::Resume { group: 4, slots: slots.clone() },
            Frame::Entries(b"entries"),
            Frame::Piece(b"a piece"),
            Frame::LastPiece(b""),
            Frame::Based { group: u32::MAX },
            Frame::Flush(slots.clone()),
            Frame::Upto { lane: 9, number: u64::MAX },
            Frame::Fin { group: 5, counts: vec![(0, 1), (SLOTS - 1, 0)] },
            Frame::Forget(slots),
            Frame::Welcome,
            Frame::Credit(1 << 22),
            Frame::Applied { lane: u16::MAX, number: 1 },
            Frame::Taken { group: 6 },
            Frame::Confirm { group: 7 },
            Frame::Refuse { why: Why::Old, group: 0 },
            Frame::Refuse { why: Why::Malformed, group: 9 },
        ]
    }

    fn has_free_length(frame: &Frame<'_>) -> bool {
        let is_bytes = matches!(frame, Frame::Entries(_) | Frame::Piece(_) | Frame::LastPiece(_));
        is_bytes || matches!(frame, Frame::Fin { .. })
    }

    #[test]
    fn frames_come_back_in_pieces_of_any_size() {
        let mut bytes = Vec::new();
        frames().iter().for_each(|frame| frame.encode(&mut bytes));
        for size in [1, 2, 7, 1000] {
            let (mut incoming, mut seen, mut taken) = (Incoming::default(), 0, 0);
            for piece in bytes.chunks(size) {
                incoming.buffer().extend_from_slice(piece);
                while let Some((frame, length)) = incoming.frame().unwrap() {
                    assert_eq!(frame, frames()[seen]);
                    (seen, taken) = (seen + 1, taken + length);
                }
            }
            assert_eq!((seen, taken), (frames().len(), bytes.len()));
        }
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_judged() {
        for frame in frames() {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            let body = &bytes[4..];
            for cut in 0..body.len() {
                let found = Frame::decode(&body[..cut]);
                assert!(found.is_err() || has_free_length(&frame), "{frame:?} cut at {cut}");
            }
            let mut longer = body.to_vec();
            longer.push(0);
            assert!(Frame::decode(&longer).is_err() || has_free_length(&frame), "{frame:?}");
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << bit;
                    let mut incoming = Incoming::default();
                    incoming.buffer().extend_from_slice(&flipped);
                    // It is something else, or nothing, or not there yet; and what is something is so
                    // whoever reads it.
                    if let Ok(Some((other, _))) = incoming.frame() {
                        let mut again = Vec::new();
                        other.encode(&mut again);
                        assert_eq!(Frame::decode(&again[4..]), Ok(other.clone()));
                        assert!(other != frame, "{frame:?} byte {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn slots_in_disorder_are_refused() {
        let ranges: [&[(u16, u16)]; 5] =
            [&[(5, 4)], &[(0, SLOTS)], &[(5, 6), (1, 2)], &[(1, 2), (3, 4)], &[(1, 5), (5, 6)]];
        for slots in ranges {
            let mut body = vec![11];
            body.extend((slots.len() as u16).to_le_bytes());
            for (first, last) in slots {
                body.extend(first.to_le_bytes());
                body.extend(last.to_le_bytes());
            }
            assert_eq!(Frame::decode(&body), Err(Malformed), "{slots:?}");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_at_once() {
        let mut incoming = Incoming::default();
        incoming.buffer().extend((FRAME_MAX as u32 + 1).to_le_bytes());
        assert_eq!(incoming.frame(), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(
            prop_oneof![0_u8..40, any::<u8>()], 0..200)
        ) {
            let _ = Frame::decode(&bytes);
            let mut incoming = Incoming::default();
            incoming.buffer().extend_from_slice(&bytes);
            while let Ok(Some(_)) = incoming.frame() {}
        }
    }
}
