//! A page in a headless Chromium that is looked into by the DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>): what it draws, what it asks for, and what
//! its console says.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::browser::{BROWSER_PATIENCE, Browser};

/// A page, closed on drop.
pub struct Page {
    browser: Browser,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    next_id: u64,
    /// What the page has asked for, by URL.
    pub requested: Vec<String>,
    /// Errors and warnings of its console, exceptions of its script, what its policy has forbidden.
    pub complaints: Vec<String>,
    /// How often each URL has been answered with each status.
    pub statuses: HashMap<(String, u64), usize>,
}

impl Page {
    /// An empty one of that size, in pixels.
    pub fn new(width: u32, height: u32) -> Page {
        let mut browser = Browser::piped();
        let input = browser.child.stdin.take().expect("it is piped");
        let output = browser.child.stdout.take().expect("it is piped");
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            // Each message ends with a zero byte.
            let parts = BufReader::new(output).split(0);
            for part in parts.map_while(Result::ok) {
                let message = serde_json::from_slice(&part).expect("JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut page = Page {
            browser,
            input,
            messages,
            session: None,
            next_id: 0,
            requested: Vec::new(),
            complaints: Vec::new(),
            statuses: HashMap::new(),
        };
        let target = page.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = page.call("Target.attachToTarget", attach);
        page.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        // As on a phone, where they take no place.
        page.call("Emulation.setScrollbarsHidden", json!({ "hidden": true }));
        page.resize(width, height);
        page
    }

    /// Goes to a URL.
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// As if the window had that size.
    pub fn resize(&mut self, width: u32, height: u32) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// As if its reader preferred this scheme of colours, `light` or `dark`.
    pub fn prefer(&mut self, scheme: &str) {
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": feature }));
    }

    /// The value of an expression of JavaScript.
    pub fn value(&mut self, expression: &str) -> Value {
        let value = self.evaluated(expression);
        value.unwrap_or_else(|fault| panic!("{expression}: {fault}"))
    }

    /// Waits until an expression is true; while the page is loaded it may fail.
    pub fn wait_for(&mut self, expression: &str) {
        let start = Instant::now();
        loop {
            let outcome = self.evaluated(expression);
            if outcome == Ok(Value::Bool(true)) {
                return;
            }
            if start.elapsed() > BROWSER_PATIENCE {
                let text = self.evaluated("document.body.innerText");
                let complaints = &self.complaints;
                panic!("waited in vain for {expression}: {outcome:?}, {text:?}, {complaints:?}");
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn evaluated(&mut self, expression: &str) -> Result<Value, String> {
        let ask = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let answer = self.call("Runtime.evaluate", ask);
        match answer.get("exceptionDetails") {
            Some(fault) => Err(fault.to_string()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Writes a picture of the whole page as PNG.
    pub fn picture(&mut self, path: &Path) {
        let ask = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.call("Page.captureScreenshot", ask);
        let data = answer["data"].as_str().expect("a picture");
        let bytes = BASE64_STANDARD.decode(data).expect("base64");
        std::fs::write(path, bytes).expect("a file");
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let mut message = json!({ "id": self.next_id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone().into();
        }
        let mut bytes = serde_json::to_vec(&message).expect("JSON");
        bytes.push(0);
        self.input.write_all(&bytes).expect("Chromium listens");
        loop {
            let Ok(message) = self.messages.recv_timeout(BROWSER_PATIENCE) else {
                panic!("{method}: Chromium is silent: {}", self.browser.log());
            };
            if message["id"] == self.next_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match event["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                self.requested.push(text(&params["request"]["url"]));
            }
            Some("Network.responseReceived") => {
                let response = &params["response"];
                let status = response["status"].as_u64().unwrap_or_default();
                *self
                    .statuses
                    .entry((text(&response["url"]), status))
                    .or_default() += 1;
            }
            Some("Runtime.exceptionThrown" | "Log.entryAdded") => {
                self.complaints.push(params.to_string());
            }
            Some("Runtime.consoleAPICalled") => self.complaints.push(params["args"].to_string()),
            _ => {}
        }
    }
}
