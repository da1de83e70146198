//! The fast path: who is behind a credential, in one look without waiting, parsing or allocating.
//!
//! **The life of an entry.** A request whose credential is not known here is recognised the long way: the session and
//! its user are read through the tiers, the rules of sign-in are applied, and the two are remembered together under the
//! [fingerprint](Fingerprint) of the credential ([`Cache::remember`]). From then on [`Cache::recognised`] gives the same
//! [`Recognised`] to every request with that credential, with what the first of them has made of it
//! ([`Recognised::answer`]), for as long as the two can be relied on ([hold](super::hold)). Read towards the end of that time,
//! an entry is made anew beside the requests, once ([`Cache::is_to_be_renewed`]).
//!
//! **Why it is safe.** An entry is no tier of its own. It carries the stamps of the two entries that it was made of,
//! and is handed out only while the [guards](super::guards) of the session's key and of the user's key admit them. So whatever
//! ends an entry in the tiers (a message, a look for changed rows, a gap in the subscription) ends this one at the same
//! moment. Nothing has to find it in order to remove it: it may be put in late, or twice, and lies there unread until it is swept.
//! What depends on the time, which tests let pass, is the caller's to judge at each read.

use std::any::Any;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant as Monotonic;

use super::hold::Hold;
use super::session::SessionName;
use super::tier::Entry;
use super::{Cache, Inner};
use crate::domain::{Digest, Fingerprint, Instant, UserId};
use crate::redis::keys;
use crate::store::{Session, StoreError, User};

/// The most credentials of which it is known whose they are: some six megabytes.
pub(super) const OWNERS: usize = 100_000;

/// A session and its user.
///
/// What the hot path reads of it comes first and lies together: it reads another entry at each request, so each line of the
/// processor's cache that it has to fetch counts.
#[derive(Debug)]
#[repr(C)]
pub struct Recognised {
    /// When the session was last noted as used, in microseconds since the Unix epoch.
    last_used: AtomicI64,
    /// When it is over by itself, in microseconds since the Unix epoch: its session, or before that what was shown.
    ends: i64,
    answer: OnceLock<Box<dyn Any + Send + Sync>>,
    /// What is not secret in the credential.
    open: Box<[u8]>,
    hold: Option<Hold>,
    /// The account.
    pub user: User,
    /// The session.
    pub session: Session,
    expires_at: Option<Instant>,
}

impl Recognised {
    /// Of these two, recognised by a session token.
    pub(super) fn new(user: User, session: Session, hold: Option<Hold>) -> Self {
        let last_used = AtomicI64::new(session.last_seen_at.timestamp_micros());
        let (ends, open) = (session.expires_at.timestamp_micros(), Box::default());
        Self { last_used, ends, answer: OnceLock::new(), open, hold, user, session, expires_at: None }
    }

    /// The same, recognised by a credential of which `open` is not secret, and which ends at `expires_at` by itself.
    #[must_use]
    pub(crate) fn by(mut self, open: Box<[u8]>, expires_at: Option<Instant>) -> Self {
        if let Some(end) = expires_at {
            self.ends = self.ends.min(end.timestamp_micros());
        }
        Self { open, expires_at, ..self }
    }

    /// What is not secret in the credential.
    pub(crate) fn open(&self) -> &[u8] {
        &self.open
    }

    /// When what was shown ends by itself, where that may be before its session does.
    pub fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Whether the session, or what was shown, has ended by itself at `now`, in microseconds since the Unix epoch.
    pub fn has_ended(&self, now: i64) -> bool {
        self.ends <= now
    }

    /// How long the session had not been used at `now`, in microseconds since the Unix epoch, as far as this entry knows:
    /// in microseconds.
    pub fn idle(&self, now: i64) -> i64 {
        now.saturating_sub(self.last_used.load(Ordering::Relaxed))
    }

    /// Reads what the caller makes of it, which is made once for as long as the entry lives. All callers that keep
    /// something here keep the same type; another one is made each time.
    pub fn answer<T: Send + Sync + 'static, R>(&self, make: fn(&Self) -> T, read: impl FnOnce(&T) -> R) -> R {
        let kept = self.answer.get_or_init(|| Box::new(make(self)));
        match kept.downcast_ref() {
            Some(answer) => read(answer),
            None => read(&make(self)),
        }
    }
}

/// Whether what was found must be newer than what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// What is kept will do.
    Kept,
    /// It is about to end: load it now.
    Renewed,
}

impl Cache {
    /// Who was recognised by the credential with this fingerprint, if that still stands `now`. Waits for nothing. Whether the
    /// session has passed one of its lifetimes is the caller's to judge.
    pub fn recognised(&self, credential: &Fingerprint<'_>, now: Monotonic) -> Option<Arc<Recognised>> {
        let (guards, known) = (&self.0.guards, self.0.recognised.get(&credential.digest)?);
        let hold = known.hold.as_ref()?;
        if *known.open != *credential.open || !hold.stands(guards, guards.sight(), now) {
            return None;
        }
        self.0.session_counts.memory_hits.one();
        self.0.user_counts.memory_hits.one();
        Some(known)
    }

    /// By what name the session was asked for, if the caller is to recognise it anew, ahead of the entry's end. Told
    /// to one reader who comes late enough in its life, which is `now`.
    pub fn is_to_be_renewed(&self, who: &Recognised, now: Monotonic) -> Option<SessionName> {
        let guards = &self.0.guards;
        who.hold.as_ref().filter(|hold| hold.is_to_be_renewed(guards, guards.sight(), now)).map(Hold::name)
    }

    /// Whose the session of this credential is, if it was recognised before: that never changes.
    pub fn owner(&self, credential: &Digest) -> Option<UserId> {
        self.0.owners.get(credential)
    }

    /// The open session of this name and its user; where it is known beforehand whose it must be, the two are read at
    /// the same time. `is_alive` may refuse the session for what is known of it: it is then read from the database, since
    /// what is cached may be behind in when it was last seen. Fails only when the database had to be asked and failed.
    pub async fn recognise(
        &self,
        name: SessionName,
        owner: Option<UserId>,
        freshness: Freshness,
        is_alive: impl Fn(&Session) -> bool + Send,
    ) -> Result<Option<Recognised>, StoreError> {
        let user_ahead = async {
            match owner {
                Some(id) => self.fresh_user(id, freshness).await.map(Some),
                None => Ok(None),
            }
        };
        let (session, user) = tokio::join!(self.fresh_session(name, freshness), user_ahead);
        let (session, session_stamp) = session?.into_parts();
        let fits = |session: &Session| self.is_open(session) && owner.is_none_or(|owner| owner == session.user_id);
        let Some(session) = session.filter(fits) else { return Ok(None) };
        let session = self.as_last_seen(session);
        let (session, session_stamp) = if is_alive(&session) {
            (session, Some(session_stamp))
        } else {
            let Some(session) = self.session_afresh(session.id).await?.filter(is_alive) else { return Ok(None) };
            (session, None)
        };
        let user = match user? {
            Some(user) => user,
            None => self.fresh_user(session.user_id, freshness).await?,
        };
        let (Some(user), user_stamp) = user.into_parts() else { return Ok(None) };
        let hold = session_stamp.map(|stamp| Hold::new(&self.0.guards, name, stamp, (user.id, user_stamp)));
        Ok(Some(Recognised::new(user, session, hold)))
    }

    /// Remembers who was recognised by the credential with the digest of this [fingerprint](Fingerprint).
    pub fn remember(&self, credential: Digest, who: Arc<Recognised>) {
        if let Some(hold) = &who.hold {
            let now = Monotonic::now();
            self.keep_for_redis(credential, hold.name(), &who);
            self.0.owners.put(credential, who.user.id, |_| false);
            // Where there is no room, what nobody wants goes.
            let can_go = |hold: &Hold| self.is_over(hold, now) || !hold.was_wanted();
            self.0.recognised.put(credential, who, |other| other.hold.as_ref().is_none_or(can_go));
        }
    }

    /// Notes that the session was used at `now` from `address`. Only memory is touched.
    pub fn note_used(&self, who: &Recognised, address: &str, now: Instant) {
        who.last_used.store(now.timestamp_micros(), Ordering::Relaxed);
        self.note_seen(who.session.id, address, now);
    }

    /// Lets go of what has expired, so that nothing stays without traffic.
    pub(super) fn sweep_recognised(&self) {
        let now = Monotonic::now();
        self.0.recognised.sweep(|who| who.hold.as_ref().is_none_or(|hold| self.is_over(hold, now)));
    }

    fn is_over(&self, hold: &Hold, now: Monotonic) -> bool {
        hold.is_over(&self.0.guards, self.0.guards.sight(), now)
    }

    async fn fresh_session(&self, name: SessionName, freshness: Freshness) -> Result<Entry<Session>, StoreError> {
        match freshness {
            Freshness::Kept => self.session_entry(name).await,
            Freshness::Renewed => self.renew_session(name).await,
        }
    }

    async fn fresh_user(&self, id: UserId, freshness: Freshness) -> Result<Entry<User>, StoreError> {
        match freshness {
            Freshness::Kept => self.user_entry(id).await,
            Freshness::Renewed => self.renew_user(id).await,
        }
    }

    /// The user with this id, loaded anew beside the caller if it is about to end.
    pub(super) async fn user_entry(&self, id: UserId) -> Result<Entry<User>, StoreError> {
        let load = |began, at_least| self.load_user(id, began, at_least);
        let Inner { users, guards, user_counts, .. } = &*self.0;
        let entry = users.entry(&keys::user_id(id), guards, Some(user_counts), load).await?;
        if entry.is_to_be_renewed() {
            let cache = self.clone();
            self.in_background(async move { cache.renew_user(id).await.map(drop) });
        }
        Ok(entry)
    }

    async fn renew_user(&self, id: UserId) -> Result<Entry<User>, StoreError> {
        let load = |began, at_least| self.load_user(id, began, at_least);
        self.0.users.renew(&keys::user_id(id), &self.0.guards, load).await
    }

    /// Runs `work` beside the requests. A failure is told by whoever needs the entry next.
    pub fn in_background(&self, work: impl Future<Output = Result<(), impl std::fmt::Display>> + Send + 'static) {
        let Some(runtime) = &self.0.runtime else { return };
        runtime.spawn(async move {
            if let Err(error) = work.await {
                log::debug!("An entry of the cache could not be loaded ahead of its end: {error}");
            }
        });
    }
}
