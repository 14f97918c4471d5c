//! What nodes of a cluster send each other.

use dunlin::cluster::link;
use dunlin::cluster::stream::frame::{Frame, Incoming, Malformed};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The frames in a stream, as bytes, and whether something follows that is none.
fn data_frames(data: &[u8], step: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut incoming, mut frames) = (Incoming::default(), Vec::new());
    let mut fed = 0;
    for piece in data.chunks(step) {
        incoming.buffer().extend_from_slice(piece);
        fed += piece.len();
        loop {
            match incoming.frame() {
                Ok(None) => break,
                Ok(Some((frame, length))) => {
                    let mut bytes = Vec::new();
                    frame.encode(&mut bytes);
                    assert_eq!(bytes.len(), length, "{frame:?}");
                    assert_eq!(Frame::decode(&bytes[4..]), Ok(frame));
                    frames.push(bytes);
                }
                Err(Malformed) => return (frames, true),
            }
        }
        assert!(incoming.rest().len() <= fed);
    }
    (frames, false)
}

/// Bytes are at hand: nothing waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => ready,
        Poll::Pending => panic!("it waits for bytes that are there"),
    }
}

/// A stream of data means the same in pieces of any size, and its frames are written as they were read;
/// so are those of the links. A stream is one of them or the other by its first byte.
pub fn frames(data: &[u8]) {
    let Some((&[kind, step], data)) = data.split_first_chunk::<2>() else { return };
    if kind % 2 == 0 {
        let (whole, malformed) = data_frames(data, data.len().max(1));
        let step = usize::from(step).max(data.len() / 128) + 1;
        assert_eq!(data_frames(data, step), (whole.clone(), malformed));
        let all = whole.concat();
        assert!(data.starts_with(&all), "they are written as they were read");
        return;
    }
    let mut rest = data;
    loop {
        let before = rest;
        match at_once(link::frame::read(&mut rest)) {
            Ok(Some(frame)) => {
                let mut bytes = Vec::new();
                at_once(link::frame::write(&mut bytes, &frame)).expect("memory does not fail");
                assert_eq!(bytes, before[..before.len() - rest.len()]);
            }
            Ok(None) | Err(_) => break,
        }
    }
}
