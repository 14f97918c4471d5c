//! The Rust clients, redis-rs and fred, through their connect sequences and everyday calls, in both
//! protocols.

use fred::prelude::*;
use fred::types::RespVersion;
use redis::AsyncCommands;
use std::time::Duration;

use crate::support::Server;

const PATIENCE: Duration = Duration::from_secs(30);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

#[test]
fn redis_rs_blocking() -> Result<(), redis::RedisError> {
    let server = Server::dunlin(&[]);
    for protocol in ["resp2", "resp3"] {
        let url = format!("redis://127.0.0.1:{}/3?protocol={protocol}", server.port());
        let mut c = redis::Client::open(url)?.get_connection()?;
        redis::cmd("FLUSHDB").exec(&mut c)?;
        redis::cmd("SET").arg("a").arg(1).arg("EX").arg(100).exec(&mut c)?;
        let next: i64 = redis::cmd("INCRBY").arg("a").arg(41).query(&mut c)?;
        assert_eq!(next, 42);
        let missing: Option<String> = redis::cmd("GET").arg("nokey").query(&mut c)?;
        assert_eq!(missing, None);
        redis::cmd("MSET").arg(&["x", "1", "y", "2"]).exec(&mut c)?;
        let values: Vec<Option<i64>> = redis::cmd("MGET").arg(&["x", "y", "z"]).query(&mut c)?;
        assert_eq!(values, [Some(1), Some(2), None]);
        let (one, two): (i64, i64) =
            redis::pipe().cmd("GET").arg("x").cmd("GET").arg("y").query(&mut c)?;
        assert_eq!((one, two), (1, 2));
        let ttl: i64 = redis::cmd("TTL").arg("a").query(&mut c)?;
        assert!((90..=100).contains(&ttl));
        let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut c)?;
        keys.sort();
        assert_eq!(keys, ["a", "x", "y"]);
        redis::cmd("SET").arg("text").arg("x").exec(&mut c)?;
        let wrong = redis::cmd("INCR").arg("text").exec(&mut c).expect_err("a text is no number");
        assert!(wrong.to_string().contains("not an integer"), "{wrong}");
        let info: redis::InfoDict = redis::cmd("INFO").query(&mut c)?;
        assert!(info.get::<String>("redis_version").is_some());
    }
    Ok(())
}

#[test]
fn redis_rs_asynchronous_and_multiplexed() -> Result<(), redis::RedisError> {
    let server = Server::dunlin(&[]);
    runtime().block_on(async {
        for protocol in ["resp2", "resp3"] {
            let url = format!("redis://127.0.0.1:{}/4?protocol={protocol}", server.port());
            // A shared machine may stand still longer than the half second that redis-rs waits.
            let patient = redis::AsyncConnectionConfig::new()
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE));
            let client = redis::Client::open(url)?;
            let mut c = client.get_multiplexed_async_connection_with_config(&patient).await?;
            redis::cmd("FLUSHDB").exec_async(&mut c).await?;
            let mut tasks = Vec::new();
            for n in 0..50 {
                let mut c = c.clone();
                tasks.push(async move {
                    let key = format!("key:{n}");
                    let _: () = c.set(&key, n).await?;
                    let back: i64 = c.get(&key).await?;
                    assert_eq!(back, n);
                    c.incr::<_, _, i64>("total", n).await
                });
            }
            for task in tasks {
                task.await?;
            }
            let total: i64 = c.get("total").await?;
            assert_eq!(total, (0..50).sum::<i64>());
            let removed: i64 = c.del(&["key:1", "key:2", "nokey"]).await?;
            assert_eq!(removed, 2);
            let _: () = c.set_ex("short", "x", 100).await?;
            assert!(c.ttl::<_, i64>("short").await? > 90);
            let _: () = c.setrange("range", 3, "abc").await?;
            let part: Vec<u8> = c.getrange("range", 0, -1).await?;
            assert_eq!(part, b"\0\0\0abc");
            assert!(!c.setbit::<_, bool>("bits", 7, true).await?);
            assert_eq!(c.bitcount::<_, i64>("bits").await?, 1);
        }
        Ok(())
    })
}

#[test]
fn fred_in_both_protocols() -> Result<(), fred::error::Error> {
    let server = Server::dunlin(&[]);
    runtime().block_on(async {
        for version in [RespVersion::RESP2, RespVersion::RESP3] {
            let mut config = Config::from_url(&format!("redis://127.0.0.1:{}/5", server.port()))?;
            config.version = version;
            let client = Builder::from_config(config).build()?;
            client.init().await?;
            client.flushall::<()>(false).await?;
            client
                .set::<(), _, _>("a", 1, Some(Expiration::EX(100)), Some(SetOptions::NX), false)
                .await?;
            assert_eq!(client.incr_by::<i64, _>("a", 41).await?, 42);
            assert_eq!(client.get::<Option<String>, _>("nokey").await?, None);
            client.mset(vec![("x", "1"), ("y", "2")]).await?;
            let values: Vec<Option<String>> = client.mget(vec!["x", "y", "z"]).await?;
            assert_eq!(values, [Some("1".to_string()), Some("2".to_string()), None]);
            assert!((90..=100).contains(&client.ttl::<i64, _>("a").await?));
            assert_eq!(client.exists::<i64, _>(vec!["x", "y", "z"]).await?, 2);
            client.rename::<(), _, _>("x", "w").await?;
            assert_eq!(client.getdel::<String, _>("w").await?, "1");
            let pipeline = client.pipeline();
            for n in 0..100 {
                let key = format!("p{n}");
                pipeline.set::<(), _, _>(key.as_str(), n, None, None, false).await?;
            }
            let replies: Vec<String> = pipeline.all().await?;
            assert!(replies.len() == 100 && replies.iter().all(|r| r == "OK"));
            client.set::<(), _, _>("text", "x", None, None, false).await?;
            let wrong = client.incr::<i64, _>("text").await.expect_err("a text is no number");
            assert!(wrong.details().contains("not an integer"), "{wrong}");
            client.quit().await?;
        }
        Ok(())
    })
}
