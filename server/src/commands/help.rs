//! What containers share: the HELP reply and the handler that is never reached.

use super::call::Call;
use super::error::{ReplyError, quoting};
use super::spec::Outcome;

/// Writes a HELP reply: the frame lines that Redis prints around the `lines` of each container.
/// A line that names a subcommand starts at the margin, its explanation with four spaces.
pub(super) fn reply(call: &mut Call<'_, '_>, lines: &[&str]) -> Result<Outcome, ReplyError> {
    let name = call.entry.container.unwrap_or(call.entry.command.name).to_ascii_uppercase();
    call.reply.array(lines.len() + 3);
    call.reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        call.reply.simple(line);
    }
    call.reply.simple("HELP");
    call.reply.simple("    Print this help.");
    Ok(Outcome::Done)
}

/// Handler of a container's own row: dispatch runs the subcommand's row or answers the error.
pub(super) fn container(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    Err(wrong_subcommand(call))
}

/// The error of a subcommand whose options do not fit.
pub(super) fn wrong_subcommand(call: &Call<'_, '_>) -> ReplyError {
    let name = call.request.get(1).unwrap_or_default();
    let container = call.entry.container.unwrap_or(call.entry.command.name).to_ascii_uppercase();
    quoting(
        "ERR unknown subcommand or wrong number of arguments for '",
        name,
        &format!("'. Try {container} HELP."),
    )
}
