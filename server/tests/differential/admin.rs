//! Replies that describe the server: not the same values, but the same shape.
