//! The engine and its neighbours against servers that answer everything, or nothing.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use super::engine;
use super::neighbours::{Handshake, Mover, Neighbour, Pipeline, Span, Storm};
use super::tally::{Fate, Outcomes};
use super::traffic::{Class, Fixed, Phase, Request, Traffic, command};
use crate::Outcome;

/// The server that answers everything with PONG.
fn floor() -> Outcome<SocketAddr> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    std::thread::spawn(move || crate::floor::run(port, None));
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for _ in 0..500 {
        if std::net::TcpStream::connect(addr).is_ok() {
            return Ok(addr);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("the server does not start".into())
}

/// A server that takes everything and answers nothing.
fn mute() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || stream.read_to_end(&mut Vec::new()));
        }
    });
    Ok(addr)
}

fn ping() -> Fixed {
    Fixed { bytes: command(&[b"PING"]), reply: b"+PONG\r\n".to_vec() }
}

fn traffic(request: Request, phases: Vec<Phase>) -> Traffic {
    Traffic {
        connections: 3,
        window: 2,
        classes: vec![Class { share: 1.0, request }],
        phases,
        deadline: Duration::from_millis(300),
        padding: None,
        keys: 100,
        size: 16,
        trace: true,
        seed: 1,
    }
}

const FATES: [Fate; 5] = [Fate::Good, Fate::Late, Fate::Unsent, Fate::Shed, Fate::Wrong];

fn run(
    addr: SocketAddr,
    traffic: &Traffic,
    others: &mut [&mut dyn Neighbour],
) -> Outcome<Outcomes> {
    let outcomes = engine::run(addr, traffic, others, &mut |_| ())?;
    // Every request comes to one end.
    for phase in 0..traffic.phases.len() {
        let ends: u64 = FATES.iter().map(|fate| outcomes.of(phase, *fate)).sum();
        assert_eq!(outcomes.offered(phase), ends);
    }
    Ok(outcomes)
}

fn all(span_ms: u64) -> Span {
    Span { from: Duration::ZERO, until: Duration::from_millis(span_ms) }
}

#[test]
fn every_request_comes_to_an_end() -> Outcome<()> {
    let phases = vec![Phase::new(0.1, 2000.0), Phase::new(0.1, 20_000.0)];
    let outcomes = run(floor()?, &traffic(Request::Fixed(ping()), phases), &mut [])?;
    assert!(outcomes.offered(1) > outcomes.offered(0));
    assert!(outcomes.of(0, Fate::Good) > 0);
    assert_eq!(outcomes.of(0, Fate::Wrong) + outcomes.of(1, Fate::Wrong), 0);
    let traced = outcomes.offered(0) + outcomes.offered(1);
    assert_eq!(outcomes.trace.len() as u64, traced);
    Ok(())
}

#[test]
fn wrong_replies_are_seen() -> Outcome<()> {
    let phases = vec![Phase::new(0.05, 2000.0)];
    let outcomes = run(floor()?, &traffic(Request::Get, phases), &mut [])?;
    assert_eq!(outcomes.of(0, Fate::Good), 0);
    assert_eq!(outcomes.first_wrong.as_deref(), Some("+PONG"));
    Ok(())
}

#[test]
fn padding_is_no_request() -> Outcome<()> {
    let phases = vec![Phase::new(0.05, 2000.0)];
    let padded = Traffic { padding: Some(ping()), ..traffic(Request::Fixed(ping()), phases) };
    let outcomes = run(floor()?, &padded, &mut [])?;
    assert!(outcomes.of(0, Fate::Good) > 0);
    assert_eq!(outcomes.of(0, Fate::Wrong), 0);
    Ok(())
}

#[test]
fn what_is_not_answered_has_failed() -> Outcome<()> {
    let phases = vec![Phase::new(0.2, 2000.0)];
    let outcomes = run(mute()?, &traffic(Request::Get, phases), &mut [])?;
    // As many as the pool's connections have room for are on the way.
    assert_eq!(outcomes.of(0, Fate::Late), 6);
    assert_eq!(outcomes.of(0, Fate::Unsent), outcomes.offered(0) - 6);
    assert!(outcomes.ms(0, 0.5) >= 299.0);
    Ok(())
}

#[test]
fn a_pipeline_is_answered_beside_a_load() -> Outcome<()> {
    let addr = floor()?;
    let phases = vec![Phase::new(0.2, 1000.0)];
    let mut pipeline = Pipeline::new(addr, all(150), 1000, &ping());
    run(addr, &traffic(Request::Fixed(ping()), phases), &mut [&mut pipeline])?;
    assert!(pipeline.answered() > 0 && !pipeline.broken());
    // PONG is no reply to SET.
    let phases = vec![Phase::new(0.2, 1000.0)];
    let mut mover = Mover::new(addr, all(150), 1000);
    run(addr, &traffic(Request::Fixed(ping()), phases), &mut [&mut mover])?;
    assert!(mover.broken());
    Ok(())
}

#[test]
fn clients_of_a_storm_are_served_or_give_up() -> Outcome<()> {
    for (addr, served) in [(floor()?, true), (mute()?, false)] {
        let patience = Duration::from_millis(100);
        let mut storm = Storm::new(addr, all(200), 300.0, patience, Handshake::Plain);
        let phases = vec![Phase::new(0.8, 100.0)];
        run(addr, &traffic(Request::Fixed(ping()), phases), &mut [&mut storm])?;
        assert!(storm.came > 0);
        assert_eq!(storm.came, storm.served + storm.gave_up + storm.refused);
        assert_eq!(storm.served > 0, served);
    }
    Ok(())
}
