//! What the admin port is given to tell of.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use super::handover::Shares;
use super::listener;
use super::shard::Control;
use super::{Cores, Error, News};
use crate::admin::{self, Heartbeat, Parts, Subject};
use crate::api::{Api, Resolved};
use crate::channel::Sender;
use crate::check;
use crate::config::Config;
use crate::pg::url::Target;

/// How long somebody who asks for a dump waits for it: for the cores, then for the disk.
const DUMP_PATIENCE: Duration = Duration::from_secs(10);

/// The API, where its data is, and what Postgres has said of it if it has been asked.
pub(super) type Asked<'a> = (&'a Arc<Api>, &'a Arc<Target>, Option<Vec<Resolved>>);

/// The sockets of the admin port: those that were handed over, or new ones.
pub(super) fn bind(config: &Config, given: &mut Shares) -> Result<Option<admin::Bound>, Error> {
    let Some(address) = &config.admin else {
        return Ok(None);
    };
    Ok(Some(admin::bind(address, |name| {
        given.take(name).pop_front()
    })?))
}

/// Of cores that have just started.
fn subject(
    cores: &Cores,
    config: Arc<Config>,
    bound: &listener::Bound,
    (api, target, resolved): Asked<'_>,
    news: Sender<News>,
) -> Arc<Subject> {
    let heartbeat = |control: &Control| -> Heartbeat {
        let control = control.clone();
        Box::new(move || control.heartbeat())
    };
    let asked = target.clone();
    Subject::new(Parts {
        ledger: cores.watch.ledger(),
        heartbeats: cores.controls.iter().map(heartbeat).collect(),
        config,
        database: target.to_string(),
        listening: bound.addresses.iter().map(ToString::to_string).collect(),
        api: api.clone(),
        resolved,
        dump: Box::new(move || {
            let (tell, told) = mpsc::channel();
            // Nobody listens any more once the server has stopped, and nobody tells.
            let _ = news.send(News::Dump(Some(tell)));
            let outcome = told.recv_timeout(DUMP_PATIENCE);
            outcome.unwrap_or_else(|_| Err("there was no answer in time".to_owned()))
        }),
        resolve: Box::new(move |api| match check::resolve(api, &asked) {
            Ok(checked) => Ok(checked.routes),
            Err(error) => Err(error.to_string()),
        }),
    })
}

impl Cores {
    /// Answers at the admin port from now on.
    pub(super) fn tell(
        &mut self,
        mut admin: admin::Bound,
        config: Arc<Config>,
        bound: &listener::Bound,
        asked: Asked<'_>,
        news: &Sender<News>,
    ) -> Result<(), Error> {
        let subject = subject(self, config, bound, asked, news.clone());
        admin
            .serve(&subject)
            .map_err(|error| Error(format!("no thread for the admin port: {error}")))?;
        for address in &admin.addresses {
            tracing::info!("admin on {address}");
        }
        self.admin = Some((admin, subject));
        Ok(())
    }

    /// Another API is served from now on.
    pub(super) fn tell_served(&self, api: Arc<Api>) {
        if let Some((_, subject)) = &self.admin {
            subject.serves(api, None);
        }
    }

    /// A reload has ended, or failed for a reason.
    pub(super) fn tell_reload(&self, fault: Option<&str>) {
        if let Some((_, subject)) = &self.admin {
            subject.reloaded(fault);
        }
    }

    /// The server stops; or, where it `is_left`, another process has its admin port from now on.
    pub(super) fn tell_end(&mut self, is_left: bool) {
        if let Some((admin, subject)) = &mut self.admin {
            subject.drains();
            if is_left {
                admin.leave();
            }
        }
    }
}
