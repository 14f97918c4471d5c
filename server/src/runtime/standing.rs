//! Whether the client of a connection that was just accepted is still there.
//!
//! A listener's queue holds clients that have connected, and it does not lose those who have gone
//! meanwhile. While the rate of new connections is bounded they are in the way: the queue stays full
//! of them, and the kernel drops whoever comes, who tries again a second later. One call tells them
//! apart, before anything is read.

use super::worker::Socket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd;

/// See the [module documentation](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It waits for what it gets.
    There,
    /// It will send nothing more. It may have asked for something before, and be reading.
    Leaving,
    /// It has reset the connection: nothing can be sent to it, nor has anything of it to be done.
    Gone,
}

/// How it is with the client at the other end now.
pub(super) fn standing_of(socket: &Socket) -> Standing {
    let fd = match socket {
        Socket::Tcp(socket) | Socket::Tls(socket) => socket.as_fd(),
        Socket::Unix(socket) => socket.as_fd(),
    };
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let events = match poll(&mut polled, Some(&at_once)) {
        Ok(_) => polled[0].revents(),
        // Whoever serves it will see.
        Err(_) => PollFlags::empty(),
    };
    match events {
        events if events.contains(PollFlags::ERR) => Standing::Gone,
        events if events.intersects(PollFlags::RDHUP | PollFlags::HUP) => Standing::Leaving,
        _ => Standing::There,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn pair() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        (client, Socket::Tcp(listener.accept().expect("it has come").0))
    }

    /// Waits until the kernel has passed on what the other side has done.
    fn becomes(socket: &Socket, standing: Standing) {
        for _ in 0..10_000 {
            if standing_of(socket) == standing {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{:?} and not {standing:?}", standing_of(socket));
    }

    #[test]
    fn who_waits_is_there_whatever_has_been_sent() {
        let (mut client, socket) = pair();
        assert_eq!(standing_of(&socket), Standing::There);
        client.write_all(b"PING\r\n").expect("it is sent");
        assert_eq!(standing_of(&socket), Standing::There);
    }

    #[test]
    fn who_has_asked_and_sends_no_more_still_gets_its_reply() {
        let (mut client, socket) = pair();
        client.write_all(b"PING\r\n").expect("it is sent");
        client.shutdown(Shutdown::Write).expect("it is connected");
        becomes(&socket, Standing::Leaving);
        let Socket::Tcp(mut server) = socket else { unreachable!("it is TCP") };
        let mut request = String::new();
        server.read_to_string(&mut request).expect("what was sent is there");
        assert_eq!(request, "PING\r\n");
        server.write_all(b"+PONG\r\n").expect("the client reads");
    }

    #[test]
    fn who_has_reset_the_connection_is_gone() {
        let (mut client, socket) = pair();
        client.write_all(b"PING\r\n").expect("it is sent");
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("an option of all sockets");
        drop(client);
        becomes(&socket, Standing::Gone);
    }

    #[test]
    fn the_same_goes_for_unix_sockets() {
        let (mut client, server) = UnixStream::pair().expect("a pair");
        let socket = Socket::Unix(server);
        assert_eq!(standing_of(&socket), Standing::There);
        client.write_all(b"PING\r\n").expect("it is sent");
        drop(client);
        becomes(&socket, Standing::Leaving);
    }
}
