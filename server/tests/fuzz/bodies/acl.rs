//! Rules of users.

use dunlin::acl::{Acl, User};
use dunlin::commands::table::table;
use dunlin_protocol::{Decoder, Limits};

/// What rights are compared by.
const COMMANDS: &[&[u8]] = &[
    b"GET a\r\n",
    b"SET a 1\r\n",
    b"COPY a b\r\n",
    b"MGET a b{1} %R\r\n",
    b"CONFIG GET maxmemory\r\n",
    b"CLIENT LIST\r\n",
    b"PUBLISH c 1\r\n",
    b"SUBSCRIBE c d\r\n",
    b"EVAL x 1 a\r\n",
    b"FLUSHALL\r\n",
];

/// Reads rules, one a line, for a user whom the first line names. A user that comes of it can be
/// described, and who is made by the description has the same rights and the same description.
pub fn acl(data: &[u8]) {
    let Some((&flags, text)) = data.split_first() else { return };
    let all_channels = flags & 1 == 1;
    let mut lines = text.split(|&byte| byte == b'\n');
    let name = lines.next().unwrap_or_default();
    let rules: Vec<&[u8]> = lines.collect();
    let made = User::declared(name, &rules, all_channels);
    let acl = Acl::default();
    // The other way to declare one takes no such names, and has channels by a directive.
    if !all_channels && !name.iter().any(|byte| matches!(byte, 0 | b'\t'..=b'\r' | b' ')) {
        let set = acl.set_user(name, &rules);
        // The default user is there before, and has rights.
        let differs = set.is_ok() != made.is_ok();
        assert!(!differs || name == b"default", "{set:?}, {made:?}");
    }
    let Ok(user) = made else { return };
    let text = user.describe();
    let words: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
    let again = User::declared(name, &words, false)
        .unwrap_or_else(|why| panic!("{}: {why}", text.escape_ascii()));
    assert_eq!(again.describe().escape_ascii().to_string(), text.escape_ascii().to_string());
    for line in COMMANDS {
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        decoder.read_buf().extend_from_slice(line);
        assert_eq!(decoder.parse(1), 1);
        let request = decoder.request(0);
        let entry = table().get(request.arg(0)).expect("a command");
        let entry = table().leaf(entry, request);
        let (one, other) = (user.check(entry, &request), again.check(entry, &request));
        assert_eq!(one.is_ok(), other.is_ok(), "{}", text.escape_ascii());
    }
}
