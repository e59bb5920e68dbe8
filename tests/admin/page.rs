//! The live page, drawn by Chromium. `TEST_PICTURES=DIR` keeps pictures of what was drawn.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::core_thread::StoppedCore;
use crate::support::devtools::Page;
use crate::support::{Postgres, Signal, TempDir, process, wait_until};
use crate::traffic::{Traffic, get, shop};

/// What the page says in an element.
fn text(page: &mut Page, id: &str) -> String {
    let value = page.value(&format!("document.getElementById({id:?}).textContent"));
    value.as_str().expect("a text").to_owned()
}

/// Elements that stand out of the page to the right, or whose words do not fit: their tags and classes.
const OVERFLOWING: &str = "
[...document.querySelectorAll('body *')]
  .filter((one) => !one.closest('svg'))
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 || one.scrollWidth > one.clientWidth + 1 && one.clientWidth)
  .map((one) => `${one.tagName}.${one.className} ${one.textContent.slice(0, 30)}`)";

/// Has each core say the most that it may have to.
const BUSIEST: &str = "
for (const one of document.querySelectorAll('.core h3')) {
  one.firstElementChild.textContent = '100 % busy';
  one.firstChild.textContent = 'core 1023';
}";

/// Texts of the drawing that lie over each other.
const OVERLAPPING: &str = "
[...document.querySelectorAll('.chart')].flatMap((chart) => {
  const boxes = [...chart.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([one, a], index) => boxes.slice(index + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
    .map(([other]) => `${one} / ${other}`));
})";

fn assert_fits(page: &mut Page) {
    for list in [OVERFLOWING, OVERLAPPING] {
        assert_eq!(page.value(list), Value::Array(Vec::new()));
    }
    let sideways = page.value("document.documentElement.scrollWidth > innerWidth");
    assert_eq!(sideways, false);
}

/// Whether words can be read on their ground (WCAG 2.2, 1.4.3: 4.5 to 1), by the colours that are computed.
const UNREADABLE: &str = "
(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => channels(colour).slice(0, 3).map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
  };
  return [...document.querySelectorAll('body *')]
    .filter((one) => !one.closest('svg') && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .filter((one) => one.checkVisibility())
    .map((one) => [one.textContent, light(getComputedStyle(one).color), light(ground(one))])
    .filter(([, a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5)
    .map(([text, a, b]) => `${text.slice(0, 30)} ${a} ${b}`);
})()";

/// Keeps a picture, if somebody wants to look at it.
fn picture(page: &mut Page, name: &str) {
    let kept = std::env::var_os("TEST_PICTURES").map(PathBuf::from);
    let directory = TempDir::new();
    let path = kept
        .unwrap_or_else(|| directory.path().to_owned())
        .join(format!("{name}.png"));
    page.picture(&path);
    let size = std::fs::metadata(&path).expect("a picture").len();
    assert!(size > 10_000, "{name} has {size} bytes");
}

#[test]
fn it_draws_what_happens_and_asks_for_nothing_else() {
    let postgres = Postgres::shop();
    let (server, admin) = shop(&postgres);
    let mut page = Page::new(1280, 1000);
    page.prefer("light");
    page.open(&format!("http://{admin}/"));
    page.wait_for("document.getElementById('status-text').textContent === 'serving'");
    assert_eq!(text(&mut page, "title"), "Shop");
    assert_eq!(
        page.value("document.getElementById('nothing').hidden"),
        false
    );
    assert_fits(&mut page);

    let traffic = Traffic::start(server.address, 8);
    page.wait_for("parseFloat(document.getElementById('rate').textContent.replace(',', '')) > 20");
    page.wait_for("/(µs|ms|s)$/.test(document.getElementById('p99').textContent)");
    page.wait_for("parseFloat(document.getElementById('batch').textContent) >= 1");
    // A line of several points, and values that move.
    page.wait_for(
        "document.querySelector('#rate-chart .line').getAttribute('d').split('L').length > 5",
    );
    page.wait_for(
        "document.querySelector('#latency-chart .p999').getAttribute('d').split('L').length > 5",
    );
    let shown = text(&mut page, "rate");
    page.wait_for(&format!(
        "document.getElementById('rate').textContent !== {shown:?}"
    ));
    let rows = page
        .value("[...document.querySelectorAll('#routes th')].map((one) => one.textContent).sort()");
    assert_eq!(
        rows.to_string(),
        r#"["(unmatched)","/health","get_user","list_products"]"#
    );
    let cells = "[...document.querySelectorAll('#routes tr')].find((row) => row.textContent.startsWith('get_user')).innerText";
    page.wait_for(&format!("/\\d (µs|ms|s)\\s+\\d/.test({cells})"));
    let cores = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(2);
    assert_eq!(
        page.value("document.querySelectorAll('.core').length"),
        cores
    );
    page.wait_for("[...document.querySelectorAll('.core rect')].every((bar) => bar.getAttribute('width') > 0)");
    assert_fits(&mut page);
    picture(&mut page, "live-wide");

    // What the page draws of the whole is what the server counts.
    page.value("document.getElementById('by-start').click()");
    assert_eq!(text(&mut page, "rate-head"), "Requests");
    let users = "parseInt([...document.querySelectorAll('#routes tr')].find((row) => row.textContent.startsWith('get_user')).cells[1].textContent.replace(',', ''))";
    page.wait_for(&format!("{users} > 50"));

    for (width, height, scheme) in [
        (360, 800, "light"),
        (360, 800, "dark"),
        (768, 1000, "dark"),
        (1280, 1000, "dark"),
    ] {
        page.resize(width, height);
        page.prefer(scheme);
        page.value("new Promise((done) => setTimeout(done, 1500))");
        assert_fits(&mut page);
        // The most that a core may have to say.
        let full = format!("{BUSIEST}; {OVERFLOWING}");
        assert_eq!(page.value(&full), Value::Array(Vec::new()), "{width}");
        assert_eq!(
            page.value(UNREADABLE),
            Value::Array(Vec::new()),
            "{width} {scheme}"
        );
        picture(&mut page, &format!("live-{width}-{scheme}"));
    }
    page.prefer("light");
    assert_eq!(page.value(UNREADABLE), Value::Array(Vec::new()));
    traffic.end();

    assert_eq!(page.complaints, Vec::<String>::new());
    let own = format!("http://{admin}/");
    let elsewhere: Vec<&String> = page
        .requested
        .iter()
        .filter(|url| {
            **url != own && **url != format!("{own}live.json") && !url.starts_with("data:")
        })
        .collect();
    assert_eq!(elsewhere, Vec::<&String>::new());
    assert!(
        page.statuses
            .keys()
            .all(|(url, status)| *status == 200 || url.starts_with("data:"))
    );
}

#[test]
fn its_policy_keeps_other_scripts_and_places_out() {
    let postgres = Postgres::shop();
    let (server, admin) = shop(&postgres);
    let mut page = Page::new(800, 600);
    page.open(&format!("http://{admin}/"));
    page.wait_for("document.getElementById('status-text').textContent === 'serving'");
    let kept_out = "
        (async () => {
          const script = document.createElement('script');
          script.textContent = 'window.intruded = true';
          document.body.append(script);
          const elsewhere = await fetch('http://ADDRESS/health', { mode: 'no-cors' }).then(() => 'fetched', () => 'refused');
          return [window.intruded === undefined, elsewhere];
        })()";
    let kept_out = kept_out.replace("ADDRESS", &server.address.to_string());
    assert_eq!(page.value(&kept_out).to_string(), r#"[true,"refused"]"#);
}

#[test]
fn it_says_plainly_when_a_core_is_stuck_and_when_nobody_answers() {
    let postgres = Postgres::shop();
    let (server, admin) = shop(&postgres);
    let mut page = Page::new(360, 800);
    page.open(&format!("http://{admin}/"));
    page.wait_for("document.getElementById('status-text').textContent === 'serving'");
    let held = StoppedCore::stop(server.pid());
    page.wait_for("document.getElementById('status-text').textContent === 'a core is stuck'");
    page.wait_for("/core 0 has not moved/.test(document.getElementById('problems').innerText)");
    assert_eq!(
        page.value("document.querySelectorAll('.core.stuck').length"),
        1
    );
    assert_fits(&mut page);
    picture(&mut page, "live-360-stuck");
    drop(held);
    page.wait_for("document.getElementById('status-text').textContent === 'serving'");
    assert_eq!(
        page.value("document.getElementById('problems').hidden"),
        true
    );

    // A server that stands still, not one that is gone: a connection to it is made and nobody answers.
    let frozen = process::Frozen::freeze(vec![server.pid()]);
    page.wait_for(
        "/^no answer for \\d+ s$/.test(document.getElementById('status-text').textContent)",
    );
    page.wait_for("/does not answer/.test(document.getElementById('problems').innerText)");
    assert_eq!(page.value("document.title"), "no answer · Shop");
    assert_fits(&mut page);
    picture(&mut page, "live-360-gone");
    drop(frozen);
    page.wait_for("document.getElementById('status-text').textContent === 'serving'");

    wait_until("it is ready", || get(admin, "/readyz").status == 200);
    server.signal(Signal::KILL);
    page.wait_for("/^no answer/.test(document.getElementById('status-text').textContent)");
}
