//! The control thread while the cores run, and while they come home.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::listener::Bound;
use super::shard::Control;
use super::{Cores, Error, News};
use crate::channel::{Receiver, Sender};

/// How much longer than the drain timeout the cores get to come home before they are given up.
const HOMECOMING: Duration = Duration::from_secs(1);

/// While another process serves: how often it is looked whether it still does, and what those in flight get if
/// it has failed.
const SUCCESSOR_INTERVAL: Duration = Duration::from_millis(250);
const SUCCESSOR_GONE: Duration = Duration::from_secs(1);

/// What a round of the control thread came to.
enum Round {
    /// The next one.
    Next,
    /// The server is to stop.
    Stop,
    /// Another process serves.
    Left,
}

impl Cores {
    /// Waits for a signal, or for a core that ends by itself; then for all of them to drain.
    pub(super) fn supervise(
        mut self,
        news: &Receiver<News>,
        sender: &Sender<News>,
        bound: &mut Bound,
    ) -> Result<(), Error> {
        bound.own_files();
        let is_left = loop {
            let patience = self.look();
            match self.heed(news.recv_timeout(patience), sender, bound)? {
                Round::Next => {}
                Round::Stop => break false,
                Round::Left => break true,
            }
        };
        self.upgrades.end();
        self.tell_end(is_left);
        if is_left {
            self.controls.iter().for_each(Control::leave);
        } else {
            self.manager.stopping(self.drain_timeout + HOMECOMING);
            self.drain();
        }
        self.come_home(news, is_left);
        self.dumps.finish(&self.watch);
        tracing::info!("stopped");
        Ok(())
    }

    /// Does what is due; how long there is nothing to do afterwards.
    fn look(&mut self) -> Duration {
        self.watch.look();
        self.dumps.look(&mut self.watch);
        let step = self.reloads.look(&self.controls);
        self.go_on(step);
        self.tell_manager();
        let patience = self.watch.patience().min(self.dumps.patience());
        patience.min(self.schedule.patience(Instant::now()))
    }

    fn heed(
        &mut self,
        news: Result<News, RecvTimeoutError>,
        sender: &Sender<News>,
        bound: &mut Bound,
    ) -> Result<Round, Error> {
        match news {
            Ok(News::Signal) | Err(RecvTimeoutError::Disconnected) => return Ok(Round::Stop),
            Ok(News::Reload) => {
                self.upgrades.note_reload();
                self.reload();
            }
            Ok(News::Upgrade) => self.upgrades.begin(sender.clone()),
            Ok(News::Upgraded(outcome)) => {
                if self.leave(*outcome, bound) {
                    return Ok(Round::Left);
                }
                if self.upgrades.is_due() {
                    self.upgrades.begin(sender.clone());
                }
            }
            Ok(News::Dump(asking)) => self.dumps.ask(&mut self.watch, asking),
            Ok(News::Read(number, read)) => {
                let step = self.reloads.read(number, *read, &self.controls);
                self.go_on(step);
            }
            Ok(News::Checked(number, checked)) => {
                let step = self.reloads.checked(number, checked, &self.controls);
                self.go_on(step);
            }
            Ok(News::Prepared(number, outcome)) => {
                let step = self.reloads.prepared(number, outcome, &self.controls);
                self.go_on(step);
            }
            Ok(News::Keys(source, jwt)) => self.take_keys(source, jwt),
            Ok(News::Ended(cpu, outcome)) => {
                let reason = outcome.err().unwrap_or_else(|| "it ended".to_owned());
                self.dumps.finish(&self.watch);
                return Err(Error(format!("core {cpu} is gone: {reason}")));
            }
            Ok(News::Snapshot(snapshot)) => self.watch.take(snapshot),
            Ok(News::Settled) | Err(RecvTimeoutError::Timeout) => {}
        }
        Ok(Round::Next)
    }

    fn drain(&self) {
        tracing::info!("stopping: finishing what is in flight (again to stop at once)");
        self.controls.iter().for_each(Control::drain);
    }

    /// Waits until every core has drained, or for the drain timeout, or for a signal that says to stop at once;
    /// while another process serves already, the first one says to drain. Should that one fail, there is little
    /// time: nobody starts another as long as this one is there.
    fn come_home(&mut self, news: &Receiver<News>, mut is_patient: bool) {
        let mut end = Instant::now() + self.drain_timeout + HOMECOMING;
        let mut running = self.controls.len();
        while running > 0 {
            if is_patient && self.upgrades.has_lost_successor() {
                tracing::error!("the process that serves has failed: making room for another one");
                self.drain();
                end = end.min(Instant::now() + SUCCESSOR_GONE);
            }
            let left = end.saturating_duration_since(Instant::now());
            match news.recv_timeout(left.min(SUCCESSOR_INTERVAL)) {
                Ok(News::Ended(_, Ok(()))) => running -= 1,
                Ok(News::Ended(cpu, Err(reason))) => {
                    tracing::error!(cpu, reason, "a core failed while it stopped");
                    running -= 1;
                }
                Ok(News::Snapshot(snapshot)) => self.watch.take(snapshot),
                Ok(News::Signal) if is_patient => {
                    is_patient = false;
                    self.drain();
                }
                Ok(News::Signal) => {
                    tracing::warn!("stopping at once");
                    break;
                }
                Ok(News::Reload) => self.upgrades.note_reload(),
                // For nobody any more.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    tracing::warn!("gave up at the drain timeout");
                    break;
                }
            }
        }
    }
}
