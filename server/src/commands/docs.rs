//! Documentation of a command, as COMMAND DOCS prints it.

/// Command group, Redis's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// `generic`
    Generic,
    /// `string`
    String,
    /// `bitmap`
    Bitmap,
    /// `pubsub`
    PubSub,
    /// `list`
    List,
    /// `sorted-set`
    SortedSet,
    /// `hash`
    Hash,
    /// `set`
    Set,
    /// `geo`
    Geo,
    /// `hyperloglog`
    HyperLogLog,
    /// `connection`
    Connection,
    /// `server`
    Server,
    /// `stream`
    Stream,
    /// `scripting`
    Scripting,
    /// `transactions`
    Transactions,
    /// `cluster`
    Cluster,
}

impl Group {
    /// The name COMMAND DOCS prints.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::PubSub => "pubsub",
            Group::List => "list",
            Group::SortedSet => "sorted-set",
            Group::Hash => "hash",
            Group::Set => "set",
            Group::Geo => "geo",
            Group::HyperLogLog => "hyperloglog",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Stream => "stream",
            Group::Scripting => "scripting",
            Group::Transactions => "transactions",
            Group::Cluster => "cluster",
        }
    }
}

/// Type of a documented argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// `key`, with the index of its key specification
    Key(i64),
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `double`
    Double,
    /// `pattern`
    Pattern,
    /// `pattern` of keys, with the index of the key specification that stands for them
    KeyPattern(i64),
    /// `unix-time`
    UnixTime,
    /// `pure-token`
    PureToken,
    /// `oneof`
    OneOf,
    /// `block`
    Block,
}

/// One documented argument.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// Name.
    pub name: &'static str,
    /// What it is shown as, if not by its name.
    pub display: Option<&'static str>,
    /// Type.
    pub kind: ArgKind,
    /// Token before the value.
    pub token: Option<&'static str>,
    /// Version that brought it, if later than the command.
    pub since: Option<&'static str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// The token is repeated too.
    pub multiple_token: bool,
    /// Members of a `oneof` or `block`.
    pub args: &'static [Arg],
}

impl Arg {
    const fn new(name: &'static str, kind: ArgKind) -> Self {
        Arg {
            name,
            display: None,
            kind,
            token: None,
            since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            args: &[],
        }
    }

    /// A key that the specification `spec` finds.
    pub const fn key(name: &'static str, spec: i64) -> Self {
        Self::new(name, ArgKind::Key(spec))
    }

    /// A string.
    pub const fn string(name: &'static str) -> Self {
        Self::new(name, ArgKind::String)
    }

    /// An integer.
    pub const fn integer(name: &'static str) -> Self {
        Self::new(name, ArgKind::Integer)
    }

    /// A floating point number.
    pub const fn double(name: &'static str) -> Self {
        Self::new(name, ArgKind::Double)
    }

    /// A glob pattern.
    pub const fn pattern(name: &'static str) -> Self {
        Self::new(name, ArgKind::Pattern)
    }

    /// A pattern of keys that the specification `spec` stands for.
    pub const fn key_pattern(name: &'static str, spec: i64) -> Self {
        Self::new(name, ArgKind::KeyPattern(spec))
    }

    /// A Unix time.
    pub const fn unix_time(name: &'static str) -> Self {
        Self::new(name, ArgKind::UnixTime)
    }

    /// A bare token.
    pub const fn flag(name: &'static str, token: &'static str) -> Self {
        Self::new(name, ArgKind::PureToken).token(token)
    }

    /// One of several arguments.
    pub const fn one_of(name: &'static str, args: &'static [Arg]) -> Self {
        let mut arg = Self::new(name, ArgKind::OneOf);
        arg.args = args;
        arg
    }

    /// Several arguments in a row.
    pub const fn block(name: &'static str, args: &'static [Arg]) -> Self {
        let mut arg = Self::new(name, ArgKind::Block);
        arg.args = args;
        arg
    }

    /// Sets what it is shown as.
    pub const fn display(mut self, text: &'static str) -> Self {
        self.display = Some(text);
        self
    }

    /// Sets the token.
    pub const fn token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    /// Sets the version.
    pub const fn since(mut self, version: &'static str) -> Self {
        self.since = Some(version);
        self
    }

    /// Makes it optional.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Makes it repeatable.
    pub const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }

    /// Makes it repeatable together with its token.
    pub const fn multiple_token(mut self) -> Self {
        self.multiple = true;
        self.multiple_token = true;
        self
    }
}

/// Documentation of one command.
#[derive(Clone, Copy, Debug)]
pub struct Docs {
    /// Group; decides an ACL category too.
    pub group: Group,
    /// Version of Redis (or Valkey) that brought the command.
    pub since: &'static str,
    /// Time complexity.
    pub complexity: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Arguments.
    pub args: &'static [Arg],
    /// Changes: version and text.
    pub history: &'static [(&'static str, &'static str)],
    /// Deprecated since, and what to use.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// For tests and tools, not for applications.
    pub system: bool,
}

impl Docs {
    /// Placeholder of a row under construction; a table test refuses it.
    pub const NONE: Docs = Docs::new(Group::Generic, "", "", "");

    /// The obligatory parts.
    pub const fn new(
        group: Group,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        Docs {
            group,
            since,
            complexity,
            summary,
            args: &[],
            history: &[],
            deprecated: None,
            system: false,
        }
    }

    /// Sets the arguments.
    pub const fn args(mut self, args: &'static [Arg]) -> Self {
        self.args = args;
        self
    }

    /// Sets the history.
    pub const fn history(mut self, history: &'static [(&'static str, &'static str)]) -> Self {
        self.history = history;
        self
    }

    /// Marks the command as not made for applications.
    pub const fn system(mut self) -> Self {
        self.system = true;
        self
    }

    /// Marks the command as deprecated.
    pub const fn deprecated(mut self, since: &'static str, instead: &'static str) -> Self {
        self.deprecated = Some((since, instead));
        self
    }
}
