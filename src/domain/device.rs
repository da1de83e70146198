//! Who is asking: the client's address, and its device in words a person recognises.

use std::net::IpAddr;

/// A device in a few words, such as `Firefox on Linux`, made from a `User-Agent` header.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Device(String);

impl Device {
    /// Describes the sender of `user_agent`. Unknown ones keep the product name they sent, cut to 60 characters.
    pub fn describe(user_agent: Option<&str>) -> Self {
        let Some(agent) = user_agent.map(str::trim).filter(|agent| !agent.is_empty()) else {
            return Self("Unknown device".to_owned());
        };
        let text = match (browser(agent), system(agent)) {
            (Some(browser), Some(system)) => format!("{browser} on {system}"),
            (Some(browser), None) => browser.to_owned(),
            (None, Some(system)) => system.to_owned(),
            (None, None) => agent
                .split([' ', '/', '('])
                .next()
                .unwrap_or(agent)
                .chars()
                .filter(|character| !character.is_control())
                .take(60)
                .collect(),
        };
        Self(if text.is_empty() { "Unknown device".to_owned() } else { text })
    }

    /// Takes a description as it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The description.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Order matters: many browsers also name those they descend from.
fn browser(agent: &str) -> Option<&'static str> {
    const MARKS: [(&str, &str); 12] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Vivaldi/", "Vivaldi"),
        ("FxiOS/", "Firefox"),
        ("Firefox/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("HeadlessChrome/", "Headless Chrome"),
        ("Chromium/", "Chromium"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    MARKS.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
}

fn system(agent: &str) -> Option<&'static str> {
    const MARKS: [(&str, &str); 7] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    MARKS.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
}

/// Where a request came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address, after trusted proxies have been looked through.
    pub address: IpAddr,
    /// The client's device.
    pub device: Device,
}

impl Origin {
    /// The address as text, without the IPv6 wrapping of IPv4.
    pub fn address_text(&self) -> String {
        self.address.to_canonical().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_devices_are_recognised() {
        let cases = [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/17.5 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 \
                 Safari/537.36 Edg/126.0.0.0",
                "Edge on Windows",
            ),
            ("curl/8.5.0", "curl"),
            ("my-app/1.0 (build 7)", "my-app"),
            ("", "Unknown device"),
        ];
        for (agent, expected) in cases {
            assert_eq!(Device::describe(Some(agent)).as_str(), expected);
        }
        assert_eq!(Device::describe(None).as_str(), "Unknown device");
        assert!(Device::describe(Some(&"x".repeat(10_000))).as_str().len() <= 60);
    }
}
