//! Making work of a known length, per server: "a command of 2 ms" is another list for each.
//!
//! Lengths are CPU time of the server's process, so a busy machine does not bend them.

use std::time::Duration;

use redis_protocol::resp2::types::OwnedFrame;

use super::traffic::{Class, Fixed, Phase, Request, Traffic, command};
use super::{KEYS, Plan, VALUE, drive};
use crate::Outcome;
use crate::compare::fill;
use crate::control::Control;
use crate::load::Spec;
use crate::peer::{Peer, Server, Stage};
use crate::request::{Ttl, ValueSize};
use crate::rng::mix;

/// A fresh server with the keys of the scenarios in place.
pub(super) fn start(stage: &Stage, peer: &Peer, more: &[&str]) -> Outcome<Server> {
    let server = stage.start_with(peer, more)?;
    let spec = Spec::fill(KEYS, ValueSize::Fixed(VALUE), Ttl::None);
    fill(&server, stage.load_core, spec)?;
    Ok(server)
}

/// GETs alone, from a pool of clients that send one request at a time.
pub(super) fn gets(plan: &Plan, connections: usize, phases: Vec<Phase>) -> Traffic {
    Traffic {
        connections,
        window: 1,
        classes: vec![Class { share: 1.0, request: Request::Get }],
        phases,
        deadline: plan.deadline,
        padding: None,
        keys: KEYS,
        size: VALUE,
        trace: false,
        seed: plan.seed,
    }
}

/// What a closed loop of a load reaches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peak {
    /// Replies per second.
    pub(super) rate: f64,
    /// The server's CPU time per reply, in seconds.
    pub(super) cost: f64,
}

/// Lets the load arrive so fast that every client always has a next request: a closed loop.
pub(super) fn peak(server: &Server, traffic: &Traffic, rate: f64) -> Outcome<Peak> {
    let time = Duration::from_millis(400);
    let warm = Phase { time: time / 2, rate };
    let traffic = Traffic { phases: vec![warm, Phase { time, rate }], ..traffic.clone() };
    let (outcomes, usage) = drive(server, &traffic, &mut [])?;
    let replies = outcomes.received(1).right.max(1) as f64;
    let cpu = usage[2].cpu_ns.saturating_sub(usage[1].cpu_ns) as f64 / 1e9;
    Ok(Peak { rate: replies / time.as_secs_f64(), cost: cpu / replies })
}

/// The server's CPU time for a command given one at a time, in seconds.
fn cost(server: &Server, control: &mut Control, args: &[&[u8]], times: u32) -> Outcome<f64> {
    let before = server.process.cpu_ns();
    for _ in 0..times {
        if let OwnedFrame::Error(text) = control.call(args)? {
            return Err(format!("{}: {text}", server.name).into());
        }
    }
    let used = server.process.cpu_ns().saturating_sub(before);
    Ok(used as f64 / 1e9 / f64::from(times))
}

/// Bytes of the string the padding counts bits of.
const PAD_BYTES: usize = 8 << 20;

/// A command that keeps the server busy for `seconds` and nobody else: BITCOUNT of so much of a
/// string, whose request and reply are short.
pub(super) fn padding(server: &Server, seconds: f64) -> Outcome<Fixed> {
    let mut control = server.control()?;
    // 'U' has four bits set.
    if let OwnedFrame::Error(text) = control.call(&[b"SET", b"pad", &vec![b'U'; PAD_BYTES]])? {
        return Err(format!("{}: {text}", server.name).into());
    }
    let args = |end: usize| end.to_string().into_bytes();
    let mut of =
        |end: usize| cost(server, &mut control, &[b"BITCOUNT", b"pad", b"0", &args(end)], 600);
    let base = of(0)?;
    let mut bytes = 100_000.0;
    for _ in 0..3 {
        let took = (of(bytes as usize)? - base).max(1e-7);
        bytes = (bytes * seconds / took).clamp(1000.0, (PAD_BYTES - 1) as f64);
    }
    let end = bytes as usize;
    let reply = format!(":{}\r\n", 4 * (end + 1)).into_bytes();
    Ok(Fixed { bytes: command(&[b"BITCOUNT", b"pad", b"0", &args(end)]), reply })
}

/// A command of `seconds` with a small reply, and what it really takes: SORT of a list so long.
pub(super) fn dear(server: &Server, seconds: f64) -> Outcome<(Fixed, f64)> {
    let mut control = server.control()?;
    let args: [&[u8]; 5] = [b"SORT", b"dear", b"LIMIT", b"0", b"10"];
    let mut length = 2000;
    let mut took = 0.0;
    for _ in 0..4 {
        write_list(&mut control, length)?;
        took = cost(server, &mut control, &args, 40)?;
        if (took / seconds - 1.0).abs() < 0.03 {
            break;
        }
        length = ((length as f64 * seconds / took) as u64).clamp(100, 1_000_000);
    }
    write_list(&mut control, length)?;
    took = (took + cost(server, &mut control, &args, 40)?) / 2.0;
    let mut all: Vec<u64> = (0..length).map(element).collect();
    all.sort_unstable();
    let mut reply = format!("*{}\r\n", all.len().min(10)).into_bytes();
    for number in all.iter().take(10) {
        let text = number.to_string();
        reply.extend_from_slice(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
    }
    Ok((Fixed { bytes: command(&args), reply }, took))
}

fn element(i: u64) -> u64 {
    mix(i) % 1_000_000_000
}

fn write_list(control: &mut Control, length: u64) -> Outcome<()> {
    control.command("DEL dear")?;
    let all: Vec<String> = (0..length).map(|i| element(i).to_string()).collect();
    for some in all.chunks(1000) {
        control.command(&format!("RPUSH dear {}", some.join(" ")))?;
    }
    Ok(())
}
