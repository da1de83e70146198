//! Free loopback ports for servers that cannot bind port 0 themselves.
//!
//! A port is free when it is handed out and may be taken before it is used; whoever starts a server on one tries
//! another when that happens. Ports come at random from below the range that the kernel uses for outgoing
//! connections, so that neither those nor tests running in parallel are likely to be in the way.

use std::net::{Ipv4Addr, TcpListener};

/// A port on 127.0.0.1 on which nothing listens right now.
pub fn free_port() -> u16 {
    for _ in 0..100 {
        let port = 10_000 + rand::random::<u16>() % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on 127.0.0.1 in 100 tries between 10000 and 20000");
}
