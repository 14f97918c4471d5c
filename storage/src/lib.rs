//! The lock-free sharded keyspace.
