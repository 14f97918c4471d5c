//! The addresses the server listens on, and how CONFIG SET of `port`, `bind` and `tls-port` exchanges
//! them while it runs.
//!
//! Addresses that stay are left alone, and so are connections, wherever they came in. New listeners are
//! opened before old ones are closed, so that a setting that cannot be had leaves everything as it was;
//! but where an old one stands in the way (`127.0.0.1` and `*` of one port) it is closed first, and
//! opened again if there is no new one.

use super::accept::Listener;
use super::listen::{Listeners, Opened};
use crate::config::{Applied, Settings};
use socket2::SockRef;
use std::net::{Shutdown, TcpListener};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Errors of CONFIG SET, as Redis words them.
const NO_PORT: &str = "Unable to listen on this port. Check server logs.";
const NO_ADDRESS: &str = "Failed to bind to specified addresses.";
const NOWHERE: &str = "The server would listen nowhere.";

/// A TCP listener that can be closed by somebody else than who accepts.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    closed: Notify,
    /// It is the supervisor's: it stays open when we end.
    inherited: bool,
}

impl Door {
    /// The listener.
    pub(super) fn socket(&self) -> &TcpListener {
        &self.listener
    }

    /// Waits until nobody is to be accepted any more.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Whether it stays open when we end.
    pub(super) fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// The port is free at once, though who accepts has not noticed yet.
    pub(super) fn close(&self) {
        // A listener that does not listen any more is closed already.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        self.closed.notify_one();
    }
}

/// What is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    tls: bool,
    port: u16,
    /// As it stands in `bind`.
    word: String,
}

/// All TCP listeners of the server.
#[derive(Debug, Default)]
pub struct Doors {
    open: Mutex<Vec<(Address, Arc<Door>)>>,
    /// Where new ones are accepted from.
    new: OnceLock<mpsc::UnboundedSender<Listener>>,
}

/// What the settings name.
fn addresses(settings: &Settings) -> Vec<Address> {
    let ports = [(false, settings.port), (true, settings.tls.port)];
    let ports = ports.into_iter().filter(|(_, port)| *port != 0);
    ports
        .flat_map(|(tls, port)| {
            settings.bind.iter().map(move |word| Address { tls, port, word: word.clone() })
        })
        .collect()
}

/// `None`: it may be missing, and is.
fn open(address: &Address, backlog: u32) -> Result<Option<Arc<Door>>, String> {
    let mut listeners = Listeners::default();
    let opened = listeners.open_tcp(std::slice::from_ref(&address.word), address.port, backlog)?;
    Ok(opened.into_iter().next().map(|opened| door(opened.listener)))
}

fn door(listener: TcpListener) -> Arc<Door> {
    Arc::new(Door { listener, closed: Notify::new(), inherited: false })
}

impl Address {
    fn listener(&self, door: &Arc<Door>) -> Listener {
        if self.tls { Listener::Tls(door.clone()) } else { Listener::Tcp(door.clone()) }
    }
}

impl Doors {
    /// Takes what was opened at the start; to be accepted from, as what comes later.
    pub fn start(
        &self,
        settings: &Settings,
        listeners: Listeners,
    ) -> mpsc::UnboundedReceiver<Listener> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |tls: bool, port: u16, opened: Vec<Opened>| {
            opened
                .into_iter()
                .map(move |Opened { word, listener }| (Address { tls, port, word }, door(listener)))
        };
        all.extend(of(false, settings.port, listeners.tcp));
        all.extend(of(true, settings.tls.port, listeners.tls));
        let unix = listeners.unix.map(Listener::Unix);
        let tcp = all.iter().map(|(address, door)| address.listener(door));
        // CONFIG SET has no say in what the supervisor has opened.
        let inherited = listeners.inherited.into_iter().map(|(tls, listener)| {
            let door = Arc::new(Door { listener, closed: Notify::new(), inherited: true });
            if tls { Listener::Tls(door) } else { Listener::Tcp(door) }
        });
        // The receiver is there.
        tcp.chain(unix).chain(inherited).for_each(|listener| drop(sender.send(listener)));
        self.new.get_or_init(|| sender);
        receiver
    }

    /// Listens where `new` says instead of where `old` says.
    ///
    /// # Errors
    /// The setting that is to blame and what to answer; everything is as it was.
    pub fn exchange(
        &self,
        old: &Settings,
        new: &Settings,
        changed: &[Applied],
    ) -> Result<(), (Applied, String)> {
        let Some(name) =
            changed.iter().copied().find(|name| matches!(*name, "port" | "bind" | "tls-port"))
        else {
            return Ok(());
        };
        let wanted = addresses(new);
        if wanted.is_empty() && new.unixsocket.is_none() {
            return Err((name, NOWHERE.to_owned()));
        }
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let before = addresses(old);
        let leaving: Vec<_> = all.extract_if(.., |(at, _)| !wanted.contains(at)).collect();
        let fresh = wanted.iter().filter(|at| !before.contains(at));
        let fresh: Vec<&Address> = fresh.collect();
        let in_the_way = leaving.iter().any(|(at, _)| fresh.iter().any(|new| new.port == at.port));
        if in_the_way {
            leaving.iter().for_each(|(_, door)| door.close());
        }
        let opened: Result<Vec<_>, String> =
            fresh.into_iter().map(|at| Ok((at.clone(), open(at, new.tcp_backlog)?))).collect();
        match opened {
            Ok(opened) => {
                let opened = opened.into_iter().filter_map(|(at, door)| Some((at, door?)));
                self.admit(&mut all, opened);
                if !in_the_way {
                    leaving.iter().for_each(|(_, door)| door.close());
                }
                Ok(())
            }
            Err(why) => {
                tracing::warn!("{why}");
                if in_the_way {
                    let again = leaving.iter().filter_map(|(at, _)| {
                        let door = open(at, old.tcp_backlog).ok()??;
                        Some((at.clone(), door))
                    });
                    self.admit(&mut all, again);
                } else {
                    all.extend(leaving);
                }
                let text = if name == "bind" { NO_ADDRESS } else { NO_PORT };
                Err((name, text.to_owned()))
            }
        }
    }

    fn admit(
        &self,
        all: &mut Vec<(Address, Arc<Door>)>,
        opened: impl Iterator<Item = (Address, Arc<Door>)>,
    ) {
        for (address, door) in opened {
            if let Some(new) = self.new.get() {
                // Nobody accepts any more when the server is being shut down.
                let _ = new.send(address.listener(&door));
            }
            all.push((address, door));
        }
    }
}
