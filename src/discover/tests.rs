use super::*;
use proptest::prelude::*;

/// Hosts with their ports and settings, and the notes.
fn shown(found: &Found) -> (Vec<String>, String) {
    let hosts = found.hosts.iter().map(|host| format!("{}:{} {}", host.host, host.port, host.setting));
    (hosts.collect(), found.notes.join("\n"))
}

#[test]
fn npm_with_scopes_proxies_and_a_password() {
    let found = npm(
        r#"{ "registry": "https://user:secret@npm.example.com/", "@shop:registry": "http://192.0.2.7:4873",
             "https-proxy": "http://proxy.example.com:3128", "proxy": null, "noproxy": ["x"], "cache": "/tmp",
             "@odd:registry": "nexus", "init-module": "https://never.example.com" }"#,
    );
    let (hosts, notes) = shown(&found);
    assert_eq!(
        hosts,
        [
            "192.0.2.7:4873 @shop:registry",
            "npm.example.com:443 registry",
            "proxy.example.com:3128 https-proxy"
        ]
    );
    assert!(notes.contains("@odd:registry") && !notes.contains("secret"), "{notes}");
    assert!(npm("not json \u{1b}[31m").notes[0].contains("can't be read"));
}

#[test]
fn a_proxy_on_this_machine_is_advice_and_not_opened() {
    let found = npm(r#"{ "registry": "http://localhost:4873/", "proxy": "http://127.0.0.1:3128" }"#);
    assert!(found.hosts.is_empty());
    let notes = found.notes.join("\n");
    assert!(notes.contains("loopback:4873") && notes.contains("loopback:3128"), "{notes}");
}

const PIP: &str = r#"["https://pypi.example.com/simple", "files.example.com"]"#;

#[test]
fn pip_with_and_without_an_index_of_its_own() {
    let (hosts, _) = shown(&pip("", PIP));
    assert_eq!(hosts.len(), 2);
    assert!(hosts[0].starts_with("files.example.com:443") && hosts[1].starts_with("pypi.example.com:443"));
    let config = "global.extra-index-url='\\nhttps://a.example.com/simple\\nhttps://b.example.com:8443/simple'\n\
                  global.index-url='https://mirror.example.com/simple'\nglobal.proxy='proxy.example.com:3128'\n\
                  global.timeout='60'\ninstall.find-links='/srv/wheels https://links.example.com/'\n";
    let (hosts, notes) = shown(&pip(config, PIP));
    let expected = [
        "a.example.com:443 global.extra-index-url",
        "b.example.com:8443 global.extra-index-url",
        "links.example.com:443 install.find-links",
        "mirror.example.com:443 global.index-url",
        "proxy.example.com:3128 global.proxy",
    ];
    assert_eq!((hosts, notes), (expected.map(String::from).into(), String::new()));
    assert!(pip("nonsense", PIP).notes[0].contains("can't be read"));
}

#[test]
fn uv_in_both_its_sections() {
    let text = "index-url = \"https://a.example.com/simple\"\n[[index]]\nname = \"x\"\nurl = \"https://b.example.com/simple\"\n\
                [pip]\nextra-index-url = [\"https://c.example.com/simple\"]\n";
    let (hosts, notes) = shown(&uv(text, "/etc/uv/uv.toml"));
    assert_eq!(hosts.len(), 3);
    assert!(notes.is_empty() && hosts[0].ends_with("/etc/uv/uv.toml"), "{hosts:?}");
    assert!(uv("= x", "f").notes[0].contains("can't be read"));
}

const SAID: &str = "    Updating index.example.com index\nerror: download of config.json failed\n\nCaused by:\n  \
                    failed to download from `https://index.example.com/config.json`\n\nCaused by:\n  [6] Could not resolve";

fn kept(directory: &str, dl: &str) -> CargoIndex {
    let config = format!("{{ \"dl\": \"{dl}\", \"api\": \"https://api.example.com\" }}");
    CargoIndex { directory: directory.into(), config }
}

#[test]
fn cargo_with_the_index_that_is_built_in() {
    let index = default_index(SAID);
    assert_eq!(index.as_deref(), Some("https://index.example.com/"));
    let curl = "error: failed to update registry\n\nCaused by:\n  [6] Couldn't resolve host name (Could not resolve host: index.example.com)\n";
    assert_eq!(default_index(curl), index);
    assert_eq!(default_index("error: no such command"), None);
    let index = index.as_deref();
    let kept = [
        kept("index.example.com-0123456789abcdef", "https://static.example.com/crates/{crate}/download"),
        // Some project's own registry, which the agent may have written.
        kept("planted.example.com-0123456789abcdef", "https://evil.example.com"),
    ];
    let (hosts, notes) = shown(&cargo("[build]\njobs = 2\n", index, &kept));
    let names: Vec<&str> = hosts.iter().map(|host| host.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["api.example.com:443", "index.example.com:443", "static.example.com:443"]);
    assert_eq!(notes, "");
    let (_, notes) = shown(&cargo("", index, &[]));
    assert!(notes.contains("not fetched the index of index.example.com"), "{notes}");
    assert!(cargo("", None, &[]).notes[0].contains("did not say"));
}

#[test]
fn cargo_with_a_mirror_a_private_registry_and_a_proxy() {
    let config = "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+https://mirror.example.com/index/\"\n\
                  [registries.shop]\nindex = \"sparse+https://crates.shop.example.com/\"\ntoken = \"secret\"\n[http]\nproxy = \"proxy.example.com:3128\"\n";
    let (hosts, notes) = shown(&cargo(config, default_index(SAID).as_deref(), &[]));
    assert_eq!(
        hosts,
        [
            "crates.shop.example.com:443 registries.shop.index",
            "mirror.example.com:443 source.mirror.registry",
            "proxy.example.com:3128 http.proxy"
        ]
    );
    assert!(!notes.contains("secret") && !notes.contains("proxy.example.com"), "{notes}");
}

#[test]
fn apt_in_both_forms() {
    let list = "# deb http://never.example.com x main\ndeb [arch=amd64 signed-by=/x] http://deb.example.com/debian stable main\n\
                deb-src https://src.example.com stable main\ndeb cdrom:[x]/ stable main\ndebug http://no.example.com\n\
                deb tor+http://onion.example.com stable main # why\n";
    let (hosts, notes) = shown(&one_line(list, "/etc/apt/sources.list"));
    let names: Vec<&str> = hosts.iter().map(|host| host.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["deb.example.com:80", "onion.example.com:80", "src.example.com:443"]);
    assert_eq!(notes, "");
    let stanza = "Types: deb\nURIs: http://deb.example.com/debian\n https://second.example.com:8443/\nSuites: stable\n#Enabled: no\n\n\
                  Types: deb\nURIs: https://off.example.com\nEnabled: no\n\nTypes: deb\nURIs: mirror+file:/etc/apt/mirrors\n";
    let (hosts, notes) = shown(&stanzas(stanza, "f"));
    assert_eq!(hosts, ["deb.example.com:80 f", "second.example.com:8443 f"]);
    assert!(notes.contains("by hand"), "{notes}");
    let dump = "APT \"\";\nAcquire::http::Proxy \"http://proxy.example.com:3142\";\nAcquire::https::Proxy \"DIRECT\";\n\
                Acquire::http::Proxy-Auto-Detect \"/usr/bin/x\";\nAcquire::http::Proxy::deb.example.com \"http://127.0.0.1:3142/\";\n";
    let (hosts, notes) = shown(&apt_config(dump));
    assert_eq!(hosts, ["proxy.example.com:3142 acquire::http::proxy"]);
    assert!(notes.contains("loopback:3142"), "{notes}");
}

#[test]
fn gems_and_go_modules() {
    let (hosts, _) =
        shown(&gem("*** CURRENT SOURCES ***\n\nhttps://gems.example.com/\nhttp://shop.example.com:9292\n"));
    assert_eq!(hosts, ["gems.example.com:443 sources", "shop.example.com:9292 sources"]);
    assert!(gem("").notes[0].contains("no source"));
    let (hosts, notes) = shown(&go(
        r#"{ "GOPROXY": "https://a.example.com|https://b.example.com/go,direct", "GOSUMDB": "sum.example.com+1+key" }"#,
    ));
    assert_eq!(
        hosts,
        ["a.example.com:443 GOPROXY", "b.example.com:443 GOPROXY", "sum.example.com:443 GOSUMDB"]
    );
    assert!(notes.contains("by hand"), "{notes}");
    let (hosts, notes) =
        shown(&go(r#"{ "GOPROXY": "off", "GOSUMDB": "sum.example.com https://other.example.com/sum" }"#));
    assert_eq!((hosts, notes), (vec!["other.example.com:443 GOSUMDB".to_owned()], String::new()));
    assert!(go("{}").notes[0].contains("can't be read"));
}

#[test]
fn there_is_a_bound() {
    let many: Vec<String> = (0..200).map(|n| format!("https://h{n}.example.com")).collect();
    assert_eq!(gem(&many.join("\n")).hosts.len(), MOST);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No answer of any tool makes a reader panic, and nothing that could drive a terminal gets into a note.
    #[test]
    fn any_answer(text in "\\PC{0,80}|[a-z:/.@'\"\\[\\]{}= \\n-]{0,120}", raw in ".{0,20}") {
        let index = [CargoIndex { directory: text.clone(), config: raw.clone() }];
        let all = [
            npm(&text), pip(&text, &raw), pip(&raw, &text), uv(&text, "f"), cargo(&text, default_index(&raw).as_deref(), &index),
            one_line(&text, "f"), stanzas(&text, "f"), apt_config(&text), gem(&text), go(&text),
        ];
        for found in all {
            for note in &found.notes {
                prop_assert!(!note.contains(char::is_control), "{note:?}");
            }
            for host in &found.hosts {
                prop_assert!(host.port > 0 && !host.host.is_empty() && !host.host.contains('@'));
            }
        }
    }
}
