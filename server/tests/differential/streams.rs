//! Streams: the grammar of their commands, the arguments only they have, and how their replies are
//! compared.
//!
//! Identifiers are always given or derived from given ones: what `*` makes of the clock differs by
//! itself. Consumers are claimed from without regard to the time, or never.

use crate::compare::Rule;
use crate::sequence::Step;
use crate::support::Value;
use crate::values::Values;

/// Weight and grammar.
pub(crate) const TABLE: &[(u32, &str)] = &[
    (30, "XADD xkey [NOMKSTREAM] xnew (xfield value)+"),
    (10, "XADD xkey (MAXLEN|MINID) [=|~] xedge [LIMIT xcount] xnew xfield value"),
    (8, "XTRIM xkey ((MAXLEN [=|~] xcount)|(MINID [=|~] xid)) [LIMIT xcount]"),
    (10, "XDEL xkey xid+"),
    (4, "XLEN xkey"),
    (10, "XRANGE xkey xedge xedge [COUNT xcount]"),
    (8, "XREVRANGE xkey xedge xedge [COUNT xcount]"),
    (10, "XREAD [COUNT xcount] [BLOCK 1] STREAMS xkey xid"),
    (6, "XREAD [COUNT xcount] STREAMS xkey xkey (xid|$) (xid|$)"),
    (14, "XGROUP CREATE xkey xgroup (xid|$) (MKSTREAM|ENTRIESREAD xcount)*"),
    (4, "XGROUP SETID xkey xgroup (xid|$) [ENTRIESREAD xcount]"),
    (2, "XGROUP DESTROY xkey xgroup"),
    (4, "XGROUP (CREATECONSUMER|DELCONSUMER) xkey xgroup xconsumer"),
    (30, "XREADGROUP GROUP xgroup xconsumer [COUNT xcount] [NOACK] STREAMS xkey (>|xid)"),
    (6, "XREADGROUP GROUP xgroup xconsumer (COUNT xcount|BLOCK 1)* STREAMS xkey xkey > >"),
    (10, "XACK xkey xgroup xid+"),
    (
        12,
        "XCLAIM xkey xgroup xconsumer xidle xid+ (TIME 1|RETRYCOUNT xcount|FORCE|JUSTID|LASTID xid)*",
    ),
    (10, "XAUTOCLAIM xkey xgroup xconsumer xidle xedge (COUNT xcount|JUSTID)*"),
    (6, "XPENDING xkey xgroup"),
    (12, "XPENDING xkey xgroup [IDLE xidle] xedge xedge xcount [xconsumer]"),
    (8, "XINFO STREAM xkey [FULL [COUNT xcount]]"),
    (8, "XINFO GROUPS xkey"),
    (4, "XINFO CONSUMERS xkey xgroup"),
    (4, "XSETID xkey xid [ENTRIESADDED xcount] [MAXDELETEDID xid]"),
    (1, "(XINFO|XGROUP) (HELP|junk) [xkey]"),
    (4, "DEL xkey"),
    (4, "(TYPE|EXISTS|GET|STRLEN) xkey"),
    (2, "OBJECT ENCODING xkey"),
];

/// One argument of a kind of streams, if it is one.
pub(crate) fn kind(values: &mut Values, kind: &str) -> Option<Vec<u8>> {
    let text = match kind {
        "xkey" if values.rng.chance(1, 40) => return Some(values.key()),
        "xkey" => format!("x{}", values.rng.below(3)),
        "xfield" => ["a", "b", "c", "12"][values.rng.below(4)].to_owned(),
        "xgroup" => format!("g{}", values.rng.below(3)),
        "xconsumer" => format!("c{}", values.rng.below(3)),
        "xcount" => values.rng.between(-1, 12).to_string(),
        "xidle" if values.rng.chance(1, 3) => "1000000000000".to_owned(),
        "xidle" => "0".to_owned(),
        "xid" => id(values),
        "xnew" => match values.rng.below(3) {
            0 => format!("{}-*", values.rng.between(1, 60)),
            _ => id(values),
        },
        "xedge" => match values.rng.below(5) {
            0 => "-".to_owned(),
            1 => "+".to_owned(),
            2 => format!("({}", id(values)),
            _ => id(values),
        },
        _ => return None,
    };
    Some(text.into_bytes())
}

fn id(values: &mut Values) -> String {
    const ODD: &[&str] =
        &["0-0", "5-", "-5", "7--03", "18446744073709551615", " 5", "+7", "x", "5-1-1"];
    let ms = values.rng.between(0, 60);
    match values.rng.below(20) {
        0 => (*values.rng.pick(ODD)).to_owned(),
        1..=9 => ms.to_string(),
        _ => format!("{ms}-{}", values.rng.below(3)),
    }
}

/// How the replies are compared, if the command is one of streams and needs a rule.
pub(crate) fn rule(step: &Step) -> Option<Rule> {
    match step.name().as_str() {
        "xpending" => Some(Rule::Pending),
        "xinfo" => match step.word(1).as_str() {
            // 7.2 has times that 7.0 has not.
            "consumers" | "help" => Some(Rule::Kind),
            "stream" if step.args.len() > 3 => Some(Rule::Kind),
            _ => None,
        },
        "xgroup" if step.word(1) == "help" => Some(Rule::Kind),
        _ => None,
    }
}

/// Whether lists of pending entries agree but for how long ago they were delivered.
pub(crate) fn same_pending(reference: &Value, subject: &Value) -> bool {
    let (Value::Array(reference), Value::Array(subject)) = (reference, subject) else {
        return false;
    };
    reference.len() == subject.len() && reference.iter().zip(subject).all(|pair| match pair {
        (Value::Array(a), Value::Array(b)) if a.len() == 4 && b.len() == 4 => {
            let near =
                matches!((&a[2], &b[2]), (Value::Int(a), Value::Int(b)) if (a - b).abs() < 3000);
            near && [0, 1, 3].iter().all(|i| a[*i] == b[*i])
        }
        (a, b) => a == b,
    })
}

/// Whether groups agree but for the number of their consumers.
pub(crate) fn same_groups(reference: &Value, subject: &Value) -> bool {
    let (reference, subject) = (reference.items(), subject.items());
    let plain = |group: &Value| {
        let items = group.items();
        let known = items.chunks(2).filter(|pair| pair[0] != Value::bulk("consumers"));
        known.map(<[Value]>::to_vec).collect::<Vec<_>>()
    };
    reference.len() == subject.len()
        && reference.iter().zip(&subject).all(|(a, b)| plain(a) == plain(b))
}

/// Whether both servers can run it: none waits for long, and the clock is not asked.
pub(crate) fn is_safe(step: &Step) -> bool {
    match step.name().as_str() {
        "xread" | "xreadgroup" => !step.has("BLOCK") || step.has_pair("BLOCK", "1"),
        "xadd" => !step.args.iter().any(|arg| arg == b"*"),
        "xclaim" => !step.has("IDLE") && !step.has("TIME") || step.has_pair("TIME", "1"),
        _ => true,
    }
}
