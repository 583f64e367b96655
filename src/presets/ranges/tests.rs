use super::*;
use proptest::prelude::*;

fn snapshots() -> [Ranges; 2] {
    Publisher::ALL.map(|publisher| snapshot(publisher).unwrap())
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn the_snapshots_are_whole_and_both_families_are_in_them() {
    for ranges in snapshots() {
        let text = render(&ranges);
        assert_eq!(read(ranges.source, text.as_bytes()), Ok(ranges.clone()), "{}", ranges.source);
        assert!(
            addresses(&all(&ranges), true) > 10_000 && addresses(&all(&ranges), false) > 10_000,
            "{}",
            ranges.source
        );
        assert_eq!(follows(ranges.clone(), &ranges), Ok(ranges.clone()));
        assert_eq!(difference(&ranges, &ranges), vec![]);
    }
    let [github, aws] = snapshots();
    assert!(github.groups["web"].contains(&net("140.82.112.0/20")));
    assert!(aws.groups.len() > 30 && aws.groups["eu-central-1"].len() > 5);
    assert_eq!(read(Publisher::Aws, render(&github).as_bytes()).ok(), None);
}

#[test]
fn the_snapshot_in_the_project_is_what_render_writes() {
    for (ranges, text) in snapshots().iter().zip([include_str!("github.json"), include_str!("aws.json")]) {
        assert_eq!(render(ranges), text);
    }
}

/// A document of GitHub as it is published, from the snapshot.
fn meta(change: impl Fn(&mut Groups)) -> Vec<u8> {
    let [github, _] = snapshots();
    let mut groups = github.groups;
    change(&mut groups);
    let mut document = serde_json::to_value(groups).unwrap();
    document["verifiable_password_authentication"] = false.into();
    document["domains"] = serde_json::json!({ "website": ["*.example.com"] });
    serde_json::to_vec(&document).unwrap()
}

fn today() -> Date {
    "2026-11-24".parse().unwrap()
}

#[test]
fn a_document_of_github_is_read() {
    let [github, _] = snapshots();
    let read = read_document(Publisher::Github, &meta(|_| {}), today()).unwrap();
    assert_eq!((read.groups.clone(), read.date), (github.groups.clone(), today()));
    assert!(follows(read, &github).is_ok());
}

#[test]
fn a_document_of_aws_is_read() {
    let document = serde_json::json!({
        "syncToken": "1", "createDate": "2026-08-22-15-17-05",
        "prefixes": [
            { "ip_prefix": "52.92.0.0/17", "region": "us-east-1", "service": "S3", "network_border_group": "us-east-1" },
            { "ip_prefix": "52.92.128.0/17", "region": "us-east-1", "service": "S3", "network_border_group": "x" },
            { "ip_prefix": "3.0.0.0/15", "region": "us-east-1", "service": "EC2", "network_border_group": "x" },
        ],
        "ipv6_prefixes": [
            { "ipv6_prefix": "2600:1fa0:8000::/39", "region": "us-east-1", "service": "S3", "network_border_group": "x" },
        ],
    });
    let ranges = read_document(Publisher::Aws, document.to_string().as_bytes(), today()).unwrap();
    assert_eq!(ranges.date.to_string(), "2026-08-22");
    assert_eq!(ranges.groups["us-east-1"], [net("52.92.0.0/16"), net("2600:1fa0:8000::/39")]);
}

#[test]
fn networks_that_no_publisher_has_are_refused() {
    let bad = [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "127.0.0.1/32",
        "169.254.169.254/32",
        "224.0.0.0/4",
        "4.0.0.0/8",
        "::/0",
        "::1/128",
        "fe80::/64",
        "2600::/12",
        "203.0.113.0/24",
        "140.82.112.1/20",
    ];
    for text in bad {
        let document = meta(|groups| groups.get_mut("web").unwrap().push(net(text)));
        let error = read_document(Publisher::Github, &document, today()).unwrap_err();
        assert!(
            matches!(&error, RangesError::Network { group, net: at, .. } if group == "web" && *at == net(text)),
            "{error}"
        );
    }
}

#[test]
fn empty_and_missing_groups_are_refused() {
    let empty = meta(|groups| groups.get_mut("git").unwrap().clear());
    assert_eq!(read_document(Publisher::Github, &empty, today()), Err(RangesError::Empty("git".into())));
    let missing = meta(|groups| drop(groups.remove("git")));
    assert!(matches!(read_document(Publisher::Github, &missing, today()), Err(RangesError::Form { .. })));
    for text in ["", "{}", "[]", "null", "\u{1b}[31m", "{\"message\":\"API rate limit exceeded\"}"] {
        for publisher in Publisher::ALL {
            let error = read_document(publisher, text.as_bytes(), today()).unwrap_err();
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
        }
    }
}

#[test]
fn a_sudden_jump_is_refused_and_a_slow_change_is_not() {
    let [github, _] = snapshots();
    let with =
        |change: &dyn Fn(&mut Groups)| read_document(Publisher::Github, &meta(change), today()).unwrap();
    let wide = with(&|groups| {
        groups.get_mut("web").unwrap().extend((64..96).map(|n| net(&format!("{n}.16.0.0/12"))));
    });
    assert!(matches!(follows(wide, &github), Err(RangesError::Jump { family: "IPv4", .. })));
    let narrow = with(&|groups| groups.values_mut().for_each(|nets| nets.truncate(1)));
    assert!(matches!(follows(narrow, &github), Err(RangesError::Jump { .. })));
    let little = with(&|groups| groups.get_mut("web").unwrap().push(net("9.9.9.0/24")));
    let differences = difference(&github, &little);
    assert_eq!(differences, [("web".to_owned(), vec![net("9.9.9.0/24")], vec![])]);
    assert!(follows(little, &github).is_ok());
    let old = Ranges { date: "2020-01-01".parse().unwrap(), ..github.clone() };
    assert!(matches!(follows(old, &github), Err(RangesError::Older { .. })));
}

#[test]
fn too_much_is_refused() {
    let many: Vec<IpNet> = (0..=u32::try_from(MOST).unwrap())
        .map(|n| IpNet::from(IpAddr::from((0x0909_0000 + n * 2).to_be_bytes())))
        .collect();
    let document = meta(|groups| groups.get_mut("web").unwrap().clone_from(&many));
    assert!(matches!(read_document(Publisher::Github, &document, today()), Err(RangesError::TooMany(_))));
    let long = vec![b' '; MAX_DOCUMENT + 1];
    assert_eq!(read_document(Publisher::Aws, &long, today()), Err(RangesError::TooLarge(MAX_DOCUMENT + 1)));
}

#[test]
fn a_name_does_not_lead_into_the_local_network() {
    let named = [net("10.1.0.0/16")];
    let may = |text: &str| may_resolve_to(text.parse().unwrap(), &named);
    assert!(may("9.9.9.9") && may("192.0.2.1") && may("10.1.2.3"));
    for address in
        ["10.2.0.1", "127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:10.2.0.1", "192.168.0.1"]
    {
        assert!(!may(address), "{address}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    /// Any bytes are read or refused; nothing panics, and what is let through is public.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for publisher in Publisher::ALL {
            let _ = read(publisher, &bytes);
            let _ = read_document(publisher, &bytes, today());
        }
    }

    /// A damaged file is read as ranges that are good, or refused.
    #[test]
    fn damaged_files(at in 0..70_000usize, len in 0..40usize, with in "[0-9a-z./:,\\[\\]{}\"-]{0,12}") {
        for (publisher, text) in [(Publisher::Github, include_str!("github.json")), (Publisher::Aws, include_str!("aws.json"))] {
            let at = at % text.len();
            let end = (at + len).min(text.len());
            let damaged = format!("{}{with}{}", &text[..at], &text[end..]);
            if let Ok(ranges) = read(publisher, damaged.as_bytes()) {
                prop_assert!(ranges.groups.values().flatten().all(|net| is_public(net) && net.prefix_len() >= SHORTEST.0));
                prop_assert_eq!(read(publisher, render(&ranges).as_bytes()), Ok(ranges));
            }
        }
    }
}
