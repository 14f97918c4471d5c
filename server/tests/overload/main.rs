//! One signal and the gates that read it: what a busy server does for whom.

mod arrivals;
mod chunks;
mod dear;
mod fairness;
mod figures;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use support::{Client, Value};

/// The fields of INFO overload.
fn overload(client: &mut Client) -> HashMap<String, String> {
    let Value::Bulk(text) = client.run("INFO overload") else { panic!("it is a bulk string") };
    let text = String::from_utf8(text).expect("it is text");
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
