//! Handshakes and frames, with honest and hostile peers.

use super::handshake::{Refusal, Trust, greet, welcome};
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const CLUSTER: ClusterId = ClusterId([7; 16]);

fn identity(number: u32) -> Identity {
    Identity { node: NodeId::from(number), cluster: CLUSTER }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn text<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    result.unwrap_err().to_string()
}

fn pipe() -> (DuplexStream, DuplexStream) {
    duplex(64 * 1024)
}

type Ends = (Result<NodeId, Refusal>, Result<(NodeId, Kind), Refusal>);

async fn shake(client: &Trust<'_>, server: &Trust<'_>, expected: Option<u32>, kind: Kind) -> Ends {
    let (mut a, mut b) = pipe();
    let expected = expected.map(NodeId::from);
    let greet = async {
        let greeted = greet(&mut a, client, expected, kind).await;
        drop(a);
        greeted
    };
    let welcome = async {
        let welcomed = welcome(&mut b, server).await;
        drop(b);
        welcomed
    };
    tokio::join!(greet, welcome)
}

#[test]
fn who_knows_the_secret_is_let_in() {
    let secret = Secret::new("open sesame");
    let trust =
        |number| Trust { secret: &secret, identity: identity(number), stranger_is_welcome: false };
    run(async {
        let (client, server) = shake(&trust(1), &trust(2), Some(2), Kind::Raft).await;
        assert_eq!(client.unwrap(), NodeId::from(2));
        assert_eq!(server.unwrap(), (NodeId::from(1), Kind::Raft));
        let (client, _) = shake(&trust(1), &trust(2), Some(3), Kind::Raft).await;
        assert!(text(client).contains("0002 is there"));
    });
}

#[test]
fn a_wrong_secret_is_found_out_by_both() {
    let (right, wrong) = (Secret::new("right"), Secret::new("wrong"));
    let trust =
        |secret, number| Trust { secret, identity: identity(number), stranger_is_welcome: true };
    run(async {
        let (client, server) = shake(&trust(&wrong, 1), &trust(&right, 2), None, Kind::Raft).await;
        assert!(text(client).contains("does not know the cluster's secret"));
        assert!(server.is_err());
        // A client that does not look at the server's proof gets no further.
        let (mut a, mut b) = pipe();
        let blind = async {
            let hello = a_hello(1, 1, Kind::Raft as u8);
            a.write_all(&hello).await.unwrap();
            let mut theirs = vec![0; hello.len() + 32];
            a.read_exact(&mut theirs).await.unwrap();
            a.write_all(&[0; 32]).await.unwrap();
            let length = a.read_u8().await.unwrap();
            let mut why = vec![0; length.into()];
            a.read_exact(&mut why).await.unwrap();
            assert_eq!(String::from_utf8(why).unwrap(), "wrong secret");
        };
        let right = trust(&right, 2);
        let ((), welcomed) = tokio::join!(blind, welcome(&mut b, &right));
        assert_eq!(text(welcomed), "wrong secret");
    });
}

#[test]
fn without_a_secret_only_this_machine() {
    let none = Secret::default();
    let trust =
        |stranger_is_welcome| Trust { secret: &none, identity: identity(1), stranger_is_welcome };
    run(async {
        let (client, server) = shake(&trust(true), &trust(true), None, Kind::Raft).await;
        assert!(client.is_ok() && server.is_ok());
        let (client, server) = shake(&trust(true), &trust(false), None, Kind::Raft).await;
        assert!(text(client).contains("only nodes of this machine"));
        assert!(text(server).contains("only nodes of this machine"));
        let (client, _) = shake(&trust(false), &trust(true), None, Kind::Raft).await;
        assert!(text(client).contains("only nodes of this machine"));
    });
}

#[test]
fn other_clusters_may_only_meet() {
    let secret = Secret::new("s");
    let other = Identity { cluster: ClusterId([8; 16]), ..identity(1) };
    let none = Identity { cluster: ClusterId::NONE, ..identity(1) };
    let trust = |identity| Trust { secret: &secret, identity, stranger_is_welcome: false };
    run(async {
        for (client, server) in [(other, identity(2)), (none, identity(2)), (none, none)] {
            let (refused, _) = shake(&trust(client), &trust(server), None, Kind::Raft).await;
            assert!(text(refused).contains("not in this cluster"));
            let (client, server) = shake(&trust(client), &trust(server), None, Kind::Meet).await;
            assert!(client.is_ok() && server.is_ok());
        }
    });
}

/// A hello as it goes over the wire.
fn a_hello(version: u16, number: u32, kind: u8) -> Vec<u8> {
    let mut bytes = b"DNLN".to_vec();
    bytes.extend(version.to_be_bytes());
    bytes.push(kind);
    bytes.extend(CLUSTER.0);
    bytes.extend(NodeId::from(number).0);
    bytes.extend([9; 32]);
    bytes
}

#[test]
fn what_was_recorded_proves_nothing() {
    let secret = Secret::new("s");
    let trust =
        |number| Trust { secret: &secret, identity: identity(number), stranger_is_welcome: false };
    run(async {
        // Somebody between the two passes everything on, and remembers what the client has said.
        let (mut client, mut near) = pipe();
        let (mut far, mut server) = pipe();
        let middle = async {
            let mut said = vec![0; a_hello(1, 1, 1).len()];
            near.read_exact(&mut said).await.unwrap();
            far.write_all(&said).await.unwrap();
            let mut heard = vec![0; said.len() + 32];
            far.read_exact(&mut heard).await.unwrap();
            near.write_all(&heard).await.unwrap();
            let mut proof = [0; 32];
            near.read_exact(&mut proof).await.unwrap();
            far.write_all(&proof).await.unwrap();
            near.write_all(&[far.read_u8().await.unwrap()]).await.unwrap();
            (said, heard, proof)
        };
        let (mine, theirs) = (trust(1), trust(2));
        let ((said, heard, proof), greeted, welcomed) = tokio::join!(
            middle,
            greet(&mut client, &mine, None, Kind::Raft),
            welcome(&mut server, &theirs)
        );
        assert!(greeted.is_ok() && welcomed.is_ok());
        // The same again to the server, whose nonce is another one now.
        let (mut a, mut b) = pipe();
        let replay = async {
            a.write_all(&said).await.unwrap();
            a.write_all(&proof).await.unwrap();
            let mut rest = Vec::new();
            a.read_to_end(&mut rest).await.unwrap();
        };
        let again = async {
            let welcomed = welcome(&mut b, &theirs).await;
            drop(b);
            welcomed
        };
        let ((), welcomed) = tokio::join!(replay, again);
        assert_eq!(text(welcomed), "wrong secret");
        // And what the server has said, to a client.
        let (mut a, mut b) = pipe();
        b.write_all(&heard).await.unwrap();
        let greeted = greet(&mut a, &mine, None, Kind::Raft).await;
        assert!(text(greeted).contains("does not know the cluster's secret"));
        // And the client's own proof, sent back to it as the server's.
        let (mut a, mut b) = pipe();
        let mirror = async {
            let mut hello = vec![0; said.len()];
            b.read_exact(&mut hello).await.unwrap();
            b.write_all(&hello).await.unwrap();
            b.write_all(&proof).await.unwrap();
        };
        let ((), greeted) = tokio::join!(mirror, greet(&mut a, &mine, None, Kind::Raft));
        assert!(text(greeted).contains("does not know the cluster's secret"));
    });
}

#[test]
fn strange_hellos_are_refused() {
    let secret = Secret::new("s");
    let trust = Trust { secret: &secret, identity: identity(2), stranger_is_welcome: true };
    let refusal = |bytes: Vec<u8>| {
        run(async {
            let (mut a, mut b) = pipe();
            a.write_all(&bytes).await.unwrap();
            a.shutdown().await.unwrap();
            text(welcome(&mut b, &trust).await)
        })
    };
    assert!(refusal(b"GET / HTTP/1.1\r\n\r\n".to_vec()).contains("no node of a cluster"));
    assert!(refusal(a_hello(2, 1, 1)).contains("version 2"));
    assert!(refusal(a_hello(1, 1, 1)[..40].to_vec()).contains("handshake failed"));
    assert!(refusal(Vec::new()).contains("handshake failed"));
    run(async {
        let (mut a, mut b) = pipe();
        b.write_all(&a_hello(9, 1, 0)).await.unwrap();
        assert!(text(greet(&mut a, &trust, None, Kind::Raft).await).contains("version 9"));
    });
}

#[test]
fn frames() {
    run(async {
        let (mut a, mut b) = duplex(100);
        for length in [0, 1000, 100_000] {
            let body: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let frame = frame::Frame { what: frame::What::Reply, number: 7, body };
            let (written, read) = tokio::join!(frame::write(&mut a, &frame), frame::read(&mut b));
            written.unwrap();
            assert_eq!(read.unwrap(), Some(frame));
        }
        drop(a);
        assert_eq!(frame::read(&mut b).await.unwrap(), None);
        let too_long = vec![0; frame::MAX_BODY + 1];
        let frame = frame::Frame { what: frame::What::Request, number: 1, body: too_long };
        assert!(frame::write(&mut b, &frame).await.is_err());
    });
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let error = |bytes: &[u8]| {
        run(async {
            let (mut a, mut b) = pipe();
            a.write_all(bytes).await.unwrap();
            a.shutdown().await.unwrap();
            frame::read(&mut b).await.unwrap_err().to_string()
        })
    };
    let header = |version, what, length: u32| {
        let mut bytes = vec![b'D', b'n', version, what, 0, 0, 0, 1];
        bytes.extend(length.to_be_bytes());
        bytes
    };
    assert!(error(&header(1, 0, u32::MAX)).contains("4294967295 bytes"));
    assert!(error(&header(2, 0, 1)).contains("version 2"));
    assert!(error(&header(1, 9, 1)).contains("unknown kind 9"));
    assert!(error(b"*1\r\n$4\r\nPING\r\n").contains("no frame"));
    for length in 1..12 {
        assert!(!error(&header(1, 0, 5)[..length]).is_empty());
    }
    let mut half = header(1, 0, 5);
    half.extend(b"abc");
    assert!(!error(&half).is_empty());
}

/// Says what it is asked, but nothing to "silence".
struct Echo;

impl Service for Echo {
    fn answer(&self, peer: Peer, kind: Kind, body: Vec<u8>) -> Later<'_, Option<Vec<u8>>> {
        assert_eq!((peer.node, kind), (NodeId::from(1), Kind::Propose));
        Box::pin(async move { (body != b"silence").then_some(body) })
    }

    fn stream(&self, connection: Connection) {
        tokio::spawn(async move {
            let mut stream = connection.stream;
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        });
    }
}

fn links(number: u32, secret: &str) -> Arc<Links> {
    let links = Links::new(Arc::new(Tcp), Secret::new(secret), None);
    links.set_identity(identity(number));
    links
}

async fn server(secret: &str) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (address, tokio::spawn(serve(links(2, secret), Box::new(socket), Arc::new(Echo))))
}

#[test]
fn requests_over_sockets() {
    run(async {
        let (address, server) = server("s").await;
        let client = links(1, "s");
        let target = Target { node: Some(NodeId::from(2)), address };
        let ask = |body: &'static [u8], limit| {
            let client = Arc::clone(&client);
            async move { client.request(target, Kind::Propose, body.to_vec(), limit).await }
        };
        let long = Duration::from_secs(30);
        let (one, two) = tokio::join!(ask(b"one", long), ask(b"two", long));
        assert_eq!((one.unwrap(), two.unwrap()), (b"one".to_vec(), b"two".to_vec()));
        let silence = ask(b"silence", Duration::from_millis(50)).await;
        assert!(matches!(silence, Err(Failure::Lost(_))));
        assert_eq!(ask(b"still there", long).await.unwrap(), b"still there");
        let mut connection = client.open(target, Kind::Stream).await.unwrap();
        connection.stream.write_all(b"data").await.unwrap();
        let mut bytes = [0; 4];
        connection.stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"data");
        let open = client.open_connections();
        assert_eq!((open.len(), open[0].outgoing, open[0].node), (1, true, NodeId::from(2)));
        assert!(client.traffic().contains(&(Kind::Propose, 4, 3)));
        // Nobody is there any more: that is certain, and said at once.
        server.abort();
        let _ = server.await;
        client.set_identity(identity(3));
        client.set_identity(identity(1));
        assert!(matches!(ask(b"gone", long).await, Err(Failure::NotSent(_))));
        assert!(matches!(ask(b"gone", long).await, Err(Failure::NotSent(_))));
    });
}

#[test]
fn what_waits_for_a_connection_is_bounded_by_its_bytes() {
    run(async {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target { node: None, address: socket.local_addr().unwrap() };
        drop(socket);
        let (client, limit) = (links(1, "s"), Duration::from_secs(30));
        let ask = || client.request(target, Kind::Publish, b"short".to_vec(), limit);
        let long = Bytes::from(vec![0; frame::MAX_BODY]);
        (0..3).for_each(|_| client.send(target, Kind::Publish, long.clone()));
        let full = Err(Failure::NotSent("too many requests wait".to_owned()));
        assert_eq!(ask().await, full);
        // They fail, since nobody is there, and leave their room to others.
        while ask().await == full {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn who_is_refused_has_sent_nothing() {
    run(async {
        let (address, _server) = server("right").await;
        let target = Target { node: None, address };
        let limit = Duration::from_secs(30);
        let refused = links(1, "wrong").request(target, Kind::Propose, Vec::new(), limit).await;
        let Err(Failure::NotSent(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("secret"), "{why}");
        let wrong = Target { node: Some(NodeId::from(5)), address };
        let refused = links(1, "right").request(wrong, Kind::Propose, Vec::new(), limit).await;
        let Err(Failure::NotSent(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("is there"), "{why}");
    });
}

/// An authority and a certificate of a node that it has signed.
fn certified() -> Tls {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["whatever.example".to_owned()];
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Tls::new(&provider, roots, vec![leaf.der().clone()], key).unwrap()
}

#[test]
fn certificates_of_both_sides_are_checked() {
    run(async {
        let (ours, theirs) = (certified(), certified());
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target { node: None, address: socket.local_addr().unwrap() };
        let with = |number, tls| {
            let links = Links::new(Arc::new(Tcp), Secret::default(), tls);
            links.set_identity(identity(number));
            links
        };
        tokio::spawn(serve(with(2, Some(ours.clone())), Box::new(socket), Arc::new(Echo)));
        let limit = Duration::from_secs(30);
        for (tls, is_let_in) in [(Some(ours), true), (Some(theirs), false), (None, false)] {
            let links = with(1, tls);
            let reply = links.request(target, Kind::Propose, b"hello".to_vec(), limit).await;
            assert_eq!(reply.is_ok(), is_let_in, "{reply:?}");
        }
    });
}
