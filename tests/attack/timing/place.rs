//! A server with accounts of every class, and what it is asked.

use std::net::SocketAddr;

use gatepost::domain::{Clock, DisplayName, EmailAddress, Entropy, Language, Note, Role, UserId, UserStatus};
use gatepost::store::{self, Database, NewUser};
use serde_json::{Value, json};

use crate::app::{Options, Setup, TestApp};

/// What there is to know about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Unknown,
    Approved,
    Pending,
    Banned,
    Rejected,
}

impl Class {
    pub(crate) const ALL: [Self; 5] = [Self::Unknown, Self::Approved, Self::Pending, Self::Banned, Self::Rejected];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Approved => "approved",
            Self::Pending => "pending",
            Self::Banned => "banned",
            Self::Rejected => "rejected",
        }
    }

    /// An address of this class: another for each `number`, all of one length, and none that sorts with its class.
    pub(crate) fn address(self, number: usize) -> String {
        let tag = char::from(b"qmvtk"[self as usize]);
        format!("person{number:06}{tag}@example.com")
    }

    fn status(self) -> Option<UserStatus> {
        match self {
            Self::Unknown => None,
            Self::Approved => Some(UserStatus::Approved),
            Self::Pending => Some(UserStatus::Pending),
            Self::Banned => Some(UserStatus::Banned),
            Self::Rejected => Some(UserStatus::Rejected),
        }
    }
}

/// What a stranger may ask about an address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoint {
    Code,
    Link,
    Register,
    Password,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 4] = [Self::Code, Self::Link, Self::Register, Self::Password];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Code => "/api/auth/otp/request",
            Self::Link => "/api/auth/magic-link/request",
            Self::Register => "/api/auth/register",
            Self::Password => "/api/auth/login",
        }
    }

    pub(crate) fn body(self, email: &str) -> Value {
        match self {
            Self::Code | Self::Link => json!({ "email": email }),
            Self::Register => json!({ "email": email, "name": "Somebody" }),
            Self::Password => json!({ "email": email, "password": "not the right one, this" }),
        }
    }

    pub(crate) fn status(self) -> &'static str {
        if matches!(self, Self::Password) { "401" } else { "202" }
    }
}

/// A running server. Every account that is known has a password, but for half of those that are pending or rejected: they
/// never had the occasion to set one.
pub(crate) struct Place {
    app: Option<TestApp>,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    /// A server on `setup`, with `count` accounts of each class that has any.
    pub(crate) fn start(setup: Setup, registration: &'static str, count: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let app = runtime.block_on(async {
            let options =
                Options::registration(registration).set("LOGIN_METHOD", "otp,magic_link,password").unlimited();
            let app = TestApp::start(setup, options).await;
            // A real hash, with the server's own parameters.
            let owner = app.sign_in(crate::app::ROOT).await;
            let password = "correct horse battery staple";
            owner.post("/api/auth/change-password", json!({ "new": password })).await.expect(204);
            fill(app.store(), count).await;
            app
        });
        Self { app: Some(app), runtime }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.app.as_ref().expect("it runs").address
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let app = self.app.take();
        self.runtime.block_on(async move { drop(app) });
    }
}

/// The same work on either database.
macro_rules! fill_on {
    ($pool:expr, $q:ident, $count:expr) => {{
        let mut conn = $pool.get().await.expect("a connection");
        let owner = EmailAddress::parse(crate::app::ROOT).expect("an address");
        let (_, hash) = $q::users::with_password_hash(&mut conn, &owner).await.expect("a row").expect("an account");
        let hash = hash.expect("a password");
        for number in 0..$count {
            for class in Class::ALL {
                let Some(status) = class.status() else { continue };
                let now = Clock::system().now();
                let user = $q::users::insert(&mut conn, &new_user(class, number, status), now).await.expect("a row");
                if matches!(class, Class::Approved | Class::Banned) || number % 2 == 0 {
                    $q::users::set_password_hash(&mut conn, user.id, &hash, now).await.expect("a row");
                }
            }
        }
    }};
}

async fn fill(database: &Database, count: usize) {
    match database {
        Database::Postgres { pool, .. } => {
            use store::postgres as q;
            fill_on!(pool, q, count);
        }
        Database::Sqlite { writer, .. } => {
            use store::sqlite as q;
            fill_on!(writer, q, count);
        }
    }
}

fn new_user(class: Class, number: usize, status: UserStatus) -> NewUser {
    NewUser {
        id: UserId::new(&Clock::system(), &Entropy::system()),
        email: EmailAddress::parse(&class.address(number)).expect("an address"),
        name: DisplayName::parse("Somebody").expect("a name"),
        note: Note::default(),
        locale: Language::English,
        role: Role::User,
        status,
        address: "192.0.2.1".to_owned(),
        device: "Firefox on Linux".to_owned(),
    }
}
