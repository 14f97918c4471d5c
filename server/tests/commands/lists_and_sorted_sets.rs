//! Lists and sorted sets where the differential test cannot compare: chance, walks through a
//! collection that changes, what newer servers do, shapes of replies in RESP3.

use crate::support::{Client, Server, Value};
use crate::texts;
use std::collections::{BTreeMap, BTreeSet};

/// Sizes of a packed collection and of a table.
const SIZES: [usize; 2] = [20, 2_000];

/// Adds members `m:0`, `m:1` and so on, with their numbers as scores.
fn fill(client: &mut Client, count: usize) {
    for n in 0..count {
        client.run(&format!("zadd z {n} m:{n}"));
    }
}

#[test]
fn members_by_chance_are_members_and_all_have_the_chance() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for size in SIZES {
        client.run("del z");
        fill(&mut client, size);
        let all: BTreeSet<String> = texts(&client.run("zrange z 0 -1")).into_iter().collect();
        assert_eq!(all.len(), size);
        for count in [1, 5, size / 2, size - 1, size, size + 5] {
            let sample = texts(&client.run(&format!("zrandmember z {count}")));
            let different: BTreeSet<String> = sample.iter().cloned().collect();
            assert_eq!((sample.len(), different.len()), (count.min(size), count.min(size)));
            assert!(different.is_subset(&all));
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for member in texts(&client.run(&format!("zrandmember z -{}", size * 100))) {
            *counts.entry(member).or_default() += 1;
        }
        // A hundred are expected; seven standard deviations are seventy.
        assert!(counts.keys().eq(&all) && counts.values().all(|count| (30..170).contains(count)));
        for pair in texts(&client.run("zrandmember z -50 withscores")).chunks(2) {
            assert_eq!(pair[0], format!("m:{}", pair[1]));
        }
        assert!(all.contains(&client.run("zrandmember z").text()));
        assert_eq!(client.run("zcard z").int(), size as i64, "looking changes nothing");
    }
}

#[test]
fn a_walk_through_a_changing_sorted_set_sees_what_stays() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    fill(&mut client, 1_000);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut cursor = "0".to_owned();
    for round in 0.. {
        let reply = client.run(&format!("zscan z {cursor} count 7")).items();
        cursor = reply[0].text();
        for pair in texts(&reply[1]).chunks(2) {
            *seen.entry(pair[0].clone()).or_default() += 1;
        }
        if cursor == "0" {
            break;
        }
        // It becomes larger, then much smaller.
        for n in 0..20 {
            match round {
                0..100 => client.run(&format!("zadd z 5 new:{}", round * 20 + n)),
                _ => client.run(&format!("zrem z new:{}", (round - 100) * 20 + n)),
            };
        }
    }
    for n in 0..1_000 {
        assert_eq!(seen.get(&format!("m:{n}")), Some(&1), "m:{n}");
    }
}

#[test]
fn lists_are_as_small_as_in_newer_servers() {
    let server = Server::dunlin(&["--list-max-listpack-size", "10"]);
    let mut client = server.client();
    let mut encoding = |line: &str| {
        client.run(line);
        client.run("object encoding l").text()
    };
    assert_eq!(encoding("rpush l 1 2 3 4 5 6 7 8 9 10"), "listpack");
    assert_eq!(encoding("rpush l 11"), "quicklist");
    assert_eq!(encoding("ltrim l 0 5"), "quicklist", "more than half a node is left");
    assert_eq!(encoding("lpop l"), "listpack");
    assert_eq!(encoding("config set list-max-listpack-size 3"), "listpack", "until it is changed");
    assert_eq!(encoding("linsert l before 4 x"), "quicklist");
    assert_eq!(client.run("lrange l 0 -1").items().len(), 6);
}

#[test]
fn large_elements_come_back_whole() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let large: Vec<Vec<u8>> = (0..5).map(|n| vec![b'a' + n; 100_000 + usize::from(n)]).collect();
    for element in &large {
        client.call(&[b"rpush".as_slice(), b"l", b"small", element]);
    }
    client.call(&[b"lset".as_slice(), b"l", b"2", &large[4]]);
    client.call(&[b"linsert".as_slice(), b"l", b"after", b"small", &large[3]]);
    let small = b"small".to_vec();
    let mut wanted = vec![small.clone(), large[3].clone(), large[0].clone(), large[4].clone()];
    wanted.push(large[1].clone());
    for element in &large[2..] {
        wanted.extend([small.clone(), element.clone()]);
    }
    let elements = client.run("lrange l 0 -1").items();
    let elements: Vec<Vec<u8>> =
        elements.iter().map(|element| element.bytes().unwrap_or_default().to_vec()).collect();
    assert!(elements == wanted);
    assert_eq!(client.call(&[b"lrem".as_slice(), b"l", b"0", &large[4]]).int(), 2);
    assert_eq!(client.call(&[b"lpos".as_slice(), b"l", &large[3]]).int(), 1);
    assert_eq!(client.run("rpop l").bytes(), Some(&small[..]));
    assert_eq!(client.run("llen l").int(), 8);
}

#[test]
fn ranks_with_scores() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("zadd z 1.5 a 2 b 3 c");
    let bulk = |text: &str| Value::bulk(text);
    assert_eq!(client.run("zrank z b withscore"), Value::Array(vec![Value::Int(1), bulk("2")]));
    assert_eq!(
        client.run("zrevrank z a WITHSCORE"),
        Value::Array(vec![Value::Int(2), bulk("1.5")])
    );
    assert_eq!(client.run("zrank z x withscore"), Value::NullArray);
    assert_eq!(client.run("zrank none x withscore"), Value::NullArray);
    assert_eq!(client.run("zrank z x"), Value::NullBulk);
    assert_eq!(client.run("zrank z a withscores"), Value::error("ERR syntax error"));
    let error = "ERR wrong number of arguments for 'zrank' command";
    assert_eq!(client.run("zrank z a withscore b"), Value::error(error));
}

#[test]
fn scores_are_doubles_and_pairs_in_resp3() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("hello 3");
    client.run("zadd z 1.5 a 2 b");
    let double = |text: &str| Value::Double(text.as_bytes().to_vec());
    let pair = |member: &str, score: &str| Value::Array(vec![Value::bulk(member), double(score)]);
    let both = Value::Array(vec![pair("a", "1.5"), pair("b", "2")]);
    assert_eq!(client.run("zscore z a"), double("1.5"));
    assert_eq!(client.run("zrange z 0 -1 withscores"), both);
    assert_eq!(client.run("zunion 1 z withscores"), both);
    assert_eq!(client.run("zincrby z 0.1 a"), double("1.6"));
    assert_eq!(client.run("zadd z nx incr 1 a"), Value::Null);
    assert_eq!(client.run("zpopmax z"), Value::Array(vec![Value::bulk("b"), double("2")]));
    assert_eq!(client.run("zpopmin z 1"), Value::Array(vec![pair("a", "1.6")]));
    assert_eq!(client.run("zmpop 1 z min"), Value::Null);
    assert_eq!(client.run("lpop l"), Value::Null);
    client.run("geoadd g 13.361389 38.115556 palermo");
    let point = [double("13.36138933897018433"), double("38.11555639549629859")];
    let points = Value::Array(vec![Value::Array(point.to_vec()), Value::Null]);
    assert_eq!(client.run("geopos g palermo nowhere"), points);
}

#[test]
fn a_large_sorted_set_answers_as_a_small_one() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    // 7 and 3,000 have no divisor in common, so every score comes once.
    for n in 0..3_000 {
        client.run(&format!("zadd z {} m:{:04}", n * 7 % 3_000, n));
    }
    assert_eq!(client.run("object encoding z").text(), "skiplist");
    assert_eq!(client.run("zcount z (10 2000").int(), 1_990);
    assert_eq!(client.run("zrank z m:0001").int(), 7);
    assert_eq!(client.run("zrevrange z 0 0 withscores").items()[1].text(), "2999");
    assert_eq!(client.run("zrangebyscore z 500 +inf limit 3 2").items().len(), 2);
    assert_eq!(client.run("zremrangebyrank z 100 2899").int(), 2_800);
    assert_eq!(client.run("zcard z").int(), 200);
    assert_eq!(client.run("zcount z 100 2899").int(), 0);
    assert_eq!(client.run("zpopmin z 150").items().len(), 300);
    assert_eq!(client.run("zremrangebyscore z -inf inf").int(), 50);
    assert_eq!(client.run("exists z").int(), 0);
}
