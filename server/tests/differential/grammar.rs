//! A small grammar for command lines.
//!
//! `SET key value (NX|XX|GET|EX ttl|KEEPTTL)*` reads: the word SET, a key, a value, then any number
//! of the options in any order. Words in lower case are kinds of arguments (see `values`), all
//! other words stand for themselves, as do words after a quote ('timeout). `[x]` is optional,
//! `(a|b)` a choice, `*` none to three times, `+` one to four times.

use crate::values::Values;

/// One piece of a grammar.
#[derive(Debug)]
pub(crate) enum Node {
    Word(String),
    Kind(String),
    Seq(Vec<Node>),
    Choice(Vec<Node>),
    Optional(Box<Node>),
    Repeat(Box<Node>, usize, usize),
}

/// Reads a grammar; the table is part of the test, so a mistake in it panics.
pub(crate) fn parse(text: &str) -> Node {
    let spaced = text.chars().fold(String::new(), |mut out, c| {
        if "()[]|*+".contains(c) {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
        out
    });
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let node = choice(&tokens, &mut at);
    assert_eq!(at, tokens.len(), "grammar: {text}");
    node
}

fn choice(tokens: &[&str], at: &mut usize) -> Node {
    let mut options = vec![sequence(tokens, at)];
    while tokens.get(*at) == Some(&"|") {
        *at += 1;
        options.push(sequence(tokens, at));
    }
    if options.len() == 1 { options.remove(0) } else { Node::Choice(options) }
}

fn sequence(tokens: &[&str], at: &mut usize) -> Node {
    let mut items = Vec::new();
    while let Some(&token) = tokens.get(*at) {
        let item = match token {
            ")" | "]" | "|" => break,
            "(" | "[" => {
                *at += 1;
                let inner = choice(tokens, at);
                if token == "[" { Node::Optional(Box::new(inner)) } else { inner }
            }
            word if word.starts_with(|c: char| c.is_ascii_lowercase()) => Node::Kind(word.into()),
            word => Node::Word(word.trim_start_matches('\'').into()),
        };
        *at += 1;
        items.push(match tokens.get(*at) {
            Some(&"*") => Node::Repeat(Box::new(item), 0, 3),
            Some(&"+") => Node::Repeat(Box::new(item), 1, 4),
            _ => {
                items.push(item);
                continue;
            }
        });
        *at += 1;
    }
    Node::Seq(items)
}

/// Writes one random sentence of the grammar.
pub(crate) fn produce(node: &Node, values: &mut Values, out: &mut Vec<Vec<u8>>) {
    match node {
        Node::Word(word) => out.push(values.word(word)),
        Node::Kind(kind) => out.push(values.kind(kind)),
        Node::Seq(items) => items.iter().for_each(|item| produce(item, values, out)),
        Node::Choice(items) => {
            let which = values.rng.below(items.len());
            produce(&items[which], values, out);
        }
        Node::Optional(item) => {
            if values.rng.chance(1, 2) {
                produce(item, values, out);
            }
        }
        Node::Repeat(item, min, max) => {
            let times = min + values.rng.below(max - min + 1);
            (0..times).for_each(|_| produce(item, values, out));
        }
    }
}

#[test]
fn a_grammar_gives_only_its_sentences() {
    let node = parse("SET key (NX|EX ttl)* [GET]");
    let mut values = Values::new(crate::support::Rng::new(1), Vec::new());
    let mut longest = 0;
    for _ in 0..200 {
        let mut out = Vec::new();
        produce(&node, &mut values, &mut out);
        assert!(out[0].eq_ignore_ascii_case(b"SET") && (2..=9).contains(&out.len()), "{out:?}");
        longest = longest.max(out.len());
    }
    assert!(longest > 4);
}
