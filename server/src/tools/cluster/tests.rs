use super::cli::{command, order};
use super::node::Address;
use super::picture::{Figures, Picture, read};
use super::*;

fn parsed(words: &[&str]) -> Result<Order, String> {
    let words = ["cluster"].iter().chain(words);
    let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
    order(&matches, &[("REDISCLI_AUTH".into(), "secret".into())])
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn what_the_command_line_says() {
    let action = |words: &[&str]| parsed(words).unwrap().action;
    let (a, b) = (address("a:1"), address("[::1]:2"));
    assert_eq!(b, Address { host: "::1".to_owned(), port: 2 });
    assert_eq!(b.to_string(), "[::1]:2");
    assert_eq!(action(&["create", "a:1", "[::1]:2"]), Action::Create(vec![a.clone(), b.clone()]));
    assert_eq!(
        action(&["add-node", "a:1", "[::1]:2"]),
        Action::AddNode { new: a.clone(), member: b }
    );
    assert_eq!(action(&["rebalance", "a:1", "--weight", "h:3=50", "--weight", "0123=0"]), {
        let weights = vec![("h:3".to_owned(), 50), ("0123".to_owned(), 0)];
        Action::Rebalance { member: a, weights }
    });
    let order = parsed(&["del-node", "a:1", "--no-wait", "--user", "x", "--tls"]).unwrap();
    assert!(!order.wait && order.access.tls);
    assert_eq!(order.access.user.as_deref(), Some("x"));
    assert_eq!(order.access.password.as_deref(), Some("secret"));
    for wrong in [
        &[][..],
        &["create", "a:1"],
        &["create", "a:1", "b"],
        &["check"],
        &["info", ":1"],
        &["info", "a:0"],
        &["rebalance", "a:1", "--weight", "x"],
        &["rebalance", "a:1", "--weight", "x=-1"],
        &["merge", "a:1"],
    ] {
        assert!(parsed(wrong).is_err(), "{wrong:?}");
    }
}

const NODES: &str = "\
0123456789012345678901234567890123456789 127.0.0.1:7000@17000 myself,master - 0 0 7 connected 0-5 8
0123f00000000000000000000000000000000000 ::1:7001@17001,host master - 0 0 7 connected 6-7 9-16382
";

#[test]
fn what_nodes_show() {
    let picture = read(NODES).unwrap();
    assert_eq!(picture.me().unwrap().bus_port, 17_000);
    assert_eq!(picture.nodes[1].address, address("[::1]:7001"));
    assert_eq!(picture.nodes.iter().map(|node| node.count()).collect::<Vec<_>>(), [7, 16_376]);
    assert_eq!(picture.unowned(), 1);
    let found = |name: &str| picture.find(name).map(|node| node.bus_port);
    assert_eq!(found("[::1]:7001"), Ok(17_001));
    assert_eq!(found("0123f"), Ok(17_001));
    assert!(found("0123").unwrap_err().contains("several"));
    assert!(found("9").is_err() && found("127.0.0.1:7001").is_err());
    for wrong in ["x", "a b c", "a h:p@1 master - 0 0 0 up", "a h:1@1 m - 0 0 0 up 5-3"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
    assert_eq!(read(""), Some(Picture::default()));
}

#[test]
fn what_figures_say() {
    let figures = Figures::read("cluster_state:ok\r\ncluster_slots_to_move:12\r\nx\r\n");
    assert!(figures.is_ok());
    assert_eq!((figures.to_move(), figures.number("cluster_state")), (12, 0));
    let unprotected = |nodes: u8, replicas: u8| {
        let text = format!("cluster_known_nodes:{nodes}\ncluster_replicas:{replicas}\n");
        Figures::read(&(text + "cluster_slots_without_backup:7\n")).unprotected()
    };
    assert_eq!([(3, 1), (3, 0), (1, 1)].map(|(n, r)| unprotected(n, r)), [7, 0, 0]);
}
