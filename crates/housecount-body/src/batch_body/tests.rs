//! Bodies of every form, good and bad.

use housecount_core::event::EventKind;

use super::*;

/// Reads a body. Returns for each place the viewer, or the code of its problem.
fn read(bytes: &[u8], form: BatchForm) -> Result<Vec<(usize, String)>, &'static str> {
    let parsed = parse_many(bytes, form).map_err(|problem| problem.code())?;
    let viewer_of = |beat: Result<HeartbeatRequest<'_>, Problem>| {
        let viewer = beat.and_then(|beat| {
            beat.to_event(EventKind::Beat).map(|viewer_of| viewer_of.ids.viewer.to_string())
        });
        viewer.unwrap_or_else(|problem| problem.code().to_string())
    };
    Ok(parsed.into_iter().map(|(index, beat)| (index, viewer_of(beat))).collect())
}

fn at(found: &[(usize, &str)]) -> Result<Vec<(usize, String)>, &'static str> {
    Ok(found.iter().map(|(index, what)| (*index, what.to_string())).collect())
}

fn beat(viewer: &str) -> String {
    format!(r#"{{"stage":"s","viewer":"{viewer}"}}"#)
}

const FORMS: [BatchForm; 3] = [BatchForm::Json, BatchForm::Lines, BatchForm::Either];

#[test]
fn each_content_type_has_its_form() {
    let of = |kind: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        kind.map(|kind| headers.insert("content-type", kind.parse().unwrap()));
        BatchForm::of(&headers).map_err(|problem| problem.status().as_u16())
    };
    for kind in [Some("text/plain"), Some("text/plain; charset=utf-8"), None] {
        assert_eq!(of(kind), Ok(BatchForm::Either), "{kind:?}");
    }
    assert_eq!(of(Some("application/json;charset=UTF-8")), Ok(BatchForm::Json));
    for kind in ["application/x-ndjson", "application/ndjson"] {
        assert_eq!(of(Some(kind)), Ok(BatchForm::Lines));
    }
    for kind in ["multipart/form-data; boundary=x", "application/jsonl", ""] {
        assert_eq!(of(Some(kind)), Err(415), "{kind}");
    }
}

#[test]
fn a_body_has_the_form_that_its_type_says() {
    let (ann, bob) = (beat("ann"), beat("bob"));
    let (array, lines) = (format!(" [{ann},{bob}]"), format!("\r\n{ann}\r\n\n{bob}\n"));
    let both = at(&[(0, "ann"), (1, "bob")]);
    assert_eq!(read(array.as_bytes(), BatchForm::Json), both);
    assert_eq!(read(array.as_bytes(), BatchForm::Either), both);
    assert_eq!(read(array.as_bytes(), BatchForm::Lines), at(&[(0, "invalid_body")]));
    assert_eq!(read(lines.as_bytes(), BatchForm::Lines), at(&[(1, "ann"), (3, "bob")]));
    assert_eq!(read(lines.as_bytes(), BatchForm::Either), at(&[(1, "ann"), (3, "bob")]));
    assert_eq!(read(lines.as_bytes(), BatchForm::Json), Err("invalid_body"));
    assert!(FORMS.iter().all(|form| read(ann.as_bytes(), *form) == at(&[(0, "ann")])));
    for empty in ["", " \r\n\t"] {
        assert!(FORMS.iter().all(|form| read(empty.as_bytes(), *form) == Err("invalid_body")));
    }
    assert_eq!(read(b"[]", BatchForm::Json), at(&[]));
    for bad in ["7", "null", "[", "[{]", r#"{"stage":"s","viewer":"v"} x"#, "{"] {
        assert_eq!(read(bad.as_bytes(), BatchForm::Json), Err("invalid_body"), "{bad}");
    }
}

/// A byte may be within a text, be a text's only byte, be cut off, or be a surrogate.
#[test]
fn a_byte_that_is_not_utf8_spoils_its_own_heartbeat_only() {
    for bad in [&b"\xff"[..], b"Zo\xeb", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98"] {
        let beats = [
            beat("ann").into(),
            [br#"{"stage":"s","viewer":""#, bad, br#""}"#].concat(),
            beat("Zo\u{eb}").into(),
        ];
        let array = [b"[", &beats.join(&b", "[..])[..], b"]"].concat();
        let expected = at(&[(0, "ann"), (1, "invalid_body"), (2, "Zo\u{eb}")]);
        assert_eq!(read(&array, BatchForm::Json), expected, "{bad:?}");
        assert_eq!(read(&beats.join(&b'\n'), BatchForm::Lines), expected, "{bad:?}");
    }
    assert_eq!(
        read(b"[{},\xff{}]", BatchForm::Json),
        Err("invalid_body"),
        "the bad byte is outside all elements"
    );
}

/// Slices of any bounds give the same heartbeats as one pass of serde.
#[test]
fn batch_slice_beats_max_is_read_at_once_and_nothing_is_lost_between() {
    let max = BATCH_SLICE_BEATS_MAX;
    for count in [0, 1, max - 1, max, max + 1, 5 * max] {
        let mut beats: Vec<String> = (0..count).map(|n| beat(&format!("viewer-{n}"))).collect();
        let bodies = [
            (format!("[{}]", beats.join(" ,\n")).into_bytes(), BatchForm::Json, 0),
            (beats.join("\n").into_bytes(), BatchForm::Lines, 0),
            {
                // One is not UTF-8, so the body is copied first.
                beats.push(beat("?"));
                let spoiled = format!("[{}]", beats.join(",")).into_bytes();
                (
                    spoiled.iter().map(|b| if *b == b'?' { 0xff } else { *b }).collect(),
                    BatchForm::Json,
                    1,
                )
            },
        ];
        for (body, form, bad) in bodies {
            if count + bad == 0 && form == BatchForm::Lines {
                continue;
            }
            let mut parser = BatchParser::new(&body, form).unwrap();
            let mut slices = 0;
            loop {
                let before = parser.parsed.len();
                let is_over = parser.read_some().unwrap();
                assert!(parser.parsed.len() - before <= max);
                slices += 1;
                if is_over {
                    break;
                }
            }
            assert!(slices >= (count + bad).div_ceil(max), "{slices} slices of {count}");
            let parsed = parser.into_parsed();
            assert_eq!(parsed.len(), count + bad);
            for (n, (index, beat)) in parsed.iter().enumerate().take(count) {
                let viewer_of = beat.as_ref().unwrap().to_event(EventKind::Beat).unwrap();
                assert_eq!((*index, viewer_of.ids.viewer), (n, &*format!("viewer-{n}")));
            }
            assert_eq!(parsed.iter().filter(|(_, beat)| beat.is_err()).count(), bad);
        }
    }
}

#[test]
fn a_broken_array_is_refused_as_a_whole() {
    for bad in [
        "[{},]",
        "[,{}]",
        "[{} {}]",
        "[{}",
        "[{},",
        "[",
        "[}",
        "[{}]]",
        "[{}] 7",
        "[{\"a\":}]",
        "[{},nul]",
        "\u{c}[{}]",
        "[{}\u{b},{}]",
    ] {
        assert_eq!(read(bad.as_bytes(), BatchForm::Json), Err("invalid_body"), "{bad}");
        let elements = serde_json::from_str::<Vec<&RawValue>>(bad);
        assert!(elements.is_err(), "serde refuses it as well: {bad}");
    }
    for (good, elements) in [("[ ]", 0), (" [7 , null,\t[] ,\"x\"]\r\n", 4), ("[{ } ]", 1)] {
        assert_eq!(read(good.as_bytes(), BatchForm::Json).unwrap().len(), elements, "{good}");
    }
}

#[test]
fn batch_beats_max_holds_for_every_form() {
    let many = |n: usize, between: &str| vec!["{}"; n].join(between);
    for n in [BATCH_BEATS_MAX, BATCH_BEATS_MAX + 1] {
        let expected = if n > BATCH_BEATS_MAX { Err("too_many_heartbeats") } else { Ok(n) };
        let array = format!("[{}]", many(n, ","));
        let spoiled = array.replacen("{}", r#"{"stage":"\ud800"}"#, 1);
        for (body, form) in [
            (array, BatchForm::Json),
            (spoiled, BatchForm::Json),
            (many(n, "\n"), BatchForm::Lines),
        ] {
            assert_eq!(read(body.as_bytes(), form).map(|found| found.len()), expected, "{form:?}");
        }
    }
}
