//! What a member shows of its cluster: CLUSTER NODES and CLUSTER INFO, read.

use super::Refused;
use super::node::{Address, Node};
use crate::cluster::slot::SLOTS;
use std::collections::BTreeMap;

/// A member as another one shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) id: String,
    /// Where it is reached from here.
    pub(super) address: Address,
    /// The host that it goes by among members.
    pub(super) host: String,
    pub(super) bus_port: u16,
    pub(super) is_me: bool,
    /// First and last slots.
    pub(super) slots: Vec<(u16, u16)>,
}

impl Shown {
    /// How many slots it owns.
    pub(super) fn count(&self) -> u32 {
        self.slots.iter().map(|(first, last)| u32::from(last - first) + 1).sum()
    }
}

/// A cluster as a member shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) nodes: Vec<Shown>,
}

impl Picture {
    pub(super) fn of(node: &mut Node) -> Result<Self, Refused> {
        let text = node.text(&["CLUSTER", "NODES"])?;
        let mut picture = read(&text)
            .ok_or_else(|| format!("{}: CLUSTER NODES is answered otherwise", node.address))?;
        // Where we have it from is where we reach it, and one that has met nobody may not know.
        for shown in picture.nodes.iter_mut().filter(|shown| shown.is_me) {
            shown.address = node.address.clone();
        }
        Ok(picture)
    }

    /// The member that has shown it.
    pub(super) fn me(&self) -> Option<&Shown> {
        self.nodes.iter().find(|node| node.is_me)
    }

    /// The member with this id, the beginning of it, or this address.
    pub(super) fn find(&self, name: &str) -> Result<&Shown, Refused> {
        let is = |node: &&Shown| {
            node.address.to_string() == name || (name.len() >= 4 && node.id.starts_with(name))
        };
        let mut found = self.nodes.iter().filter(is);
        match (found.next(), found.next()) {
            (Some(node), None) => Ok(node),
            (None, _) => Err(format!("{name}: no such member")),
            _ => Err(format!("{name}: there are several")),
        }
    }

    /// Slots that are nobody's.
    pub(super) fn unowned(&self) -> u32 {
        u32::from(SLOTS).saturating_sub(self.nodes.iter().map(Shown::count).sum())
    }

    /// Who owns what, to compare what members show.
    pub(super) fn owners(&self) -> BTreeMap<&str, &[(u16, u16)]> {
        self.nodes.iter().map(|node| (node.id.as_str(), node.slots.as_slice())).collect()
    }
}

/// The lines of CLUSTER NODES.
pub(super) fn read(text: &str) -> Option<Picture> {
    text.lines().map(line).collect::<Option<Vec<_>>>().map(|nodes| Picture { nodes })
}

/// `id ip:port@bus[,hostname] flags master ping pong epoch link slots...`
fn line(text: &str) -> Option<Shown> {
    let mut words = text.split_ascii_whitespace();
    let (id, place, flags) = (words.next()?, words.next()?, words.next()?);
    let (endpoint, rest) = place.rsplit_once('@')?;
    let (host, port) = endpoint.rsplit_once(':')?;
    let bus_port = rest.split(',').next()?.parse().ok()?;
    let host = host.to_owned();
    let address = Address { host: host.clone(), port: port.parse().ok()? };
    let slots = words.skip(5).map(range).collect::<Option<Vec<_>>>()?;
    let is_me = flags.split(',').any(|flag| flag == "myself");
    Some(Shown { id: id.to_owned(), address, host, bus_port, is_me, slots })
}

/// `5` or `5-7`.
fn range(word: &str) -> Option<(u16, u16)> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < SLOTS).then_some((first, last))
}

/// The lines of CLUSTER INFO.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(BTreeMap<String, String>);

impl Figures {
    pub(super) fn of(node: &mut Node) -> Result<Self, Refused> {
        Ok(Figures::read(&node.text(&["CLUSTER", "INFO"])?))
    }

    pub(super) fn read(text: &str) -> Self {
        let pair = |line: &str| {
            line.split_once(':').map(|(field, value)| (field.to_owned(), value.to_owned()))
        };
        Figures(text.lines().filter_map(pair).collect())
    }

    pub(super) fn get(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    pub(super) fn number(&self, field: &str) -> u64 {
        self.get(field).parse().unwrap_or(0)
    }

    pub(super) fn is_ok(&self) -> bool {
        self.get("cluster_state") == "ok"
    }

    /// Slots that have no copy that could take over, and should have one.
    pub(super) fn unprotected(&self) -> u64 {
        let nobody_can = self.number("cluster_known_nodes") < 2;
        match nobody_can || self.get("cluster_replicas") == "0" {
            true => 0,
            false => self.number("cluster_slots_without_backup"),
        }
    }

    /// Slots that are not yet where they shall be.
    pub(super) fn to_move(&self) -> u64 {
        self.number("cluster_slots_to_move")
    }
}

impl Node {
    /// Its id, if it is in a cluster of its own.
    pub(super) fn lone(&mut self) -> Result<String, Refused> {
        let known = Figures::of(self)?.number("cluster_known_nodes");
        if known > 1 {
            return Err(format!("{}: it is in a cluster of {known} nodes", self.address));
        }
        self.text(&["CLUSTER", "MYID"])
    }
}
