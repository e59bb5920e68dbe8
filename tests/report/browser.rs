//! The page in headless Chromium: what is drawn, on a screen and on a telephone, light and dark.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

use crate::dumps::{self, Recorded};
use crate::support::TempDir;
use crate::support::browser::{Pages, picture};
use crate::support::png::Picture;
use crate::{printed, report};

const SCREEN: &str = "--window-size=1180,900";
const TELEPHONE: &str = "--window-size=390,844";
const DARK: &str = "--force-dark-mode";

/// One browser at a time: they are large.
static TURN: Mutex<()> = Mutex::new(());

/// Takes note of whatever goes wrong from the first line on.
const FAULTS: &str = "<script>window.faults = [];\
    addEventListener('error', (event) => faults.push(`error: ${event.message}`));\
    addEventListener('securitypolicyviolation', (event) => faults.push(`fetches ${event.blockedURI}`));\
    for (const kind of ['error', 'warn']) console[kind] = (...words) => faults.push(words.join(' '));\
    </script>";

/// The page of a report.
fn page(place: &TempDir, arguments: &[&Path]) -> (PathBuf, String) {
    let path = place.path().join("page.html");
    let arguments = arguments.iter().map(|argument| argument.as_os_str());
    printed(arguments.chain(["--html".as_ref(), path.as_os_str()]));
    let html = std::fs::read_to_string(&path).expect("a page");
    (path, html)
}

/// What a browser says of it. The page forbids itself every script, the test's own included.
fn looked_at(html: &str, arguments: &[&str]) -> Value {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
    assert_eq!(html.matches(policy).count(), 1);
    assert!(!html.contains("<script"));
    let html = html
        .replace(policy, "")
        .replace("<head>", &format!("<head>{FAULTS}"))
        .replace(
            "</main>",
            concat!("</main><script>", include_str!("look.js"), "</script>"),
        );
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let pages = Pages::start();
    let seen = pages.shown_in("localhost", &html, arguments);
    let seen: Value = serde_json::from_str(&seen).expect("JSON");
    assert_eq!(seen["problems"], Value::Array(Vec::new()));
    seen
}

fn figures(seen: &Value) -> &Vec<Value> {
    seen["figures"].as_array().expect("figures")
}

fn all(values: &Value, is_so: impl Fn(f64) -> bool) -> bool {
    let mut values = values.as_array().expect("a list").iter();
    values.all(|value| is_so(value.as_f64().expect("a number")))
}

#[test]
fn the_shop_is_drawn_on_a_screen_and_on_a_telephone_light_and_dark() {
    let place = TempDir::new();
    let [now, before] = ["now", "before"].map(|name| place.path().join(name));
    dumps::shop(&now, true);
    dumps::shop(&before, false);
    let against = [
        "--against".as_ref(),
        before.as_path(),
        "--p99".as_ref(),
        "1h".as_ref(),
    ];
    let (path, html) = page(&place, &[&[now.as_path()], &against[..]].concat());
    let light = looked_at(&html, &[SCREEN]);
    let dark = looked_at(&html, &[TELEPHONE, DARK]);
    assert_eq!(
        (&light["isDark"], &dark["isDark"]),
        (&false.into(), &true.into())
    );
    assert_eq!(
        (&light["paper"], &dark["paper"]),
        (&"rgb(255, 255, 255)".into(), &"rgb(18, 21, 26)".into())
    );
    assert!(dark["width"].as_u64() < Some(600));
    for seen in [&light, &dark] {
        let figures = figures(seen);
        // Four of all routes, three of each of six.
        assert_eq!(figures.len(), 4 + 3 * 6);
        let shapes =
            |index: usize, kind: &str| figures[index][kind].as_array().expect("a list").len();
        // Six routes and those that they are compared with; three percentiles; four stages.
        assert_eq!(
            (shapes(0, "lines"), figures[0]["dashed"].as_u64()),
            (12, Some(6))
        );
        assert_eq!((shapes(2, "lines"), shapes(3, "areas")), (3, 4));
        assert!(shapes(1, "areas") >= 2 * (6 * 4 + 2), "bars of both sets");
        assert_eq!(figures[2]["told"], 30, "a point for each minute");
        for figure in figures {
            assert!(figure["labels"].as_u64() >= Some(4), "{figure}");
            assert!(all(&figure["lines"], |length| length > 40.0), "{figure}");
            assert!(
                !figure["legend"].as_array().expect("a list").is_empty(),
                "{figure}"
            );
        }
        let targets = seen["targets"].as_array().expect("targets");
        assert!(targets.len() == 6 && targets.iter().all(|target| *target == "met"));
        let user = &seen["cells"][3];
        assert_eq!(user[0], "get_user");
        assert!(
            user[5].as_str().is_some_and(|cell| cell.contains("×1.")),
            "{user}"
        );
    }
    pictures(&path);
}

/// The colours of stages and percentiles on the paper, by the pixels of a picture.
fn pictures(page: &Path) {
    let colours = [
        (
            [255, 255, 255],
            [
                [0x2a, 0x6f, 0xdb],
                [0xc9, 0x62, 0x0a],
                [0x2b, 0x8a, 0x3e],
                [0xc9, 0x2a, 0x2a],
            ],
        ),
        (
            [18, 21, 26],
            [
                [0x6e, 0xa8, 0xfe],
                [0xff, 0xa9, 0x4d],
                [0x69, 0xdb, 0x7c],
                [0xff, 0x87, 0x87],
            ],
        ),
    ];
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (scheme, (paper, colours)) in [None, Some(DARK)].into_iter().zip(colours) {
        let arguments: Vec<&str> = ["--window-size=1180,2600"]
            .into_iter()
            .chain(scheme)
            .collect();
        let picture = Picture::read(&picture(page, &arguments));
        assert_eq!(picture.width, 1180);
        let share = |colour| picture.count(colour) as f64 / picture.pixels.len() as f64;
        assert!(share(paper) > 0.3, "{scheme:?}: paper {}", share(paper));
        // Postgres has most of the time and the areas most of the ink.
        assert!(
            share(colours[0]) > 0.02,
            "{scheme:?}: postgres {}",
            share(colours[0])
        );
        for colour in &colours[1..] {
            assert!(
                picture.count(*colour) > 1000,
                "{scheme:?}: {colour:?} {}",
                picture.count(*colour)
            );
        }
    }
}

#[test]
fn long_names_few_values_and_extreme_times_are_drawn_too() {
    let place = TempDir::new();
    let long: &'static str = Box::leak("a_name_that_goes_on_".repeat(12).into_boxed_str());
    let names: Vec<&'static str> = (0..50)
        .map(|index| &*Box::leak(format!("route_{index}").into_boxed_str()))
        .collect();
    let names = [vec![long], names].concat();
    let mut recorded = Recorded::start(&place.path().join("dumps"), &[0], &names);
    recorded.core(0, |core| {
        core.request(long, [1, 1, 59_000_000, 1]);
        core.request("/ready", [1, 0, 0, 1]);
        for (index, name) in names.iter().enumerate().skip(1) {
            core.totals(name, vec![1000; index]);
        }
    });
    recorded.dump(3);
    // Days later, so that there is a gap.
    let mut later = Recorded::starting(&place.path().join("dumps"), &[0], &names, 400_000);
    later.core(0, |core| core.totals("route_1", 10..3000));
    later.dump(400_060);
    let (_, html) = page(&place, &[&place.path().join("dumps")]);
    for arguments in [[SCREEN], [TELEPHONE]] {
        let seen = looked_at(&html, &arguments);
        // Forty routes have plots of their own.
        assert_eq!(figures(&seen).len(), 4 + 3 * 40);
        assert_eq!(seen["cells"].as_array().map(Vec::len), Some(52 + 1));
    }
}

#[test]
fn a_single_request_and_none_at_all_make_a_page() {
    let place = TempDir::new();
    let mut recorded = Recorded::start(&place.path().join("dumps"), &[0, 1], &["get_user"]);
    recorded.core(0, |core| core.request("get_user", [3, 4, 500, 6]));
    let dump = recorded.dump(60).expect("a dump");
    let (_, one) = page(&place, &[&dump.join("core0.hlog")]);
    let (_, none) = page(&place, &[&dump.join("core1.hlog")]);
    let seen = looked_at(&one, &[SCREEN]);
    assert_eq!(figures(&seen).len(), 4 + 3);
    // What has no neighbour is seen all the same.
    for figure in figures(&seen) {
        assert!(all(&figure["lines"], |length| length > 5.0), "{figure}");
    }
    assert_eq!(figures(&looked_at(&none, &[TELEPHONE])).len(), 4);
    // A target that is missed is on the page as well, whatever the exit code is.
    let path = place.path().join("missed.html");
    let arguments = [
        dump.as_os_str(),
        "--p99=1us".as_ref(),
        "--html".as_ref(),
        path.as_os_str(),
    ];
    assert_eq!(report(arguments).code, 1);
    let html = std::fs::read_to_string(path).expect("a page");
    assert!(
        html.contains("<li class=\"missed\"><b>✗ missed</b> get_user p99: 0.513 ms, "),
        "{html}"
    );
}
