//! The admin listener over real sockets: probes, metrics, and what it does with bad HTTP.

#[path = "../support/mod.rs"]
mod support;

mod dashboard;
mod exposition;
mod hostile;
mod http;
mod metrics;
mod probes;

use support::process::free_port;
use support::{Server, eventually};

/// A server with an admin listener, and the port of that.
fn server(args: &[&str]) -> (Server, u16) {
    let port = free_port();
    let number = port.to_string();
    let mut all = vec!["--admin-port", number.as_str()];
    all.extend(args);
    (Server::dunlin(&all), port)
}
