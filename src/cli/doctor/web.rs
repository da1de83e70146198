//! How people reach the server: its public URL, the proxies in front of it, its cookies, and whether one runs.

use super::{Finding, health};
use crate::settings::{Server, Settings};

/// Looks at how people reach the server.
pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let server = &settings.server;
    let mut findings = vec![address(server), proxies(server), cookies(server)];
    findings.extend(running(server).await);
    findings
}

fn address(server: &Server) -> Finding {
    let (url, bind) = (server.public_origin(), server.bind);
    if server.is_loopback_public() && !server.is_loopback_bind() {
        return Finding::warn(
            "address",
            format!("other machines can reach {bind}, but {url} leads them to themselves"),
            "set GATEPOST_PUBLIC_URL to what people type; links in mails begin with it",
        );
    }
    Finding::ok("address", format!("{url}, listening on {bind}"))
}

fn proxies(server: &Server) -> Finding {
    // This server speaks no TLS itself.
    let has_proxy = server.public_url.scheme() == "https";
    if server.proxies.trusted.is_empty() && has_proxy {
        return Finding::warn(
            "proxies",
            "somebody else must be speaking https for this server, and nobody is trusted: all clients look like that proxy, \
             and share its limits",
            "set GATEPOST_TRUSTED_PROXIES to the networks that the proxy connects from",
        );
    }
    if server.proxies.trusted.is_empty() {
        return Finding::ok("proxies", "none: each client is who they connect as");
    }
    let networks: Vec<String> = server.proxies.trusted.iter().map(ToString::to_string).collect();
    let by = if server.proxies.protocol { ", which announce each connection by the PROXY protocol" } else { "" };
    Finding::ok("proxies", format!("trusted: {}{by}", networks.join(", ")))
}

/// What is dangerous about them the settings have remarked.
fn cookies(server: &Server) -> Finding {
    if server.cookie_secure {
        return Finding::ok("cookies", "Secure, HttpOnly, SameSite=Lax, with the __Host- prefix");
    }
    Finding::ok("cookies", "HttpOnly and SameSite=Lax; not Secure, as the public URL is http")
}

/// Whether a server of these settings runs here, and what it has seen of proxies.
async fn running(server: &Server) -> Vec<Finding> {
    let Ok(answer) = health::fetch_from(server, "/health/ready").await else {
        return vec![Finding::ok("server", format!("none runs at {}", server.bind))];
    };
    if answer.status != "200" {
        let found = format!("the one at {} answers {}: {}", answer.from, answer.status, answer.body.trim());
        let advice = "if it is Gatepost, see its log; if not, set GATEPOST_BIND to another port";
        return vec![Finding::fail("server", found, advice)];
    }
    let mut findings = vec![Finding::ok("server", format!("the one at {} is ready", answer.from))];
    let metrics = match health::fetch_from(server, "/metrics").await {
        Ok(answer) if answer.status == "403" => {
            let found =
                "the server does not take this machine for an operator's, so what it has counted is not known here";
            let advice = "add the address from which this machine asks to server.operator_networks";
            findings.push(Finding::warn("operators", found.to_owned(), advice));
            String::new()
        }
        answer => answer.map(|answer| answer.body).unwrap_or_default(),
    };
    let counted = |why: &str| {
        let name = format!("gatepost_forwarding_passed_over_total{{why=\"{why}\"}} ");
        let count: Option<f64> = metrics.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse().ok());
        count.filter(|count| *count > 0.0)
    };
    if let Some(count) = counted("untrusted_peer") {
        findings.push(Finding::warn(
            "proxies",
            format!("{count} requests named their client, from peers that are not trusted to"),
            "if a proxy is among these peers, add it to GATEPOST_TRUSTED_PROXIES; the server's log names one each hour",
        ));
    }
    if let Some(count) = counted("other_header") {
        findings.push(Finding::warn(
            "proxies",
            format!("{count} requests of trusted proxies named their client in a header that is not read"),
            "set GATEPOST_SERVER_FORWARDED_HEADER to the header that the proxy writes",
        ));
    }
    findings
}
