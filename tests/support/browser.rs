//! A headless Chromium, driven through chromedriver.
//!
//! Each [`Browser`] has a driver, a profile and a window of its own, and all its processes end with it, by closing or
//! by dropping. A second visitor of the same test is [`Browser::start`] once more.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, wd::Capabilities};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use super::{Server, eventually, free_port};

const START: Duration = Duration::from_secs(30);

/// What kind of browser.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The page's width and height in CSS pixels.
    pub size: (u32, u32),
    /// Whether pages may run scripts.
    pub javascript: bool,
}

impl Options {
    /// A phone held upright.
    pub const PHONE: Self = Self { size: (390, 844), javascript: true };
    /// A desktop's window.
    pub const DESKTOP: Self = Self { size: (1280, 900), javascript: true };

    /// The same with scripts switched off.
    #[must_use]
    pub const fn without_javascript(mut self) -> Self {
        self.javascript = false;
        self
    }
}

/// A window of a headless browser; everything of [`Client`] can be asked of it.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    // Fields drop in this order: the processes first, then their files.
    driver: Server,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a desktop browser.
    ///
    /// # Panics
    ///
    /// When Chromium or chromedriver is missing or does not start.
    pub async fn start() -> Self {
        Self::start_with(Options::DESKTOP).await
    }

    /// Starts a browser of another kind: `Browser::start_with(Options::PHONE.without_javascript())`.
    ///
    /// # Panics
    ///
    /// When Chromium or chromedriver is missing or does not start.
    pub async fn start_with(options: Options) -> Self {
        let chromium = find(&["chromium", "chromium-browser", "google-chrome"], "chromium");
        let chromedriver = find(&["chromedriver"], "chromium-driver");
        let profile = tempfile::Builder::new().prefix("gatepost-browser.").tempdir();
        let profile = profile.expect("a directory for the profile");
        let port = free_port();
        let mut driver = Server::spawn(
            Command::new(chromedriver)
                .arg(format!("--port={port}"))
                // It leaves files behind otherwise.
                .env("TMPDIR", profile.path())
                .env("HOME", profile.path()),
        );
        let url = format!("http://127.0.0.1:{port}");
        eventually("chromedriver to listen", START, async || {
            assert!(driver.exited().is_none(), "chromedriver ended:\n{}", driver.log());
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(&chromium, profile.path(), options));
        let client = tokio::time::timeout(START, builder.connect(&url)).await;
        let client = client
            .unwrap_or_else(|_| panic!("Chromium took too long to start:\n{}", driver.log()))
            .unwrap_or_else(|error| panic!("Chromium did not start: {error}\n{}", driver.log()));
        Self { client, driver, _profile: profile }
    }

    /// Saves what the window shows as `target/screenshots/NAME.png`, and gives that path.
    ///
    /// # Panics
    ///
    /// When the window is gone or the file cannot be written.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp has a parent");
        let directory = target.join("screenshots");
        std::fs::create_dir_all(&directory).expect("target/ can be written");
        let path = directory.join(format!("{name}.png"));
        let png = self.client.screenshot().await.expect("a screenshot");
        std::fs::write(&path, png).expect("target/ can be written");
        path
    }

    /// Ends the browser in good order.
    ///
    /// # Panics
    ///
    /// When it is gone already.
    pub async fn close(self) {
        self.client.clone().close().await.expect("the browser closes");
    }
}

impl Deref for Browser {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

fn capabilities(chromium: &Path, profile: &Path, options: Options) -> Capabilities {
    let (width, height) = options.size;
    let mut arguments = vec![
        "--headless=new".to_owned(),
        // Chromium's own sandbox does not start for root, nor in many containers.
        "--no-sandbox".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-quic".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        "--hide-scrollbars".to_owned(),
        format!("--window-size={width},{height}"),
        format!("--user-data-dir={}", profile.display()),
    ];
    if !options.javascript {
        arguments.push("--blink-settings=scriptEnabled=false".to_owned());
    }
    let chrome = json!({
        "binary": chromium,
        "args": arguments,
        // A window cannot be as narrow as a phone, and has borders; the emulated screen is exact.
        "mobileEmulation": {
            "deviceMetrics": {"width": width, "height": height, "pixelRatio": 1, "mobile": width < 600},
        },
    });
    let mut capabilities = Capabilities::new();
    capabilities.insert("goog:chromeOptions".to_owned(), chrome);
    capabilities.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
    capabilities.insert("pageLoadStrategy".to_owned(), Value::from("normal"));
    capabilities
}

/// The first of these programs on PATH.
fn find(names: &[&str], package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = names.iter().flat_map(|name| std::env::split_paths(&path).map(move |in_| in_.join(name)));
    let found = candidates.find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| panic!("no {} on PATH; install it (Debian: apt-get install {package})", names.join(" or ")))
}
