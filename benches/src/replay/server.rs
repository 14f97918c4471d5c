//! A trace over RESP.
//!
//! One connection sends batches of GETs for different keys, then the SETs for those that were not
//! there, together with the next batch. A batch ends before a key comes a second time, so a key that
//! was asked for is there (or was refused or evicted) when it is asked for again, as with one request
//! at a time.

use std::collections::HashSet;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::store::key_of;
use super::trace::{KeyId, Trace};
use crate::Outcome;
use crate::peer::{Peer, Server, Stage};
use crate::scan::{Reply, Scan, Wire, scan};

/// How servers are played with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Values of `maxmemory-policy` for servers other than Dunlin, one run each.
    pub policies: Vec<String>,
    /// The same for Dunlin; empty: its default.
    pub own_policies: Vec<String>,
    /// GETs of a batch at most.
    pub pipeline: usize,
}

/// A server under a policy.
#[derive(Debug)]
pub struct Contestant<'a> {
    /// Name in the tables.
    pub name: String,
    peer: &'a Peer,
    policy: Option<String>,
}

/// Who takes part.
#[must_use]
pub fn contestants<'a>(stage: Option<&'a Stage>, plan: &Plan) -> Vec<Contestant<'a>> {
    let mut all = Vec::new();
    let peers = stage.iter().flat_map(|stage| &stage.peers);
    for peer in peers.filter(|peer| peer.wire == Wire::Resp) {
        let own = peer.name.starts_with("dunlin");
        let policies = if own { &plan.own_policies } else { &plan.policies };
        if policies.is_empty() {
            all.push(Contestant { name: peer.name.clone(), peer, policy: None });
        }
        all.extend(policies.iter().map(|policy| Contestant {
            name: format!("{} {}", peer.name, policy.trim_start_matches("allkeys-")),
            peer,
            policy: Some(policy.clone()),
        }));
    }
    all
}

impl Contestant<'_> {
    /// Plays a trace with a fresh server; the share of requests that miss.
    ///
    /// # Errors
    ///
    /// When the server fails or answers with an error.
    pub fn play(
        &self,
        stage: &Stage,
        plan: &Plan,
        trace: &Trace,
        value: usize,
        budget: u64,
    ) -> Outcome<f64> {
        let server = stage.start(self.peer)?;
        let mut control = server.control()?;
        let empty = control.info("memory", "used_memory")?.unwrap_or(0);
        if let Some(policy) = &self.policy {
            control.command(&format!("CONFIG SET maxmemory-policy {policy}"))?;
        }
        control.command(&format!("CONFIG SET maxmemory {}", budget + empty))?;
        let mut player = Player::connect(&server, trace, value)?;
        let misses = player.play(&trace.requests, plan.pipeline.max(1))?;
        Ok(misses as f64 / trace.requests.len().max(1) as f64)
    }
}

/// A connection with what it sends and what it has received.
struct Player<'a> {
    stream: TcpStream,
    trace: &'a Trace,
    value: Vec<u8>,
    default: usize,
    out: Vec<u8>,
    input: Vec<u8>,
}

const ROOM: usize = 64 * 1024;

impl<'a> Player<'a> {
    fn connect(server: &Server, trace: &'a Trace, default: usize) -> Outcome<Self> {
        let stream = TcpStream::connect(server.addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let largest = trace.sizes.iter().max().map_or(0, |&size| size as usize).max(default);
        let value = vec![b'x'; largest];
        Ok(Self { stream, trace, value, default, out: Vec::new(), input: Vec::new() })
    }

    fn play(&mut self, mut requests: &[KeyId], pipeline: usize) -> Outcome<u64> {
        let (mut total, mut missed) = (0, Vec::new());
        while !requests.is_empty() {
            let mut seen = HashSet::new();
            let most = requests.len().min(pipeline);
            let batch = requests[..most].iter().take_while(|&&key| seen.insert(key)).count();
            for &key in &requests[..batch] {
                self.out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$16\r\n");
                self.out.extend_from_slice(&key_of(key));
                self.out.extend_from_slice(b"\r\n");
            }
            let hits = self.exchange(missed.len(), batch)?;
            missed.clear();
            missed.extend(requests.iter().zip(hits).filter(|(_, hit)| !hit).map(|(&key, _)| key));
            total += missed.len() as u64;
            missed.iter().for_each(|&key| self.set(key));
            requests = &requests[batch..];
        }
        self.exchange(missed.len(), 0)?;
        Ok(total)
    }

    fn set(&mut self, key: KeyId) {
        let size = match self.trace.sizes[key as usize] {
            0 => self.default,
            size => size as usize,
        };
        self.out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$16\r\n");
        self.out.extend_from_slice(&key_of(key));
        self.out.extend_from_slice(format!("\r\n${size}\r\n").as_bytes());
        self.out.extend_from_slice(&self.value[..size]);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Sends what there is, and reads the replies to `sets` and `gets`: which GETs have hit.
    fn exchange(&mut self, sets: usize, gets: usize) -> Outcome<Vec<bool>> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        let (mut hits, mut start) = (Vec::with_capacity(gets), 0);
        for i in 0..sets + gets {
            loop {
                match scan(Wire::Resp, &self.input[start..]) {
                    Scan::Whole(Reply::Error(text), _) => {
                        return Err(String::from_utf8_lossy(text).into_owned().into());
                    }
                    Scan::Whole(reply, used) => {
                        if i >= sets {
                            hits.push(reply != Reply::Miss);
                        }
                        start += used;
                        break;
                    }
                    Scan::Partial => {
                        self.input.drain(..start);
                        start = 0;
                        self.receive()?;
                    }
                    Scan::Broken => return Err("not a reply".into()),
                }
            }
        }
        self.input.drain(..start);
        Ok(hits)
    }

    fn receive(&mut self) -> Outcome<()> {
        let before = self.input.len();
        self.input.resize(before + ROOM, 0);
        let read = self.stream.read(&mut self.input[before..])?;
        self.input.truncate(before + read);
        if read == 0 { Err("the server closed the connection".into()) } else { Ok(()) }
    }
}
