//! Access control: who may log in, and which commands, keys and channels they may use.
//!
//! **Users.** A [`User`] has passwords and selectors. A selector is a set of commands, key patterns
//! and channel patterns; a command line is allowed if one selector allows all of it. Rules
//! (`+@read ~cache:* -keys`) change a user one by one; [`User::describe`] turns a user back into
//! rules. Commands and their categories are those of the command table, keys are what its rows say.
//!
//! **Publication.** A user is immutable. A change makes new ones and publishes a new [`Users`] with
//! a higher version; changes wait for each other, readers for nobody. A connection holds a
//! [`Login`], its user at some version, and compares the version once per turn (one load of a line
//! that only changes of users write). A user who may do everything is not checked at all:
//! [`crate::client::Client`] keeps that in one flag.
//!
//! **Who is who.** Connections begin as the user `default`. `requirepass` is that user's password.
//! Users are told apart by their number, not by their name: a connection whose user was deleted does
//! not become the next one of that name.
//!
//! ```text
//! rule.rs     errors, selectors of several words     user.rs    passwords, selectors, ACL LIST
//! keys.rs     ~a %R~b                                 check.rs   may this user run this command line
//! channels.rs &a                                      file.rs    aclfile
//! commands.rs +get -@write +config|get                log.rs     ACL LOG
//! ```

mod channels;
mod check;
mod commands;
mod file;
mod keys;
mod log;
mod password;
mod rule;
mod selector;
#[cfg(test)]
mod tests;
mod user;

pub use check::{Denied, Reason};
pub use log::{AclLog, LogContext, LogEntry};
pub use rule::RuleError;
pub use user::{DEFAULT_USER, SelectorText, User};

use crate::commands::error::{ReplyError, quoting};
use crate::config::{Config, Declaration, Settings};
use password::Password;
pub(crate) use password::hex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use user::Refused;

type ByName = BTreeMap<Arc<[u8]>, Arc<User>>;

/// All users at one time. There always is one called [`DEFAULT_USER`].
#[derive(Debug)]
pub struct Users {
    by_name: ByName,
    version: u64,
}

impl Users {
    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// All users in the order of their names.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.by_name.values()
    }
}

/// Who a connection is: its user as of a version of the users.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user.
    pub user: Arc<User>,
    version: u64,
}

impl Login {
    /// The version of the users that `user` is from.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// The users of a server and their log.
#[derive(Debug)]
pub struct Acl {
    users: RwLock<Arc<Users>>,
    /// That of `users`, stored after them.
    version: AtomicU64,
    /// Whether connections begin authenticated: `default` is on and needs no password.
    default_is_open: AtomicBool,
    /// Serialises changes and writing the file; readers never take it.
    change: Mutex<Applied>,
    next_id: AtomicU64,
    /// `acl-pubsub-default`.
    all_channels: AtomicBool,
    /// ACL LOG.
    pub log: AclLog,
}

/// Directives that were applied last.
#[derive(Debug, Default)]
struct Applied {
    requirepass: Vec<u8>,
}

/// Number of the default user, who is never deleted.
const DEFAULT_ID: u64 = 0;

impl Default for Acl {
    fn default() -> Self {
        let user = User::default_user(DEFAULT_ID, b"");
        let by_name = ByName::from([(user.name().clone(), Arc::new(user))]);
        Acl {
            users: RwLock::new(Arc::new(Users { by_name, version: 0 })),
            version: AtomicU64::new(0),
            default_is_open: AtomicBool::new(true),
            change: Mutex::default(),
            next_id: AtomicU64::new(DEFAULT_ID + 1),
            all_channels: AtomicBool::new(false),
            log: AclLog::default(),
        }
    }
}

impl Acl {
    /// The users of a starting server: those whom the configuration declares, or those of the
    /// `aclfile`.
    ///
    /// # Errors
    /// Why it must not start.
    pub fn start(config: &Config) -> Result<Acl, String> {
        let acl = Acl::default();
        let settings = config.settings();
        acl.apply(&settings);
        let path = settings.acl_path();
        if path.is_some() && !config.users().is_empty() {
            return Err(
                "users are declared in the configuration and there is an aclfile: which of \
                        them counts would be a matter of luck. Use one or the other"
                    .into(),
            );
        }
        acl.declare(config.users())?;
        if let Some(path) = path {
            acl.load(&path)
                .map_err(|why| format!("Aborting startup because of ACL errors: {why}"))?;
        }
        Ok(acl)
    }

    /// Applies directives: `requirepass` if it has changed, `acl-pubsub-default`, `acllog-max-len`.
    pub fn apply(&self, settings: &Settings) {
        self.all_channels.store(settings.acl_all_channels, Ordering::Relaxed);
        self.log.configure(settings.acllog_max_len);
        let mut applied = self.lock();
        if applied.requirepass != settings.requirepass {
            applied.requirepass.clone_from(&settings.requirepass);
            let mut by_name = self.users().by_name.clone();
            if let Some(user) = by_name.get_mut(DEFAULT_USER) {
                Arc::make_mut(user).require_password(&settings.requirepass);
            }
            self.publish(by_name);
        }
    }

    /// The users.
    pub fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes whenever [`Acl::users`] would return others than before.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether connections begin authenticated.
    pub fn default_is_open(&self) -> bool {
        self.default_is_open.load(Ordering::Acquire)
    }

    /// Whether anybody may be the user `default`.
    pub fn default_is_enabled(&self) -> bool {
        self.users().by_name.get(DEFAULT_USER).is_some_and(|user| user.is_enabled())
    }

    /// What new users and selectors begin with: every channel or none.
    pub fn all_channels(&self) -> bool {
        self.all_channels.load(Ordering::Relaxed)
    }

    /// The user of this name, as a connection holds it.
    pub fn find(&self, name: &[u8]) -> Option<Login> {
        let users = self.users();
        let user = users.get(name)?.clone();
        Some(Login { user, version: users.version })
    }

    /// What connections begin as.
    pub fn default_login(&self) -> Login {
        let users = self.users();
        let user = users.get(DEFAULT_USER).cloned();
        // There always is one; a stranger without rights is the safe answer to the impossible.
        let user = user.unwrap_or_else(|| Arc::new(User::new(DEFAULT_USER, DEFAULT_ID, false)));
        Login { user, version: users.version }
    }

    /// The user who logs in with this name and password. For an unknown user the same work is done
    /// as for one with a password, so that the time does not tell which names exist.
    pub fn log_in(&self, name: &[u8], password: &[u8]) -> Option<Login> {
        let digest = Password::of(password);
        let found = self.find(name);
        let nobody = [Password::of(b"")];
        let candidates = found.as_ref().map_or(&nobody[..], |login| &login.user.passwords);
        let known = digest.is_among(candidates);
        found.filter(|login| login.user.is_enabled() && (known || login.user.needs_no_password()))
    }

    /// The login of the same user in the version of now, or `None` if the user is gone.
    pub fn follow(&self, login: &Login) -> Option<Login> {
        self.find(login.user.name()).filter(|now| now.user.id() == login.user.id())
    }

    fn lock(&self) -> MutexGuard<'_, Applied> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller holds `change`.
    fn publish(&self, by_name: ByName) {
        let open = by_name
            .get(DEFAULT_USER)
            .is_some_and(|user| user.is_enabled() && user.needs_no_password());
        let version = self.users().version + 1;
        let users = Arc::new(Users { by_name, version });
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = users;
        self.default_is_open.store(open, Ordering::Release);
        // After the users: whoever sees the new version finds them.
        self.version.store(version, Ordering::Release);
    }

    /// ACL SETUSER: creates the user or changes it, by all rules or none.
    ///
    /// # Errors
    /// The whole error reply.
    pub fn set_user<W: AsRef<[u8]>>(&self, name: &[u8], rules: &[W]) -> Result<(), ReplyError> {
        if rule::has_space(name) {
            return Err("ERR Usernames can't contain spaces or null characters".into());
        }
        let _one_at_a_time = self.lock();
        let mut by_name = self.users().by_name.clone();
        let all_channels = self.all_channels();
        let mut user = match by_name.get(name) {
            Some(user) => User::clone(user),
            None => User::new(name, self.new_id(), all_channels),
        };
        user.apply_all(rules, all_channels).map_err(|refused| match refused {
            Refused::Unclosed(word) => {
                quoting("ERR Unmatched parenthesis in acl selector starting at '", word, "'.")
            }
            Refused::Rule(word, why) => {
                let end = format!("': {}", why.text());
                quoting("ERR Error in ACL SETUSER modifier '", &word, &end)
            }
        })?;
        by_name.insert(user.name().clone(), Arc::new(user));
        self.publish(by_name);
        Ok(())
    }

    /// ACL DELUSER: the numbers of those deleted. The default user stays.
    pub fn delete_users(&self, names: &[&[u8]]) -> Vec<u64> {
        let _one_at_a_time = self.lock();
        let mut by_name = self.users().by_name.clone();
        let mut deleted = Vec::new();
        for name in names.iter().filter(|name| **name != DEFAULT_USER) {
            deleted.extend(by_name.remove(*name).map(|user| user.id()));
        }
        if !deleted.is_empty() {
            self.publish(by_name);
        }
        deleted
    }

    /// Users that the configuration declares; each begins anew.
    fn declare(&self, declarations: &[Declaration]) -> Result<(), String> {
        let _one_at_a_time = self.lock();
        let mut by_name = self.users().by_name.clone();
        for (name, rules) in declarations {
            let user = User::declared(name, rules, self.all_channels())
                .map_err(|why| format!("user '{}': rule {why}", String::from_utf8_lossy(name)))?;
            let id = by_name.get(name.as_slice()).map_or_else(|| self.new_id(), |old| old.id());
            if !user.is_enabled() {
                let name = String::from_utf8_lossy(name);
                tracing::warn!(%name, "a user is disabled: its declaration has no 'on'");
            }
            by_name.insert(user.name().clone(), Arc::new(user.with_id(id)));
        }
        self.publish(by_name);
        Ok(())
    }

    /// ACL LOAD: replaces all users by those of the file, or none if anything in it is wrong.
    /// Returns the numbers of users who are gone.
    ///
    /// # Errors
    /// Everything that is wrong, in one line.
    pub fn load(&self, path: &Path) -> Result<Vec<u64>, String> {
        let _one_at_a_time = self.lock();
        let old = self.users();
        let loaded = file::read(path, self.all_channels())?;
        let mut by_name = ByName::new();
        let default = User::default_user(DEFAULT_ID, b"");
        by_name.insert(default.name().clone(), Arc::new(default));
        for user in loaded {
            // Who is in the file under the same name stays the same.
            let id = old.get(user.name()).map_or_else(|| self.new_id(), |old| old.id());
            by_name.insert(user.name().clone(), Arc::new(user.with_id(id)));
        }
        let gone = old.all().filter(|user| !by_name.contains_key(user.name()));
        let gone = gone.map(|user| user.id()).collect();
        self.publish(by_name);
        Ok(gone)
    }

    /// ACL SAVE.
    ///
    /// # Errors
    /// What went wrong with the file.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let _one_at_a_time = self.lock();
        file::write(path, &self.users())
    }

    /// The users that the configuration file has to declare: all but a default user that is just
    /// what `requirepass` makes of it.
    pub fn to_declare(&self) -> Vec<Arc<User>> {
        let plain = User::default_user(DEFAULT_ID, &self.lock().requirepass);
        self.users().all().filter(|user| ***user != plain).cloned().collect()
    }

    fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}
