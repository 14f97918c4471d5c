//! Publish/subscribe of redis-rs, in both protocols.

use crate::support::Server;
use redis::PushKind;

#[test]
fn redis_rs_in_resp2() -> Result<(), redis::RedisError> {
    let server = Server::dunlin(&[]);
    let url = format!("redis://127.0.0.1:{}/", server.port());
    let client = redis::Client::open(url)?;
    let (mut listener, mut publisher) = (client.get_connection()?, client.get_connection()?);
    let mut messages = listener.as_pubsub();
    // One at a time: the library waits for one confirmation per call.
    messages.subscribe("a")?;
    messages.subscribe("b")?;
    messages.psubscribe("p*")?;
    let sent: i64 = redis::cmd("PUBLISH").arg("a").arg("one").query(&mut publisher)?;
    assert_eq!(sent, 1);
    let sent: i64 = redis::cmd("PUBLISH").arg("px").arg("two").query(&mut publisher)?;
    assert_eq!(sent, 1);
    let message = messages.get_message()?;
    assert_eq!((message.get_channel_name(), message.get_payload::<String>()?), ("a", "one".into()));
    let message = messages.get_message()?;
    assert_eq!(message.get_pattern::<String>()?, "p*");
    assert_eq!(
        (message.get_channel_name(), message.get_payload::<String>()?),
        ("px", "two".into())
    );
    messages.unsubscribe("a")?;
    let sent: i64 = redis::cmd("PUBLISH").arg("a").arg("x").query(&mut publisher)?;
    assert_eq!(sent, 0);
    Ok(())
}

#[test]
fn redis_rs_in_resp3_with_commands_beside() -> Result<(), redis::RedisError> {
    let server = Server::dunlin(&[]);
    let url = format!("redis://127.0.0.1:{}/?protocol=resp3", server.port());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        let (sender, mut pushes) = tokio::sync::mpsc::unbounded_channel();
        let config = redis::AsyncConnectionConfig::new().set_push_sender(sender);
        let client = redis::Client::open(url)?;
        let mut c = client.get_multiplexed_async_connection_with_config(&config).await?;
        c.subscribe("a").await?;
        c.psubscribe("a*").await?;
        redis::cmd("SET").arg("k").arg("v").exec_async(&mut c).await?;
        let sent: i64 = redis::cmd("PUBLISH").arg("a").arg("x").query_async(&mut c).await?;
        assert_eq!(sent, 2);
        let value: String = redis::cmd("GET").arg("k").query_async(&mut c).await?;
        assert_eq!(value, "v");
        let mut kinds = Vec::new();
        while kinds.len() < 4 {
            kinds.push(pushes.recv().await.expect("the connection lives").kind);
        }
        let wanted =
            [PushKind::Subscribe, PushKind::PSubscribe, PushKind::Message, PushKind::PMessage];
        assert_eq!(kinds, wanted);
        Ok(())
    })
}
