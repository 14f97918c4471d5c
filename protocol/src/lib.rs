//! RESP2/RESP3 request decoder and reply writer.
#![forbid(unsafe_code)]
