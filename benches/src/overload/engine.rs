//! The open loop with a pool of clients and noisy neighbours.
//!
//! Arrivals are a Poisson process planned ahead. An arrival takes a connection with room (at most
//! [`Traffic::window`] requests are on the way on each); if there is none it waits in the clients,
//! oldest first, and is given up after [`Traffic::patience`]. Latency is reply minus planned time,
//! so waiting in the clients counts as much as waiting in the server.
//!
//! Clients with a bounded pool are what a server meets; with unbounded ones the sockets of an
//! overloaded server fill with seconds of requests whose senders have long gone, and nothing that
//! a server does could show. The bound also keeps the work the generator has with an overload
//! near that of a full load: it hands out what the server takes, and only counts the rest.
//!
//! One thread polls without sleeping. Neighbours ([`Neighbour`]) run in the same loop in small
//! portions, since a second thread on the generator's core would stop this one for milliseconds. What
//! their sockets have waits for as long as it has to: a client's half of a TLS handshake takes a
//! hundred microseconds, and a hundred of these in a row would be the light clients' latency.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll};

use super::neighbours::{Neighbour, TOKENS};
use super::tally::{Fate, Outcomes};
use super::traffic::{Fixed, Request, Traffic};
use crate::Outcome;
use crate::link::{Link, wait};
use crate::request::{Op, Requests, Ttl};
use crate::rng::Rng;
use crate::scan::{Reply, Wire};

/// Time per turn for the neighbours' events.
const PORTION: Duration = Duration::from_micros(50);

/// Told the time passing: the number of the phase that begins, or of phases when the last is over.
pub(super) type Watch<'a> = &'a mut dyn FnMut(usize);

/// A request on its way or waiting.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// When it was due, in ns after the start.
    due: u64,
    key: u64,
    phase: u16,
    class: u8,
}

struct Client {
    link: Link,
    sent: VecDeque<Pending>,
    /// What became of the padding before the first request, once its reply has come.
    padded: Option<Fate>,
    dirty: bool,
}

struct Engine<'a> {
    traffic: &'a Traffic,
    requests: Requests,
    rng: Rng,
    clients: Vec<Client>,
    /// Connections with room, once for each request they have room for.
    room: VecDeque<usize>,
    waiting: VecDeque<Pending>,
    /// Connections with bytes to hand to the socket.
    dirty: Vec<usize>,
    /// Ends of the phases, in ns after the start.
    ends: Vec<u64>,
    /// Planned time of the next arrival and its phase.
    next: f64,
    phase: usize,
    outcomes: Outcomes,
}

/// Runs the load beside its neighbours.
///
/// # Errors
///
/// When a connection of the pool fails or a reply is no reply.
pub(super) fn run(
    addr: SocketAddr,
    traffic: &Traffic,
    neighbours: &mut [&mut dyn Neighbour],
    watch: Watch<'_>,
) -> Outcome<Outcomes> {
    let mut poll = Poll::new()?;
    let mut engine = Engine::connect(addr, traffic, &poll)?;
    for (i, neighbour) in neighbours.iter_mut().enumerate() {
        neighbour.begin(poll.registry(), (i + 1) * TOKENS)?;
    }
    engine.turns(&mut poll, neighbours, watch)?;
    Ok(engine.outcomes)
}

impl<'a> Engine<'a> {
    fn connect(addr: SocketAddr, traffic: &'a Traffic, poll: &Poll) -> Outcome<Self> {
        let client = |i| {
            let link = Link::connect(addr, poll, i)?;
            Ok(Client { link, sent: VecDeque::new(), padded: None, dirty: false })
        };
        let clients = (0..traffic.connections).map(client).collect::<Outcome<Vec<Client>>>()?;
        let mut ends = Vec::new();
        let mut end = Duration::ZERO;
        for phase in &traffic.phases {
            end += phase.time;
            ends.push(end.as_nanos() as u64);
        }
        let (phases, classes) = (traffic.phases.len(), traffic.classes.len());
        Ok(Self {
            requests: Requests::new(Wire::Resp, traffic.value_size(), Ttl::None),
            rng: Rng::new(traffic.seed),
            room: (0..traffic.window).flat_map(|_| 0..traffic.connections).collect(),
            waiting: VecDeque::new(),
            dirty: Vec::new(),
            ends,
            next: 0.0,
            phase: 0,
            outcomes: Outcomes::new(phases, classes, traffic.deadline, traffic.trace),
            clients,
            traffic,
        })
    }

    fn turns(
        &mut self,
        poll: &mut Poll,
        neighbours: &mut [&mut dyn Neighbour],
        watch: Watch<'_>,
    ) -> Outcome<()> {
        let mut events = Events::with_capacity(1024);
        let mut later: VecDeque<Event> = VecDeque::new();
        let begin = Instant::now();
        let (mut last, mut told) = (0, 0);
        watch(0);
        loop {
            let now = begin.elapsed().as_nanos() as u64;
            self.outcomes.turn(now - last);
            last = now;
            while told < self.ends.len() && now >= self.ends[told] {
                told += 1;
                watch(told);
            }
            self.plan(now);
            self.give_up(now);
            self.flush()?;
            let passed = Duration::from_nanos(now);
            for neighbour in neighbours.iter_mut() {
                neighbour.turn(poll.registry(), passed)?;
            }
            wait(poll, &mut events, Duration::ZERO)?;
            for event in &events {
                let token = event.token().0;
                if token >= TOKENS {
                    later.push_back(event.clone());
                    continue;
                }
                if event.is_writable() {
                    self.clients[token].link.flush()?;
                }
                if event.is_readable() {
                    self.receive(token, begin)?;
                }
            }
            self.flush()?;
            let until = begin.elapsed() + PORTION;
            while let Some(event) = later.pop_front() {
                let (token, now) = (event.token().0, begin.elapsed());
                neighbours[token / TOKENS - 1].event(token % TOKENS, &event, now)?;
                if begin.elapsed() >= until {
                    break;
                }
            }
            if told == self.ends.len() && self.is_over(now) {
                self.abandon(now);
                return Ok(());
            }
        }
    }

    /// Every arrival that is due takes a connection, or waits.
    fn plan(&mut self, now: u64) {
        while self.next <= now as f64 {
            while self.phase < self.ends.len() && self.next >= self.ends[self.phase] as f64 {
                self.phase += 1;
            }
            let Some(phase) = self.traffic.phases.get(self.phase) else {
                self.next = f64::INFINITY;
                return;
            };
            let class = self.traffic.draw(&mut self.rng);
            let key = self.rng.below(self.traffic.keys);
            let due = self.next as u64;
            let pending = Pending { due, key, phase: self.phase as u16, class: class as u8 };
            self.outcomes.arrival(self.phase, class);
            match self.room.pop_front() {
                Some(i) => self.send(i, pending),
                None => self.waiting.push_back(pending),
            }
            self.next += self.rng.exponential(1e9 / phase.rate);
        }
    }

    fn send(&mut self, i: usize, pending: Pending) {
        let client = &mut self.clients[i];
        let out = &mut client.link.out;
        if let Some(padding) = &self.traffic.padding {
            out.extend_from_slice(&padding.bytes);
        }
        match &self.traffic.classes[usize::from(pending.class)].request {
            Request::Get => self.requests.append(out, Op::Get, pending.key, &mut self.rng),
            Request::Set => self.requests.append(out, Op::Set, pending.key, &mut self.rng),
            Request::Fixed(fixed) => out.extend_from_slice(&fixed.bytes),
        }
        client.sent.push_back(pending);
        if !client.dirty {
            client.dirty = true;
            self.dirty.push(i);
        }
    }

    fn flush(&mut self) -> Outcome<()> {
        while let Some(i) = self.dirty.pop() {
            let client = &mut self.clients[i];
            client.dirty = false;
            client.link.flush()?;
            if !client.link.has_unsent() {
                client.link.clear_out();
            }
        }
        Ok(())
    }

    /// Clients whose patience is over give up what they have not sent.
    fn give_up(&mut self, now: u64) {
        let patience = self.traffic.patience().as_nanos() as u64;
        while let Some(&first) = self.waiting.front() {
            if now.saturating_sub(first.due) <= patience {
                break;
            }
            self.waiting.pop_front();
            end(&mut self.outcomes, first, now, Fate::Unsent);
        }
    }

    fn receive(&mut self, i: usize, begin: Instant) -> Outcome<()> {
        loop {
            let more = self.clients[i].link.receive()?;
            let now = begin.elapsed().as_nanos() as u64;
            let mut answered = 0;
            let client = &mut self.clients[i];
            while let Some((reply, raw)) = client.link.next_raw(Wire::Resp)? {
                if let Some(padding) = &self.traffic.padding
                    && client.padded.is_none()
                {
                    client.padded = Some(fixed_fate(padding, reply, raw));
                    continue;
                }
                let padded = client.padded.take().unwrap_or(Fate::Good);
                let pending = client.sent.pop_front().ok_or("more replies than requests")?;
                // A request is as good as the worse of its two replies.
                let fate = match padded {
                    Fate::Good => judge(self.traffic, &self.requests, pending, reply, raw),
                    fate => fate,
                };
                let text = &mut self.outcomes.first_wrong;
                if fate == Fate::Wrong && text.is_none() {
                    let shown = &raw[..raw.len().min(80)];
                    *text = Some(String::from_utf8_lossy(shown).trim_end().to_owned());
                }
                if fate == Fate::Good
                    && let Some(at) = self.ends.iter().position(|&end| now < end)
                {
                    let took = now.saturating_sub(pending.due);
                    self.outcomes.reply(at, usize::from(pending.class), took);
                }
                end(&mut self.outcomes, pending, now, fate);
                answered += 1;
            }
            for _ in 0..answered {
                match self.waiting.pop_front() {
                    Some(pending) => self.send(i, pending),
                    None => self.room.push_back(i),
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Whether every request has come to its end, or to its deadline.
    fn is_over(&self, now: u64) -> bool {
        let last = self.ends.last().copied().unwrap_or(0);
        let waited = now.saturating_sub(last) > self.traffic.deadline.as_nanos() as u64;
        waited || (self.waiting.is_empty() && self.clients.iter().all(|c| c.sent.is_empty()))
    }

    /// What is unanswered when the load is over has failed.
    fn abandon(&mut self, now: u64) {
        for pending in std::mem::take(&mut self.waiting) {
            end(&mut self.outcomes, pending, now, Fate::Unsent);
        }
        for client in &mut self.clients {
            for pending in std::mem::take(&mut client.sent) {
                end(&mut self.outcomes, pending, now, Fate::Late);
            }
        }
    }
}

fn end(outcomes: &mut Outcomes, pending: Pending, now: u64, fate: Fate) {
    let (phase, class) = (usize::from(pending.phase), usize::from(pending.class));
    outcomes.end(phase, class, pending.due, now.saturating_sub(pending.due), fate);
}

/// Whether a reply is the one there can be.
fn fixed_fate(fixed: &Fixed, reply: Reply<'_>, raw: &[u8]) -> Fate {
    match reply {
        Reply::Error(text) if text.starts_with(b"BUSY ") => Fate::Shed,
        _ if raw == fixed.reply => Fate::Good,
        _ => Fate::Wrong,
    }
}

/// Whether a reply is the right one.
fn judge(
    traffic: &Traffic,
    requests: &Requests,
    pending: Pending,
    reply: Reply<'_>,
    raw: &[u8],
) -> Fate {
    let right = match (&traffic.classes[usize::from(pending.class)].request, reply) {
        (Request::Get, Reply::Value(value)) => requests.check(pending.key, value),
        (Request::Set, Reply::Line(text)) => text == b"OK",
        (Request::Fixed(fixed), reply) => return fixed_fate(fixed, reply, raw),
        _ => false,
    };
    if right { Fate::Good } else { Fate::Wrong }
}
