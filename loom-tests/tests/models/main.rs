//! One module per protocol; each says what it checks, how, and which change of the code it caught.

#![cfg(loom)]

mod custody;
mod errand;
mod evict_read;
mod expire_read;
mod flush_read;
mod flush_remove;
mod growth;
mod insert_read;
mod misses;
mod multi_seq;
mod remove_read;
mod replace_read;
mod role;
mod role_many;
mod scan_growth;
