//! The command line: directives, and what else the program does.

use super::*;

#[test]
fn the_command_line_reads_like_lines_of_the_file() {
    let config = load(&[
        "--port",
        "7000",
        "--bind",
        "127.0.0.1",
        "-::1",
        "--save",
        "60",
        "1",
        "--save",
        "30",
        "2",
        "--slowlog-log-slower-than",
        "-1",
        "--maxmemory=64mb",
        "--requirepass",
        "a b\"c",
        "--client-output-buffer-limit",
        "normal",
        "1mb",
        "2kb",
        "5",
        "--LogLevel",
        "Warning",
        "--unixsocket",
        "",
    ]);
    let settings = config.settings();
    assert_eq!(settings.port, 7000);
    assert_eq!(settings.bind, ["127.0.0.1", "-::1"]);
    assert_eq!(value(&config, "save"), "60 1 30 2");
    assert_eq!(settings.slowlog_log_slower_than, -1);
    assert_eq!(settings.maxmemory, 64 << 20);
    assert_eq!(settings.requirepass, b"a b\"c");
    assert_eq!(settings.output_limits.normal.soft, 2048);
    assert_eq!(settings.output_limits.pubsub.hard, 32 << 20, "classes not named keep theirs");
    assert_eq!(settings.loglevel, LogLevel::Warning);
    assert_eq!(settings.unixsocket, None);
    assert_eq!(value(&load(&["--save", ""]), "save"), "");
    assert_eq!(value(&load(&["--save", "60 1"]), "save"), "60 1");
    assert_eq!(value(&load(&["--slave-read-only", "no"]), "replica-read-only"), "no");
    assert!(!load(&["--insecure"]).settings().protected_mode);
    assert!(!load(&["--insecure", "--port", "0"]).settings().protected_mode);
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    assert!(refused(&["--prot", "1"]).contains("'--port'"), "a suggestion");
    assert_eq!(refused(&["--port"]), "--port: wrong number of arguments");
    assert_eq!(refused(&["--port", "1", "2"]), "--port: wrong number of arguments");
    assert!(refused(&["--hz", "x"]).starts_with("--hz: argument couldn't be parsed"));
    assert!(refused(&["--daemonize", "yes"]).contains("foreground"));
    assert!(refused(&["--replicaof", "h", "1"]).contains("not supported"));
    assert_eq!(load(&["--tcp-keepalive", "1", "--syslog-enabled", "no"]).warnings().len(), 1);
    let nowhere = load_with(&["/no/such/file"], &[]).unwrap_err();
    assert_eq!(nowhere.exit_code(), 1);
    let expected = "Fatal error, can't open config file '/no/such/file': No such file or directory";
    assert_eq!(nowhere.to_string(), expected);
}

#[test]
fn help_and_version_are_no_failures() {
    for flag in ["--help", "-h"] {
        let help = load_with(&[flag], &[]).unwrap_err();
        assert_eq!(help.exit_code(), 0);
        let text = help.to_string();
        for row in DIRECTIVES {
            assert!(text.contains(&format!("--{} ", row.name)), "{}", row.name);
        }
    }
    for flag in ["--version", "-v", "-V"] {
        let version = load_with(&[flag], &[]).unwrap_err();
        assert_eq!(version.exit_code(), 0);
        assert!(version.to_string().starts_with("dunlin "), "{version}");
    }
}

#[test]
fn completions_and_the_manual_know_every_directive() {
    for args in [&["--man"][..], &["--completions", "bash"], &["--completions=zsh"]] {
        let page = load_with(args, &[]).unwrap_err();
        assert_eq!(page.exit_code(), 0);
        let text = page.to_string().replace("\\-", "-");
        for row in DIRECTIVES {
            assert!(text.contains(&format!("--{}", row.name)), "{args:?}: {}", row.name);
        }
        assert!(text.contains("ping") && text.contains("--check-config"), "{args:?}");
        assert!(!text.contains("--rename-command"), "{args:?}: what is refused is not offered");
    }
    let unknown = load_with(&["--completions", "csh"], &[]).unwrap_err();
    assert_eq!(
        (unknown.exit_code(), &*unknown.to_string()),
        (1, "--completions: no such shell: 'csh'")
    );
}

#[test]
fn a_check_finds_every_fault() {
    let dir = Directory::new("check");
    let inner = dir.file("inner", "hz many\n");
    let path = dir.file(
        "c",
        &format!("port 7\nport x\nnosuch 1\nrequirepass geheim 2\ninclude {inner}\n\"\nhz 20\ninclude /no\n"),
    );
    let args = ["dunlin", &path, "--check-config", "--timeout", "soon"].map(OsString::from);
    let env = [(OsString::from("DUNLIN_DATABASES"), OsString::from("0"))];
    let Ok(Task::Check { config, faults }) = Task::read_for(args, env, MEMORY) else {
        panic!("no check")
    };
    assert_eq!((config.settings().port, config.settings().hz), (7, 20), "the rest is read");
    let begin = |at: &str| at.to_owned();
    let begins = [
        format!("{path}:2: port: "),
        format!("{path}:3: nosuch: Bad directive"),
        format!("{path}:4: requirepass: "),
        format!("{inner}:1: hz: "),
        format!("{path}:6: \": Unbalanced quotes"),
        begin("Fatal error, can't open config file '/no'"),
        begin("DUNLIN_DATABASES: "),
        begin("--timeout: "),
    ];
    assert_eq!(faults.len(), begins.len(), "{faults:#?}");
    for (fault, begin) in faults.iter().zip(begins) {
        assert!(fault.starts_with(&begin) && !fault.contains("geheim"), "{fault}");
    }
}

#[test]
fn a_ping_reads_the_same_sources_and_says_where() {
    let dir = Directory::new("ping");
    let path = dir.file("c", "port 7\nunixsocket /s\n");
    let ping = |args: &[&str]| {
        let args =
            ["dunlin", "ping", &path].into_iter().chain(args.iter().copied()).map(OsString::from);
        let env = [(OsString::from("DUNLIN_REQUIREPASS"), OsString::from("geheim"))];
        match Task::read_for(args, env, MEMORY) {
            Ok(Task::Ping { config, place }) => Ok((config.settings(), place)),
            other => Err(format!("{other:?}")),
        }
    };
    let (settings, place) = ping(&[]).unwrap();
    assert_eq!((settings.port, place), (7, None));
    assert_eq!(settings.requirepass, b"geheim");
    assert_eq!(settings.unixsocket.as_deref(), Some(Path::new("/s")));
    let (settings, place) = ping(&["-p", "8"]).unwrap();
    assert_eq!((settings.port, place), (8, Some("port")));
    let (settings, place) = ping(&["-s", "/t", "--tls-port", "9"]).unwrap();
    assert_eq!((settings.tls.port, place), (9, Some("unixsocket")));
    assert_eq!(settings.unixsocket.as_deref(), Some(Path::new("/t")));
    assert!(ping(&["--maxmemory", "1"]).is_err(), "nothing that says how to serve");
    // Elsewhere -s and -p are words, and a file may have any name.
    assert_eq!(value(&load(&["--requirepass", "-p"]), "requirepass"), "-p");
    assert!(refused(&["./ping"]).contains("can't open config file './ping'"));
}
