//! Values. Strings only, for now; collections come beside them.

pub mod rope;
pub mod string;

/// What kind of value a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A byte string.
    String,
}

/// A value, as readers see it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value<'g> {
    /// A byte string.
    Str(string::Str<'g>),
}
