use super::matcher::{Caught, Fault, Matcher, Span};
use super::{anchor, items};
use crate::scripting::engine::limits::Limits;
use crate::scripting::host::{Interrupt, Watch};
use std::cell::Cell;
use std::rc::Rc;

/// The first match and its captures, or why there is none.
fn matched(subject: &str, pattern: &str) -> String {
    let limits = Limits::new(usize::MAX);
    let (items, anchored) = anchor(items(pattern.as_bytes()).expect("it is short"));
    let mut matcher = Matcher::new(subject.as_bytes(), items, &limits);
    match matcher.search(0, anchored) {
        Ok(Some(whole)) => shown(&matcher, whole).unwrap_or_else(|why| why.to_owned()),
        Ok(None) => "nothing".to_owned(),
        Err(Fault::Pattern(why)) => why.to_owned(),
        Err(Fault::Lua(error)) => error.to_string(),
    }
}

fn shown(matcher: &Matcher<'_>, whole: Span) -> Result<String, &'static str> {
    let mut shown = vec![format!("{}-{}", whole.0, whole.1)];
    for i in 0..matcher.captures() {
        shown.push(match matcher.caught(i, whole) {
            Ok(Caught::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Ok(Caught::Position(at)) => format!("@{at}"),
            Err(Fault::Pattern(why)) => return Err(why),
            Err(Fault::Lua(_)) => return Err("not a matter of the pattern"),
        });
    }
    Ok(shown.join(" "))
}

#[test]
fn patterns_find_what_the_manual_says() {
    for (subject, pattern, expected) in [
        ("hello", "l+", "2-4"),
        ("hello", "l-", "0-0"),
        ("hello", "l*o", "2-5"),
        ("hello", "^l", "nothing"),
        ("hello", "^h.-l", "0-3"),
        ("hello", "o$", "4-5"),
        ("a$b", "$b", "1-3"),
        ("a^b", "a^", "0-2"),
        ("", "", "0-0"),
        ("", ".", "nothing"),
        ("", "^$", "0-0"),
        ("aaab", "a?a?a?a?b", "0-4"),
        ("aXb", "%u", "1-2"),
        ("key = value", "(%w+)%s*=%s*(%w+)", "0-11 key value"),
        ("key = value", "()%s()", "3-4 @4 @5"),
        ("2026-11-28", "^(%d+)-(%d+)-(%d+)$", "0-10 2026 11 28"),
        ("((a)b)c)", "%b()", "0-6"),
        ("((a", "%b()", "nothing"),
        ("xax", "%bxx", "0-3"),
        ("THE (quick) fox", "%f[%a]%a+%f[%A]", "0-3"),
        ("THE (quick) fox", "%f[%l]%l+", "5-10"),
        ("end", "%f[%z]", "3-3"),
        ("say 'it' now", "(['\"])(.-)%1", "4-8 ' it"),
        ("abab", "^(a(b))%1$", "0-4 ab b"),
        ("aab", "(a*(.)b)", "0-3 aab a"),
        ("a]b", "[]]", "1-2"),
        ("a-b", "[a-]-b", "0-3"),
        ("x", "()%1", "nothing"),
    ] {
        assert_eq!(matched(subject, pattern), expected, "{subject} {pattern}");
    }
}

#[test]
fn wrong_patterns_are_told_when_they_are_reached() {
    for (subject, pattern, expected) in [
        ("a", "%", "malformed pattern (ends with '%')"),
        ("a", "b%", "nothing"),
        ("a", "a[", "malformed pattern (missing ']')"),
        ("a", "[^]", "malformed pattern (missing ']')"),
        ("a", "[a%]", "malformed pattern (missing ']')"),
        ("a", "(a", "unfinished capture"),
        ("a", "a)", "invalid pattern capture"),
        ("a", "()a)", "invalid pattern capture"),
        ("a", "%1", "invalid capture index"),
        ("a", "%0", "invalid capture index"),
        ("a", "(a%1)", "invalid capture index"),
        ("a", "%f", "missing '[' after '%f' in pattern"),
        ("a", "%b(", "unbalanced pattern"),
    ] {
        assert_eq!(matched(subject, pattern), expected, "{subject} {pattern}");
    }
    assert_eq!(matched("a", &"()".repeat(32)), format!("0-0{}", " @1".repeat(32)));
    assert_eq!(matched("a", &"()".repeat(33)), "too many captures");
    assert!(items(&[b'.'; 4096]).is_ok() && items(&[b'.'; 4097]).is_err());
}

/// Says stop the tenth time.
struct Tenth(Cell<u32>);

impl Watch for Tenth {
    fn check(&self) -> Interrupt {
        self.0.set(self.0.get() + 1);
        if self.0.get() < 10 { Interrupt::GoOn } else { Interrupt::Stop("enough") }
    }
}

#[test]
fn whatever_takes_long_can_be_stopped() {
    let (letters, brackets) = ("a".repeat(100_000), "(".repeat(100_000));
    for (subject, pattern) in [
        (&letters, ".-.-.-.-.-b"),
        (&letters, "a*a*a*a*b"),
        (&letters, "(a?)(a*)%1%2b"),
        (&letters, "[%d%s%w]-[^%a]"),
        (&brackets, "%b()"),
    ] {
        let limits = Limits::new(usize::MAX);
        limits.set_watch(Some(Rc::new(Tenth(Cell::new(0)))));
        let found = Matcher::new(subject.as_bytes(), pattern.as_bytes(), &limits).search(0, false);
        assert!(matches!(found, Err(Fault::Lua(_))), "{pattern}: {found:?}");
    }
}
