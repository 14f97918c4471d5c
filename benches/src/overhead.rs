//! `overhead`: what features cost that are always on, in CPU time per operation.
//!
//! Two servers of the same program stand side by side: `on` with the overload control, an admin
//! port that is scraped once per second and hot-key sampling; `off` without. Every round both get
//! the same closed loop, the first to come alternating; what counts is the median of the ratios
//! within the rounds ([`crate::compare`] says why).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::Outcome;
use crate::compare::{Measured, fill, measure};
use crate::load::{Spec, Until};
use crate::peer::{Peer, Server, Stage};
use crate::report::{Report, Table, median, number, ratio};
use crate::request::{Op, Ttl, ValueSize};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Length of one load on one server.
    pub time: Duration,
    /// Arguments of the server with everything on; `{admin}` stands for a free port.
    pub on: String,
    /// Arguments of the other.
    pub off: String,
    /// Keys.
    pub keys: u64,
    /// Length of the values.
    pub size: usize,
    /// Connections.
    pub connections: usize,
    /// Requests per batch.
    pub pipeline: u32,
    /// Seed of the loads.
    pub seed: u64,
}

/// What all of it together may cost.
const GOAL: f64 = 1.02;
const TESTS: [(&str, &[(Op, u32)]); 3] =
    [("get", &[(Op::Get, 1)]), ("set", &[(Op::Set, 1)]), ("mixed", &[(Op::Get, 19), (Op::Set, 1)])];

/// A server and the port it is scraped at, if it is.
struct Side {
    server: Server,
    admin: Option<SocketAddr>,
}

/// Runs the comparison.
///
/// # Errors
///
/// When a server cannot be started, breaks off or answers wrongly.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let peer = stage.peers.iter().find(|p| p.name == "dunlin").ok_or("no dunlin to measure")?;
    let mut cpu = vec![[Vec::new(), Vec::new()]; TESTS.len()];
    let mut rate = cpu.clone();
    let mut scrapes = 0;
    for round in 0..plan.rounds {
        eprintln!("round {} of {}", round + 1, plan.rounds);
        let sides = [side(stage, plan, peer, &plan.on)?, side(stage, plan, peer, &plan.off)?];
        for (t, (_, mix)) in TESTS.iter().enumerate() {
            for k in 0..2 {
                let i = (k + round + t) % 2;
                let seed = plan.seed + (round * TESTS.len() + t) as u64;
                let (measured, scraped) = visit(stage, plan, &sides[i], mix, seed)?;
                scrapes += scraped;
                cpu[t][i].push(measured.cpu_per_op);
                rate[t][i].push(measured.tally.rate());
            }
        }
    }
    let title = format!(
        "on ({}) against off ({}): pipeline {}, {} connections, medians of {} rounds, {scrapes} \
         scrapes",
        plan.on, plan.off, plan.pipeline, plan.connections, plan.rounds
    );
    let columns = ["test", "on cpu ns/op", "off cpu ns/op", "ratio", "on kops/s", "off kops/s"];
    let mut table = Table::new(&title, &columns);
    let mut ratios = Vec::new();
    for (t, (name, _)) in TESTS.iter().enumerate() {
        let [on, off] = &cpu[t];
        ratios.push(ratio(on, off));
        table.row(vec![
            (*name).into(),
            number(median(on), 1),
            number(median(off), 1),
            number(ratio(on, off), 4),
            number(median(&rate[t][0]) / 1000.0, 1),
            number(median(&rate[t][1]) / 1000.0, 1),
        ]);
    }
    report.table(table);
    for ((name, _), cost) in TESTS.iter().zip(ratios) {
        let text = format!("overhead, {name}: {:.2} % <= 2 %", 100.0 * (cost - 1.0));
        report.goal(cost <= GOAL, &text);
    }
    Ok(())
}

fn side(stage: &Stage, plan: &Plan, peer: &Peer, args: &str) -> Outcome<Side> {
    let port = stage.free_port()?;
    let admin = args.contains("{admin}").then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let server =
        stage.start(&peer.clone().with_args(&args.replace("{admin}", &port.to_string())))?;
    let size = ValueSize::Fixed(plan.size);
    fill(&server, stage.load_core, Spec::fill(plan.keys, size, Ttl::None))?;
    Ok(Side { server, admin })
}

/// One load; also how often the server was scraped meanwhile.
fn visit(
    stage: &Stage,
    plan: &Plan,
    side: &Side,
    mix: &[(Op, u32)],
    seed: u64,
) -> Outcome<(Measured, usize)> {
    let spec = Spec {
        connections: plan.connections,
        pipeline: plan.pipeline,
        mix: mix.to_vec(),
        key_space: plan.keys,
        size: ValueSize::Fixed(plan.size),
        until: Until::Time(plan.time),
        seed,
        ..Spec::default()
    };
    let over = &AtomicBool::new(false);
    let (measured, scraped) = std::thread::scope(|scope| {
        let scraper = side.admin.map(|admin| scope.spawn(move || scrape(admin, over)));
        let measured = measure(&side.server, stage.load_core, spec);
        over.store(true, Ordering::Relaxed);
        let scraped = scraper.map_or(Ok(0), |thread| {
            thread.join().unwrap_or_else(|_| Err("the scraper panicked".into()))
        });
        (measured, scraped)
    });
    let measured = measured?;
    measured.tally.expect_clean(&side.server.name)?;
    Ok((measured, scraped?))
}

/// Fetches `/metrics` once per second until `over`.
fn scrape(admin: SocketAddr, over: &AtomicBool) -> Outcome<usize> {
    let mut scraped = 0;
    while !over.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut page = Vec::new();
        stream.read_to_end(&mut page)?;
        if !page.starts_with(b"HTTP/1.1 200") {
            let text = String::from_utf8_lossy(&page[..page.len().min(60)]).into_owned();
            return Err(format!("/metrics: {text}").into());
        }
        scraped += 1;
        for _ in 0..100 {
            if over.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(scraped)
}
