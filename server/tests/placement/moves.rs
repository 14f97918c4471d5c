//! What a connection takes along, and when it stays.

use crate::support::client::Broken;
use crate::support::{Client, Server, Value, command, eventually};
use crate::{connections, id, number, start};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Asks a connection to move and waits until it has.
#[track_caller]
fn move_to(admin: &mut Client, client: &str, worker: usize) {
    let moved = number(admin, "connections_moved");
    let reply = admin.run(&format!("DEBUG MOVE-CLIENT {client} {worker}"));
    assert_eq!(reply, Value::ok());
    let has = eventually(LIMIT, || number(admin, "connections_moved") > moved);
    assert!(has, "the connection has not moved");
}

#[test]
fn a_connection_goes_with_half_a_command_and_its_state() {
    // Nothing else moves.
    let server = start(&["--placement-gap", "100", "--workers-min", "0"]);
    let mut admin = server.client();
    let places = |admin: &mut Client| (0..4).map(|w| connections(admin, w)).collect::<Vec<i64>>();
    // The connection that has found the server ready goes.
    assert!(eventually(LIMIT, || places(&mut admin).iter().sum::<i64>() == 1));
    let before = places(&mut admin);
    let mut client = server.client3();
    client.run("SELECT 3");
    client.run("CLIENT SETNAME mover");
    let number = id(&mut client);
    let value = "v".repeat(100_000);
    let whole = command(&["SET", "key", &value]);
    for round in 0..12 {
        let worker = round % 4;
        // A different cut each time: in the header, in the key, in the value.
        let cut = [3, 14, 25, 40_000][round % 4] + round;
        client.send(&whole[..cut]);
        // It has to have arrived before the connection goes.
        assert!(eventually(LIMIT, || {
            let list = admin.run(&format!("CLIENT LIST ID {number}")).text();
            list.contains("name=mover") && list.contains("db=3") && list.contains(" resp=3")
        }));
        let mut wanted = before.clone();
        wanted[worker] += 1;
        if places(&mut admin) != wanted {
            move_to(&mut admin, &number, worker);
        }
        let arrived = eventually(LIMIT, || places(&mut admin) == wanted);
        assert!(arrived, "{:?} instead of {wanted:?}", places(&mut admin));
        client.send(&whole[cut..]);
        assert_eq!(client.recv(), Value::ok());
        assert_eq!(client.run("GET key"), Value::bulk(&value));
    }
    assert_eq!(client.run("CLIENT GETNAME"), Value::bulk("mover"));
    assert_eq!(admin.run("GET key"), Value::NullBulk, "it was in another database");
}

#[test]
fn who_waits_listens_or_is_in_a_transaction_stays() {
    let server = start(&["--placement-gap", "100"]);
    let mut admin = server.client();
    let mut client = server.client();
    let number_of = id(&mut client);
    let ask = |admin: &mut Client| {
        let stayed = number(admin, "connections_stayed");
        for worker in 0..4 {
            admin.run(&format!("DEBUG MOVE-CLIENT {number_of} {worker}"));
            // It is asked at its next command at the latest; a blocked one is not at home.
            std::thread::sleep(Duration::from_millis(20));
        }
        number(admin, "connections_stayed") - stayed
    };
    let moved = number(&mut admin, "connections_moved");

    client.run("MULTI");
    client.run("INCR n");
    assert!(ask(&mut admin) > 0);
    client.run("INCR n");
    assert_eq!(client.run("EXEC"), Value::Array(vec![Value::Int(1), Value::Int(2)]));

    client.run("WATCH n");
    assert!(ask(&mut admin) > 0);
    assert_eq!(admin.run("INCR n"), Value::Int(3));
    client.run("MULTI");
    assert_eq!(client.run("EXEC"), Value::NullArray);

    client.run("SUBSCRIBE news");
    assert!(ask(&mut admin) > 0);
    assert_eq!(admin.run("PUBLISH news x"), Value::Int(1));
    assert_eq!(client.recv().items()[2], Value::bulk("x"));
    client.run("UNSUBSCRIBE news");
    assert_eq!(number(&mut admin, "connections_moved"), moved);

    client.send_command(&["BLPOP", "list", "0"]);
    let blocked = eventually(LIMIT, || {
        admin.run(&format!("CLIENT LIST ID {number_of}")).text().contains("flags=b")
    });
    assert!(blocked);
    ask(&mut admin);
    assert_eq!(number(&mut admin, "connections_moved"), moved, "not while it waits");
    admin.run("RPUSH list e");
    assert_eq!(client.recv().items()[1], Value::bulk("e"));
    assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
}

#[test]
fn a_connection_that_moves_can_be_killed_told_and_ended() {
    let server = start(&["--placement-gap", "100"]);
    let mut admin = server.client();
    let mut clients: Vec<(Client, String)> = (0..40)
        .map(|_| {
            let mut client = server.client();
            let id = id(&mut client);
            (client, id)
        })
        .collect();
    // Each is signalled while it may be on its way.
    for (number, (_, id)) in clients.iter().enumerate() {
        let lines = format!(
            "DEBUG MOVE-CLIENT {id} {}\r\nDEBUG MOVE-CLIENT {id} {}\r\nCLIENT KILL ID {id}\r\n",
            number % 4,
            (number + 1) % 4
        );
        admin.send(lines.as_bytes());
        let replies = [admin.recv(), admin.recv(), admin.recv()];
        assert_eq!(replies, [Value::ok(), Value::ok(), Value::Int(1)]);
    }
    for (client, _) in &mut clients {
        assert!(client.is_closed());
    }
    let gone = eventually(LIMIT, || {
        (0..4).map(|worker| connections(&mut admin, worker)).sum::<i64>() == 1
    });
    assert!(gone, "every connection that has ended is counted as ended");
}

#[test]
fn a_shutdown_finds_connections_that_are_on_their_way() {
    for _ in 0..5 {
        let mut server = start(&["--placement-window", "1", "--placement-gap", "0"]);
        let mut admin = server.client();
        let mut clients: Vec<Client> = (0..30).map(|_| server.client()).collect();
        let ids: Vec<String> = clients.iter_mut().map(id).collect();
        let mut lines = Vec::new();
        for (number, id) in ids.iter().cycle().take(900).enumerate() {
            let worker = ((number * 7) % 4).to_string();
            lines.extend(command(&["DEBUG", "MOVE-CLIENT", id, &worker]));
        }
        for client in &mut clients {
            client.send(&command(&["INCR", "n"]).repeat(50));
        }
        admin.send(&lines);
        for _ in 0..ids.len() {
            admin.recv();
        }
        server.signal("TERM");
        for client in &mut clients {
            let mut replies = 0;
            let end = loop {
                match client.try_recv() {
                    Ok(_) => replies += 1,
                    Err(end) => break end,
                }
            };
            assert_eq!((replies, end), (50, Broken::Closed));
        }
        let status = server.wait(Duration::from_secs(15));
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
}

#[test]
fn unknown_clients_and_workers_are_refused() {
    let server: Server = start(&[]);
    let mut admin = server.client();
    let own = id(&mut admin);
    for (line, error) in [
        ("DEBUG MOVE-CLIENT 999 0".to_owned(), "ERR No such client ID"),
        (format!("DEBUG MOVE-CLIENT {own} 4"), "ERR No such worker"),
        (format!("DEBUG MOVE-CLIENT {own} -1"), "ERR No such worker"),
        ("DEBUG MOVE-CLIENT x 0".to_owned(), "ERR value is not an integer or out of range"),
    ] {
        assert_eq!(admin.run(&line), Value::error(error), "{line}");
    }
}
