//! However a stream of requests is cut, and whenever answers become ready: the same bytes come out.

use proptest::prelude::*;
use proptest::sample::Index;

use super::stage::{Stage, answers};
use crate::http::Method;

/// One request of the stream: its bytes, and the gate that its answer waits for.
#[derive(Debug, Clone)]
struct Sent {
    bytes: String,
    method: Method,
    later: bool,
}

fn body() -> impl Strategy<Value = String> {
    "[a-z\r\n]{0,40}"
}

/// A body as chunks, with extensions and trailers now and then.
fn chunked(parts: &[String], extras: bool) -> String {
    let extension = if extras { ";name=\"a b\"" } else { "" };
    let mut text = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        text += &format!("{:X}{extension}\r\n{part}\r\n", part.len());
    }
    text += "0\r\n";
    text += if extras { "Trailer: x\r\n\r\n" } else { "\r\n" };
    text
}

fn sent() -> impl Strategy<Value = Sent> {
    let framing = prop_oneof![
        Just(String::from("\r\n")),
        body().prop_map(|body| format!("Content-Length: {}\r\n\r\n{body}", body.len())),
        (prop::collection::vec(body(), 0..4), any::<bool>()).prop_map(|(parts, extras)| format!(
            "Transfer-Encoding: chunked\r\n\r\n{}",
            chunked(&parts, extras)
        )),
    ];
    let method = prop::sample::select(vec![Method::Get, Method::Head, Method::Post]);
    (method, any::<[bool; 3]>(), framing).prop_map(|(method, [later, blank, expect], framing)| {
        let blank = if blank { "\r\n" } else { "" };
        let expect = if expect {
            "Expect: 100-continue\r\n"
        } else {
            ""
        };
        let path = if later { "/later/GATE" } else { "/now" };
        let name = method.name();
        Sent {
            bytes: format!("{blank}{name} {path} HTTP/1.1\r\nHost: a\r\n{expect}{framing}"),
            method,
            later,
        }
    })
}

/// How the stream ends.
fn last() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /now HTTP/1.0\r\n\r\n",
        "GET /now HTTP/1.1\r\n\r\n",
        "POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",
        "POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        "GET /now\r\n",
    ])
}

/// Feeds the pieces, opening a gate of `gates` between any two, and gives what came out, without
/// the interim answers: whether one is sent depends on whether the body is there already.
fn outcome(pieces: &[&[u8]], gates: &[usize], closing: bool) -> String {
    let mut stage = Stage::new();
    let mut gates = gates.iter();
    for piece in pieces {
        stage.send(piece);
        if let Some(gate) = gates.next() {
            stage.open(&gate.to_string());
        }
    }
    for gate in gates {
        stage.open(&gate.to_string());
    }
    if closing {
        assert!(!stage.read().is_empty());
    }
    stage.finish_sending();
    assert!(stage.is_over());
    assert!(stage.script.dropped.borrow().is_empty());
    let text = stage.read();
    let text = text.replace("HTTP/1.1 100 Continue\r\n\r\n", "");
    let is_of_the_run =
        |line: &&str| line.starts_with("x-request-id: ") || line.starts_with("x-process-time: ");
    let lines = text.split("\r\n").filter(|line| !is_of_the_run(line));
    lines.collect::<Vec<_>>().join("\r\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_gives_the_same_answers(
        requests in prop::collection::vec(sent(), 1..12),
        last in last(),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
        order in any::<prop::sample::Selector>(),
    ) {
        let mut stream = String::new();
        let mut gates = Vec::new();
        for (number, request) in requests.iter().enumerate() {
            stream += &request.bytes.replace("GATE", &number.to_string());
            if request.later {
                gates.push(number);
            }
        }
        stream += last;
        let whole = outcome(&[stream.as_bytes()], &gates, !last.is_empty());

        let mut shuffled = Vec::new();
        let mut left = gates.clone();
        while !left.is_empty() {
            let chosen = *order.select(&left);
            left.retain(|gate| *gate != chosen);
            shuffled.push(chosen);
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts
            .windows(2)
            .map(|pair| &stream.as_bytes()[pair[0]..pair[1]])
            .collect();
        let split = outcome(&pieces, &shuffled, !last.is_empty());
        prop_assert_eq!(&split, &whole);

        let methods: Vec<Method> = requests.iter().map(|request| request.method).collect();
        let answers = answers(whole.as_bytes(), &methods);
        prop_assert_eq!(answers.len(), requests.len() + usize::from(!last.is_empty()));
        for (number, (request, answer)) in requests.iter().zip(&answers).enumerate() {
            prop_assert_eq!(answer.status, 200);
            let seen = format!("{} /later/{number} ", request.method.name());
            if request.later && request.method != Method::Head {
                prop_assert!(answer.body.starts_with(&seen), "{}", answer.body);
            }
        }
    }

    #[test]
    fn single_bytes_give_the_same_answers(
        requests in prop::collection::vec(sent(), 1..4),
        last in last(),
    ) {
        let stream: String = requests.iter().map(|request| request.bytes.as_str()).collect();
        let stream = stream.replace("/later/GATE", "/now") + last;
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        let closing = !last.is_empty();
        prop_assert_eq!(
            outcome(&bytes, &[], closing),
            outcome(&[stream.as_bytes()], &[], closing)
        );
    }
}
