//! A person at a browser: opens, reads, types, presses. Every look waits, since pages take their time to come.

use fantoccini::Locator;
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};

use crate::SOON;
use crate::site::Site;
use crate::support::{Browser, Options, eventually};

/// Makes two tests of one story: `…::with_scripts` and `…::without_scripts`. Its argument says which browsers to use.
macro_rules! with_and_without_scripts {
    ($($(#[$meta:meta])* async fn $name:ident($options:ident: Options) $body:block)+) => {
        $(
            $(#[$meta])*
            async fn $name($options: $crate::support::Options) $body

            mod $name {
                use $crate::support::Options;

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn with_scripts() {
                    Box::pin(super::$name(Options::DESKTOP)).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn without_scripts() {
                    Box::pin(super::$name(Options::DESKTOP.without_javascript())).await;
                }
            }
        )+
    };
}

/// A person with a browser of their own.
pub(crate) struct Visitor {
    browser: Browser,
    javascript: bool,
    home: String,
}

impl Visitor {
    /// Somebody whom `site` has not seen before.
    pub(crate) async fn to(site: &Site, options: Options) -> Self {
        Self { browser: Browser::start_with(options).await, javascript: options.javascript, home: site.url.clone() }
    }

    /// Opens a path of the site, or an address from a mail.
    pub(crate) async fn open(&self, address: &str) {
        let address = if address.starts_with('/') { format!("{}{address}", self.home) } else { address.to_owned() };
        self.browser.goto(&address).await.unwrap();
    }

    /// Waits for the page with this heading.
    pub(crate) async fn sees(&self, heading: &str) {
        eventually(&format!("the heading “{heading}”"), SOON, async || {
            (self.texts("h1").await?.join(" ") == heading).then_some(())
        })
        .await;
    }

    /// Waits until the page says `words`.
    pub(crate) async fn reads(&self, words: &str) {
        eventually(&format!("the words “{words}”"), SOON, async || {
            self.texts("body").await?.join(" ").contains(words).then_some(())
        })
        .await;
    }

    /// Whether the page says `words` now.
    pub(crate) async fn can_read(&self, words: &str) -> bool {
        self.texts("body").await.is_some_and(|texts| texts.join(" ").contains(words))
    }

    /// Waits for an alert and gives its text.
    pub(crate) async fn alert(&self) -> String {
        eventually("an alert", SOON, async || self.texts("[role=alert]").await?.into_iter().next()).await
    }

    /// Replaces what is in the field with this label.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let field = self.field(label).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// What is in the field with this label.
    pub(crate) async fn value_of(&self, label: &str) -> String {
        self.field(label).await.prop("value").await.unwrap().unwrap_or_default()
    }

    /// Presses the first button or link whose text begins so.
    pub(crate) async fn press(&self, text: &str) {
        let begins = format!("starts-with(normalize-space(.), '{text}')");
        let path = format!("//*[self::button or self::a or self::summary][{begins}]");
        let element = self.element(Locator::XPath(&path)).await;
        if self.javascript {
            element.click().await.unwrap();
        } else {
            // On an emulated screen chromedriver waits for ever for a click to end that no script can watch.
            element.send_keys(&char::from(Key::Enter).to_string()).await.unwrap();
        }
    }

    /// Types into whatever has the focus.
    pub(crate) async fn types(&self, keys: &str) {
        self.browser.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// The name of the focused field, or the first line of whatever else has the focus.
    pub(crate) async fn focus(&self) -> String {
        let element = self.browser.active_element().await.unwrap();
        match element.attr("name").await.unwrap() {
            Some(name) => name,
            None => element.text().await.unwrap().lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// Waits until the field with this name has the focus.
    pub(crate) async fn is_in(&self, name: &str) {
        eventually(&format!("the focus in {name}"), SOON, async || (self.focus().await == name).then_some(())).await;
    }

    /// The path and query of the page.
    pub(crate) async fn place(&self) -> String {
        let url = self.browser.current_url().await.unwrap();
        url.as_str().trim_start_matches(&self.home).to_owned()
    }

    /// Whether the browser keeps a session.
    pub(crate) async fn is_signed_in(&self) -> bool {
        self.browser.get_all_cookies().await.unwrap().iter().any(|cookie| cookie.name() == "gatepost_session")
    }

    /// Asks for a mail on the sign-in page.
    pub(crate) async fn asks_to_sign_in_as(&self, email: &str) {
        self.sees("Sign in to Gatepost").await;
        self.fill("E-mail address", email).await;
        self.press("Continue with e-mail").await;
        self.sees("Check your mail").await;
    }

    /// Types a code and sends it.
    pub(crate) async fn enters(&self, code: &str) {
        self.fill("Six-digit code", code).await;
        self.press("Sign in").await;
    }

    /// Signs in with a code, from the sign-in page on.
    pub(crate) async fn signs_in_as(&self, site: &Site, email: &str) {
        self.open("/login").await;
        self.asks_to_sign_in_as(email).await;
        self.enters(&site.mail(email, "code_and_link").await.code()).await;
        self.sees("Your account").await;
    }

    /// The result of a script, which the page's own policy does not restrict.
    pub(crate) async fn measures(&self, script: &str) -> Value {
        self.browser.execute(script, Vec::new()).await.unwrap()
    }

    /// The browser itself.
    pub(crate) fn browser(&self) -> &Browser {
        &self.browser
    }

    /// Closes the browser, which must not have complained about anything but answers that were meant to be errors.
    pub(crate) async fn leaves(self) {
        let log = self.browser.issue_cmd(ReadLog).await.unwrap();
        let messages = log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap_or_default());
        let complaints: Vec<&str> =
            messages.filter(|message| !message.contains("the server responded with a status of 4")).collect();
        assert!(complaints.is_empty(), "the browser complained: {complaints:#?}");
        self.browser.close().await;
    }

    async fn field(&self, label: &str) -> Element {
        let path = format!("//label[starts-with(normalize-space(.), '{label}')]");
        let label = self.element(Locator::XPath(&path)).await;
        let id = label.attr("for").await.unwrap().expect("a label names its field");
        self.element(Locator::Id(&id)).await
    }

    async fn element(&self, locator: Locator<'_>) -> Element {
        let found = self.browser.wait().at_most(SOON).for_element(locator).await;
        found.unwrap_or_else(|error| panic!("nothing at {locator:?}: {error}"))
    }

    /// What is visible of the elements; `None` while the page changes.
    async fn texts(&self, selector: &str) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for element in self.browser.find_all(Locator::Css(selector)).await.ok()? {
            texts.push(element.text().await.ok()?);
        }
        Some(texts)
    }
}

/// Asks chromedriver for what the console has been told since the last time.
#[derive(Debug)]
struct ReadLog;

impl WebDriverCompatibleCommand for ReadLog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (reqwest::Method, Option<String>) {
        (reqwest::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}
