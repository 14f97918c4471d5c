//! What dispatch wants to know of a script before it runs.

use super::{eval, fcall, with_engine};
use crate::commands::table::Entry;
use crate::scripting::{Function, Library, Reach, Script, ScriptFlags};
use crate::server::Server;
use dunlin_protocol::Request;

/// A longer text is compiled on the pool, whatever its runs cost.
const LONG_TEXT: usize = 64 * 1024;

/// What is known of a script or function; see [`outlook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// It is known to keep to the keys that its caller names.
    pub(crate) keeps_to_its_keys: bool,
    /// It takes long, or may: it has to run on the pool.
    pub(crate) takes_long: bool,
}

impl Outlook {
    /// There is no such script or function: it touches nothing.
    const NOTHING: Outlook = Outlook { keeps_to_its_keys: true, takes_long: false };

    fn of(script: &Script) -> Outlook {
        Outlook {
            keeps_to_its_keys: script.reach.is_kept(),
            takes_long: !script.cost.is_low() || script.body.len() > LONG_TEXT,
        }
    }

    /// What can be told from the text of a script that is not known.
    fn of_text(text: &[u8]) -> Outlook {
        Outlook { keeps_to_its_keys: Reach::of(text).is_kept(), takes_long: true }
    }

    fn of_function(library: &Library, function: &Function) -> Outlook {
        let cheap = function.cost.is_low() && library.cost.is_low();
        Outlook {
            keeps_to_its_keys: function.reach.is_kept(),
            takes_long: !cheap || library.body.len() > LONG_TEXT,
        }
    }
}

/// What is known of the script or function of a command line.
pub(crate) fn outlook(server: &Server, entry: &Entry, request: Request<'_>) -> Outlook {
    let name = request.get(1).unwrap_or_default();
    with_engine(|engine| match entry.command.name {
        "fcall" | "fcall_ro" => {
            let set = fcall::current(&server.libraries, engine);
            let found = set.find(name);
            found.map_or(Outlook::NOTHING, |(library, function)| {
                Outlook::of_function(library, function)
            })
        }
        "evalsha" | "evalsha_ro" => {
            let found = eval::find(server, engine, name);
            found.map_or(Outlook::NOTHING, |script| Outlook::of(&script))
        }
        _ => match eval::find_text(server, engine, name) {
            Some(script) => Outlook::of(&script),
            None => Outlook::of_text(name),
        },
    })
}

/// Whether the script or function of a command line says that it writes nothing.
pub(crate) fn declares_no_writes(server: &Server, entry: &Entry, request: Request<'_>) -> bool {
    let name = request.get(1).unwrap_or_default();
    let flags = with_engine(|engine| match entry.command.name {
        "fcall" | "fcall_ro" => {
            let set = fcall::current(&server.libraries, engine);
            set.find(name).map(|(_, function)| function.flags)
        }
        "evalsha" | "evalsha_ro" => eval::find(server, engine, name)?.flags,
        _ => match eval::find_text(server, engine, name) {
            Some(script) => script.flags,
            None => Script::parse(name).ok()?.flags,
        },
    });
    flags.is_some_and(|flags| flags.has(ScriptFlags::NO_WRITES))
}
