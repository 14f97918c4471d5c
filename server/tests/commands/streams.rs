//! Streams: transcripts of what Redis 7.2 answers, in both protocols.

use crate::support::{Client, Server, Value};

/// Runs `transcript`: lines of a command and its reply.
#[track_caller]
fn follow(client: &mut Client, transcript: &str) {
    for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").expect("a command and its reply");
        assert_eq!(show(&client.run(command)), expected, "{command}");
    }
}

fn show(reply: &Value) -> String {
    let all = |items: &[Value]| items.iter().map(show).collect::<Vec<_>>().join(" ");
    match reply {
        Value::Int(n) => n.to_string(),
        Value::Error(text) => format!("-{}", String::from_utf8_lossy(text)),
        Value::Array(items) => format!("[{}]", all(items)),
        Value::Map(pairs) => {
            let pair = |(name, value): &(Value, Value)| format!("{}: {}", show(name), show(value));
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Value::NullArray => "no list".to_owned(),
        null if null.is_null() => "nil".to_owned(),
        text => text.text(),
    }
}

fn client() -> (Server, Client) {
    let server = Server::dunlin(&[]);
    let client = server.client();
    (server, client)
}

#[test]
fn entries_are_added_behind_the_last() {
    let (_server, mut client) = client();
    follow(
        &mut client,
        "
        xadd s 5-1 a 1 => 5-1
        xadd s 5-* a 2 b 3 => 5-2
        xadd s 6 a 4 => 6-0
        xadd s 6 a 4 => -ERR The ID specified in XADD is equal or smaller than the target stream top item
        xadd s 5-* a 4 => -ERR The ID specified in XADD is equal or smaller than the target stream top item
        xadd s 0-0 a 4 => -ERR The ID specified in XADD must be greater than 0-0
        xadd s x-1 a 4 => -ERR Invalid stream ID specified as stream command argument
        xadd s + a 4 => -ERR Invalid stream ID specified as stream command argument
        xadd s 7-0 a => -ERR wrong number of arguments for 'xadd' command
        xadd s 7-0 a b c => -ERR wrong number of arguments for 'xadd' command
        xadd s nomkstream maxlen = 5 7-0 => -ERR wrong number of arguments for 'xadd' command
        xadd none nomkstream * a 1 => nil
        exists none => 0
        xadd zero 0-* a 1 => 0-1
        xadd s 99999999999999-0 a 1 => 99999999999999-0
        xadd s * a 1 => 99999999999999-1
        xadd s 18446744073709551615-18446744073709551614 a 1 => 18446744073709551615-18446744073709551614
        xadd s * a 1 => 18446744073709551615-18446744073709551615
        xadd s * a 1 => -ERR The stream has exhausted the last possible ID, unable to add more items
        xlen s => 7
        type s => stream
        object encoding s => stream
        set text 1 => OK
        xadd text * a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        xlen text => -WRONGTYPE Operation against a key holding the wrong kind of value
        ",
    );
}

#[test]
fn entries_are_trimmed_and_deleted() {
    let (_server, mut client) = client();
    for i in 1..=10 {
        client.run(&format!("xadd s {i}-0 n {i}"));
    }
    follow(
        &mut client,
        "
        xtrim s maxlen 9 => 1
        xtrim s maxlen ~ 3 => 0
        xtrim s minid = 4 => 2
        xtrim s maxlen 5 minid 3 => -ERR syntax error, MAXLEN and MINID options at the same time are not compatible
        xtrim s maxlen 5 limit 3 => -ERR syntax error, LIMIT cannot be used without the special ~ option
        xtrim s limit 3 maxlen ~ 2 => 0
        xtrim s limit 0 => -ERR syntax error, XTRIM must be called with a trimming strategy
        xtrim s limit 3 => -ERR syntax error, LIMIT cannot be used without specifying a trimming strategy
        xtrim s maxlen -1 => -ERR The MAXLEN argument must be >= 0.
        xtrim s maxlen ~ 3 limit -1 => -ERR The LIMIT argument must be >= 0.
        xtrim s maxlen x => -ERR value is not an integer or out of range
        xtrim s maxlen => -ERR wrong number of arguments for 'xtrim' command
        xtrim s maxlen 3 x => -ERR syntax error
        xtrim none maxlen 3 => 0
        xlen s => 7
        xdel s 5-0 6-0 6-0 99 => 2
        xdel s 5-0 x => -ERR Invalid stream ID specified as stream command argument
        xdel none x => 0
        xadd s maxlen 3 11-0 n 11 => 11-0
        xrange s - + => [[9-0 [n 9]] [10-0 [n 10]] [11-0 [n 11]]]
        xdel s 9-0 10-0 11-0 => 3
        xrange s - + => []
        exists s => 1
        xadd s 11-0 n 11 => -ERR The ID specified in XADD is equal or smaller than the target stream top item
        xsetid s 10-0 => -ERR The ID specified in XSETID is smaller than current max_deleted_entry_id
        xsetid s 20-0 entriesadded 40 maxdeletedid 15-0 => OK
        xsetid s 20-0 maxdeletedid 21-0 => -ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id
        xsetid s 20-0 entriesadded -1 => -ERR entries_added must be positive
        xsetid s 20-0 what => -ERR syntax error
        xsetid none 20-0 => -ERR no such key
        xadd s 20-* a 1 => 20-1
        xsetid s 20-0 => -ERR The ID specified in XSETID is smaller than the target stream top item
        xsetid s 20-1 entriesadded 0 => -ERR The entries_added specified in XSETID is smaller than the target stream length
        xinfo stream s => [length 1 radix-tree-keys 1 radix-tree-nodes 2 last-generated-id 20-1 max-deleted-entry-id 15-0 entries-added 41 recorded-first-entry-id 20-1 groups 0 first-entry [20-1 [a 1]] last-entry [20-1 [a 1]]]
        ",
    );
}

#[test]
fn ranges_have_two_ends_and_two_directions() {
    let (_server, mut client) = client();
    for (id, fields) in [("1-1", "a 1"), ("1-2", "b 2"), ("2-0", "a 3 a 4"), ("3-7", "a -5")] {
        client.run(&format!("xadd s {id} {fields}"));
    }
    follow(
        &mut client,
        "
        xrange s - + => [[1-1 [a 1]] [1-2 [b 2]] [2-0 [a 3 a 4]] [3-7 [a -5]]]
        xrevrange s + - count 2 => [[3-7 [a -5]] [2-0 [a 3 a 4]]]
        xrange s 1 1 => [[1-1 [a 1]] [1-2 [b 2]]]
        xrange s (1-1 (3-7 => [[1-2 [b 2]] [2-0 [a 3 a 4]]]
        xrevrange s (3-7 (1-1 count 1 => [[2-0 [a 3 a 4]]]
        xrange s 3 1 => []
        xrange s - + count 0 => no list
        xrange s - + count -1 => no list
        xrange none - + count 0 => []
        xrange s - + count => -ERR syntax error
        xrange s - + count x => -ERR value is not an integer or out of range
        xrange s (18446744073709551615-18446744073709551615 + => -ERR invalid start ID for the interval
        xrange s - (0-0 => -ERR invalid end ID for the interval
        xrange s (- + => -ERR Invalid stream ID specified as stream command argument
        xread streams s 1-2 => [[s [[2-0 [a 3 a 4]] [3-7 [a -5]]]]]
        xread count 1 streams s none s 0 0 2 => [[s [[1-1 [a 1]]]] [s [[3-7 [a -5]]]]]
        xread streams s $ => no list
        xread count 5 streams s none + + => [[s [[3-7 [a -5]]]]]
        xread block 1 streams s none $ 0 => no list
        xread streams s > => -ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.
        xread streams s none 0 => -ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.
        xread group g c streams s 0 => -ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.
        xread noack streams s 0 => -ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.
        xread block -1 streams s 0 => -ERR timeout is negative
        xread block x streams s 0 => -ERR timeout is not an integer or out of range
        xread count 1 block 1 => -ERR syntax error
        xdel s 3-7 => 1
        xread streams s + => [[s [[2-0 [a 3 a 4]]]]]
        ",
    );
}

#[test]
fn groups_share_the_entries() {
    let (_server, mut client) = client();
    for i in 1..=5 {
        client.run(&format!("xadd s {i}-0 n {i}"));
    }
    follow(
        &mut client,
        "
        xgroup create s g 0 => OK
        xgroup create s g 0 => -BUSYGROUP Consumer Group name already exists
        xgroup create none g $ => -ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.
        xgroup create s h x => -ERR Invalid stream ID specified as stream command argument
        xgroup create s h 0 entriesread -2 => -ERR value for ENTRIESREAD must be positive or -1
        xgroup create s h 0 what => -ERR unknown subcommand or wrong number of arguments for 'create'. Try XGROUP HELP.
        xgroup create made g $ mkstream => OK
        xlen made => 0
        xreadgroup group g alice count 2 streams s > => [[s [[1-0 [n 1]] [2-0 [n 2]]]]]
        xreadgroup group g bob count 1 streams s > => [[s [[3-0 [n 3]]]]]
        xreadgroup group g alice streams s 0 => [[s [[1-0 [n 1]] [2-0 [n 2]]]]]
        xreadgroup group g alice streams s 1-0 => [[s [[2-0 [n 2]]]]]
        xreadgroup group g carol streams s 0 => [[s []]]
        xreadgroup group g alice count 1 noack streams s > => [[s [[4-0 [n 4]]]]]
        xreadgroup group nobody alice streams s > => -NOGROUP No such key 's' or consumer group 'nobody' in XREADGROUP with GROUP option
        xreadgroup group g alice streams none > => -NOGROUP No such key 'none' or consumer group 'g' in XREADGROUP with GROUP option
        xreadgroup group g alice streams s $ => -ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.
        xreadgroup streams s s 0 0 0 => -ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.
        xreadgroup noack streams s s 0 0 => -ERR Missing GROUP option for XREADGROUP
        xinfo groups s => [[name g consumers 3 pending 3 last-delivered-id 4-0 entries-read 4 lag 1]]
        xpending s g => [3 1-0 3-0 [[alice 2] [bob 1]]]
        xpending s nobody => -NOGROUP No such key 's' or consumer group 'nobody'
        xpending s g - + => -ERR syntax error
        xpending s g idle 1000000 - + 5 => []
        xpending s g - + 5 nobody => []
        xack s g 1-0 2-0 2-0 9-0 => 2
        xack s nobody x => 0
        xack s g x => -ERR Invalid stream ID specified as stream command argument
        xpending made g => [0 nil nil no list]
        xgroup createconsumer s g dave => 1
        xgroup createconsumer s g dave => 0
        xgroup createconsumer s nobody dave => -NOGROUP No such consumer group 'nobody' for key name 's'
        xgroup delconsumer s g bob => 1
        xgroup delconsumer s g bob => 0
        xpending s g => [0 nil nil no list]
        xgroup setid s g 2 entriesread 2 => OK
        xinfo groups s => [[name g consumers 3 pending 0 last-delivered-id 2-0 entries-read 2 lag 3]]
        xgroup setid s g $ => OK
        xreadgroup group g alice streams s > => no list
        xreadgroup group g alice block 1 streams s > => no list
        xgroup destroy s g => 1
        xgroup destroy s g => 0
        xinfo groups s => []
        xinfo consumers s g => -NOGROUP No such consumer group 'g' for key name 's'
        xinfo groups none => -ERR no such key
        ",
    );
}

#[test]
fn pending_entries_change_hands() {
    let (_server, mut client) = client();
    for i in 1..=6 {
        client.run(&format!("xadd s {i}-0 n {i}"));
    }
    follow(
        &mut client,
        "
        xgroup create s g 0 => OK
        xreadgroup group g alice count 4 streams s > => [[s [[1-0 [n 1]] [2-0 [n 2]] [3-0 [n 3]] [4-0 [n 4]]]]]
        xclaim s g bob 0 1-0 9-0 => [[1-0 [n 1]]]
        xclaim s g bob 1000000 2-0 => []
        xclaim s g bob 0 2-0 justid => [2-0]
        xclaim s g bob 0 5-0 => []
        xclaim s g bob 0 5-0 force retrycount 7 lastid 5-0 justid => [5-0]
        xclaim s g bob x 5-0 => -ERR Invalid min-idle-time argument for XCLAIM
        xclaim s g bob 0 5-0 idle x => -ERR Invalid IDLE option argument for XCLAIM
        xclaim s g bob 0 what => -ERR Unrecognized XCLAIM option 'what'
        xclaim s nobody bob 0 what => -NOGROUP No such key 's' or consumer group 'nobody'
        xpending s g => [5 1-0 5-0 [[alice 2] [bob 3]]]
        xreadgroup group g carol streams s > => [[s [[6-0 [n 6]]]]]
        xdel s 3-0 => 1
        xreadgroup group g alice streams s 0 => [[s [[3-0 no list] [4-0 [n 4]]]]]
        xautoclaim s g dave 0 0 count 2 => [3-0 [[1-0 [n 1]] [2-0 [n 2]]] []]
        xautoclaim s g dave 0 3-0 justid => [0-0 [4-0 5-0 6-0] [3-0]]
        xautoclaim s g dave 1000000 - => [0-0 [] []]
        xautoclaim s g dave 0 0 count 0 => -ERR COUNT must be > 0
        xautoclaim s nobody dave 0 0 => -NOGROUP No such key 's' or consumer group 'nobody'
        xpending s g => [5 1-0 6-0 [[dave 5]]]
        xgroup delconsumer s g dave => 5
        ",
    );
    let pending = client.run("xclaim s g erin 0 1-0 force time 1 retrycount 3");
    assert_eq!(show(&pending), "[[1-0 [n 1]]]");
    let Value::Array(entries) = client.run("xpending s g - + 10") else { panic!("not a list") };
    let [Value::Array(entry)] = &entries[..] else { panic!("not one: {entries:?}") };
    assert_eq!([&entry[0], &entry[1], &entry[3]].map(show), ["1-0", "erin", "3"]);
    assert!(entry[2].int() > 1_000_000_000_000, "idle since 1970: {entry:?}");
}

#[test]
fn what_is_known_about_a_stream() {
    let (server, _) = client();
    let mut client = server.client3();
    follow(
        &mut client,
        "
        xadd s 1-0 n 1 => 1-0
        xadd s 2-0 n 2 => 2-0
        xgroup create s g 0 => OK
        xgroup createconsumer s g idle => 1
        xread streams s none 1 0 => {s: [[2-0 [n 2]]]}
        xread streams none 0 => nil
        xreadgroup group g alice count 1 streams s > => {s: [[1-0 [n 1]]]}
        xrange s - + count 0 => nil
        xinfo stream s => {length: 2, radix-tree-keys: 1, radix-tree-nodes: 2, last-generated-id: 2-0, max-deleted-entry-id: 0-0, entries-added: 2, recorded-first-entry-id: 1-0, groups: 1, first-entry: [1-0 [n 1]], last-entry: [2-0 [n 2]]}
        xinfo groups s => [{name: g, consumers: 2, pending: 1, last-delivered-id: 1-0, entries-read: 1, lag: 1}]
        xinfo stream none => -ERR no such key
        xinfo stream s what => -ERR unknown subcommand or wrong number of arguments for 'stream'. Try XINFO HELP.
        xinfo stream s full count x => -ERR value is not an integer or out of range
        ",
    );
    let full = show(&client.run("xinfo stream s full count 1"));
    let start = "{length: 2, radix-tree-keys: 1, radix-tree-nodes: 2, last-generated-id: 2-0, \
                 max-deleted-entry-id: 0-0, entries-added: 2, recorded-first-entry-id: 1-0, \
                 entries: [[1-0 [n 1]]], groups: [{name: g, last-delivered-id: 1-0, \
                 entries-read: 1, lag: 1, pel-count: 1, pending: [[1-0 alice ";
    assert!(full.starts_with(start), "{full}");
    for part in ["active-time: -1, pel-count: 0, pending: []}", "{name: alice, seen-time: "] {
        assert!(full.contains(part), "{full}");
    }
    let consumers = show(&client.run("xinfo consumers s g"));
    assert!(consumers.ends_with("inactive: -1}]"), "{consumers}");
    assert!(consumers.starts_with("[{name: alice, pending: 1, idle: "), "{consumers}");
}

#[test]
fn help_is_there() {
    let (_server, mut client) = client();
    for container in ["xgroup", "xinfo"] {
        let Value::Array(lines) = client.run(&format!("{container} help")) else {
            panic!("no list")
        };
        let first = format!("{} <subcommand>", container.to_uppercase());
        assert!(lines[0].text().starts_with(&first), "{lines:?}");
        let error = show(&client.run(&format!("{container} what s")));
        let wanted =
            format!("-ERR unknown subcommand 'what'. Try {} HELP.", container.to_uppercase());
        assert_eq!(error, wanted);
    }
}
