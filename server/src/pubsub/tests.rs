use super::*;
use dunlin_protocol::{Proto, Reply};
use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use std::sync::atomic::AtomicBool;

fn client(id: u64) -> Arc<ClientShared> {
    Arc::new(ClientShared::new(id, "127.0.0.1:1".into(), String::new(), 0, 0, 0))
}

/// Everything that waits for `client`, the words of each message in one text.
fn received(client: &ClientShared) -> Vec<String> {
    let mut reply = Reply::new(Proto::Resp3);
    client.inbox.drain(&mut reply, usize::MAX);
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    reply.slices(&mut slices, usize::MAX);
    let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
    let text = String::from_utf8(bytes).expect("the tests send text");
    // `>3 $7 message $1 a $1 x`: every second line is a word.
    let words = |push: &str| push.lines().skip(2).step_by(2).collect::<Vec<_>>().join(" ");
    text.split('>').skip(1).map(words).collect()
}

#[test]
fn a_message_reaches_channels_and_patterns_with_the_name_each_asked_for() {
    let pubsub = PubSub::default();
    let (a, b) = (client(1), client(2));
    let (mut of_a, mut of_b) = (pubsub.open(a.clone()), pubsub.open(b.clone()));
    of_a.subscribe(Kind::Channel, b"news.uk");
    of_a.subscribe(Kind::Pattern, b"news.*");
    of_b.subscribe(Kind::Pattern, b"news.*");
    of_b.subscribe(Kind::ShardChannel, b"news.uk");
    assert_eq!(pubsub.publish(b"news.uk", b"hello"), 3);
    assert_eq!(received(&a), ["message news.uk hello", "pmessage news.* news.uk hello"]);
    assert_eq!(received(&b), ["pmessage news.* news.uk hello"]);
    assert_eq!(pubsub.publish_sharded(b"news.uk", b"x"), 1);
    assert_eq!(received(&b), ["smessage news.uk x"]);
    assert_eq!(pubsub.publish(b"old.uk", b"x"), 0);
    assert_eq!((received(&a).len(), received(&b).len()), (0, 0));
}

#[test]
fn a_second_subscription_to_a_name_changes_nothing() {
    let pubsub = PubSub::default();
    let a = client(1);
    let mut of_a = pubsub.open(a.clone());
    for _ in 0..3 {
        of_a.subscribe(Kind::Channel, b"c");
        of_a.subscribe(Kind::Pattern, b"c*");
    }
    assert_eq!(of_a.count(Kind::Channel), 2);
    assert_eq!(pubsub.publish(b"c", b"x"), 2);
    of_a.unsubscribe(Kind::Channel, b"c");
    of_a.unsubscribe(Kind::Channel, b"c");
    assert_eq!(pubsub.publish(b"c", b"x"), 1);
}

#[test]
fn who_leaves_is_gone_from_everywhere() {
    let pubsub = PubSub::default();
    let a = client(1);
    let mut of_a = pubsub.open(a.clone());
    for i in 0..1000 {
        of_a.subscribe(Kind::Channel, format!("c{i}").as_bytes());
        of_a.subscribe(Kind::Pattern, format!("p{i}*").as_bytes());
        of_a.subscribe(Kind::ShardChannel, format!("s{i}").as_bytes());
    }
    assert_eq!(a.subscriptions.patterns.load(Ordering::Relaxed), 1000);
    assert!(a.has_flag(ClientShared::PUBSUB));
    assert!(of_a.leave(2500), "500 are left");
    assert_eq!(of_a.count(Kind::Channel) + of_a.count(Kind::ShardChannel), 500);
    drop(of_a);
    assert!(pubsub.is_idle() && pubsub.shard_channels().is_empty());
    assert!(!a.has_flag(ClientShared::PUBSUB));
    assert_eq!(a.subscriptions.bytes.load(Ordering::Relaxed), 0);
}

/// What the subscriptions of all clients should be, as simply as it can be put.
#[derive(Default)]
struct Model(BTreeMap<u64, BTreeSet<(u8, String)>>);

impl Model {
    fn has(&self, client: u64, kind: u8, name: &str) -> bool {
        self.0.get(&client).is_some_and(|set| set.contains(&(kind, name.to_owned())))
    }

    fn receivers(&self, channel: &str) -> usize {
        let matches = |(kind, name): &(u8, String)| match kind {
            0 => name == channel,
            1 => glob::matches(name.as_bytes(), channel.as_bytes()),
            _ => false,
        };
        self.0.values().map(|set| set.iter().filter(|entry| matches(entry)).count()).sum()
    }
}

#[test]
fn agrees_with_a_naive_model() {
    const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::ShardChannel];
    const NAMES: [&str; 8] = ["a", "b", "ab", "abc", "a*", "*", "?b", "[ab]"];
    let pubsub = PubSub::default();
    let clients: Vec<_> = (0..5).map(client).collect();
    let mut subscriptions: Vec<_> = clients.iter().map(|c| pubsub.open(c.clone())).collect();
    let mut model = Model::default();
    let mut random = 7_u64;
    let mut below = |n: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 33).unwrap_or(0) % n
    };
    let mut expected = 0;
    for _ in 0..20_000 {
        let (at, kind) = (below(clients.len()), below(KINDS.len()));
        let (id, name) = (clients[at].id, NAMES[below(NAMES.len())]);
        let number = u8::try_from(kind).unwrap_or(0);
        match below(4) {
            0 => {
                subscriptions[at].subscribe(KINDS[kind], name.as_bytes());
                model.0.entry(id).or_default().insert((number, name.to_owned()));
            }
            1 => {
                subscriptions[at].unsubscribe(KINDS[kind], name.as_bytes());
                model.0.entry(id).or_default().remove(&(number, name.to_owned()));
            }
            2 => {
                let sent = pubsub.publish(name.as_bytes(), b"m");
                assert_eq!(sent, model.receivers(name), "{name}");
                expected += sent;
            }
            _ => {
                let here = (0..5).filter(|id| model.has(*id, 0, name)).count();
                assert_eq!(pubsub.channels().subscribers(name.as_bytes()), here);
                let listed = !pubsub.channels().names(|known| known == name.as_bytes()).is_empty();
                assert_eq!(listed, here > 0);
                let names = model.0.values().flatten().filter(|entry| entry.0 == 1);
                let patterns = names.map(|entry| &entry.1).collect::<BTreeSet<_>>().len();
                assert_eq!(pubsub.patterns(), patterns);
            }
        }
    }
    assert!(expected > 1000);
    assert_eq!(clients.iter().map(|client| received(client).len()).sum::<usize>(), expected);
}

/// Publishers, a subscriber that stays and subscribers that come and go, each on its own thread:
/// who stays misses nothing and keeps the order; nothing follows the end of a subscription; the
/// numbers that PUBLISH returned add up to what was received.
#[test]
fn threads_that_publish_and_threads_that_come_and_go() {
    const PUBLISHERS: usize = 3;
    const MESSAGES: usize = 4000;
    let pubsub = PubSub::default();
    let stays = client(0);
    let mut of_stays = pubsub.open(stays.clone());
    of_stays.subscribe(Kind::Channel, b"c");
    let done = AtomicBool::new(false);
    let (sent, taken) = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|who| {
                let pubsub = &pubsub;
                scope.spawn(move || {
                    let message = |i| format!("{who}:{i}");
                    (0..MESSAGES).map(|i| pubsub.publish(b"c", message(i).as_bytes())).sum()
                })
            })
            .collect();
        let visitors: Vec<_> = (1..=3)
            .map(|id| {
                let (pubsub, done) = (&pubsub, &done);
                scope.spawn(move || {
                    let me = client(id);
                    let mut mine = pubsub.open(me.clone());
                    let (kind, name) = match id {
                        1 => (Kind::Pattern, &b"?"[..]),
                        _ => (Kind::Channel, &b"c"[..]),
                    };
                    let mut taken = 0;
                    while !done.load(Ordering::Acquire) {
                        mine.subscribe(kind, name);
                        std::thread::yield_now();
                        mine.unsubscribe(kind, name);
                        taken += received(&me).len();
                        std::thread::yield_now();
                        assert_eq!(received(&me), [""; 0], "after the end");
                    }
                    taken
                })
            })
            .collect();
        let sent: Vec<usize> =
            publishers.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        done.store(true, Ordering::Release);
        let taken: Vec<usize> =
            visitors.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        (sent.iter().sum::<usize>(), taken.iter().sum::<usize>())
    });
    let messages = received(&stays);
    assert_eq!(messages.len(), PUBLISHERS * MESSAGES);
    assert_eq!(sent, messages.len() + taken);
    let mut next = [0; PUBLISHERS];
    for message in messages {
        let (who, number) = message
            .strip_prefix("message c ")
            .and_then(|text| text.split_once(':'))
            .expect("publisher and number");
        let (who, number): (usize, usize) =
            (who.parse().expect("a number"), number.parse().expect("a number"));
        assert_eq!(number, next[who], "of publisher {who}");
        next[who] += 1;
    }
}

#[test]
fn what_is_taken_away_is_told_after_what_came_before() {
    let pubsub = PubSub::default();
    let a = client(1);
    let mut of_a = pubsub.open(a.clone());
    for name in [b"one", b"two", b"six"] {
        of_a.subscribe(Kind::ShardChannel, name);
    }
    of_a.subscribe(Kind::Channel, b"one");
    assert_eq!(pubsub.publish_sharded(b"one", b"x"), 1);
    pubsub.take_away(|name| name != b"two");
    assert_eq!(pubsub.publish_sharded(b"one", b"y"), 0);
    let told = received(&a);
    assert_eq!(told[0], "smessage one x");
    assert_eq!(told.len(), 3);
    assert!(told[1..].iter().all(|text| text.starts_with("sunsubscribe ")), "{told:?}");
    assert_eq!(a.subscriptions.shard_channels.load(Ordering::Relaxed), 1);
    pubsub.take_away(|name| name != b"two");
    assert_eq!(received(&a).len(), 0, "once");
    of_a.tidy_up();
    assert_eq!((of_a.count(Kind::ShardChannel), of_a.count(Kind::Channel)), (1, 1));
    of_a.subscribe(Kind::ShardChannel, b"one");
    assert_eq!(pubsub.publish_sharded(b"one", b"z"), 1);
    assert_eq!(received(&a), ["smessage one z"]);
    drop(of_a);
    assert_eq!(a.subscriptions.bytes.load(Ordering::Relaxed), 0);
    assert!(pubsub.shard_channels().is_empty());
}

#[test]
fn who_subscribes_again_before_tidying_up_is_subscribed() {
    let pubsub = PubSub::default();
    let a = client(1);
    let mut of_a = pubsub.open(a.clone());
    of_a.subscribe(Kind::ShardChannel, b"c");
    pubsub.take_away(|_| true);
    assert!(a.subscriptions.taken.load(Ordering::Relaxed));
    of_a.subscribe(Kind::ShardChannel, b"c");
    assert_eq!(pubsub.publish_sharded(b"c", b"x"), 1);
    assert_eq!(a.subscriptions.shard_channels.load(Ordering::Relaxed), 1);
}
