//! One module per protocol; each says what it checks, how, and which change of the code it caught.

#![cfg(loom)]

mod insert_read;
