//! SORT: its grammar, the arguments only it has, and how its replies are compared.
//!
//! Where weights are equal and texts, or nothing is to be sorted by, the order is that of the hash
//! table or of the library's sort: replies are compared without it, and nothing of it is stored.

use crate::compare::Rule;
use crate::sequence::Step;
use crate::values::Values;

/// Weight and grammar.
pub(crate) const TABLE: &[(u32, &str)] = &[
    (14, "SORT key (ASC|DESC|ALPHA|LIMIT range range|BY sortpattern|GET sortpattern)*"),
    (8, "SORT key ALPHA (DESC|LIMIT range range|GET sortpattern)*"),
    (6, "SORT key (DESC|ALPHA|LIMIT range range|BY sortpattern|GET sortpattern)* STORE key"),
    (6, "SORT_RO key (DESC|ALPHA|LIMIT range range|BY sortpattern|GET sortpattern|STORE key)*"),
    (3, "RPUSH key int+"),
    (8, "SET weightkey (int|float|value|int)"),
    (6, "HSET fieldkey (F int|G value)+"),
    (1, "DEL weightkey fieldkey"),
    (1, "COMMAND GETKEYS SORT key (LIMIT int int|BY sortpattern|STORE key|GET junk|junk)*"),
];

/// One argument of a kind of SORT, if it is one.
pub(crate) fn kind(values: &mut Values, kind: &str) -> Option<Vec<u8>> {
    let made = |values: &mut Values, start: &[u8]| {
        let member = match values.rng.below(2) {
            0 => values.member(),
            _ => values.rng.between(-20, 120).to_string().into_bytes(),
        };
        Some([start, &member].concat())
    };
    const PATTERNS: &[&str] = &[
        "w_*", "w_*", "w_*", "h_*->F", "h_*->F", "h_*->G", "w_*->F", "h_*", "#", "nosort", "*",
        "w_*->", "->*", "",
    ];
    match kind {
        "sortpattern" => Some(values.text(PATTERNS)),
        "weightkey" => made(values, b"w_"),
        "fieldkey" => made(values, b"h_"),
        _ => None,
    }
}

fn is_sort(step: &Step) -> bool {
    matches!(step.name().as_str(), "sort" | "sort_ro")
}

/// Whether texts of other keys may be equal, or nothing is sorted by.
fn has_no_order(step: &Step) -> bool {
    let by = |i: &usize| step.word(*i) == "by";
    let constant = |i: usize| !step.word(i + 1).contains('*');
    (2..step.args.len()).filter(by).any(|i| step.has("ALPHA") || constant(i))
}

/// How the replies are compared, if the command needs a rule.
pub(crate) fn rule(step: &Step) -> Option<Rule> {
    if !is_sort(step) || !has_no_order(step) {
        return None;
    }
    let limited = (2..step.args.len()).any(|i| step.word(i) == "limit");
    Some(if limited { Rule::Shape } else { Rule::Unordered })
}

/// Whether what is stored has an order.
pub(crate) fn is_safe(step: &Step) -> bool {
    let stores = (2..step.args.len()).any(|i| step.word(i) == "store");
    !is_sort(step) || !stores || !has_no_order(step)
}
