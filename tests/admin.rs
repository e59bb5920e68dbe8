//! The admin port of the real binary: what each path answers, the metrics as Prometheus reads them, the
//! live page as Chromium draws it, and what is refused.

mod support;

#[path = "admin/answers.rs"]
mod answers;
#[path = "admin/bounds.rs"]
mod bounds;
#[path = "admin/metrics.rs"]
mod metrics;
#[path = "admin/page.rs"]
mod page;
#[path = "admin/start_up.rs"]
mod start_up;
#[path = "admin/traffic.rs"]
mod traffic;
