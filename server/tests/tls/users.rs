//! Who gets in, and as whom.

use crate::authority::Authority;
use crate::support::Value;
use crate::{Secure, text};

const NO_AUTH: &str = "NOAUTH Authentication required.";

#[test]
fn only_certified_clients_get_in() {
    let secure = Secure::start(&[]);
    let stranger = Authority::new("Somebody else's CA");
    assert!(secure.admits(Some(secure.authority.issue("a"))));
    assert!(!secure.admits(None));
    assert!(!secure.admits(Some(stranger.issue("a"))));
    // The same name is not the same authority.
    assert!(!secure.admits(Some(Authority::new("Test CA").issue("a"))));
}

#[test]
fn certificates_may_be_optional_or_unwanted() {
    let secure = Secure::start(&["--tls-auth-clients", "optional"]);
    let stranger = Authority::new("Somebody else's CA");
    assert!(secure.admits(Some(secure.authority.issue("a"))));
    assert!(secure.admits(None));
    assert!(!secure.admits(Some(stranger.issue("a"))), "a wrong one is worse than none");
    let mut admin = secure.server.client();
    assert_eq!(admin.run("CONFIG SET tls-auth-clients no"), Value::ok());
    assert!(secure.admits(Some(stranger.issue("a"))), "nobody looks at it");
    assert_eq!(admin.run("CONFIG SET tls-auth-clients yes"), Value::ok());
    assert!(!secure.admits(None));
}

#[test]
fn authorities_may_be_a_directory() {
    let secure = Secure::start(&[]);
    let (one, other) = (Authority::new("One"), Authority::new("Other"));
    let dir = secure.file("authorities");
    std::fs::create_dir(&dir).expect("the directory can be made");
    one.write(&dir.join("one.pem"));
    other.write(&dir.join("0a1b2c3d.0"));
    std::fs::write(dir.join("README"), "not a certificate").expect("a file");
    let mut admin = secure.server.client();
    let set = ["CONFIG", "SET", "tls-ca-cert-dir", text(&dir), "tls-ca-cert-file", ""];
    assert_eq!(admin.call(&set), Value::ok());
    assert!(secure.admits(Some(one.issue("a"))));
    assert!(secure.admits(Some(other.issue("a"))));
    assert!(!secure.admits(Some(secure.authority.issue("a"))));
}

#[test]
fn a_common_name_logs_in_its_user() {
    let secure = Secure::start(&["--requirepass", "secret", "--tls-auth-clients-user", "CN"]);
    let authority = &secure.authority;
    let connect = |name: &str| {
        let config = authority.trusting(Some(authority.issue(name)));
        secure.connect(config).expect("the server lets it in")
    };
    let denied = || {
        let mut client = secure.server.client();
        assert_eq!(client.run("AUTH secret"), Value::ok());
        let info = client.run("INFO stats").text();
        let line = info.lines().find_map(|l| l.strip_prefix("acl_access_denied_tls_cert:"));
        line.expect("the field is there").parse::<u64>().expect("a number")
    };
    let mut client = connect("default");
    assert_eq!(client.run("ACL WHOAMI"), Value::bulk("default"));
    assert_eq!(client.run("SET a 1"), Value::ok());
    assert_eq!(denied(), 0);
    for name in ["nobody", "defaul", "default ", "DEFAULT", "defaultx", ""] {
        let mut client = connect(name);
        assert_eq!(client.run("GET a"), Value::error(NO_AUTH), "{name:?}");
        assert_eq!(client.run("AUTH secret"), Value::ok());
    }
    assert_eq!(denied(), 6);
}

#[test]
fn a_common_name_logs_in_any_enabled_user_with_their_rights() {
    let secure = Secure::start(&["--requirepass", "secret", "--tls-auth-clients-user", "CN"]);
    let mut admin = secure.server.client();
    assert_eq!(admin.run("AUTH secret"), Value::ok());
    assert_eq!(admin.run("ACL SETUSER app on >password ~app:* +@all"), Value::ok());
    assert_eq!(admin.run("ACL SETUSER off-duty off nopass ~* +@all"), Value::ok());
    let connect = |name: &str| {
        let config = secure.authority.trusting(Some(secure.authority.issue(name)));
        secure.connect(config).expect("the server lets it in")
    };
    let mut app = connect("app");
    assert_eq!(app.run("ACL WHOAMI"), Value::bulk("app"), "without a password");
    assert_eq!(app.run("SET app:a 1"), Value::ok());
    let refused = Value::error("NOPERM No permissions to access a key");
    assert_eq!(app.run("SET other 1"), refused);
    assert!(admin.run("CLIENT LIST").text().contains(" user=app "));
    assert_eq!(connect("off-duty").run("GET a"), Value::error(NO_AUTH));
    // It is the user of the moment: who is disabled later does not get in again.
    assert_eq!(admin.run("ACL SETUSER app off"), Value::ok());
    assert_eq!(connect("app").run("GET app:a"), Value::error(NO_AUTH));
    let info = admin.run("INFO stats").text();
    assert!(info.contains("acl_access_denied_tls_cert:2\r\n"), "{info}");
    // Whom the certificate does not log in may still show a password.
    let mut other = connect("off-duty");
    assert_eq!(other.run("AUTH default secret"), Value::ok());
    // A user who is deleted takes their connections along.
    assert_eq!(admin.run("ACL DELUSER app"), Value::Int(1));
    assert!(app.is_closed());
}

#[test]
fn a_nul_in_a_common_name_is_refused() {
    let secure = Secure::start(&["--requirepass", "secret", "--tls-auth-clients-user", "CN"]);
    assert!(secure.admits(Some(secure.authority.issue("default"))));
    for name in ["default\0", "default\0x", "default\0.example.org", "\0default", "\0"] {
        assert!(!secure.admits(Some(secure.authority.issue(name))), "{name:?}");
    }
    let log = secure.server.log();
    assert!(log.contains("NUL"), "{log}");
    // Where names mean nothing they are not looked at.
    let mut admin = secure.server.client();
    assert_eq!(admin.run("AUTH secret"), Value::ok());
    assert_eq!(admin.run("CONFIG SET tls-auth-clients-user off"), Value::ok());
    assert!(secure.admits(Some(secure.authority.issue("default\0x"))));
}

#[test]
fn a_common_name_means_nothing_unless_told_so() {
    let secure = Secure::start(&["--requirepass", "secret"]);
    let config = secure.authority.trusting(Some(secure.authority.issue("default")));
    let mut client = secure.connect(config).expect("the server lets it in");
    assert_eq!(client.run("GET a"), Value::error(NO_AUTH));
}
