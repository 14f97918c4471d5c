//! What clients get, to the byte.

use super::*;
use crate::cluster::map::{Backup, Holders};
use proptest::prelude::*;

const ID_1: &str = "0000000000000000000000000000000000000001";
const ID_2: &str = "0000000000000000000000000000000000000002";

fn member(number: u16, hostname: &str) -> Member {
    Member {
        endpoint: Endpoint {
            ip: [10, 0, 0, number.to_be_bytes()[1]].into(),
            hostname: hostname.to_owned(),
            port: 7000 + number,
            tls_port: 8000 + number,
            bus_port: 17_000 + number,
        },
        incarnation: 1,
        weight: 100,
        zone: String::new(),
        leaving: false,
    }
}

fn owner(map: &mut Map, first: u16, last: u16, owner: Option<u32>) {
    let holders = Holders { owner: owner.map(NodeId::from), ..Holders::default() };
    map.slots.set(first, last, holders);
}

/// Two members: 1 has 0-5460 and 16383, 2 has what is between, with a backup for a part of it.
fn two() -> Map {
    let mut map = Map { epoch: 7, ..Map::default() };
    map.members.insert(NodeId::from(2), member(2, "two.example"));
    map.members.insert(NodeId::from(1), member(1, ""));
    owner(&mut map, 0, 16_383, Some(1));
    owner(&mut map, 5461, 16_382, Some(2));
    let mut holders = map.slots.get(6000);
    holders.backups[0] = Some(Backup { node: NodeId::from(1), in_sync: true });
    map.slots.set(6000, 9000, holders);
    map
}

fn view(map: Map, preferred: Preferred) -> View {
    View::new(Arc::new(map), NodeId::from(1), preferred)
}

fn shown(view: &View, kind: Kind, proto: Proto, tls: bool) -> String {
    let reply = view.reply(kind, proto, tls);
    assert_eq!(reply, view.reply(kind, proto, tls), "made once");
    String::from_utf8(reply.to_vec()).expect("text").replace("\r\n", " ")
}

#[test]
fn slots_in_both_versions_of_the_protocol() {
    let view = view(two(), Preferred::Ip);
    let by_port = |first: u16, second: u16, map: &str| {
        let one = format!("*4 $8 10.0.0.1 :{first} $40 {ID_1} {map}0 ");
        let two = format!("*4 $8 10.0.0.2 :{second} $40 {ID_2} ");
        let name = match map {
            "*" => "*2 $8 hostname $11 two.example ",
            _ => "%1 $8 hostname $11 two.example ",
        };
        format!("*3 *3 :0 :5460 {one}*3 :5461 :16382 {two}{name}*3 :16383 :16383 {one}")
    };
    assert_eq!(shown(&view, Kind::Slots, Proto::Resp2, false), by_port(7001, 7002, "*"));
    assert_eq!(shown(&view, Kind::Slots, Proto::Resp2, true), by_port(8001, 8002, "*"));
    assert_eq!(shown(&view, Kind::Slots, Proto::Resp3, false), by_port(7001, 7002, "%"));
    assert_eq!(shown(&view, Kind::Slots, Proto::Resp3, true), by_port(8001, 8002, "%"));
}

#[test]
fn slots_with_other_endpoints() {
    let by_name = shown(&view(two(), Preferred::Hostname), Kind::Slots, Proto::Resp2, false);
    let one = format!("*4 $1 ? :7001 $40 {ID_1} *2 $2 ip $8 10.0.0.1 ");
    let two_ = format!("*4 $11 two.example :7002 $40 {ID_2} *2 $2 ip $8 10.0.0.2 ");
    assert_eq!(
        by_name,
        format!("*3 *3 :0 :5460 {one}*3 :5461 :16382 {two_}*3 :16383 :16383 {one}")
    );

    let unknown = view(two(), Preferred::UnknownEndpoint);
    let in_resp2 = shown(&unknown, Kind::Slots, Proto::Resp2, false);
    let one = format!("*3 *3 :0 :5460 *4 $-1 :7001 $40 {ID_1} *2 $2 ip $8 10.0.0.1 ");
    assert!(in_resp2.starts_with(&one), "{in_resp2}");
    let in_resp3 = shown(&unknown, Kind::Slots, Proto::Resp3, false);
    let two_ = "*4 _ :7002 $40 0000000000000000000000000000000000000002 \
                %2 $2 ip $8 10.0.0.2 $8 hostname $11 two.example ";
    assert!(in_resp3.contains(two_), "{in_resp3}");
}

#[test]
fn shards_in_both_versions_of_the_protocol() {
    let view = view(two(), Preferred::Ip);
    let node = |id: &str, number: u16| {
        format!(
            "$2 id $40 {id} $4 port :700{number} $8 tls-port :800{number} $2 ip $8 10.0.0.{number} \
             $8 endpoint $8 10.0.0.{number} "
        )
    };
    let end = "$4 role $6 master $18 replication-offset :0 $6 health $6 online ";
    let (one, two) = (node(ID_1, 1), node(ID_2, 2));
    let name = "$8 hostname $11 two.example ";
    let slots = |count| format!("$5 slots *{count} ");
    let (first, second) = (slots(4) + ":0 :5460 :16383 :16383 ", slots(2) + ":5461 :16382 ");
    assert_eq!(
        shown(&view, Kind::Shards, Proto::Resp2, false),
        format!(
            "*2 *4 {first}$5 nodes *1 *16 {one}{end}*4 {second}$5 nodes *1 *18 {two}{name}{end}"
        )
    );
    assert_eq!(
        shown(&view, Kind::Shards, Proto::Resp3, true),
        format!("*2 %2 {first}$5 nodes *1 %8 {one}{end}%2 {second}$5 nodes *1 %9 {two}{name}{end}")
    );
}

#[test]
fn shards_without_ports_names_or_slots() {
    let mut map = two();
    owner(&mut map, 0, 16_383, None);
    map.members.remove(&NodeId::from(2));
    let only = map.members.get_mut(&NodeId::from(1)).expect("a member");
    only.endpoint.tls_port = 0;
    let text = shown(&view(map, Preferred::Hostname), Kind::Shards, Proto::Resp3, false);
    assert_eq!(
        text,
        format!(
            "*1 %2 $5 slots *0 $5 nodes *1 %7 $2 id $40 {ID_1} $4 port :7001 $2 ip $8 10.0.0.1 \
             $8 endpoint $1 ? $4 role $6 master $18 replication-offset :0 $6 health $6 online "
        )
    );
}

#[test]
fn nodes_as_lines() {
    let lines = |one: u16, two: u16| {
        format!(
            "{ID_1} 10.0.0.1:{one}@17001 myself,master - 0 0 7 connected 0-5460 16383\n\
             {ID_2} 10.0.0.2:{two}@17002,two.example master - 0 0 7 connected 5461-16382\n"
        )
    };
    let view = view(two(), Preferred::Ip);
    let (plain, tls) = (lines(7001, 7002), lines(8001, 8002));
    let length = plain.len();
    assert_eq!(shown(&view, Kind::Nodes, Proto::Resp2, false), format!("${length} {plain} "));
    assert_eq!(
        shown(&view, Kind::Nodes, Proto::Resp3, true),
        format!("={} txt:{tls} ", length + 4)
    );
}

#[test]
fn who_is_no_member_finds_itself_all_the_same() {
    let stranger = View::new(Arc::new(two()), NodeId::from(3), Preferred::Ip);
    let text = shown(&stranger, Kind::Nodes, Proto::Resp2, false);
    let last =
        "0000000000000000000000000000000000000003 :0@0 myself,master,noaddr - 0 0 0 connected";
    assert_eq!(text.lines().nth(2).map(str::trim_end), Some(last));
    assert!(!stranger.is_member());
}

#[test]
fn where_a_slot_is() {
    let moved = |preferred, slot, tls| {
        view(two(), preferred).moved(slot, tls).map(|text| String::from_utf8(text).expect("text"))
    };
    for (preferred, slot, tls, wanted) in [
        (Preferred::Ip, 866, false, "MOVED 866 10.0.0.1:7001"),
        (Preferred::Ip, 16_383, true, "MOVED 16383 10.0.0.1:8001"),
        (Preferred::Ip, 6000, false, "MOVED 6000 10.0.0.2:7002"),
        (Preferred::Hostname, 6000, false, "MOVED 6000 two.example:7002"),
        (Preferred::Hostname, 0, false, "MOVED 0 ?:7001"),
        (Preferred::UnknownEndpoint, 6000, true, "MOVED 6000 :8002"),
    ] {
        assert_eq!(moved(preferred, slot, tls).as_deref(), Some(wanted));
    }
    let mut map = two();
    owner(&mut map, 5, 5, None);
    owner(&mut map, 6, 6, Some(9));
    let view = view(map, Preferred::Ip);
    assert_eq!(
        (view.moved(5, false), view.moved(6, false), view.moved(SLOTS, false)),
        Default::default()
    );
    assert_eq!((view.assigned(), view.owning()), (16_382, 2));
}

#[test]
fn addresses_of_the_sixth_version() {
    let mut map = two();
    for (id, ip) in [(1, "2001:db8::1"), (2, "::ffff:10.0.0.9")] {
        let member = map.members.get_mut(&NodeId::from(id)).expect("a member");
        member.endpoint.ip = ip.parse().expect("an address");
    }
    let view = view(map, Preferred::Ip);
    assert_eq!(view.moved(0, false).as_deref(), Some(b"MOVED 0 2001:db8::1:7001".as_slice()));
    assert_eq!(view.moved(6000, false).as_deref(), Some(b"MOVED 6000 10.0.0.9:7002".as_slice()));
    let text = shown(&view, Kind::Nodes, Proto::Resp2, false);
    assert!(text.contains(" 2001:db8::1:7001@17001 "), "{text}");
}

proptest! {
    /// Whoever is asked answers the same, and what SLOTS says is the map.
    #[test]
    fn all_nodes_say_the_same(cuts in proptest::collection::vec((0..SLOTS, 1..6_u32), 0..60)) {
        let mut map = Map { epoch: 1, ..Map::default() };
        for number in 1..6 {
            map.members.insert(NodeId::from(u32::from(number)), member(number, ""));
        }
        owner(&mut map, 0, SLOTS - 1, Some(1));
        for (first, node) in cuts {
            owner(&mut map, first, SLOTS - 1, Some(node));
        }
        let map = Arc::new(map);
        let of = |me: u32| View::new(Arc::clone(&map), NodeId::from(me), Preferred::Ip);
        let (one, two) = (of(1), of(2));
        for kind in [Kind::Slots, Kind::Shards] {
            let reply = one.reply(kind, Proto::Resp3, false);
            prop_assert_eq!(reply, two.reply(kind, Proto::Resp3, false));
        }
        let nodes = |view: &View| {
            shown(view, Kind::Nodes, Proto::Resp2, false).replace("myself,", "")
        };
        prop_assert_eq!(nodes(&one), nodes(&two));
        let rows = one.owned();
        let ids: Vec<NodeId> = map.members.keys().copied().collect();
        let owner = |run: &Run<u16>| Some(ids[usize::from(run.value)]);
        prop_assert_eq!(rows.iter().map(|run| usize::from(run.count())).sum::<usize>(), 16_384);
        prop_assert!(rows.windows(2).all(|rows| rows[0].value != rows[1].value));
        prop_assert!(rows.iter().all(|run| map.owner(run.first) == owner(run)));
        prop_assert!(rows.iter().all(|run| map.owner(run.last) == owner(run)));
    }
}
