//! Loom models of the storage protocols; empty without `--cfg loom`.
