//! The environment as a source: `DUNLIN_MAXMEMORY_POLICY=allkeys-lru`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use super::directives::{self, DIRECTIVES};
use super::file::Draft;
use super::users::USER;
use super::{LoadError, split_words};

const PREFIX: &str = "DUNLIN_";

impl Draft {
    pub(super) fn load_env(
        &mut self,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), LoadError> {
        self.next_source();
        for (variable, text) in env {
            let Some(name) = variable.to_str().and_then(|v| v.strip_prefix(PREFIX)) else {
                continue;
            };
            let name = name.to_ascii_lowercase().replace('_', "-");
            if is_service_link(&name, text.as_bytes()) {
                continue;
            }
            let variable = variable.to_string_lossy();
            if let Err(why) = self.variable(&variable, &name, text.as_bytes()) {
                self.fail(LoadError::new(format!("{variable}: {why}")))?;
            }
        }
        Ok(())
    }

    fn variable(&mut self, variable: &str, name: &str, text: &[u8]) -> Result<(), String> {
        let split = || split_words(text).ok_or("unbalanced quotes");
        if name == USER {
            return self.users.add(&split()?);
        }
        let Some(row) = directives::find(name.as_bytes()) else {
            self.warnings.push(format!("environment variable {variable}: no such directive"));
            return Ok(());
        };
        let words = if DIRECTIVES[row].kind.takes_words() { split()? } else { vec![text.to_vec()] };
        let words = if words.is_empty() { vec![Vec::new()] } else { words };
        self.assign(row, &words)?;
        self.from_env.insert(row);
        Ok(())
    }
}

/// In a Kubernetes pod a Service called "dunlin" puts `DUNLIN_PORT=tcp://10.0.0.1:6379`,
/// `DUNLIN_SERVICE_HOST` and the like into every container: not meant for us.
fn is_service_link(name: &str, text: &[u8]) -> bool {
    name.starts_with("service-")
        || name.starts_with("port-")
        || (name == "port" && (text.starts_with(b"tcp://") || text.starts_with(b"udp://")))
}
