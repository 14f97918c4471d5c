//! Bytes as readable text, the way Redis quotes them in MONITOR and error messages.

/// Appends `bytes` to `out`, with backslash escapes for what cannot be printed.
pub fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        let short = match byte {
            b'\\' | b'"' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x07 => b'a',
            0x08 => b'b',
            b' '..=b'~' => {
                out.push(byte);
                continue;
            }
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend([b'\\', b'x', digits[0], digits[1]]);
                continue;
            }
        };
        out.extend([b'\\', short]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprintable_bytes_are_escaped() {
        let mut out = Vec::new();
        escape(b"a\\\"\n\r\t\x07\x08\x00\x7f\xff~ ", &mut out);
        assert_eq!(out, br#"a\\\"\n\r\t\a\b\x00\x7f\xff~ "#);
    }
}
