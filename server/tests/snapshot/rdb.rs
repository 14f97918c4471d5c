//! Moving in with the RDB file of another server.

use crate::support::{Server, Value};
use crate::{Dir, digest, fill_as, start};
use std::fs;

const NAME: &[&str] = &["--dbfilename", "dump.rdb"];

/// A file that redis-server has written, and its digest of what is in it; none without one.
fn of_redis(args: &[&str]) -> Option<(Vec<u8>, String)> {
    let all = [&["--enable-debug-command", "yes"], args].concat();
    let server = Server::redis(&all)?;
    let mut client = server.client();
    fill_as(&mut client, 11, 10, false);
    let library = "#!lua name=lib\nredis.register_function('f', function() return 7 end)";
    assert_eq!(client.call(&["FUNCTION", "LOAD", library]), Value::bulk("lib"));
    assert_eq!(client.run("SAVE"), Value::ok());
    let digest = digest(&mut client);
    let name = server.dir().join("dump.rdb");
    Some((fs::read(name).expect("the file"), digest))
}

#[test]
fn files_of_redis_are_loaded() {
    for args in [
        &["--rdbcompression", "yes"][..],
        &["--rdbcompression", "no", "--rdbchecksum", "no"],
        &["--maxmemory-policy", "allkeys-lfu", "--maxmemory", "1gb"],
        &["--hash-max-listpack-entries", "0", "--set-max-intset-entries", "0"],
    ] {
        let Some((bytes, wanted)) = of_redis(args) else { return };
        let dir = Dir::new();
        fs::write(dir.path().join("dump.rdb"), bytes).expect("the file");
        let server = start(&dir, NAME);
        let mut client = server.client();
        assert_eq!(digest(&mut client), wanted, "{args:?}");
        assert_eq!(client.call(&["FCALL", "f", "0"]), Value::Int(7));
        // From now on it is a snapshot of this server's.
        assert_eq!(client.run("SAVE"), Value::ok());
        drop(server);
        let server = start(&dir, NAME);
        assert_eq!(digest(&mut server.client()), wanted, "{args:?}");
    }
}
