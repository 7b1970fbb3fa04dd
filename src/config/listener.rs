//! Listeners, as `listeners` and `advertised.listeners` write them.

use std::fmt;
use std::net::IpAddr;

/// One `NAME://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in capitals, such as `PLAINTEXT`.
    pub name: String,
    /// Host name or address, without brackets; empty for all interfaces.
    pub host: String,
    /// TCP port; 0 lets the operating system choose.
    pub port: u16,
}

impl Listener {
    /// True if only this machine can connect.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// True if the host stands for all interfaces: fine to listen at, not to be advertised.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.name, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.name, self.host, self.port)
        }
    }
}

/// Parses a list of listeners.
pub(super) fn parse_listeners(list: &str) -> Result<Vec<Listener>, String> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let listeners: Vec<Listener> = entries.map(parse_listener).collect::<Result<_, _>>()?;
    if listeners.is_empty() {
        return Err("at least one listener is needed".to_owned());
    }
    for (at, listener) in listeners.iter().enumerate() {
        for other in listeners.iter().skip(at + 1) {
            if listener.name == other.name {
                return Err(format!("the listener name {} is there twice", listener.name));
            }
            if listener.port == other.port && listener.port != 0 && listener.host == other.host {
                return Err(format!("{listener} and {other} are the same address"));
            }
        }
    }
    Ok(listeners)
}

fn parse_listener(entry: &str) -> Result<Listener, String> {
    let broken = || format!("'{entry}' is not of the form NAME://host:port");
    let (name, address) = entry.split_once("://").ok_or_else(broken)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(broken)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let address = rest.strip_suffix(']').ok_or_else(broken)?;
            // A zone, as in fe80::1%eth0, is the resolver's business.
            let bare = address.split_once('%').map_or(address, |(bare, _)| bare);
            bare.parse::<std::net::Ipv6Addr>().map_err(|_| broken())?;
            address
        }
        None if host.contains(':') => {
            return Err(format!("'{entry}': an IPv6 address has to stand in brackets"));
        }
        None => host,
    };
    let legal = |letter: char| letter.is_ascii_alphanumeric() || "-_.:%".contains(letter);
    if name.is_empty()
        || !name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
        || !host.chars().all(legal)
    {
        return Err(broken());
    }
    let port = port.parse().map_err(|_| format!("'{entry}': the port is not a number to 65535"))?;
    Ok(Listener { name: name.to_ascii_uppercase(), host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_parse_and_print() {
        let list = "PLAINTEXT://127.0.0.1:9092, internal://[::1]:9093,ALL://:0";
        let listeners = parse_listeners(list).unwrap();
        let printed: Vec<String> = listeners.iter().map(ToString::to_string).collect();
        assert_eq!(printed, ["PLAINTEXT://127.0.0.1:9092", "INTERNAL://[::1]:9093", "ALL://:0"]);
        let loopback: Vec<bool> = listeners.iter().map(Listener::is_loopback).collect();
        assert_eq!(loopback, [true, true, false]);
        let wildcards = parse_listeners("A://0.0.0.0:1,B://[::]:1").unwrap();
        assert!(wildcards.iter().all(Listener::is_wildcard));
    }

    #[test]
    fn what_is_no_listener_is_refused() {
        for (list, part) in [
            ("", "at least one"),
            ("localhost:9092", "form NAME://host:port"),
            ("PLAINTEXT://localhost", "form NAME://host:port"),
            ("PLAINTEXT://localhost:x", "port is not a number"),
            ("PLAINTEXT://localhost:65536", "port is not a number"),
            ("PLAINTEXT://::1:9092", "brackets"),
            ("PLAINTEXT://[::1:9092", "form NAME://host:port"),
            ("PLAINTEXT://[zz]:9092", "form NAME://host:port"),
            ("://localhost:1", "form NAME://host:port"),
            ("A B://localhost:1", "form NAME://host:port"),
            ("A://local host:1", "form NAME://host:port"),
            ("A://h:1,a://h:2", "twice"),
            ("A://h:1,B://h:1", "same address"),
        ] {
            let error = parse_listeners(list).unwrap_err();
            assert!(error.contains(part), "{list}: {error}");
        }
    }
}
