//! `dunlin cluster`: makes a cluster of running servers, changes it and looks at it.
//!
//! It is thin: everything is done by the servers, through commands that any client can send (CLUSTER
//! MEET, LEAVE, WEIGHT, NODES, INFO, MIGRATION STATUS). What the tool adds is to look before it asks,
//! to wait until slots have moved, and to show how far they are. If it is interrupted, the servers go
//! on.

mod cli;
mod info;
mod node;
mod picture;
mod progress;
#[cfg(test)]
mod tests;
mod tls;
mod wait;

pub(crate) use cli::{command, order};
use node::{Access, Address, Node};
use picture::Picture;
use std::net::IpAddr;
use std::process::ExitCode;
use wait::settle;

/// What is to be done.
#[derive(Debug)]
pub struct Order {
    access: Access,
    /// Whether to come back only when slots have moved.
    wait: bool,
    action: Action,
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    Create(Vec<Address>),
    Check(Address),
    AddNode { new: Address, member: Address },
    DelNode { member: Address, node: Option<String> },
    Rebalance { member: Address, weights: Vec<(String, u32)> },
    Info(Address),
}

/// Why something was not done, for the user.
type Refused = String;

/// Does it and says how it went.
pub(crate) fn run(order: &Order) -> ExitCode {
    let done = match &order.action {
        Action::Create(nodes) => order.create(nodes),
        Action::Check(member) => info::check(member, &order.access),
        Action::AddNode { new, member } => order.add_node(new, member),
        Action::DelNode { member, node } => order.del_node(member, node.as_deref()),
        Action::Rebalance { member, weights } => order.rebalance(member, weights),
        Action::Info(member) => info::info(member, &order.access),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

impl Order {
    fn create(&self, addresses: &[Address]) -> Result<(), Refused> {
        let open = |address| Node::open_new(address, &self.access);
        let mut nodes = addresses.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let mut ids = Vec::new();
        for node in &mut nodes {
            let id = node.lone()?;
            if ids.contains(&id) {
                return Err(format!("{}: named twice", node.address));
            }
            ids.push(id);
        }
        let [first, others @ ..] = nodes.as_mut_slice() else { return Ok(()) };
        // The others give up what they are, the first one keeps its keys.
        for node in &mut *others {
            node.keyless()?;
        }
        for node in others {
            meet(node, first)?;
        }
        eprintln!("{} nodes have met", ids.len());
        self.settle(first, &ids)
    }

    fn add_node(&self, new: &Address, member: &Address) -> Result<(), Refused> {
        let mut new = Node::open_new(new, &self.access)?;
        let mut member = Node::open(member, &self.access)?;
        let id = new.lone()?;
        new.keyless()?;
        meet(&mut new, &mut member)?;
        eprintln!("{} is a member", new.address);
        self.settle(&mut member, &[id])
    }

    fn del_node(&self, member: &Address, node: Option<&str>) -> Result<(), Refused> {
        let mut member = Node::open(member, &self.access)?;
        let picture = Picture::of(&mut member)?;
        let id = match node {
            Some(name) => picture.find(name)?.id.clone(),
            None => member.text(&["CLUSTER", "MYID"])?,
        };
        let leaver = picture.find(&id)?;
        let mut leaver = Node::open(&leaver.address, &self.access)?;
        leaver.done(&["CLUSTER", "LEAVE"])?;
        eprintln!("{} leaves", leaver.address);
        if !self.wait {
            return Ok(());
        }
        // Whoever stays knows when it has gone.
        let stays = picture.nodes.iter().find(|other| other.id != id);
        let stays = stays.ok_or_else(|| "it is the only node".to_owned())?;
        let mut stays = Node::open(&stays.address, &self.access)?;
        wait::until_gone(&mut stays, &id, leaver.linger())
    }

    fn rebalance(&self, member: &Address, weights: &[(String, u32)]) -> Result<(), Refused> {
        let mut member = Node::open(member, &self.access)?;
        let picture = Picture::of(&mut member)?;
        let named = weights.iter().map(|(name, weight)| Ok((picture.find(name)?, weight)));
        for (node, weight) in named.collect::<Result<Vec<_>, Refused>>()? {
            member.done(&["CLUSTER", "WEIGHT", &node.id, &weight.to_string()])?;
        }
        // Some of those seen may be about to leave, so that none is waited for.
        self.settle(&mut member, &[])
    }

    fn settle(&self, member: &mut Node, with: &[String]) -> Result<(), Refused> {
        if self.wait { settle(member, with) } else { Ok(()) }
    }
}

/// Has `new` join the cluster of `member`.
fn meet(new: &mut Node, member: &mut Node) -> Result<(), Refused> {
    let picture = Picture::of(member)?;
    let me = picture.me();
    // An address of the member's own machine means nothing on another one.
    let announced = me.and_then(|me| me.host.parse::<IpAddr>().ok());
    let announced = announced.filter(|ip| !ip.is_loopback() && !ip.is_unspecified());
    let ip = announced.unwrap_or(member.ip()).to_string();
    let port = member.address.port.to_string();
    let bus = me.map_or(0, |me| me.bus_port).to_string();
    let mut command = vec!["CLUSTER", "MEET", ip.as_str(), port.as_str()];
    if bus != "0" {
        command.push(&bus);
    }
    new.done(&command)
}
