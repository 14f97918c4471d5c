//! Commands about the server and its connections, where the reference is older or knows other numbers.

use crate::support::{Server, Value};

#[test]
fn of_a_command_that_is_none_nothing_is_known() {
    let server = Server::dunlin(&[]);
    let clients = [(server.client(), Value::NullBulk), (server.client3(), Value::Null)];
    for (mut client, null) in clients {
        let known = client.run("COMMAND INFO nosuch get client|nosuch").items();
        assert_eq!(known.len(), 3);
        assert_eq!([&known[0], &known[2]], [&null, &null]);
        assert_eq!(known[1].items()[0], Value::bulk("get"));
    }
}
