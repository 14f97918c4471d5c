//! `dear`: nine GETs and one command of 2 ms in ten requests.
//!
//! Capacity follows from what the two cost the server, each measured alone: 1 / (0.9 g + 0.1 d).
//! At ten times that the GETs alone fit easily and the dear commands do not. What a server
//! **could** do with the offer is all GETs, and as many dear commands as fit into the rest of its
//! time; goodput is a share of that. A dear command that is refused has failed; it can only not be
//! held against a server that had no time for it.
//!
//! GET's steady p99 ([`steady`]) under a load is compared with that of the unloaded mix in the seconds
//! just before.
//!
//! The dear command is SORT of a list with LIMIT 0 10: a short request, a short reply.

use super::calibrate::{dear, gets, peak, start};
use super::plot::{Axis, Figure, Line, Panel};
use super::rounds::{between, mid, point, rounds, spread};
use super::tally::{Fate, steady};
use super::traffic::{Class, Fixed, Phase, Request, Traffic};
use super::{Plan, busy, drive};
use crate::Outcome;
use crate::peer::{Peer, Server, Stage};
use crate::report::{Report, Table, number};

/// Loads as multiples of the capacity; the first is the unloaded one.
const FACTORS: [f64; 5] = [UNLOADED, 1.0, 2.0, 5.0, 10.0];
const UNLOADED: f64 = 0.3;
/// Seconds of a load that are not looked at: they bring the controller to where it stays.
const GETTING_GOING: f64 = 0.5;
/// Microseconds of a window of the steady p99: hundreds of GETs of the unloaded mix.
const WINDOW: u32 = 250_000;
/// Goodput at a load, as a share of the possible.
const GOODPUT_GOALS: [(f64, f64); 3] = [(2.0, 0.90), (5.0, 0.85), (10.0, 0.85)];
/// GET's p99 under any of these loads.
const P99_GOAL_MS: f64 = 5.0;
const P99_GOAL_TIMES: f64 = 3.0;
pub(super) const CONNECTIONS: usize = 100;
const GET_SHARE: f64 = 0.9;

/// What the two kinds of request cost a server, in seconds.
#[derive(Clone, Debug)]
pub(super) struct Costs {
    pub(super) get: f64,
    pub(super) dear: f64,
    command: Fixed,
}

impl Costs {
    /// Measures them.
    pub(super) fn measure(server: &Server, plan: &Plan) -> Outcome<Self> {
        let (command, dear) = dear(server, plan.dear_ms / 1000.0)?;
        let get = peak(server, &gets(plan, CONNECTIONS, Vec::new()), 400_000.0)?.cost;
        Ok(Self { get, dear, command })
    }

    /// Requests of the mix per second that fill a core.
    pub(super) fn capacity(&self) -> f64 {
        1.0 / (GET_SHARE * self.get + (1.0 - GET_SHARE) * self.dear)
    }

    /// GETs and dear commands per second that could be served, of so many offered.
    fn possible(&self, gets: f64, dears: f64) -> (f64, f64) {
        let gets = gets.min(1.0 / self.get);
        (gets, dears.min((1.0 - gets * self.get).max(0.0) / self.dear))
    }

    /// The mix, in phases of so many seconds at so many times the capacity.
    pub(super) fn traffic(&self, plan: &Plan, phases: &[(f64, f64)], seed: u64) -> Traffic {
        let phase = |&(seconds, factor): &(f64, f64)| Phase::new(seconds, factor * self.capacity());
        Traffic {
            classes: vec![
                Class { share: GET_SHARE, request: Request::Get },
                Class { share: 1.0 - GET_SHARE, request: Request::Fixed(self.command.clone()) },
            ],
            seed,
            ..gets(plan, CONNECTIONS, phases.iter().map(phase).collect())
        }
    }
}

/// One load on one server.
#[derive(Clone, Copy, Debug)]
struct Step {
    offered: f64,
    get_p50: f64,
    get_p99: f64,
    get_steady: f64,
    /// GET's steady p99 as a multiple of that of the unloaded mix just before.
    times: f64,
    get_share: f64,
    dear_good: f64,
    dear_shed: f64,
    dear_p99: f64,
    dear_share: f64,
    goodput: f64,
    busy: f64,
}

/// One server in one round.
struct Visit {
    alone_p99: f64,
    capacity: f64,
    dear_ms: f64,
    steps: Vec<Step>,
}

/// Runs the scenario.
pub(super) fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let begin = |peer: &_| Begun::new(stage, plan, peer);
    let one = |_: &_, begun: &Begun, seed| visit(begun, plan, seed);
    let results = rounds(stage, plan, ("dear", plan.rounds), begin, one)?;
    report.table(table(stage, plan, &results));
    for (peer, visits) in stage.peers.iter().zip(&results) {
        let (capacity, length) = (mid(visits, |v| v.capacity), mid(visits, |v| v.dear_ms));
        let alone = mid(visits, |v| v.alone_p99);
        println!(
            "{}: capacity {capacity:.0}/s, dear command {length:.2} ms, GETs alone p99 {alone:.2} ms",
            peer.name
        );
        if peer.name == "dunlin" {
            judge(visits, report);
        }
    }
    if let Some(dir) = &plan.plots {
        figure(stage, &results).write(&dir.join("overload-dear.svg"))?;
    }
    Ok(())
}

/// A server, and what was found out about it in the beginning.
struct Begun {
    server: Server,
    costs: Costs,
    alone_p99: f64,
}

impl Begun {
    fn new(stage: &Stage, plan: &Plan, peer: &Peer) -> Outcome<Self> {
        let server = start(stage, peer, &[])?;
        let costs = Costs::measure(&server, plan)?;
        // As many GETs as there are in the unloaded mix.
        let rate = UNLOADED * GET_SHARE * costs.capacity();
        let alone = gets(plan, CONNECTIONS, vec![Phase::new(plan.seconds, rate)]);
        let alone_p99 = drive(&server, &alone, &mut [])?.0.ms(0, 0.99);
        Ok(Self { server, costs, alone_p99 })
    }
}

fn visit(begun: &Begun, plan: &Plan, seed: u64) -> Outcome<Visit> {
    let step = |factor: &f64| step(begun, plan, *factor, seed);
    let steps = FACTORS.iter().map(step).collect::<Outcome<_>>()?;
    let costs = &begun.costs;
    Ok(Visit {
        alone_p99: begun.alone_p99,
        capacity: costs.capacity(),
        dear_ms: costs.dear * 1000.0,
        steps,
    })
}

fn step(begun: &Begun, plan: &Plan, factor: f64, seed: u64) -> Outcome<Step> {
    let Begun { server, costs, .. } = begun;
    let phases = [
        (GETTING_GOING, UNLOADED),
        (plan.seconds, UNLOADED),
        (GETTING_GOING, factor),
        (plan.seconds, factor),
    ];
    let traffic = Traffic { trace: true, ..costs.traffic(plan, &phases, seed) };
    let (outcomes, usage) = drive(server, &traffic, &mut [])?;
    let steady = |phase: usize| {
        let begin = traffic.phases[..phase].iter().map(|phase| phase.time).sum();
        steady(&outcomes.trace, Some(0), (begin, traffic.phases[phase].time), WINDOW)
    };
    let [get, dear] = outcomes.phases[3].as_slice() else {
        return Err("two classes".into());
    };
    let per_second = |count: u64| count as f64 / plan.seconds;
    let received = &outcomes.replies[3];
    let (gets, dears) = (per_second(received[0].in_time), per_second(received[1].in_time));
    let possible = costs.possible(per_second(get.offered), per_second(dear.offered));
    Ok(Step {
        offered: per_second(outcomes.offered(3)),
        get_p50: get.ms(0.5),
        get_p99: get.ms(0.99),
        get_steady: steady(3),
        times: steady(3) / steady(1),
        get_share: 100.0 * gets / possible.0,
        dear_good: dears,
        dear_shed: per_second(dear.of(Fate::Shed)),
        dear_p99: dear.ms(0.99),
        dear_share: 100.0 * dears / possible.1,
        goodput: 100.0 * (gets + dears) / (possible.0 + possible.1),
        busy: busy(&traffic, &usage, 3),
    })
}

/// One step of every round.
fn of(visits: &[Visit], i: usize) -> Vec<Step> {
    visits.iter().map(|visit| visit.steps[i]).collect()
}

fn table(stage: &Stage, plan: &Plan, results: &[Vec<Visit>]) -> Table {
    let title = format!(
        "dear: 90 % GET, 10 % SORT of {} ms; {CONNECTIONS} connections, one request at a time on \
         each, deadline {:?}, medians of {} rounds; goodput is a share of what the server could do",
        plan.dear_ms, plan.deadline, plan.rounds
    );
    let columns = [
        "server",
        "x capacity",
        "offered/s",
        "goodput %",
        "spread %",
        "GET good %",
        "GET p50 ms",
        "GET p99 ms",
        "spread %",
        "steady p99 ms",
        "x unloaded",
        "quartiles",
        "dear good/s",
        "dear good %",
        "dear refused/s",
        "dear p99 ms",
        "server busy",
    ];
    let mut table = Table::new(&title, &columns);
    for (peer, visits) in stage.peers.iter().zip(results) {
        for (i, factor) in FACTORS.iter().enumerate() {
            let steps = of(visits, i);
            let of = |field: fn(&Step) -> f64, decimals| number(mid(&steps, field), decimals);
            table.row(vec![
                peer.name.as_str().into(),
                number(*factor, 1),
                of(|s| s.offered, 0),
                of(|s| s.goodput, 1),
                number(spread(&steps, |s| s.goodput), 1),
                of(|s| s.get_share, 1),
                of(|s| s.get_p50, 2),
                of(|s| s.get_p99, 2),
                number(spread(&steps, |s| s.get_p99), 0),
                of(|s| s.get_steady, 2),
                of(|s| s.times, 2),
                between(&steps, |s| s.times, 2),
                of(|s| s.dear_good, 0),
                of(|s| s.dear_share, 0),
                of(|s| s.dear_shed, 0),
                of(|s| s.dear_p99, 2),
                of(|s| s.busy, 2),
            ]);
        }
    }
    table
}

fn judge(visits: &[Visit], report: &mut Report) {
    for (factor, goal) in GOODPUT_GOALS {
        let Some(i) = FACTORS.iter().position(|f| *f == factor) else { continue };
        let steps = of(visits, i);
        let p99 = mid(&steps, |s| s.get_steady);
        let text = format!("dear {factor}x: GET steady p99 {p99:.2} ms <= {P99_GOAL_MS} ms");
        report.goal(p99 <= P99_GOAL_MS, &text);
        let times = mid(&steps, |s| s.times);
        let text = format!(
            "dear {factor}x: GET steady p99 {times:.2} <= {P99_GOAL_TIMES} times that at 0.3x just before"
        );
        report.goal(times <= P99_GOAL_TIMES, &text);
        let goodput = mid(&steps, |s| s.goodput);
        let text = format!("dear {factor}x: goodput {goodput:.1} % >= {:.0} %", 100.0 * goal);
        report.goal(goodput >= 100.0 * goal, &text);
    }
}

fn figure(stage: &Stage, results: &[Vec<Visit>]) -> Figure {
    let lines = |field: fn(&Step) -> f64| -> Vec<Line> {
        let line = |(peer, visits): (&Peer, &Vec<Visit>)| {
            let each = FACTORS.iter().enumerate();
            let points = each.map(|(i, x)| point(*x, &of(visits, i), field)).collect();
            Line::new(&peer.name, points)
        };
        stage.peers.iter().zip(results).map(line).collect()
    };
    let across = || "offered load, times the capacity".to_owned();
    let x = || Axis::log(&FACTORS);
    Figure {
        title: "90 % GET, 10 % commands of 2 ms".to_owned(),
        panels: vec![
            Panel {
                title: "goodput, % of the possible".to_owned(),
                across: across(),
                x: x(),
                y: Axis::linear().to(100.0),
                lines: lines(|s| s.goodput),
            },
            Panel {
                title: "GET p99 from the intended time, ms".to_owned(),
                across: across(),
                x: x(),
                y: Axis::log(&[]),
                lines: lines(|s| s.get_p99),
            },
        ],
    }
}
