//! Scripts of Lua.

use crate::support::Rng;

const CONSTANTS: &[&str] = &[
    "nil",
    "true",
    "false",
    "1",
    "-2.5",
    "1e308",
    "0/0",
    "'text'",
    "'a\\r\\nb'",
    "'\\0\\255'",
    "KEYS[1]",
    "ARGV[1]",
    "'get'",
    "'{\"a\":[1]}'",
    "'>I4s'",
    "{}",
    "KEYS",
    "ARGV",
    "redis.LOG_WARNING",
    "print",
    "redis",
];
const FUNCTIONS: &[&str] = &[
    "redis.call",
    "redis.pcall",
    "cjson.encode",
    "cjson.decode",
    "cmsgpack.pack",
    "cmsgpack.unpack",
    "struct.pack",
    "struct.unpack",
    "bit.bxor",
    "tostring",
    "tonumber",
    "type",
    "unpack",
    "pcall",
    "error",
    "string.rep",
    "redis.sha1hex",
    "redis.error_reply",
    "redis.status_reply",
    "redis.acl_check_cmd",
    "redis.log",
    "setmetatable",
    "rawset",
    "select",
    "next",
    "string.format",
    "redis.setresp",
];
/// In the place of `$` an expression comes.
const FORMS: &[&str] = &[
    "{$, $}",
    "{ok=$}",
    "{err=$}",
    "{map={[1]=$, a=$}}",
    "{set={[$]=true}}",
    "{double=$}",
    "{big_number=$}",
    "{verbatim_string={string=$, format='txt'}}",
    "($ or $)",
    "($ .. $)",
    "($ + $)",
    "({$})[1]",
    "#$",
    "-$",
];
const STATEMENTS: &[&str] = &[
    "redis.setresp(3) ",
    "local x = $ ",
    "pcall(function() return $ end) ",
    "for i = 1, 10 do redis.pcall($, i) end ",
    "if $ then return $ end ",
    "#!lua flags=no-writes\n",
    "while true do end ",
    "x = $ ",
];

fn expression(random: &mut Rng, depth: usize, out: &mut String) {
    match random.below(if depth > 4 { 3 } else { 9 }) {
        0..3 => out.push_str(random.pick::<&str>(CONSTANTS)),
        3..6 => {
            out.push_str(random.pick::<&str>(FUNCTIONS));
            out.push('(');
            for argument in 0..random.below(4) {
                if argument > 0 {
                    out.push_str(", ");
                }
                expression(random, depth + 1, out);
            }
            out.push(')');
        }
        _ => {
            let form = *random.pick(FORMS);
            fill(random, depth, form, out);
        }
    }
}

fn fill(random: &mut Rng, depth: usize, form: &str, out: &mut String) {
    for (part, text) in form.split('$').enumerate() {
        if part > 0 {
            expression(random, depth + 1, out);
        }
        out.push_str(text);
    }
}

/// What [`crate::bodies::lua::lua`] takes: a script, which mostly can be compiled, and what it is answered.
pub(crate) fn script(random: &mut Rng) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..random.below(3) {
        // One in a few of these stands first, or never ends.
        let last = if random.chance(1, 8) { 0 } else { 3 };
        let statement = STATEMENTS[random.below(STATEMENTS.len() - last)];
        fill(random, 2, statement, &mut text);
    }
    text.push_str("return ");
    expression(random, 0, &mut text);
    let mut out = random.bytes(1);
    out.extend(text.into_bytes());
    if random.chance(1, 20) {
        let at = random.below(out.len());
        out[at] = random.bytes(1)[0];
    }
    out.push(0);
    let length = random.below(40);
    out.extend(random.bytes(length));
    out
}
